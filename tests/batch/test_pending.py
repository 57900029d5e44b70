"""Pending components of several batches, computed in one go."""

from __future__ import annotations

from bf_batch import Batch, Pending
from bf_batch.pending import PendingGroup, weigh


class Points(Batch):
    components = "x", "y"


class Doubled:
    """Numbers times two, counted in calls of ``resolve``."""

    calls = 0

    def __init__(self, values):
        self.values = values
        self.weight = len(values)

    def __len__(self):
        return len(self.values)

    def resolve(self):
        Doubled.calls += 1
        return [2 * value for value in self.values]

    @staticmethod
    def join(parts):
        return Doubled([value for part in parts for value in part.values])


class Alone:
    """A pending value that can't be joined."""

    def __len__(self):
        return 2

    def resolve(self):
        return ["a", "b"]


def test_values_that_join_are_computed_once_and_handed_out():
    batches = [Points(2), Points(2)]
    for batch, start in zip(batches, (1, 10)):
        batch.x, batch.y = Doubled([start, start + 1]), Alone()
    assert isinstance(Doubled([]), Pending)
    assert [weigh(batch) for batch in batches] == [2, 2]
    Doubled.calls = 0
    group = PendingGroup(batches)
    group.compute()
    group.deliver()
    assert Doubled.calls == 1
    assert [batch.x for batch in batches] == [[2, 4], [20, 22]]
    assert [batch.y for batch in batches] == [["a", "b"]] * 2
    assert Doubled.calls == 1
