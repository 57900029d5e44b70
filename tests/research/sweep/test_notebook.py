"""Results and a research in the cell of a notebook: ranking, states, reasons; texts of trials stay texts."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from bf_pipeline import C
from bf_research import Option, Research, Results, TrialState
from bf_research.sweep.records import Record


def record(name: str, config: dict[str, Any], **fields: Any) -> Record:
    return Record(name, 0, config, **{"state": TrialState.DONE, **fields})


class Cells(HTMLParser):
    """The texts of the cells of each row, and all tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.rows: list[list[str]] = []
        self.tags: set[str] = set()
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.add(tag)
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.lasttag in ("td", "th") and self.rows:
            self.rows[-1][-1] += data


def test_results_in_a_notebook_are_the_ranking_with_states_and_reasons() -> None:
    results = Results(
        (
            record("a", {"model": "vgg7"}, rows=[{"accuracy": 0.9}]),
            record("b", {"model": "vgg7"}, repetition=1, rows=[{"accuracy": 0.8}]),
            record("c", {"model": "lenet"}, rows=[{"accuracy": 0.95}]),
            record("d", {"model": "bad"}, state=TrialState.FAILED, reason="ValueError: <b>no</b>"),
        )
    )
    shown = Cells(results._repr_html_())
    assert shown.text.startswith("4 trials: 3 DONE, 1 FAILED")
    head, *rows = shown.rows
    assert head == ["", "model", "accuracy", "std", "n"]
    assert [row[1:3] for row in rows] == [["lenet", "0.95"], ["vgg7", "0.85"], ["bad", "-"]]
    assert "ValueError: <b>no</b>" in shown.text
    assert "b" in shown.tags  # of "4 trials", which is ours
    assert results._repr_html_().count("<b>") == 1


def test_of_losses_the_least_is_the_first_in_a_notebook() -> None:
    rows = [record(str(value), {"lr": value}, rows=[{"loss": value}]) for value in (0.5, 0.1, 0.3)]
    assert [row[1] for row in Cells(Results(tuple(rows))._repr_html_()).rows[1:]] == ["0.1", "0.3", "0.5"]


def test_no_text_of_a_trial_becomes_a_tag_of_a_notebook() -> None:
    attack = "<script>alert(1)</script><img src=x onerror=alert(2)>"
    rows = [
        record("a", {attack: attack}, rows=[{attack: 0.5}]),
        record(attack, {attack: "x"}, state=TrialState.CRASHED, reason=attack),
    ]
    text = Results(tuple(rows))._repr_html_()
    assert Cells(text).tags <= {"div", "p", "b", "table", "tr", "th", "td", "ul", "li", "code"}
    assert "onerror=alert(2)&gt;" in text


def test_a_notebook_shows_some_of_many_configurations() -> None:
    rows = [record(str(n), {"n": n}, rows=[{"accuracy": n / 100}]) for n in range(50)]
    shown = Cells(Results(tuple(rows))._repr_html_())
    assert len(shown.rows) == 1 + 20
    assert shown.rows[1][1] == "49"
    assert "and 30 more configurations" in shown.text


def test_no_results_are_told_so() -> None:
    assert Cells(Results()._repr_html_()).text == "0 trials"


def test_a_research_shows_what_it_is_and_what_came_out(tmp_path: Path) -> None:
    def power(a: int) -> int:
        if a == 3:
            raise ValueError("no <i>three</i>")
        return a**2

    research = Research(Option("a", [1, 2, 3])).add_callable(power, C("a"), returns="accuracy")
    assert "Research of power over Option('a', [1, 2, 3])" in Cells(research._repr_html_()).text
    research.run(name=tmp_path / "<powers>", parallel=False)
    shown = Cells(research._repr_html_())
    assert str(tmp_path / "<powers>") in shown.text
    assert "3 trials: 2 DONE, 1 FAILED" in shown.text
    assert [row[1:3] for row in shown.rows] == [["a", "accuracy"], ["2", "4"], ["1", "1"], ["3", "-"]]
    assert "no <i>three</i>" in shown.text
    assert "i" not in shown.tags
