"""state() and restore(): any mix of next, save and restore equals the straight run."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from bf_index import Balanced, DatasetIndex, Sequential, Shuffled, StateError, Weighted

LIMIT = 120


class Resuming(RuleBasedStateMachine):
    """Several iterators over one shard are advanced, saved and restored in any order."""

    @initialize(
        n=st.integers(6, 40),
        shards=st.integers(1, 3),
        size=st.integers(1, 2),
        order=st.sampled_from(["sequential", "shuffled", "weighted", "drawn", "balanced"]),
        drop_last=st.booleans(),
        cross=st.booleans(),
        ends=st.sampled_from([{"n_epochs": 3}, {"n_iters": 17}]),
        seed=st.integers(0, 2**32),
    )
    def begin(self, n, shards, size, order, drop_last, cross, ends, seed):
        self.parts = [
            DatasetIndex([f"id{item}" for item in range(n)]).shard(number, shards) for number in range(shards)
        ]
        self.part = self.parts[-1]
        length = len(self.part)
        orders = {
            "sequential": Sequential(),
            "shuffled": Shuffled(),
            "weighted": Weighted([1 + item % 3 for item in range(length)]),
            "drawn": Weighted(range(1, length + 1), replacement=False),
            "balanced": Balanced([item % 2 for item in range(length)], draws=length + 3),
        }
        self.arguments = {
            "batch_size": size, "order": orders[order], "drop_last": drop_last, "cross_epochs": cross, **ends,
        }  # fmt: skip
        straight = self.part.gen_batch(**self.arguments, seed=seed)
        self.states, self.expected, self.seed = [straight.state()], [], seed
        for batch in straight:
            self.expected.append(list(batch))
            self.states.append(straight.state())
        self.at = 0
        self.iterator = self.part.gen_batch(**self.arguments, seed=seed)

    @rule()
    def step(self):
        if self.at == len(self.expected):
            with pytest.raises(StopIteration):
                next(self.iterator)
        else:
            assert list(next(self.iterator)) == self.expected[self.at]
            self.at += 1

    @rule(where=st.integers(0, LIMIT), fresh=st.booleans())
    def go_to(self, where, fresh):
        self.at = where % len(self.states)
        if fresh:
            self.iterator = self.part.gen_batch(**self.arguments, seed=self.seed + 1)
        self.iterator.restore(json.loads(json.dumps(self.states[self.at])))

    @rule()
    def rest(self):
        assert [list(batch) for batch in self.iterator] == self.expected[self.at :]
        self.at = len(self.expected)

    @invariant()
    def state_is_that_of_the_straight_run(self):
        if hasattr(self, "iterator"):
            assert self.iterator.state() == self.states[self.at]
            assert self.iterator.seed == self.seed

    @rule()
    def another_shard_refuses(self):
        if len(self.parts) > 1:
            other = self.parts[0].gen_batch(1)
            with pytest.raises(StateError):
                other.restore(self.states[self.at])


TestResuming = Resuming.TestCase
TestResuming.settings = settings(max_examples=60, stateful_step_count=15, deadline=None)


def test_state_after_a_place_is_where_a_slower_consumer_stands():
    iterator = DatasetIndex(10).gen_batch(3, shuffle=True, n_epochs=3, seed=1, cross_epochs=True)
    places = [iterator.next_place() for _ in range(8)]
    later = DatasetIndex(10).gen_batch(3, shuffle=True, n_epochs=3, cross_epochs=True)
    later.restore(iterator.state(after=places[4]))
    assert [tuple(later.next_place().positions) for _ in range(3)] == [
        tuple(place.positions) for place in places[5:]
    ]


def test_a_finished_run_goes_on_when_given_more_epochs():
    short = DatasetIndex(10).gen_batch(4, shuffle=True, n_epochs=1, seed=3)
    list(short)
    longer = DatasetIndex(10).gen_batch(4, shuffle=True, n_epochs=2)
    longer.restore(short.state())
    whole = [list(batch) for batch in DatasetIndex(10).gen_batch(4, shuffle=True, n_epochs=2, seed=3)]
    assert [list(batch) for batch in longer] == whole[3:]
    shorter = DatasetIndex(10).gen_batch(4, shuffle=True, n_iters=1)
    shorter.restore(short.state())
    assert list(shorter) == []


def test_state_is_one_small_json_dict():
    iterator = DatasetIndex(10**12).gen_batch(256, shuffle=True)
    next(iterator)
    assert len(json.dumps(iterator.state())) < 400


def test_another_process_goes_on_with_the_same_batches():
    script = """
import json, sys
from bf_index import DatasetIndex
iterator = DatasetIndex([f"n{i}" for i in range(70_000)]).gen_batch(7, shuffle=True, n_epochs=2)
iterator.restore(json.loads(sys.stdin.read()))
print(json.dumps([list(next(iterator)) for _ in range(5)]))
"""
    iterator = DatasetIndex([f"n{i}" for i in range(70_000)]).gen_batch(7, shuffle=True, n_epochs=2)
    for _ in range(9_999):
        iterator.next_place()
    done = subprocess.run(
        [sys.executable, "-c", script],
        input=json.dumps(iterator.state()),
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == [list(next(iterator)) for _ in range(5)]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "version 2, this bf-index reads version 1"),
        ({"batch_size": 3}, "batch_size=3, here batch_size=2"),
        ({"order": "sequential"}, "order='sequential', here order='shuffled'"),
        ({"drop_last": True}, "drop_last=True, here drop_last=False"),
        ({"batches": -1}, "batches must be an integer >= 0, got -1"),
        ({"batches": "4"}, "batches must be"),
        ({"seed": None}, "seed must be"),
    ],
)
def test_states_that_do_not_fit_are_refused(change, message):
    iterator = DatasetIndex(5).gen_batch(2, shuffle=True)
    before = iterator.state()
    with pytest.raises(StateError, match=message):
        iterator.restore({**before, **change})
    assert iterator.state() == before


def test_what_is_no_state_is_refused():
    iterator = DatasetIndex(5).gen_batch(2)
    with pytest.raises(StateError, match="got list"):
        iterator.restore([])
    with pytest.raises(StateError, match="no batches"):
        iterator.restore({name: value for name, value in iterator.state().items() if name != "batches"})


def test_weights_and_labels_are_part_of_a_state():
    state = DatasetIndex(4).gen_batch(2, order=Weighted([1, 2, 3, 4])).state()
    with pytest.raises(StateError, match="order="):
        DatasetIndex(4).gen_batch(2, order=Weighted([4, 3, 2, 1])).restore(state)
    state = DatasetIndex(4).gen_batch(2, order=Balanced([0, 0, 1, 1])).state()
    with pytest.raises(StateError, match="order="):
        DatasetIndex(4).gen_batch(2, order=Balanced([0, 1, 0, 1])).restore(state)
