"""A pipeline that was run is run for some more, with its variables, models and place."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import Dataset
from bf_index import StateError
from bf_pipeline import B, C, D, I, Pipeline, V


@pytest.fixture
def counting(dataset, net_class):
    return (
        Pipeline(dataset, {"rate": 1.0})
        .init_variables({"seen": list, "firsts": list}, "last")
        .update(V("seen"), I(), mode="a")
        .noise()
        .update(V("firsts"), B("x")[0], mode="a")
        .update(C("rate"), C("rate") / 2)
        .update(V("last"), C("rate"))
    )


@pytest.mark.parametrize("ahead", [{}, {"prefetch": 3}])
def test_three_epochs_and_two_more_are_five(counting, ahead):
    whole = counting.run(4, n_epochs=5, shuffle=True, seed=3)
    done = counting.run(4, n_epochs=3, shuffle=True, seed=3, **ahead)
    assert done.v("seen") == list(range(1, 10))
    more = done.run(4, n_epochs=2, shuffle=True, go_on=True, **ahead)
    for name in ("seen", "firsts", "last"):
        assert more.v(name) == whole.v(name)
    assert (more.last_run.seed, more.last_run.delivered, more.last_run.total) == (3, 15, 15)


def test_iterations_are_counted_on(counting):
    whole = counting.run(4, n_iters=9, seed=1)
    done = counting.run(4, n_iters=4, seed=1)
    assert done.run(4, n_iters=5, go_on=True).v("firsts") == whole.v("firsts")
    assert [batch.indices[0] for batch in done.gen_batch(4, n_iters=2, go_on=True)] == [0, 4]


def test_an_epoch_left_in_the_middle_is_finished_first(counting):
    done = counting.run(4, n_iters=2, seed=1)
    more = done.run(4, n_epochs=1, go_on=True)
    assert more.v("seen") == [1, 2, 3, 4, 5, 6]


def test_batches_of_another_size_begin_with_the_next_epoch(counting):
    done = counting.run(4, n_iters=2, seed=1)
    sizes = [len(batch) for batch in done.gen_batch(5, go_on=True)]
    assert sizes == [5, 5]


def test_the_model_is_the_same_and_before_runs_once(dataset, net_class):
    begun = []
    pipeline = (
        Pipeline(dataset)
        .before.call(begun.append, 1)
        .main.init_model("static", net_class, "net")
        .train_model("net", B("x"))
    )
    done = pipeline.run(5, n_epochs=2)
    model = done.m("net")
    more = done.run(5, n_epochs=1, go_on=True)
    assert more.m("net") is model
    assert (len(model.seen), begun) == (6, [1])


def test_joined_pipelines_and_rebatch_go_on_too(dataset):
    other = Pipeline(dataset).init_variable("n", 0).update(V("n"), V("n") + 1).add(V("n") * 100)
    pipeline = Pipeline(dataset).merge(other).rebatch(8)
    done = pipeline.run(4, n_epochs=1, seed=1)
    batches = list(done.gen_batch(4, n_epochs=1, go_on=True))
    assert [batch.place.batch for batch in batches] == [3, 4, 5]
    assert max(batch.x.max() for batch in batches) >= 600


def test_what_can_not_go_on_says_why(dataset, counting):
    with pytest.raises(RuntimeError, match="this pipeline was not run yet"):
        counting.run(4, go_on=True)
    done = counting.run(4, seed=1)
    with pytest.raises(ValueError, match="the last run had seed 1, seed=2 is another"):
        done.run(4, go_on=True, seed=2)
    with pytest.raises(ValueError, match="not with both"):
        done.run(4, go_on=True, resume=done.last_run.state())
    with pytest.raises(TypeError, match="go_on must be True or False"):
        done.run(4, go_on="yes")
    fed = Pipeline(dataset).add(1)
    list(fed.feed(Pipeline(dataset).gen_batch(5)))
    with pytest.raises(RuntimeError, match="the last run was fed"):
        fed.run(5, go_on=True)
    with pytest.raises(TypeError, match="go_on has no meaning"):
        list(fed.feed(Pipeline(dataset).gen_batch(5), go_on=True))


def test_what_steps_wrote_to_the_config_and_the_data_set_is_in_a_state(batch_class):
    def make():
        data = Dataset(8, batch_class, preloaded=(np.arange(8.0), np.arange(8)), best=0.0)
        steps = Pipeline(data, {"n": 0}).update(C("n"), C("n") + 1)
        return data, steps.init_variable("n").update(V("n"), C("n"))

    _, pipeline = make()
    pipeline = pipeline.update(D("best"), V("n") * 10)
    batches = pipeline.gen_batch(2, seed=1)
    next(batches), next(batches)
    state = batches.state()
    other, again = make()
    again = again.update(D("best"), V("n") * 10)
    rest = again.gen_batch(2, resume=state)
    assert other.best == 20
    list(rest)
    assert (rest.v("n"), other.best) == (4, 40)
    state["written"]["config"]["model"] = state["written"]["config"]["n"]
    with pytest.raises(StateError, match="config 'model', which no step of this pipeline writes"):
        again.gen_batch(2, resume=state)
