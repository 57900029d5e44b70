"""What a batch needs of others: a data set that is like one, and actions that return batches."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bf_batch import ActionSpec, Batch, action
from bf_batch.actions import find_lock
from bf_batch.core import BatchCore, check_result
from bf_index import DatasetIndex, Place


class Points(Batch):
    components = "x", "y"


class Squares:
    """A data set of numbers and their squares that are computed, not held."""

    has_data = True

    def __init__(self, n):
        self.index = DatasetIndex(n)

    def rows(self, name, positions):
        numbers = np.arange(len(self.index))[positions]
        return numbers**2 if name == "y" else numbers

    def unread(self, name, positions):
        return None


def test_a_batch_reads_any_data_set_that_has_rows():
    batch = Points(None, Squares(10), place=Place(0, 3, slice(6, 9)))
    assert batch.x.tolist() == [6, 7, 8]
    assert batch.y.tolist() == [36, 49, 64]
    assert batch.indices.tolist() == [6, 7, 8]
    assert Points([4, 2], Squares(10)).y.tolist() == [16, 4]


def test_the_core_is_a_batch_without_the_work_on_components():
    class Plain(BatchCore):
        components = ("x",)

    batch = Plain(2, preloaded=([1, 2],)).add_components("y", [3, 4])
    assert batch.to_dict() == {"x": [1, 2], "y": [3, 4]}
    assert set(Plain.actions) < set(Points.actions)


@pytest.mark.parametrize(
    ("result", "error", "message"),
    [
        (None, TypeError, "end it with `return self`"),
        ([1, 2], TypeError, "returned list, not a batch"),
        (Points(3), ValueError, "of 3 items for a batch of 2"),
    ],
)
def test_an_action_must_return_a_batch_of_the_same_length(result, error, message):
    with pytest.raises(error, match=message):
        check_result(result, Points(2), ActionSpec("double"))


def test_an_action_may_return_another_batch():
    other = Batch(2)
    assert check_result(other, Points(2), ActionSpec("convert")) is other
    longer = Points(5)
    assert check_result(longer, Points(2), ActionSpec("grow", resizes=True)) is longer


def test_actions_share_a_lock_by_its_name_and_leave_it_after_an_error():
    free = []

    def ask():
        lock = find_lock(len, "shared")
        free.append(lock.acquire(blocking=False))
        if free[-1]:
            lock.release()

    def ask_elsewhere():
        thread = threading.Thread(target=ask)
        thread.start()
        thread.join()

    class Shared(Batch):
        @action(use_lock="shared")
        def hold(self):
            ask_elsewhere()
            return self

        @action(use_lock="shared")
        def fail(self):
            ask_elsewhere()
            raise ValueError("wrong")

    Shared(1).hold()
    with pytest.raises(ValueError, match="wrong"):
        Shared(1).fail()
    ask_elsewhere()
    assert free == [False, False, True]
    with pytest.raises(TypeError, match="use_lock is True, False or the name of a lock"):
        action(use_lock=3)(len)
