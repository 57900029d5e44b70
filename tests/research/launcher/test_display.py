"""What a person sees of a sweep while it runs: on a terminal, a narrow one, in a file, in a notebook."""

from __future__ import annotations

import os
import random
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from bf_research import Results
from bf_research.launcher.display.board import MOST_SHOWN, Board, format_seconds
from bf_research.launcher.display.choice import choose_monitor
from bf_research.launcher.display.notebook import NotebookTable
from bf_research.launcher.display.table import SweepTable
from bf_research.launcher.jobs import Done, Job, Monitor
from bf_research.research.run import _choose_ranking
from bf_research.stopping.directions import choose_metric
from bf_research.sweep.records import Record
from bf_research.sweep.standing import Standing
from bf_research.sweep.trial import TrialState
from tests.research.launcher.screen import Screen, Terminal

#: Trials report, then wait for a file "go"; one model fails, and the driver prints a line when a trial ends.
PROGRAM = """
import pathlib, sys, time
from bf_pipeline import C
from bf_research import Option, Research
from bf_research.launcher import report, stopping

FOLDER = pathlib.Path.cwd()

def train(model, rate):
    if model == "bad":
        raise ValueError("no such layer")
    report(45, 112, loss=0.3125, accuracy=rate)
    while not (FOLDER / f"go-{model}-{rate}").exists() and not stopping():
        time.sleep(0.02)
    return rate

if __name__ == "__main__":
    domain = Option("model", ["bad", "vgg7", "lenet"]) * Option("rate", [0.25, 0.5])
    research = Research(domain).add_callable(train, C("model"), C("rate"), returns="accuracy")
    research.add_logger(lambda text: print("told:", text) if "DONE" in text else None)
    research.run(n_iters=1, bar=True, workers=2, name="sweep", retries=0)
    print("the end")
"""


@pytest.fixture
def run(tmp_path: Path):
    """``run(columns)`` starts the program on a terminal; what is left of it is ended after the test."""
    started: list[Terminal] = []

    def start(columns: int, **env: str) -> Terminal:
        started.append(Terminal(PROGRAM, tmp_path, columns, **env))
        return started[-1]

    yield start
    for terminal in started:
        if terminal.process.poll() is None:
            terminal.process.kill()
            terminal.process.wait()


def both_run(model: str):
    return lambda text: text.count("45/112") == 2 and text.count(f"model-{model}") == 2


def table_of(text: str) -> list[str]:
    """Return the lines of the table, which begins with the counts."""
    lines = text.splitlines()
    return lines[max(place for place, line in enumerate(lines) if re.search(r"/6  \d+:", line)) :]


def test_the_table_of_a_sweep_follows_it_and_leaves_one_line(run, tmp_path: Path):
    terminal = run(120)
    seen = terminal.see(both_run("vgg7"), "two trials that run")
    head, *rows = table_of(seen)
    assert "2/6" in head
    assert "2 running  2 failed" in head
    assert [row.split()[:2] for row in rows] == [["cpu:0", "45/112"], ["cpu:1", "45/112"]]
    assert all("loss=0.3125 accuracy=0." in row for row in rows)
    assert seen.count("ValueError: no such layer") == 2

    (tmp_path / "go-vgg7-0.25").touch()
    (tmp_path / "go-vgg7-0.5").touch()
    seen = terminal.see(both_run("lenet"), "the next two trials")
    head, best, *rows = table_of(seen)
    assert "4/6" in head
    assert "2 done  2 failed" in head
    assert "left" in head
    assert best == "best   accuracy 0.5  model=vgg7 rate=0.5"
    assert len(rows) == 2
    told = [line for line in seen.splitlines() if "trial model-vgg7" in line]
    assert len(told) == 2
    # printed meanwhile, not mixed with the table
    assert all(line.startswith("told: 2") and line.endswith(" s") for line in told)

    (tmp_path / "go-lenet-0.25").touch()
    (tmp_path / "go-lenet-0.5").touch()
    assert terminal.leave() == 0
    screen = terminal.screen
    assert re.search(r"sweep: 6/6  \d+:", screen.text)
    assert "4 done  2 failed" in screen.text
    assert "45/112" not in screen.text
    assert screen.text.endswith("the end")
    assert screen.cursor_shown
    assert screen.unknown == []


def test_a_narrow_terminal_has_a_line_a_trial_and_no_broken_ones(run):
    terminal = run(40)
    seen = terminal.see(lambda text: text.count("45/112") == 2, "two trials that run")
    table = table_of(seen)
    assert [line.split()[0] for line in table] == ["2/6", "cpu:0", "cpu:1"]
    assert all(len(line) <= 40 for line in table)


def test_ctrl_c_takes_the_table_away_and_brings_the_cursor_back(run):
    terminal = run(100)
    terminal.see(both_run("vgg7"), "two trials that run")
    assert not terminal.screen.cursor_shown
    terminal.press(b"\x03")
    assert terminal.leave() in (1, -signal.SIGINT)
    assert "45/112" not in terminal.screen.text
    assert "KeyboardInterrupt" in terminal.screen.text
    assert terminal.screen.cursor_shown


def test_sigterm_does_so_too(run):
    terminal = run(100)
    terminal.see(both_run("vgg7"), "two trials that run")
    terminal.process.send_signal(signal.SIGTERM)
    assert terminal.leave() == 128 + signal.SIGTERM
    assert "45/112" not in terminal.screen.text
    assert terminal.screen.cursor_shown


@pytest.mark.parametrize(("kind", "monitor"), [("dumb", "Lines"), ("xterm", "TerminalTable")])
def test_a_terminal_that_can_nothing_gets_lines(kind: str, monitor: str, monkeypatch: pytest.MonkeyPatch):
    own, inner = os.openpty()
    with open(inner, "w") as file, open(own, "rb"):
        monkeypatch.setattr(sys, "stderr", file)
        monkeypatch.setenv("TERM", kind)
        chosen = choose_monitor(6, ["cpu:0"], True)
        chosen.close()
    assert type(chosen).__name__ == monitor


def test_a_file_gets_lines_and_no_control_sequence(tmp_path: Path):
    (tmp_path / "program.py").write_text(PROGRAM)
    for model in ("vgg7", "lenet"):
        for rate in (0.25, 0.5):
            (tmp_path / f"go-{model}-{rate}").touch()
    command = [sys.executable, "program.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    lines = [line for line in done.stderr.splitlines() if line.startswith("[")]
    assert [line.split("]")[0] for line in lines] == [f"[{number}/6" for number in range(1, 7)]
    assert "\x1b" not in done.stderr + done.stdout


# What it knows


def make_done(slot: str, seconds: float, kind: str = "ok") -> Done:
    return Done(Job(0, None, "x"), kind, None, slot, seconds)  # type: ignore[arg-type]


def test_the_time_left_is_the_mean_of_those_that_ended_over_all_workers():
    now = [100.0]
    board = Board(10, ["cpu:0", "cpu:1"], str, lambda: now[0])
    for slot in ("cpu:0", "cpu:1"):
        board.started(slot, Job(0, None, "x"))
    assert board.seconds_left is None
    now[0] = 110
    board.finished(make_done("cpu:0", 8))
    board.finished(make_done("cpu:1", 12))
    assert board.seconds_left == pytest.approx(10 * 8 / 2)
    assert board.describe_counts() == "2/10  0:10, about 0:40 left  2 done"


def test_a_job_that_runs_goes_on_as_fast_as_so_far():
    now = [0.0]
    board = Board(3, ["cpu:0", "cpu:1"], str, lambda: now[0])
    board.started("cpu:0", Job(0, None, "x"))
    now[0] = 10
    board.progress("cpu:0", 1, 4, {})
    assert board.seconds_left == pytest.approx((30 + 40 + 40) / 2)
    board.progress("cpu:0", 1, 400, {})  # too early to say anything
    assert board.seconds_left is None


def test_the_last_job_is_not_cut_in_two():
    now = [0.0]
    board = Board(3, ["cpu:0", "cpu:1"], str, lambda: now[0])
    board.started("cpu:0", Job(2, None, "x"))
    board.finished(make_done("cpu:1", 10))
    board.finished(make_done("cpu:1", 10))
    assert board.seconds_left == pytest.approx(10)
    now[0] = 4
    assert board.seconds_left == pytest.approx(6)
    now[0] = 12
    assert board.seconds_left == 0


def test_without_a_known_end_nothing_is_estimated():
    for total in (None, 1):  # an update of the domain brings more than the total
        board = Board(total, ["cpu:0"], str, lambda: 0.0)
        board.finished(make_done("cpu:0", 1))
        board.finished(make_done("cpu:0", 1, "pruned"))
        assert board.seconds_left is None
        assert board.describe_counts() == "2  0:00  1 done  1 pruned"


def test_of_many_workers_some_are_shown_and_the_others_counted():
    slots = [f"gpu:{number}" for number in range(12)]
    board = Board(20, slots, str)
    for slot in slots:
        board.started(slot, Job(0, None, f"on {slot}"))
    assert [one.slot for one in board.show_running()] == slots[:MOST_SHOWN]
    assert board.hidden == 12 - MOST_SHOWN


def test_a_cluster_has_as_many_workers_as_were_seen():
    now = [0.0]
    board = Board(100, (), str, lambda: now[0])
    for number in range(20):
        board.started(f"slurm:{number + 200}", Job(number, None, "x"))
    assert [one.slot for one in board.show_running()] == [f"slurm:{n + 200}" for n in range(MOST_SHOWN)]
    assert board.hidden == 20 - MOST_SHOWN
    now[0] = 10
    for number in range(20):
        board.finished(make_done(f"slurm:{number + 200}", 10))
    assert board.seconds_left == pytest.approx(80 * 10 / 20)
    assert board.hidden == 0


class Written(SweepTable):
    """A table that is drawn nowhere and keeps its lines."""

    def __init__(self) -> None:
        super().__init__(2, (), str, 0.0)
        self.lines: list[str] = []

    def draw(self) -> None:
        pass

    def write(self, line: str) -> None:
        self.lines.append(line)


def test_a_trial_that_died_has_no_row_and_one_on_another_worker_has():
    table = Written()
    table.started("slurm:0", Job(0, None, "x"))
    table.progress("slurm:0", 2, 2, {})
    table.retried("slurm:0", Job(0, None, "x"), "lost")
    assert table.board.show_running() == []
    assert table.board.describe_counts().split()[0] == "0/2"
    assert table.lines == ["job 0 (x) is tried again: lost"]
    table.started("slurm:1", Job(0, None, "x", 2))
    assert [(one.slot, one.place) for one in table.board.show_running()] == [("slurm:1", "")]


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (61.4, "1:01"), (3600, "1:00:00"), (59.7, "1:00")]
)
def test_seconds_are_told_as_a_clock_does(seconds: float, text: str):
    assert format_seconds(seconds) == text


def test_texts_of_trials_are_text_alone():
    board = Board(2, ["cpu:0"], str)
    board.started("cpu:0", Job(0, None, "model=\x1b[2J[red]x[/red]"))
    board.progress("cpu:0", 1, 2, {"\x1b[2Jloss": 1.0})
    assert "\x1b" not in "".join(str(one) for one in board.show_running())


def test_a_notebook_gets_the_same_as_html_without_a_tag_of_a_trial():
    table = NotebookTable.__new__(NotebookTable)
    table.board, table._lines = Board(2, ["cpu:0"], lambda: "accuracy 0.5  <b>x</b>"), ["<i>why</i>"]
    table.board.started("cpu:0", Job(0, None, "<script>alert(1)</script>"))
    table.board.progress("cpu:0", 1, 2, {"<u>loss</u>": 0.5})
    text = table.render()
    for tag in ("<script", "<i>", "<u>", "<b>x"):
        assert tag not in text
    assert "&lt;script&gt;" in text
    assert "<td>1/2</td>" in text
    assert '<progress value="0.0000"' in text


def test_without_a_bar_nothing_is_shown():
    assert type(choose_monitor(3, ["cpu:0"], False)) is Monitor


def test_a_screen_is_that_of_the_sequences_it_gets():
    screen = Screen(5)
    screen.feed("abcdefg\r\nx\x1b[1A\r\x1b[2Kok\x1b[?25l")
    assert screen.text == "abcde\nok\nx"
    assert not screen.cursor_shown


# What is best


def make_record(value: float | None, repetition: int = 0, state: TrialState = TrialState.DONE, **options):
    rows = [] if value is None else [{"iteration": 3, "loss": 1.0, "accuracy": value}]
    name = f"{options}{repetition}"
    return Record(name, 0, options, repetition, state=state, rows=rows)


@pytest.mark.parametrize("mode", ["max", "min"])
def test_the_best_so_far_is_the_first_of_the_table_at_the_end(mode):
    values = {"a": [0.9, 0.1], "b": [0.6, 0.7], "c": [0.2, 0.9], "d": [float("nan"), None]}
    records, standing = [], Standing("accuracy", mode)
    for repetition in range(2):
        for model, numbers in values.items():
            records.append(make_record(numbers[repetition], repetition, model=model))
            standing.hear(records[-1])
            first = Results(tuple(records)).summary("accuracy", mode)[0]
            times = f" (mean of {first['count']})" if first["count"] > 1 else ""
            assert standing.describe() == f"accuracy {first['mean']:.4g}{times}  model={first['model']}"


@pytest.mark.parametrize("seed", range(20))
def test_the_best_so_far_is_the_first_of_the_table_where_repetitions_were_stopped(seed):
    draw = random.Random(seed)
    records: dict[str, Record] = {}
    standing = Standing("accuracy")
    for _ in range(40):
        state = draw.choice([TrialState.DONE, TrialState.PRUNED])
        record = make_record(draw.random(), draw.randrange(3), state, model=draw.choice("abc"))
        if record.id in records and records[record.id].state is TrialState.DONE:
            continue  # one that was stopped may be taken up again, nothing else
        records[record.id] = record
        standing.hear(record)
        first = Results(tuple(records.values())).summary("accuracy")[0]
        times = f" (mean of {first['count']})" if first["count"] > 1 else ""
        told = f"accuracy {first['mean']:.4g}{times}  model={first['model']}" if first["count"] else ""
        assert standing.describe() == told


def test_the_direction_is_that_of_the_metric_that_was_chosen():
    standing = Standing()
    for value in (0.5, 0.1, 0.9):
        row = {"iteration": 1, "loss": value}
        standing.hear(Record(str(value), 0, {"a": value}, state=TrialState.DONE, rows=[row]))
    assert standing.describe() == "loss 0.1  a=0.1"
    assert _choose_ranking([], None, None).mode == "auto"
    chosen = {"test/accuracy": ["loss", "test/accuracy", "time"], "loss": ["accuracy", "loss"]}
    for metric, returns in chosen.items():
        assert _choose_ranking(returns, None, None).metric == metric == choose_metric(returns)


def test_the_mean_of_numbers_too_large_to_add_up():
    standing = Standing("accuracy")
    for repetition in range(3):
        standing.hear(make_record(1.5e308, repetition, model="a"))
    assert standing.describe() == "accuracy 1.5e+308 (mean of 3)  model=a"


def test_what_failed_or_was_stopped_is_not_the_best():
    standing = Standing("accuracy")
    standing.hear(make_record(0.9, state=TrialState.PRUNED, model="a"))
    standing.hear(make_record(0.8, state=TrialState.FAILED, model="b"))
    assert standing.describe() == ""
    standing.hear(make_record(0.1, model="c"))
    assert standing.describe() == "accuracy 0.1  model=c"


@pytest.mark.parametrize(
    ("names", "by_fold", "chosen"),
    [
        (["train/loss", "test/accuracy", "test/loss"], False, "test/accuracy"),
        (["validation/accuracy", "test/accuracy"], True, "validation/accuracy"),
        (["a", "b"], True, "b"),
        ([], False, None),
    ],
)
def test_the_metric_that_nobody_named_is_the_one_of_the_table(names, by_fold, chosen):
    assert choose_metric(names, by_fold) == chosen


def test_an_option_writes_nothing_but_text():
    standing = Standing("accuracy")
    standing.hear(make_record(0.5, key="\x1b[2J"))
    assert "\x1b" not in standing.describe()
