"""How a call is run: its options, the ids of its items, its time limit, its failures."""

from __future__ import annotations

import time
from concurrent.futures import Future

import pytest

from bf_batch import Batch, ItemTimeoutError
from bf_batch.itemwise.run import ParallelOptions, run_all
from bf_batch.itemwise.timeouts import await_all
from bf_batch.itemwise.work import ColumnItems, Work, id_of


def work_of(batch, function):
    items = ColumnItems([batch.indices])
    return Work(function, batch, items, (), {}, range(len(batch)), batch.address(), False, False, False)


def test_options_of_a_call_replace_those_of_the_method():
    options = ParallelOptions("threads", "skip", timeout=3)
    assert options.changed() is options
    assert options.changed(target="inline", workers=2) == ParallelOptions("inline", "skip", 3, 2)
    with pytest.raises(ValueError, match="did you mean 'inline'"):
        options.changed(target="inlin")


def test_failures_are_left_out_of_the_batch():
    batch = Batch(["a", "b", "c"])

    def upper(id):
        if id == "b":
            raise KeyError(id)
        return id.upper()

    assert run_all(work_of(batch, upper), ParallelOptions("inline", "skip"), "Batch.test") == ["A", "C"]
    assert batch.indices.tolist() == ["a", "c"]
    assert [error.id for error in batch.skipped] == ["b"]


def test_the_id_of_an_item_is_its_number_beyond_the_batch():
    work = work_of(Batch(["a", "b"]), str)
    work.positions = [1, 5]
    assert [id_of(work, number) for number in range(2)] == ["b", 5]


def test_the_item_that_takes_too_long_is_named():
    done, late = Future(), Future()
    done.set_result(1)
    begin = time.monotonic()
    with pytest.raises(ItemTimeoutError, match=r"Batch.test: item 'b'.*timeout=0.2 s"):
        await_all([done, late], {1: begin}, work_of(Batch(["a", "b"]), str), 0.2, "Batch.test")
    assert time.monotonic() - begin >= 0.2
