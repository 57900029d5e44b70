"""Runs in the background, loggers, profiles, rows written while a trial runs, removal."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from bf_index.errors import StateError
from bf_pipeline import C
from bf_research import RI, Option, Research, SweepLocked
from tests.conftest import wait_until


def wait_for(path: Path, i: int = 0) -> int:
    """Wait for a file, at iterations after the first."""
    (path.parent / "began").touch()
    while i and not path.exists():
        time.sleep(0.01)
    return i


def waiting(folder: Path) -> Research:
    """A research whose trials wait for the file ``go`` after their first iteration."""
    return (
        Research(Option("a", [1, 2]))
        .add_callable(wait_for, folder / "go", RI(), returns="i")
        .add_dump(execute=1)
    )


def test_a_detached_run_returns_at_once_and_shows_what_there_is(tmp_path: Path) -> None:
    research = waiting(tmp_path).run(3, name=tmp_path / "sweep", detach=True)
    assert not research.is_finished
    assert research.wait(0) is False
    with pytest.raises(RuntimeError, match="runs already"):
        research.run(name=tmp_path / "other")
    wait_until(lambda: research.results["i"].tolist() == [0])
    assert research.results["state"].tolist() == ["RUNNING"]
    with pytest.raises(SweepLocked):
        Research.remove(tmp_path / "sweep")
    (tmp_path / "go").touch()
    assert research.wait() is True
    assert research.is_finished
    assert research.results["i"].tolist() == [0, 1, 2, 0, 1, 2]
    assert research.results["a"].tolist() == [1, 1, 1, 2, 2, 2]


@pytest.mark.parametrize("kill", [False, True])
def test_a_detached_run_is_terminated_and_goes_on_later(tmp_path: Path, kill: bool) -> None:
    research = waiting(tmp_path).run(3, name=tmp_path / "sweep", detach=True, stop_grace=0.2)
    wait_until((tmp_path / "began").exists)
    research.terminate(kill=kill)
    assert research.is_finished
    assert set(research.results["state"]) == {"KILLED"}
    (tmp_path / "go").touch()
    research.run(3, name=tmp_path / "sweep", resume="missing")
    assert research.results["state"].tolist() == ["DONE"] * 6
    research.terminate()  # nothing runs: nothing happens


def test_an_error_of_a_detached_run_is_raised_where_it_is_waited_for(tmp_path: Path) -> None:
    def broken(results: Any) -> None:
        raise KeyError("acuracy")

    research = Research(Option("a", [1])).add_callable(int, C("a"), returns="i").update_domain(broken)
    research.run(name=tmp_path / "sweep", detach=True)
    with pytest.raises(RuntimeError, match=r"in the function of set_update.*acuracy"):
        research.wait()
    assert research.wait() is True
    assert research.results["i"].tolist() == [1]


def test_a_detached_run_needs_processes(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="detach=True with parallel=False"):
        Research().add_callable(int).run(name=tmp_path / "sweep", detach=True, parallel=False)


def test_a_script_that_ends_waits_for_its_detached_run(tmp_path: Path) -> None:
    from subprocess import run

    script = tmp_path / "script.py"
    script.write_text(
        "from bf_pipeline import C\n"
        "from bf_research import Option, Research\n"
        "if __name__ == '__main__':\n"
        "    research = Research(Option('a', [1, 2, 3])).add_callable(int, C('a'), returns='i')\n"
        "    research.run(name='sweep', detach=True)\n"
    )
    done = run([sys.executable, str(script)], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert Research.load(tmp_path / "sweep").results["i"].tolist() == [1, 2, 3]


def fail_at(a: int) -> int:
    if a == 2:
        raise ValueError("two\nis bad")
    return a


def test_loggers_are_told_what_happens(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told: list[str] = []
    research = (
        Research(Option("a", [1, 2]))
        .add_callable(fail_at, C("a"), returns="i")
        .update_domain(lambda results: Option("a", [3]), when="#1")
        .add_logger("file")
        .add_logger("print")
        .add_logger(told.append)
    )
    research.run(name=tmp_path / "sweep", parallel=False)
    lines = [line.partition("  ")[2] for line in told]
    assert re.fullmatch(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", told[0].partition("  ")[0])
    assert lines[0] == f"the sweep over Option('a', [1, 2]) begins in {tmp_path / 'sweep'}"
    assert re.fullmatch(r"trial a-1_\w+ begins", lines[1])
    assert re.fullmatch(r"trial a-1_\w+ DONE after \d+\.\d s", lines[2])
    assert lines[3] == "update 1: the domain is Option('a', [3])"
    assert lines[-1] == "the sweep ends: 2 DONE"
    assert (tmp_path / "sweep" / "research.log").read_text().splitlines() == told
    assert capsys.readouterr().out.splitlines() == told


def test_the_reason_of_a_failure_is_told_in_one_line(tmp_path: Path) -> None:
    told: list[str] = []
    research = Research(Option("a", [2])).add_callable(fail_at, C("a")).add_logger(told.append)
    research.run(name=tmp_path / "sweep", parallel=False)
    assert told[2].endswith(" s: ValueError: two")
    assert told[3].endswith("the sweep ends: 1 FAILED")


def test_a_logger_that_fails_costs_the_sweep_nothing(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(text: str) -> None:
        raise ConnectionError("no network")

    research = Research(Option("a", [1, 2])).add_callable(int, C("a"), returns="i").add_logger(broken)
    assert len(research.run(name=tmp_path / "sweep", parallel=False).results) == 2
    assert caplog.text.count("is told nothing more: ConnectionError: no network") == 1


def test_loggers_that_are_none_are_refused() -> None:
    with pytest.raises(ValueError, match="did you mean 'print'"):
        Research().add_logger("prnt")  # type: ignore[arg-type]
    with pytest.raises(TypeError, match="function of a line of text, got 3"):
        Research().add_logger(3)  # type: ignore[arg-type]


def test_a_profile_tells_the_time_of_each_unit(tmp_path: Path) -> None:
    research = (
        Research(Option("a", [1, 2]))
        .add_callable(time.sleep, 0.02, name="slow", execute=2)
        .add_callable(int, C("a"), name="quick", returns="i")
    )
    with pytest.raises(RuntimeError, match="profile=True"):
        _ = research.profile
    research.run(4, name=tmp_path / "sweep", parallel=False, profile=True)
    table = research.profile.set_index("unit")
    assert table["calls"].to_dict() == {"slow": 2, "quick": 4}
    assert (table.loc["slow", "total"] >= 0.04).all()
    assert (table.loc["slow", "share"] > table.loc["quick", "share"].to_numpy()).all()
    assert table.groupby("id")["share"].sum().to_numpy() == pytest.approx([1, 1])
    assert (table["mean"] * table["calls"]).to_numpy() == pytest.approx(table["total"].to_numpy())
    assert len(Research.load(tmp_path / "sweep").profile) == 4


def test_without_a_profile_nothing_is_written_about_it(tmp_path: Path) -> None:
    Research().add_callable(int).run(name=tmp_path / "sweep", parallel=False)
    assert not list((tmp_path / "sweep").glob("trials/*/profile.json"))


def die_at(i: int, last: int) -> int:
    if i == last:
        os.kill(os.getpid(), signal.SIGKILL)
    return i * 10


@pytest.mark.parametrize(("execute", "kept"), [(1, [0, 10, 20]), (2, [0, 10]), ("#0", [0])])
def test_rows_that_were_written_outlive_the_process_of_a_trial(
    tmp_path: Path, execute: Any, kept: list[int]
) -> None:
    research = Research().add_callable(die_at, RI(), 3, returns="value").add_dump(execute=execute)
    table = research.run(5, name=tmp_path / "sweep", retries=0).results
    assert table["state"].unique().tolist() == ["CRASHED"]
    assert table["value"].tolist() == kept
    assert Research.load(tmp_path / "sweep").results["value"].tolist() == kept


def test_only_some_results_are_written_each_row_once(tmp_path: Path) -> None:
    research = (
        Research()
        .add_callable(lambda i: (i, -i), RI(), returns=["a", "b"])
        .add_callable(lambda: 7, returns="end", execute="last")
        .add_dump("a", execute=2)
        .add_dump("end")
    )
    (tmp_path / "sweep").mkdir()
    research.run(3, name=tmp_path / "sweep", parallel=False)
    (path,) = (tmp_path / "sweep").glob("trials/*/rows.jsonl")
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    assert rows == [{"iteration": 0, "a": 0}, {"iteration": 1, "a": 1}, {"iteration": 2, "end": 7}]
    with pytest.raises(ValueError, match=r"unknown result 'aa'.*did you mean 'a'"):
        research.add_dump("aa").check()


def test_a_file_of_rows_that_was_damaged_is_told(tmp_path: Path) -> None:
    waiting(tmp_path).add_callable(die_at, RI(), 0).run(1, name=tmp_path / "sweep", retries=0)
    folder = tmp_path / "sweep"
    journal = folder / "journal.jsonl"
    journal.write_text(journal.read_text().replace("CRASHED", "KILLED"))
    (path, _) = sorted(folder.glob("trials/*"))
    (path / "rows.jsonl").write_text('{"iteration": 0, "i": 5}\n{"iteration": "x"}\n')
    with pytest.raises(StateError, match=r"rows\.jsonl, line 2 can't be read"):
        _ = Research.load(folder)


def test_remove_takes_what_a_research_wrote_and_nothing_else(tmp_path: Path) -> None:
    folder = tmp_path / "sweep"
    research = Research(Option("a", [1, 2])).add_callable(int, C("a"), returns="i").add_logger("file")
    research.run(name=folder, parallel=False)
    (folder / "notes.txt").write_text("mine")
    (folder / "trials" / "mine").mkdir()
    Research.remove(folder)
    assert sorted(path.name for path in folder.rglob("*")) == ["mine", "notes.txt", "trials"]
    with pytest.raises(FileNotFoundError, match="holds no sweep"):
        Research.remove(folder)
    research.run(name=tmp_path / "again", parallel=False)
    Research.remove(tmp_path / "again")
    assert not (tmp_path / "again").exists()


def test_remove_follows_no_name_and_no_link_out_of_the_folder(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious" / "file").touch()
    folder = tmp_path / "sweep"
    Research(Option("a", [1])).add_callable(int, C("a")).run(name=folder, parallel=False)
    (trial,) = (folder / "trials").iterdir()
    trial.rename(folder / "moved")
    trial.symlink_to(tmp_path / "precious")
    journal = folder / "journal.jsonl"
    text = journal.read_text()
    journal.write_text(text.replace(trial.name, "../../precious"))
    with pytest.raises(ValueError, match="is no name of a trial"):
        Research.remove(folder)
    journal.write_text(text)
    Research.remove(folder)
    assert (tmp_path / "precious" / "file").exists()
