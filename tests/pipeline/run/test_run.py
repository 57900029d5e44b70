"""Runs: options, positions, errors, progress, independence."""

from __future__ import annotations

import warnings

import numpy as np
import pytest

from bf_batch import Dataset, SkipBatch
from bf_index import Shuffled
from bf_pipeline import B, C, I, Pipeline, R, SkippedBatches, V


def ids(batches):
    return [list(batch.indices) for batch in batches]


def test_run_without_numbers_is_one_epoch(dataset):
    assert Pipeline(dataset).init_variable("n", 0).update(V("n"), V("n") + 1).run(4).v("n") == 3
    assert ids(Pipeline(dataset).gen_batch(4)) == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert ids(Pipeline(dataset).gen_batch(4, drop_last=True, n_epochs=2)) == [[0, 1, 2, 3], [4, 5, 6, 7]] * 2
    assert len(ids(Pipeline(dataset).gen_batch(4, n_iters=7))) == 7


def test_a_finished_run_and_the_pipeline_itself_tell_the_results(dataset, net_class):
    pipeline = Pipeline(dataset).init_model("dynamic", net_class, "net").train_model("net", B("x"))
    done = pipeline.run(5)
    assert done is not pipeline
    assert pipeline.m("net") is done.m("net")
    assert done.m("net").seen == [10, 35]
    later = pipeline.run(10)
    assert pipeline.m("net") is later.m("net")
    assert done.m("net").seen == [10, 35]
    with pytest.raises(RuntimeError, match="was not run yet"):
        pipeline.add(1).v("x")
    with pytest.raises(KeyError, match="did you mean 'net'"):
        done.m("nett")


def test_same_seed_same_batches_and_values(dataset):
    pipeline = Pipeline(dataset).noise().add(R("normal")).shift(by=R("uniform"), p=0.5).add(1, p=0.5)
    runs = [[batch.x for batch in pipeline.gen_batch(3, shuffle=True, n_epochs=2, seed=5)] for _ in range(2)]
    assert all(np.array_equal(a, b) for a, b in zip(*runs, strict=True))
    other = [batch.x for batch in pipeline.gen_batch(3, shuffle=True, n_epochs=2, seed=6)]
    assert not all(np.array_equal(a, b) for a, b in zip(runs[0], other, strict=True))
    run = pipeline.gen_batch(3, shuffle=True).run
    assert isinstance(run.seed, int)
    again = pipeline.gen_batch(3, shuffle=True, seed=run.seed)
    assert ids(again) == ids(pipeline.gen_batch(3, shuffle=True, seed=run.seed))


def test_generators_of_one_pipeline_are_independent(dataset):
    pipeline = Pipeline(dataset).init_variable("n", 0).update(V("n"), V("n") + 1)
    first, second = pipeline.gen_batch(3), pipeline.gen_batch(3)
    assert [list(next(g).indices) for g in (first, first, second, first)] == [
        [0, 1, 2],
        [3, 4, 5],
        [0, 1, 2],
        [6, 7, 8],
    ]
    assert (first.v("n"), second.v("n")) == (3, 1)


def test_one_template_serves_two_datasets(dataset, batch_class):
    template = Pipeline().init_variable("sum", 0.0).update(V("sum"), V("sum") + B("x").attr("sum")())
    other = Dataset(4, batch_class, preloaded=(np.full(4, 100.0), None))
    first, second = (template << dataset).gen_batch(2), (template << other).gen_batch(2)
    for _ in range(2):
        next(first), next(second)
    assert (first.v("sum"), second.v("sum")) == (6, 400)


def test_next_batch_goes_on_and_stops_for_good(dataset):
    pipeline = Pipeline(dataset)
    assert [len(pipeline.next_batch(4, n_epochs=1)) for _ in range(3)] == [4, 4, 2]
    for _ in range(2):
        with pytest.raises(StopIteration):
            pipeline.next_batch(4, n_epochs=1)
    assert list(pipeline.reset().next_batch(3).indices) == [0, 1, 2]
    assert list(pipeline.next_batch().indices) == [3, 4, 5]
    with pytest.raises(ValueError, match="in the middle of a run"):
        pipeline.next_batch(2)


def test_next_batch_is_endless_by_default(dataset):
    pipeline = Pipeline(dataset)
    assert len([pipeline.next_batch(5) for _ in range(7)]) == 7


def test_run_later_keeps_the_options(dataset):
    later = Pipeline(dataset).run_later(4, n_epochs=1, shuffle=True, seed=1)
    assert ids(later.gen_batch()) == ids(later.gen_batch())
    assert [len(later.next_batch()) for _ in range(3)] == [4, 4, 2]
    with pytest.raises(StopIteration):
        later.next_batch()
    assert len(ids(later.gen_batch(5))) == 2
    assert len(ids(later.gen_batch(n_epochs=3))) == 9


def test_config_of_a_run_goes_over_the_pipelines_own(dataset):
    pipeline = Pipeline(dataset, {"step": 1, "deep": {"a": 1, "b": 2}}).add(C("step")).multiply(C("deep/b"))
    assert next(pipeline.gen_batch(5, config={"step": 10, "deep": {"a": 3}})).x[0] == 20
    assert next(pipeline.gen_batch(5)).x[0] == 2
    assert next(Pipeline(dataset).add(C("model/lr", 7)).gen_batch(5)).x[0] == 7


def test_iterations_are_counted_from_one(dataset):
    seen = []
    Pipeline(dataset).call(lambda *a: seen.append(a), I(), I("m"), I("r")).run(5, n_epochs=2)
    assert seen == [(1, 4, 0.25), (2, 4, 0.5), (3, 4, 0.75), (4, 4, 1.0)]


def test_skipped_batches_are_left_out_and_noted(dataset):
    batches = (Pipeline(dataset).skip_if(3)).gen_batch(3)
    assert ids(batches) == [[0, 1, 2], [6, 7, 8], [9]]
    assert [one.ids for one in batches.run.left_out] == [(3, 4, 5)]


def test_stop_ends_the_run_after_what_was_delivered(dataset):
    seen = []
    pipeline = Pipeline(dataset).stop_if(6).after.call(seen.append, "after").main
    assert ids(pipeline.gen_batch(3)) == [[0, 1, 2], [3, 4, 5]]
    assert seen == ["after"]


def test_failed_batches_can_be_left_out_and_are_reported(dataset):
    pipeline = Pipeline(dataset).init_variable("n", 0).fail_if(3).update(V("n"), V("n") + 1)
    with pytest.warns(SkippedBatches, match="1 batches \\(3 items\\) failed"):
        done = pipeline.run(3, on_error="skip")
    assert done.v("n") == 3
    (left_out,) = done.last_run.left_out
    assert left_out.ids == (3, 4, 5)
    assert "x is 3" in left_out.reason


def test_an_error_in_a_step_that_runs_in_order_can_be_left_out_too(dataset):
    pipeline = Pipeline(dataset).init_variable("n", 0).update(V("n"), V("n") + 1).fail_if(3)
    with pytest.warns(SkippedBatches):
        assert len(ids(pipeline.gen_batch(3, on_error="skip"))) == 3


def test_a_run_without_trouble_warns_of_nothing(dataset):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(Pipeline(dataset).skip_if(0).run(5, on_error="skip").last_run.left_out) == 1


def test_progress_bar_shows_chosen_variables(dataset, capsys):
    pipeline = (
        Pipeline(dataset)
        .init_variable("loss", init_on_each_run=list)
        .update(V("loss"), B("x").attr("sum")(), "a")
    )
    pipeline.run(5, bar=True, bar_variables=["loss"])
    shown = capsys.readouterr().err
    assert "2/2" in shown
    assert "loss=35" in shown
    with pytest.raises(ValueError, match="did you mean 'loss'"):
        pipeline.run(5, bar=True, bar_variables=["los"])


def test_order_objects_and_crossing_epochs_reach_the_index(dataset):
    assert ids(Pipeline(dataset).gen_batch(4, order=Shuffled(), seed=1)) == ids(
        Pipeline(dataset).gen_batch(4, shuffle=True, seed=1)
    )
    crossing = ids(Pipeline(dataset).gen_batch(4, n_iters=3, cross_epochs=True))
    assert [len(one) for one in crossing] == [4, 4, 4]


def test_one_batch_goes_through_without_a_dataset(dataset, batch_class):
    batch = batch_class(3, preloaded=(np.zeros(3), None))
    template = Pipeline().init_variable("n", 1).add(V("n"))
    assert template.execute(batch).x.tolist() == [1, 1, 1]
    assert template.v("n") == 1
    with pytest.raises(SkipBatch):
        Pipeline().skip_if(0).execute(batch_class(2, preloaded=(np.zeros(2), None)))


def test_one_pipeline_feeds_another(dataset):
    seen = []
    loading = Pipeline(dataset).add(1)
    training = (
        Pipeline().before.call(seen.append, "b").main.skip_if(6).multiply(2).after.call(seen.append, "a").main
    )
    fed = [batch.x.tolist() for batch in training.feed(loading.gen_batch(5))]
    assert fed == [[2, 4, 6, 8, 10]]
    assert seen == ["b", "a"]
    assert list(training.feed([])) == []


def test_an_error_in_an_expression_tells_which_one(dataset):
    pipeline = Pipeline(dataset).init_variable("d", dict).add(1, times=V("d")["missing"])
    with pytest.raises(KeyError, match="missing") as caught:
        pipeline.run(5)
    assert caught.value.__notes__[0] == "while evaluating V('d')['missing']"
    assert "in step 1 'add'" in caught.value.__notes__[1]


def test_an_action_that_changes_the_number_of_items_says_so(dataset):
    assert [len(batch) for batch in (Pipeline(dataset).double().add(1)).gen_batch(5)] == [10, 10]


def test_a_batch_is_not_kept_alive_by_the_run(dataset):
    import gc
    import weakref

    batches = iter(Pipeline(dataset).add(B("x")).gen_batch(2))
    first = weakref.ref(next(batches))
    next(batches)
    gc.collect()
    assert first() is None


@pytest.mark.parametrize("ahead", [{}, {"prefetch": 2}])
def test_shards_of_one_seed_draw_other_values_in_actions_and_after_rebatch(dataset, ahead):
    def draw(number):
        data = Dataset(600, dataset.batch_class, preloaded=(np.zeros(600), None)).shard(number, 2)
        pipeline = Pipeline(data).noise().add(R("normal", size=50)).rebatch(100)
        batches = pipeline.noise().gen_batch(50, seed=7, n_epochs=1, **ahead)
        drawn = np.concatenate([batch.x for batch in batches])
        assert batches.run.seed == 7
        return drawn

    first, second = draw(0), draw(1)
    assert len(first) == 300
    assert abs(np.corrcoef(first, second)[0, 1]) < 0.25  # five standard errors; it was 1
    assert draw(1).tolist() == second.tolist()
