"""Reports of sweeps whose journals somebody else wrote: their texts are texts, not parts of the page."""

from __future__ import annotations

import json
from html.parser import HTMLParser
from pathlib import Path

import pytest

from bf_research import write_report
from bf_research.report.markup import element, link
from bf_research.report.runs import find_runs
from bf_research.sweep.journal import JOURNAL

TEXTS = [
    "<script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "</style><script>alert(1)</script>",
    "</title></pre></details><iframe srcdoc='<script>1</script>'>",
    "' onmouseover='alert(1)",
    "<svg/onload=alert(1)>",
    "javascript:alert(1)",
    "\u202e\x1b[2J\x00\ud800<b>",
    "]]><!--",
]
TAGS = """
    html head meta title style body header section h1 h2 p div span b strong code table thead tbody tr th td
    details summary pre figure figcaption ul li a br svg g text line path rect circle
    """


class Reader(HTMLParser):
    """A page as a browser takes it apart: its tags, their attributes, its texts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str | None]] = []
        self.texts: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += attributes

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


def write_journal(folder: Path, text: str) -> Path:
    """Write a sweep that has a text wherever a journal has one."""
    folder.mkdir()
    lines = [{"journal": 1, "fixed": [text, f"a={text}"], "returns": [text, "loss"]}]
    for number in range(6):
        rows = [{"iteration": step, text: step + number, "loss": text} for step in range(3)]
        config = {text: f"{text}{number % 3}", f"x.{text}": number, "list": [text]}
        begun = {"trial": f"{text}{number}", "state": "RUNNING", "number": number, "config": config}
        ended = {**begun, "state": "DONE", "rows": rows, "device": text}
        if number == 5:
            ended |= {"state": "FAILED", "reason": text, "error": f"Traceback\n{text}\n"}
        if number == 4:
            lines.append({"told": begun["trial"], "metric": text, "step": 1, "value": 1.0})
        lines += [begun, ended]
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


@pytest.mark.parametrize("text", TEXTS, ids=ascii)
def test_texts_of_a_journal_are_texts_of_the_page(tmp_path, text):
    page = write_report(write_journal(tmp_path / "sweep", text)).read_text(encoding="utf-8")
    read = Reader(page)
    assert set(read.tags) <= set(TAGS.split())
    assert not [name for name, _ in read.attributes if name.startswith("on") or name in ("src", "srcdoc")]
    assert not [value for name, value in read.attributes if name in ("href", "xlink:href", "action")]
    # the texts are there, as they are or with their signs made visible
    assert any(
        text.encode("ascii", "backslashreplace").decode()[-8:].strip("\\") in told for told in read.texts
    )
    assert all(sign.isprintable() or sign == "\n" for sign in page)
    # and should one come through, the browser runs no program
    assert (
        "content",
        "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'",
    ) in (read.attributes)


def test_addresses_of_other_kinds_are_no_links():
    assert "<a" not in link("run", "javascript:alert(1)")
    assert "<a" not in link("run", "data:text/html,<script>1</script>")
    assert link("run", 'http://h/"><script>') == (
        '<a href="http://h/&quot;&gt;&lt;script&gt;" rel="noreferrer noopener">run</a>'
    )
    assert element("p", "<b>", title='"') == '<p title="&quot;">&lt;b&gt;</p>'


@pytest.mark.parametrize("store", ["http://127.0.0.1:9/", "sqlite:///../other.db", "file:///etc", "\x1b[2J"])
def test_stores_that_a_folder_names_are_not_asked(tmp_path, monkeypatch, store, caplog):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("bf_research.tracking.store.open_store", lambda uri: pytest.fail(f"asked {uri!r}"))
    folder = write_journal(tmp_path / "sweep", "a")
    (folder / "tracking.json").write_text(json.dumps({"store": store, "run_id": "abc"}))
    assert find_runs(folder).found == {}
    assert "\x1b" not in caplog.text
    write_report(folder)


def test_secrets_in_a_journal_are_masked(tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    secret = "hunter2-hunter2"
    error = f"ConnectionError: https://me:{secret}@host/ api_key={secret}"
    begun = {"trial": "t", "state": "RUNNING", "number": 0, "config": {"url": f"https://me:{secret}@host/"}}
    ended = {"trial": "t", "state": "FAILED", "rows": [{"loss": 1.0}], "reason": error, "error": error}
    other = {**begun, "trial": "u", "config": {"url": f"token={secret}"}}
    lines = [{"journal": 1, "fixed": [f"password={secret}"]}, begun, ended, other]
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    page = write_report(folder).read_text()
    assert secret not in page
    assert "***" in page


def test_a_journal_with_a_name_for_each_trial_makes_a_page_of_bounded_size(tmp_path):
    folder = tmp_path / "sweep"
    folder.mkdir()
    lines: list[dict] = [{"journal": 1}]
    for number in range(1500):
        config = {f"option{number}": "v" * 2000}
        row = {f"metric{number}": 1.0, "loss": float(number)}
        lines.append(
            {"trial": f"t{number}", "state": "DONE", "number": number, "config": config, "rows": [row]}
        )
    (folder / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert len(write_report(folder, metric="loss").read_text()) < 2_000_000
