"""The journal of a sweep: appended, locked, read while it is written."""

from __future__ import annotations

import errno
import fcntl
import json
import math
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_index import StateError
from bf_research.domain.config import Config
from bf_research.sweep.journal import JOURNAL, Journal, SweepLocked, exists, read, to_json
from bf_research.sweep.trial import Ended, Trial, TrialState, as_rows
from bf_research.training.folder import RunFolder

TRIAL = Trial(Config({"a": 1, "model": int}, repetition=2), number=5, update=1)


def test_what_is_written_is_read(tmp_path: Path) -> None:
    with Journal(tmp_path / "new" / "sweep", {"seed": 3}) as journal:
        journal.begin(TRIAL)
        assert read(journal.folder).records[TRIAL.id].state is TrialState.RUNNING
        rows = ({"iteration": 0, "loss": np.float32(0.5)}, {"iteration": 1, "loss": math.nan})
        journal.end(Ended(TRIAL, TrialState.DONE, rows, seconds=1.23456, attempts=2, device="cpu:1"))
        folder = journal.folder
        in_memory = journal.history
    history = read(folder)
    record = history.records[TRIAL.id]
    assert history.head["seed"] == 3
    assert record.config == {"a": 1, "model": "int"}
    assert (record.number, record.repetition, record.update) == (5, 2, 1)
    assert (record.state, record.attempts, record.seconds, record.device) == ("DONE", 2, 1.235, "cpu:1")
    assert record.rows[0] == {"iteration": 0, "loss": 0.5}
    assert math.isnan(record.rows[1]["loss"])
    assert in_memory.head == history.head
    assert repr(dict(in_memory.records)) == repr(history.records)
    assert history.count(TrialState.DONE) == 1


def test_journal_that_goes_on_keeps_its_head_and_its_lines(tmp_path: Path) -> None:
    with Journal(tmp_path, {"seed": 1}) as journal:
        journal.begin(TRIAL)
    with Journal(tmp_path, {"seed": 2}) as journal:
        assert journal.history.head["seed"] == 1
        journal.mark(TRIAL.id, TrialState.KILLED, "stopped")
        journal.update(1, "Option('a', [1])")
        assert journal.history.records[TRIAL.id].reason == "stopped"
    lines = [json.loads(line) for line in (tmp_path / JOURNAL).read_text().splitlines()]
    assert [sorted({"journal", "trial", "update"} & set(line)) for line in lines] == [
        ["journal"],
        ["trial", "update"],
        ["trial"],
        ["update"],
    ]


def test_trial_that_runs_again_starts_afresh(tmp_path: Path) -> None:
    with Journal(tmp_path, {}) as journal:
        journal.begin(TRIAL)
        journal.end(
            Ended(TRIAL, TrialState.FAILED, ({"iteration": 0, "loss": 1.0},), "bad luck", "traceback")
        )
        assert journal.history.records[TRIAL.id].reason == "bad luck"
        journal.begin(TRIAL)
    record = read(tmp_path).records[TRIAL.id]
    assert (record.state, record.reason, record.error, record.rows) == ("RUNNING", "", "", [])


@pytest.mark.filterwarnings("ignore:.*(in the middle of|is empty)")
def test_journal_cut_off_at_any_byte_is_read_and_goes_on(tmp_path: Path) -> None:
    with Journal(tmp_path, {"seed": 1}) as journal:
        journal.begin(TRIAL)
        journal.end(Ended(TRIAL, TrialState.DONE, ({"iteration": 0, "text": "ü\n"},)))
    whole = (tmp_path / JOURNAL).read_bytes()
    for length in range(len(whole) + 1):
        (tmp_path / JOURNAL).write_bytes(whole[:length])
        lines = whole[:length].count(b"\n")
        assert len(read(tmp_path).records) == (lines > 1)
        assert (read(tmp_path).head == {}) == (lines == 0)
    for length in range(0, len(whole), 50):
        (tmp_path / JOURNAL).write_bytes(whole[:length])
        with Journal(tmp_path, {"seed": 1}) as journal:
            journal.begin(TRIAL)
        assert read(tmp_path).records[TRIAL.id].state is TrialState.RUNNING


def test_a_torn_or_empty_journal_is_told(tmp_path: Path, recwarn: pytest.WarningsRecorder) -> None:
    with Journal(tmp_path, {"seed": 1}) as journal:
        journal.begin(TRIAL)
        journal.end(Ended(TRIAL, TrialState.DONE, ({"iteration": 0, "loss": 0.5},)))
    whole = (tmp_path / JOURNAL).read_bytes()
    read(tmp_path)
    read(tmp_path / "nothing here")
    assert not recwarn.list
    for left, message in (
        (len(whole) - 1, f"the middle of line 3, what it said of trial {TRIAL.id} is lost"),
        (20, "the middle of line 1, what it said is lost"),
        (0, "is empty: it holds no trials"),
    ):
        (tmp_path / JOURNAL).write_bytes(whole[:left])
        with pytest.warns(RuntimeWarning, match=rf"{JOURNAL} .*{message}.*resume the sweep"):
            read(tmp_path)


def test_lock_is_given_free_at_the_end_and_after_a_refusal(tmp_path: Path) -> None:
    assert not exists(tmp_path)
    with Journal(tmp_path, {}), pytest.raises(SweepLocked):
        Journal(tmp_path, {})
    (tmp_path / JOURNAL).write_text("broken\n{}\n")
    for _ in range(2):
        with pytest.raises(StateError, match="line 1"):
            Journal(tmp_path, {})


def test_a_lock_of_somebody_else_is_told_as_text(tmp_path: Path, run_script: Callable[..., Any]) -> None:
    code = """
        import pathlib
        from bf_research.sweep.journal import LOCK, Journal, SweepLocked

        folder = pathlib.Path({folder!r})
        (folder / LOCK).write_text({holder!r})
        try:
            Journal(folder, {{}})
        except SweepLocked as error:
            print(error)
    """
    with Journal(tmp_path, {}):
        for holder, told in (
            ('{"pid": "\\u001b[2J", "host": "h", "since": "s"}', r"process \x1b[2J on h, since s is"),
            ("[]", "another process is"),
            ("[" * 10**5, "another process is"),
        ):
            assert told in run_script(code.format(folder=str(tmp_path), holder=holder)).out


def test_a_file_system_without_locks_is_not_told_as_another_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: Any) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    for lock in ("flock", "lockf"):
        monkeypatch.setattr(fcntl, lock, refuse)
    for _ in range(2):
        with pytest.raises(OSError, match=r"can't be locked: No locks available; .*journal\.lock"):
            Journal(tmp_path, {})
        with pytest.raises(OSError, match=r"can't be locked: No locks available; .*run\.lock"):
            RunFolder(tmp_path)


def test_only_data_is_written(tmp_path: Path) -> None:
    assert json.loads(json.dumps({"a": np.arange(2), "b": {3, 1}, "c": np.int8(4)}, default=to_json)) == {
        "a": [0, 1],
        "b": [1, 3],
        "c": 4,
    }
    with pytest.raises(TypeError, match="results hold numbers"):
        to_json(object())


def test_values_of_tasks_become_rows() -> None:
    class Outcome:
        metrics = {"accuracy": 0.9}
        iterations = 7

    assert as_rows(None) == ()
    assert as_rows(0.5) == ({"value": 0.5},)
    assert as_rows({"a": 1}) == ({"a": 1},)
    assert as_rows([{"a": 1}, {"a": 2}]) == ({"a": 1}, {"a": 2})
    assert as_rows(Outcome()) == ({"iteration": 7, "accuracy": 0.9},)
