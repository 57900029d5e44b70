"""The state of a run as a value: it counts, notes what is left out, and needs neither loop nor engine."""

import numpy as np
import pytest

from bf_batch import Dataset
from bf_pipeline import Pipeline
from bf_pipeline.bind.bind import bind
from bf_pipeline.run import report
from bf_pipeline.run.checkpoint.capture import capture
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.report import shorten, show_progress
from bf_pipeline.run.runner import start_runner
from bf_pipeline.run.state import LeftOut, RunState


@pytest.fixture
def state():
    pipeline = Pipeline(Dataset(10)).init_variable("seen", 0)
    places = pipeline.dataset.index.gen_batch(4, seed=1)
    runner = start_runner(pipeline, bind(pipeline), places.seed, places.plan)
    return RunState(pipeline, runner, places, RunOptions(batch_size=4, seed=1))


def test_it_counts_what_is_delivered_and_tells_listeners(state):
    heard = []
    state.listeners.append(lambda run: heard.append(run.delivered))
    for _ in range(2):
        state.note_delivered(state.places.next_place())
    assert (state.delivered, state.total, state.seed, heard) == (2, 3, 1, [1, 2])
    assert capture(state)["position"]["batches"] == 2


def test_it_notes_what_is_left_out(state):
    first, second = state.places.next_place(), state.places.next_place()
    state.leave_out(first, "SkipBatch")
    state.leave_out_items(second, [7], "ValueError: bad")
    assert state.left_out == [
        LeftOut(0, 0, (0, 1, 2, 3), "SkipBatch"),
        LeftOut(0, 1, (7,), "ValueError: bad"),
    ]
    assert state.place == first
    assert state.delivered == 0


def test_variables_are_found_by_name(state):
    assert state.v("seen") == 0
    with pytest.raises(KeyError, match="seen"):
        state.v("sen")


def test_a_progress_bar_passes_batches_on_and_reads_the_latest_values(capsys):
    variables = {"loss": [0.5]}
    assert list(show_progress(iter_of(3), 3, 0, variables, ["loss"])) == [0, 1, 2]
    assert "loss=0.5" in capsys.readouterr().err


def test_a_long_first_batch_is_told_and_counts_in_no_rate(monkeypatch, capsys):
    clock = [0.0]
    monkeypatch.setattr(report.time, "perf_counter", lambda: clock[0])
    monkeypatch.setattr("tqdm.std.time", lambda: clock[0])

    def slow_at_first():
        for number in range(5):
            clock[0] += 60.0 if number == 0 else 0.5
            yield number

    assert list(show_progress(slow_at_first(), 5, 0, {}, [])) == list(range(5))
    last = capsys.readouterr().err.rpartition("\r")[2]
    assert "5/5" in last
    assert "first=60 s" in last
    assert "2.00batch/s" in last


def iter_of(count):
    yield from range(count)


@pytest.mark.parametrize(
    ("value", "text"),
    [
        ([1, 0.12345], "0.1235"),
        ([], "-"),
        (np.array([[1.0, 2.0]]), "2"),
        (np.zeros(0), "-"),
        ("a" * 30, "a" * 21 + "..."),
    ],
)
def test_values_are_shortened_for_the_bar(value, text):
    assert shorten(value) == text
