"""Sweeps of many trials: what the driver does and holds grows as their number, no faster."""

from __future__ import annotations

import gc
import os
import sys
import tracemalloc
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from bf_research import KV, Option
from bf_research.sweep import journal
from bf_research.sweep.journal import JOURNAL
from bf_research.sweep.sweep import Ask, Rules, Sweep
from bf_research.sweep.trial import Ended, Trial, TrialState

FEW, MANY = 500, 2000


class Nothing:
    """A place whose trials do nothing."""

    def __init__(self, most: int = MANY) -> None:
        self.most, self.placed = most, 0

    def place(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None = None
    ) -> Generator[Ended, None, None]:
        """End each trial as it comes; the driver is lost before the one after ``most``."""
        for trial in trials:
            if self.placed == self.most:
                raise ConnectionAbortedError
            self.placed += 1
            yield Ended(trial, TrialState.DONE, ({"score": trial.number},), seconds=0.1, device="cpu:0")


def run(folder: Path, count: int, place: Nothing) -> Sweep:
    domain = Option("n", list(range(count)))
    domain.set_iterator()
    sweep = Sweep(domain, folder, Rules("missing"))
    sweep.run(place)
    return sweep


def count_calls(folder: Path, count: int) -> int:
    """Count the calls of Python functions, which no other process changes."""
    calls = 0

    def see(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event == "call"

    sys.setprofile(see)
    try:
        run(folder, count, Nothing())
    finally:
        sys.setprofile(None)
    return calls


@pytest.fixture(autouse=True)
def no_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fsync", lambda file: None)  # thousands of times nothing that is looked at here


def test_work_and_journal_grow_as_the_trials(tmp_path: Path):
    few, many = (count_calls(tmp_path / str(count), count) for count in (FEW, MANY))
    assert many < MANY / FEW * few * 1.1
    small, large = ((tmp_path / str(count) / JOURNAL).stat().st_size for count in (FEW, MANY))
    assert large < MANY / FEW * small * 1.1
    assert large < MANY * 600


def test_going_on_runs_what_is_left_and_reads_the_journal_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(ConnectionAbortedError):
        run(tmp_path, MANY, Nothing(most=MANY - 3))
    reads: list[Path] = []
    real = journal.read
    monkeypatch.setattr(journal, "read", lambda folder: reads.append(folder) or real(folder))
    place = Nothing()
    sweep = run(tmp_path, MANY, place)
    assert (place.placed, reads) == (3, [tmp_path])
    assert [record.rows[0]["score"] for record in sweep.results().records] == list(range(MANY))


def test_a_trial_costs_the_driver_its_options_and_results(tmp_path: Path):
    held = []

    class Watched(Nothing):
        def place(
            self, trials: Iterator[Trial], left: int | None, ask: Ask | None = None
        ) -> Generator[Ended, None, None]:
            for ended in super().place(trials, left, ask):
                if ended.trial.number in (FEW, MANY - 1):
                    gc.collect()
                    held.append(tracemalloc.get_traced_memory()[0])
                yield ended

    tracemalloc.start()
    try:
        run(tmp_path, MANY, Watched())
    finally:
        tracemalloc.stop()
    assert (held[1] - held[0]) / (MANY - 1 - FEW) < 1100  # bytes of Python objects


def test_only_configurations_that_the_journal_can_not_tell_are_kept(tmp_path: Path):
    values = [1, 0.5, "a", True, None, 2.0, (1, 2), KV(3, "three"), KV(int, "int")]
    domain = Option("n", values)
    domain.set_iterator()
    sweep = Sweep(domain, tmp_path, Rules("missing"))
    results = sweep.run(Nothing())
    kept = [results.values[record.id]["n"] for record in results.records if record.id in results.values]
    assert kept == [2.0, (1, 2), 3, int]
    shown = results.df["n"].tolist()
    assert [(type(value), value) for value in shown[:4]] == [(int, 1), (float, 0.5), (str, "a"), (bool, True)]
    assert shown[4:] == [None, 2.0, (1, 2), 3, int]
    assert type(shown[5]) is float


def test_names_that_all_trials_share_are_kept_once(tmp_path: Path):
    run(tmp_path, FEW, Nothing())
    records = list(journal.read(tmp_path).records.values())
    for names in zip(*((*record.config, *record.rows[0], record.device) for record in records)):
        assert len({id(name) for name in names}) == 1
    assert not hasattr(records[0], "__dict__")


def test_the_head_of_a_journal_is_read_without_the_rest(tmp_path: Path):
    run(tmp_path, 3, Nothing())
    head = journal.read_head(tmp_path)
    assert head == journal.read(tmp_path).head
    with open(tmp_path / JOURNAL, "ab") as file:
        file.write(b"no JSON\n")
    assert journal.read_head(tmp_path) == head
    assert journal.read_head(tmp_path / "nothing") == {}
