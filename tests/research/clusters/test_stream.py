"""The loop that gives trials to a cluster, where it refuses or loses jobs, and where files fail."""

from __future__ import annotations

import os
import pickle
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import pytest

from bf_research.clusters import stream
from bf_research.clusters.engines import Died, Outcome, _submit_each
from bf_research.clusters.files import DRIVER, append, read_driver
from bf_research.clusters.listener import Listener
from bf_research.clusters.stream import Stream
from bf_research.launcher.display.board import Board
from bf_research.launcher.jobs import Done, Job, Monitor


class Cluster:
    """An engine of jobs that are their own results; ``refuses`` says of which submissions there are none."""

    name, look_seconds = "cluster", 0.0

    def __init__(self, room: int, refuses: Callable[[int], bool] = lambda number: False) -> None:
        self._room, self._refuses = room, refuses
        self.offers, self.given = 0, []
        self.cancelled: list[int] = []
        self.ends: Callable[[int], Outcome | None] = lambda work: ("ok", pickle.dumps(work))

    def room(self) -> int:
        return self._room

    def submit(self, works: Sequence[int]) -> list[int]:
        self.offers += 1
        if self._refuses(self.offers):
            raise OSError("sbatch: error: Unable to contact slurm controller")
        self.given += works
        return [len(self.given) - len(works) + place for place in range(len(works))]

    def ended(self, handles: Iterable[int]) -> dict[int, Outcome]:
        found = {handle: self.ends(self.given[handle]) for handle in handles}
        return {handle: end for handle, end in found.items() if end is not None}

    def cancel(self, handles: Iterable[int]) -> None:
        self.cancelled += handles


class Watch(Monitor):
    """A monitor with the board of the tables."""

    def __init__(self) -> None:
        self.board = Board(None, (), str)

    def started(self, slot: str, job: Job) -> None:
        self.board.started(slot, job)

    def finished(self, done: Done) -> None:
        self.board.finished(done)

    def retried(self, slot: str, job: Job, reason: str) -> None:
        self.board.retried(slot)


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    return Listener(tmp_path, "token")


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "_FIRST_WAIT", 0.0)
    monkeypatch.setattr(stream, "_MOST_WAIT", 0.0)
    monkeypatch.setattr(stream, "pause_after", lambda seconds: 0.0)


def offer(most: int) -> Callable[[], tuple[str, Job] | None]:
    jobs = iter([(f"t{number}", Job(number, number)) for number in range(most)])
    return lambda: next(jobs, None)


def test_jobs_that_are_not_taken_are_offered_again_and_cost_no_other(listener, soon, caplog):
    cluster = Cluster(2, lambda number: number in (2, 3, 5))
    cluster.ends = lambda work: ("ok", pickle.dumps(work)) if cluster.offers > min(work, 3) else None
    ends = list(Stream(cluster, listener, Monitor()).run(offer(6)))
    assert sorted(done.value for done in ends) == [0, 1, 2, 3, 4, 5]
    assert sorted(cluster.given) == [0, 1, 2, 3, 4, 5]
    assert cluster.cancelled == []
    told = [text for text in caplog.messages if "are offered again in" in text]
    assert len(told) == 3
    assert "cluster took none of" in told[0]
    assert "Unable to contact slurm controller" in told[0]


def test_a_cluster_that_takes_some_of_several_jobs_gets_each_once(listener, soon):
    cluster = Cluster(3)
    taken = iter([2, 0, 1, 3, 3])

    def submit(works: Sequence[int]) -> list[int]:
        def take(work: int) -> list[int]:
            if len(cluster.given) - before == most:
                raise BlockingIOError("fork: Resource temporarily unavailable")
            return Cluster.submit(cluster, [work])

        before, most = len(cluster.given), next(taken)
        return [handle for handles in _submit_each(works, take) for handle in handles]

    cluster.submit = submit
    ends = list(Stream(cluster, listener, Monitor()).run(offer(6)))
    assert sorted(done.value for done in ends) == [0, 1, 2, 3, 4, 5]
    assert cluster.given == [0, 1, 2, 3, 4, 5]


def test_a_trial_that_has_begun_a_moment_ago_may_end_by_itself(listener):
    cluster = Cluster(2)
    cluster.ends = lambda work: ("ok", pickle.dumps(work)) if work == 0 else None
    running = Stream(cluster, listener, Monitor())
    ends = running.run(offer(2))
    assert next(ends).value == 0
    append(listener.folder / "t1.up", {"began": "here"})  # not heard yet
    running.interrupts.ask()
    cluster.ends = lambda work: ("ok", pickle.dumps(work))
    assert next(ends).value == 1
    with pytest.raises(KeyboardInterrupt):
        next(ends)
    assert cluster.cancelled == []


def test_a_cluster_that_takes_nothing_at_first_has_wrong_options(listener):
    cluster = Cluster(2, lambda number: True)
    with pytest.raises(OSError, match="Unable to contact"):
        list(Stream(cluster, listener, Monitor()).run(offer(3)))
    assert cluster.offers == 1


def test_a_cluster_that_takes_nothing_more_ends_the_sweep_after_what_runs(listener, soon):
    cluster = Cluster(2, lambda number: number > 1)
    cluster.ends = lambda work: ("ok", pickle.dumps(work)) if cluster.offers > 20 * work else None
    ends: list[Done] = []
    with pytest.raises(OSError, match="Unable to contact"):
        ends.extend(Stream(cluster, listener, Monitor()).run(offer(3)))
    assert cluster.offers > stream._MOST_REFUSED
    assert cluster.given == [0, 1]
    assert cluster.cancelled == []  # both have ended before


def test_ctrl_c_ends_a_sweep_that_waits_for_its_cluster(listener):
    cluster = Cluster(1, lambda number: number > 1)
    running = Stream(cluster, listener, Monitor())
    ends = running.run(offer(2))
    assert next(ends).value == 0
    running.interrupts.ask()
    with pytest.raises(KeyboardInterrupt):
        next(ends)


def test_files_that_cannot_be_written_end_no_sweep_and_leave_no_job(listener, caplog):
    cluster = Cluster(2)
    cluster.ends = lambda work: ("ok", pickle.dumps(work)) if work == 0 else None
    ends = Stream(cluster, listener, Monitor()).run(offer(3))
    os.unlink(listener.folder / DRIVER)
    os.mkdir(listener.folder / DRIVER)  # as a disk that is full, or a server that is away
    for _ in range(2):
        listener._next_beat = 0.0
        listener.beat()
    assert next(ends).value == 0
    ends.close()
    assert sorted(cluster.given[handle] for handle in cluster.cancelled) == [1]
    assert len([text for text in caplog.messages if "tried again" in text]) == 1
    os.rmdir(listener.folder / DRIVER)
    listener._next_beat = 0.0
    listener.beat()
    assert read_driver(listener.folder) is not None
    assert read_driver(listener.folder)[1]  # it was stopped


def test_a_trial_that_died_has_no_row_until_it_begins_anew(listener):
    cluster, watch = Cluster(1), Watch()
    seen: list[list[str]] = []

    def end(work: int) -> Outcome | None:
        seen.append([one.slot for one in watch.board.show_running()])
        if len(seen) == 1:
            append(listener.folder / "t0.up", {"began": "here"})
            return None
        return Died("lost") if len(seen) == 3 else ("ok", pickle.dumps(work)) if len(seen) > 3 else None

    cluster.ends = end
    (done,) = Stream(cluster, listener, watch).run(offer(1))
    assert done.job.attempt == 2
    assert seen == [[], ["cluster:0"], ["cluster:0"], []]
    assert watch.board.done == 1
    assert watch.board.show_running() == []
