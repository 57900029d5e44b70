"""Several pipelines at once."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_pipeline import B, BindError, I, Pipeline, R, SkippedBatches, V, zip_batches


class Pair(Batch):
    components = "x", "y"

    @action
    def take(self, left, right=None, scale=1):
        self.x = self.x + left.x * scale
        if right is not None:
            self.y = right.x
        return self

    @action
    def add(self, value):
        self.x = self.x + value
        return self


@pytest.fixture
def pairs():
    return Dataset(10, Pair, preloaded=(np.arange(10.0), np.zeros(10)))


def test_join_hands_batches_of_the_same_items_to_the_next_action(pairs, dataset):
    other = Pipeline(dataset).init_variable("k", 100).add(V("k"))
    pipeline = Pipeline(pairs).join(other, dataset).take(scale=2).add(1)
    for options in ({}, {"shuffle": True, "seed": 1}, {"prefetch": 2}):
        for batch in pipeline.gen_batch(4, **options):
            assert batch.x.tolist() == (batch.indices * 3 + 201).tolist()
            assert batch.y.tolist() == batch.indices.tolist()


def test_joined_pipelines_draw_from_seeds_of_their_own(pairs, dataset):
    noisy = Pipeline(dataset).multiply(0).add(R("uniform"))
    pipeline = Pipeline(pairs).join(noisy, noisy).take()
    first = next(pipeline.gen_batch(5, seed=1))
    again = next(pipeline.gen_batch(5, seed=1))
    assert first.x.tolist() == again.x.tolist()
    assert (first.x - np.arange(5))[0] != first.y[0]


def test_mistakes_of_a_joined_pipeline_are_told_with_the_others(pairs, dataset):
    pipeline = Pipeline(pairs).join(Pipeline(dataset).add(V("kk"))).take().add(V("zz"))
    with pytest.raises(BindError) as caught:
        pipeline.run(5)
    assert len(caught.value.mistakes) == 2
    for wrong, text in [
        (5, "datasets and pipelines"),
        (Pipeline().add(1), "has no dataset"),
        (Pipeline(dataset).rebatch(3), "has a rebatch"),
        (Pipeline(dataset).after.print("end"), "before and after of the other pipeline would not run"),
    ]:
        with pytest.raises(BindError, match=text):
            Pipeline(pairs).join(wrong).take(1).run(5)
    with pytest.raises(BindError, match="an action must follow"):
        Pipeline(pairs).join(dataset).call(len, B()).run(5)
    with pytest.raises(BindError, match="give at least one"):
        Pipeline(pairs).join().take(1).run(5)


def test_a_joined_pipeline_with_a_model_runs_in_order(pairs, dataset, net_class):
    other = Pipeline(dataset).init_model("dynamic", net_class, "net").train_model("net", B("x"))
    pipeline = Pipeline(pairs).join(other).take()
    assert pipeline.bind().ahead == ()
    assert len(list(pipeline.gen_batch(2, prefetch=3))) == 5


@pytest.mark.slow
def test_joined_and_merged_pipelines_travel_to_processes(pairs, dataset):
    other = Pipeline(dataset).init_variable("k", 2).add(V("k"))
    pipeline = Pipeline(pairs).init_variable("h", list).join(other).take().merge(Pipeline(pairs).add(100))
    pipeline = pipeline.update(V("h"), B("x")[0], "a")
    here = pipeline.run(2, shuffle=True, seed=1).v("h")
    assert pipeline.run(2, shuffle=True, seed=1, prefetch=2, engine="processes").v("h") == here


def test_merge_puts_items_of_other_pipelines_behind(dataset):
    pipeline = Pipeline(dataset).merge(Pipeline(dataset).add(100)).add(1)
    batches = [batch.x.tolist() for batch in pipeline.gen_batch(5)]
    assert batches == [[1, 2, 3, 4, 5, 101, 102, 103, 104, 105], [6, 7, 8, 9, 10, 106, 107, 108, 109, 110]]
    assert batches == [batch.x.tolist() for batch in pipeline.gen_batch(5, prefetch=2)]


def test_merge_takes_batches_as_the_other_pipeline_would_run(dataset, batch_class):
    few = Dataset(3, batch_class, preloaded=(np.full(3, 50.0), np.zeros(3)))
    other = Pipeline(few).run_later(1, shuffle=True)
    merged = [batch.x.tolist() for batch in Pipeline(dataset).merge(other).gen_batch(5, n_epochs=3, seed=3)]
    assert [len(one) for one in merged] == [6] * 6
    assert all(one[5] == 50 for one in merged)


@pytest.mark.parametrize(
    ("before", "after", "sizes"),
    [(3, 5, [5, 5]), (5, 3, [3, 3, 3, 1]), (4, 4, [4, 4, 2]), (10, 3, [3, 3, 3, 1]), (2, 10, [10])],
)
def test_rebatch_gives_batches_of_another_size(dataset, before, after, sizes):
    pipeline = Pipeline(dataset).add(1).rebatch(after).add(1)
    batches = list(pipeline.gen_batch(before))
    assert [len(batch) for batch in batches] == sizes
    assert np.concatenate([batch.x for batch in batches]).tolist() == [i + 2 for i in range(10)]
    ahead = [batch.x.tolist() for batch in pipeline.gen_batch(before, prefetch=2)]
    assert ahead == [batch.x.tolist() for batch in batches]


def test_iterations_of_a_rebatched_run_count_what_it_delivers(dataset):
    pipeline = Pipeline(dataset).init_variable("n", 0).rebatch(4).update(V("n"), V("n") + 1)
    assert [len(batch) for batch in pipeline.gen_batch(3, n_iters=7)] == [4] * 7
    assert pipeline.v("n") == 7
    assert [len(batch) for batch in pipeline.gen_batch(3, drop_last=True)] == [4, 4]


def test_rebatch_draws_anew_for_each_of_its_batches(dataset):
    pipeline = Pipeline(dataset).multiply(0).rebatch(2).add(R("uniform")).noise()
    drawn = [batch.x[0] for batch in pipeline.gen_batch(10, seed=1)]
    assert len(set(drawn)) == 5
    assert drawn == [batch.x[0] for batch in pipeline.gen_batch(10, seed=1)]


def test_rebatch_after_rebatch_and_skips(dataset):
    pipeline = Pipeline(dataset).skip_if(0).rebatch(4).rebatch(3).skip_if(6)
    assert [batch.x.tolist() for batch in pipeline.gen_batch(2)] == [[2, 3, 4], [5, 6, 7], [8, 9]]


def test_batches_of_a_rebatched_run_that_fail_can_be_left_out(dataset):
    seen = []
    pipeline = Pipeline(dataset).rebatch(4).call(lambda *a: seen.append(a), I(), I("m")).fail_if(4)
    with pytest.raises(ValueError, match="x is 4"):
        pipeline.run(3)
    with pytest.warns(SkippedBatches):
        assert [len(batch) for batch in pipeline.gen_batch(3, n_iters=2, on_error="skip")] == [4, 4]
    assert seen[2:] == [(1, 2), (2, 2), (3, 2)]


def test_rebatch_inside_a_repetition_is_refused(dataset):
    with pytest.raises(BindError, match="rebatch can not be repeated"):
        (Pipeline(dataset).add(1).rebatch(3) * 2).run(5)
    with pytest.raises(BindError, match="batch_size must be an integer >= 1, got 0"):
        Pipeline(dataset).rebatch(0).run(5)


def test_zipped_batches_come_in_step_and_end_with_the_shortest(dataset, batch_class):
    seen = []
    short = Dataset(4, batch_class, preloaded=(np.zeros(4), None))
    left = Pipeline(dataset).after.call(seen.append, "left").main
    pairs = [(len(a), len(b)) for a, b in zip_batches(left, short, batch_size=2)]
    assert pairs == [(2, 2), (2, 2)]
    assert seen == ["left"]
    with pytest.raises(TypeError, match="pipelines and datasets are needed"):
        zip_batches(left, 5, batch_size=2)


def newest_first(batches):
    merged, _ = type(batches[0]).merge(batches[::-1])
    return merged


def test_merge_takes_a_function_of_its_own(dataset):
    pipeline = Pipeline(dataset).merge(Pipeline(dataset).multiply(-1), fn=newest_first)
    assert pipeline.next_batch(2).x.tolist() == [0, -1, 0, 1]
    assert next(iter(pipeline.gen_batch(2, prefetch=2))).x.tolist() == [0, -1, 0, 1]
    with pytest.raises(TypeError, match=r"Points\.merge returned int, not a batch"):
        Pipeline(dataset).merge(Pipeline(dataset), fn=len).next_batch(2)
    with pytest.raises(BindError, match="merge: fn is a function of the batches"):
        Pipeline(dataset).merge(Pipeline(dataset), fn=newest_first, components="x").run(2)


def sorted_merge(batches, batch_size):
    merged, rest = type(batches[0]).merge(batches, batch_size=batch_size)
    merged.x = np.sort(merged.x)[::-1]
    return merged, rest


def test_rebatch_takes_a_function_of_its_own(dataset):
    batches = list(Pipeline(dataset).rebatch(4, merge=sorted_merge).gen_batch(3))
    assert [batch.x.tolist() for batch in batches] == [[3, 2, 1, 0], [7, 6, 5, 4], [9, 8]]


@pytest.mark.parametrize(
    ("merge", "reason"),
    [
        (lambda batches, size: batches[0], "merge must return a batch and one of the rest or None"),
        (
            lambda batches, size: (type(batches[0]).merge(batches)[0], None),
            "a batch of 6 items for batch_size=4",
        ),
    ],
)
def test_what_a_merge_function_returns_is_checked(dataset, merge, reason):
    with pytest.raises((TypeError, ValueError), match=reason):
        Pipeline(dataset).rebatch(4, merge=merge).run(3)


@pytest.mark.parametrize("ahead", [{}, {"prefetch": 2}, {"prefetch": 2, "engine": "processes", "workers": 1}])
def test_a_discarded_batch_keeps_ids_and_attributes(dataset, ahead):
    pipeline = Pipeline(dataset).update(B("_mean"), B("x").attr("mean")()).discard_batch()
    for batch in pipeline.gen_batch(5, **ahead):
        assert batch._mean == batch.indices.mean()
        assert (batch.x, batch.y) == (None, None)
