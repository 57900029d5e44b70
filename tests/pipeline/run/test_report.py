"""Profiles: times of steps by action, collected wherever they ran."""

from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_pipeline import Pipeline, V
from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.errors import Location
from bf_pipeline.run import report
from bf_pipeline.run.report import Profile, collect_times, put_clock


def step(number, name, run):
    return BoundStep(number, name, Location("here.py", number), run)


def test_times_are_collected_in_the_thread_that_runs_the_step():
    first, second = (
        put_clock(step(0, "load", lambda batch: batch)),
        put_clock(step(1, "crop", lambda batch: batch)),
    )
    seen = {}

    def work(name, steps):
        with collect_times() as timings:
            for bound in steps:
                bound.run(1)
        seen[name] = [number for number, _, _ in timings]

    threads = [threading.Thread(target=work, args=(i, [first] * i + [second])) for i in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == {i: [0] * i + [1] for i in range(4)}


def test_a_timed_step_gives_and_raises_the_same_and_needs_no_collector():
    good, bad = (
        put_clock(step(0, "good", lambda batch: batch + 1)),
        put_clock(step(1, "bad", lambda batch: 1 / 0)),
    )
    assert good.run(1) == 2
    with collect_times() as timings, pytest.raises(ZeroDivisionError):
        bad.run(1)
    assert [number for number, _, _ in timings] == [1]


@pytest.fixture
def profile():
    made = Profile(elapsed=2.0, batches=4)
    for seconds in (0.2, 0.05, 0.15, 0.1):
        made.waiting.add(seconds)
    made.take([(2, "train_model", 0.25)], "in order")
    made.take([(0, "load", 1.0), (-1, "create the batch", 0.25)], "ahead")
    made.take([(0, "load", 2.0)], "ahead")
    return made


def test_the_table_has_calls_totals_means_and_shares(profile):
    rows = profile.rows()
    assert [row["action"] for row in rows] == ["create the batch", "load", "train_model", "wait for prefetch"]
    assert rows[1] == {
        "step": 0, "action": "load", "where": "ahead", "calls": 2, "total": 3.0, "mean": 1.5, "first": 1.0,
        "median": 2.0, "share": 0.75
    }  # fmt: skip
    assert (rows[3]["first"], rows[3]["median"]) == (0.2, 0.1)
    assert sum(row["share"] for row in rows) == pytest.approx(1)


def test_the_frame_is_a_data_frame_of_the_rows(profile):
    frame = profile.frame()
    assert list(frame.columns) == [*profile.rows()[0]]
    assert frame.set_index("action").loc["load", "total"] == 3.0


def test_the_text_lists_the_longest_first(profile, capsys):
    profile.tell()
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "4 batches in 2.000 s; the caller waited 0.500 s"
    assert lines[1].split() == ["where", "calls", "total", "first", "median", "share"]
    assert lines[2].startswith("load")


def test_the_first_call_is_apart_and_the_median_is_that_of_the_others():
    times = np.random.default_rng(0).lognormal(size=100_000)
    profile = Profile()
    profile.take([(0, "load", 1e6)], "ahead")
    for seconds in times:
        profile.take([(0, "load", float(seconds))], "ahead")
    (row,) = profile.rows()
    assert row["first"] == 1e6
    assert row["median"] == pytest.approx(np.median(times), rel=0.05)  # of a part of them, evenly taken
    assert len(profile._lines[0].kept) < 4096


def test_importing_the_profile_imports_no_pandas():
    code = "import sys, bf_pipeline.run.report; sys.exit('pandas' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


class Clock(threading.local):
    """A clock of each thread's own, that only slow steps move."""

    now = 0.0

    def perf_counter(self):
        return self.now


CLOCK = Clock()


class Sleepy(Batch):
    """A batch with one slow step."""

    components = ("x",)

    @action
    def slow(self):
        CLOCK.now += 0.5
        return self

    @action
    def quick(self):
        return self


@pytest.mark.parametrize("prefetch", [0, 3])
@pytest.mark.parametrize("engine", ["inline", "threads"])
def test_a_run_gives_its_profile_and_tells_where_the_time_goes(engine, prefetch, capsys, monkeypatch):
    monkeypatch.setattr(report, "time", CLOCK)
    pipeline = Pipeline(Dataset(20, Sleepy)).init_variable("n", 0).quick().slow().update(V("n"), V("n") + 1)
    done = pipeline.run(2, profile=True, engine=engine, prefetch=prefetch)
    frame = done.last_run.profile.frame().set_index("action")
    assert frame.loc[["create the batch", "quick", "slow", "update"], "calls"].tolist() == [10] * 4
    assert frame["where"].loc[["quick", "slow", "update"]].tolist() == ["ahead", "ahead", "in order"]
    assert frame["total"].idxmax() in ("slow", "wait for prefetch")
    assert frame.loc["slow", ["total", "mean"]].tolist() == [5.0, 0.5]
    assert not frame.loc[["create the batch", "quick", "update"], "total"].any()
    assert ("wait for prefetch" in frame.index) == (prefetch > 0)
    assert "10 batches in" in capsys.readouterr().out


def test_steps_inside_repetitions_and_coins_have_lines_of_their_own():
    pipeline = Pipeline(Dataset(20, Sleepy)).quick() * 3 + Pipeline().slow() @ 0.5
    frame = pipeline.run(2, profile=True, seed=1).last_run.profile.frame().set_index("action")
    assert frame.loc["quick", "calls"] == 30
    assert 0 < frame.loc["slow", "calls"] < 10


def test_without_profile_nothing_is_measured():
    assert Pipeline(Dataset(4, Sleepy)).quick().run(2).last_run.profile is None


def test_an_error_is_the_same_under_a_profile(capsys):
    pipeline = Pipeline(Dataset(4, Sleepy)).call(lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        pipeline.run(2, profile=True, prefetch=2)
