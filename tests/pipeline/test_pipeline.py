"""Recording and algebra: a pipeline is a value that nothing changes."""

from __future__ import annotations

import copy
import math
import pickle

import numpy as np
import pytest

from bf_pipeline import B, C, F, P, Pipeline, R, V


def x_of(pipeline, **options):
    return [batch.x.tolist() for batch in pipeline.gen_batch(5, **options)]


def test_each_method_gives_a_new_pipeline(dataset, net_class):
    empty = Pipeline()
    changed = [
        empty.add(1),
        empty.init_variable("v"),
        empty.init_model("dynamic", net_class, "net"),
        empty.update(V("v"), 1),
        empty + empty.add(1),
        empty * 2,
        empty @ 0.5,
        empty << dataset,
        empty << {"a": 1},
        empty.before.print(1).main,
        empty.after.print(1),
        empty.add_namespace(math),
        empty.run_later(5),
        empty.join(dataset),
        empty.rebatch(2),
    ]
    assert all(one is not empty for one in changed)
    assert repr(empty) == "Pipeline()"
    with pytest.raises(AttributeError):
        empty.steps = ()


def test_operands_of_operators_stay_as_they_are(dataset):
    one = Pipeline(dataset).add(1)
    before = repr(one)
    assert x_of((one * 3) * 2)[0][0] == 6
    assert x_of((one * 3 * 2) @ 1.0)[0][0] == 6
    assert repr(one) == before
    assert x_of(one)[0][0] == 1


def test_concatenation_repetition_and_coins(dataset):
    add, multiply = Pipeline().add(1), Pipeline().multiply(2)
    assert x_of((add + multiply) << dataset)[0] == [2, 4, 6, 8, 10]
    assert x_of(dataset >> (add * 0 + multiply))[0] == [0, 2, 4, 6, 8]
    assert x_of((add + multiply) * 2 << dataset)[0] == [6, 10, 14, 18, 22]
    assert x_of(add @ 0 + multiply @ 1 << dataset)[0] == [0, 2, 4, 6, 8]
    assert x_of(Pipeline(dataset).init_variable("n", 3) + add * V("n"))[0][0] == 3


def test_repetition_keeps_dataset_config_variables_and_sections(dataset):
    one = (Pipeline(dataset, {"step": 2}).init_variable("v", 0).add(C("step")).update(V("v"), V("v") + 1)) * 2
    done = one.run(5)
    assert done.v("v") == 4
    assert x_of(one)[0][0] == 4


def test_configs_merge_and_the_right_one_wins():
    left = Pipeline().add(1) << {"a": 1, "model": {"lr": 1, "depth": 2}}
    right = Pipeline().add(2) << {"a": 2, "model": {"lr": 3}}
    assert (left + right).config == {"a": 2, "model": {"lr": 3, "depth": 2}}
    assert left.config["a"] == 1
    assert right.config == {"a": 2, "model": {"lr": 3}}


def test_a_large_config_is_copied_once():
    big = list(range(1000))
    pipeline = Pipeline(config={"big": big})
    assert pipeline.config["big"] is not big
    assert pipeline.add(1).add(2).config["big"] is pipeline.config["big"]


def test_the_config_is_a_copy():
    config = {"model": {"lr": 1}}
    pipeline = Pipeline(config=config)
    config["model"]["lr"] = 2
    assert pipeline.config["model"]["lr"] == 1
    assert Pipeline({"a": 1}).config == {"a": 1}


def test_a_coin_of_an_action_is_thrown_for_the_whole_batch(dataset):
    batches = [batch.x for batch in (Pipeline(dataset).add(100, p=0.5)).gen_batch(2, n_epochs=20, seed=3)]
    whole = [set((x >= 100).tolist()) for x in batches]
    assert all(len(one) == 1 for one in whole)
    share = np.mean([True in one for one in whole])
    assert 0.3 < share < 0.7


def test_an_itemwise_action_throws_a_coin_for_each_item(dataset):
    shifted = np.concatenate(
        [b.x for b in (Pipeline(dataset).shift(by=100, p=0.5)).gen_batch(10, n_epochs=20, seed=3)]
    )
    assert 0.3 < np.mean(shifted >= 100) < 0.7
    first = (Pipeline(dataset).shift(by=100, p=0.5)).next_batch(10, seed=3).x >= 100
    assert 0 < first.sum() < 10


def test_per_item_arguments_reach_each_item(dataset):
    batch = (Pipeline(dataset).shift(by=P(np.arange(10) * 10))).next_batch(10)
    assert batch.x.tolist() == [11 * i for i in range(10)]
    values = (Pipeline(dataset).shift(P(R("uniform", 0, 1)), p=0.8)).next_batch(10, seed=1).x - np.arange(10)
    assert len(set(np.round(values, 9))) > 5


def test_probability_may_be_an_expression(dataset):
    pipeline = Pipeline(dataset).init_variable("p", 0.0).add(100, p=V("p")).update(V("p"), 1.0)
    assert [x[0] for x in x_of(pipeline)] == [0, 105]
    assert x_of(Pipeline(dataset, {"p": 1.0}).add(1) @ C("p"))[0][0] == 1


def test_a_probability_that_is_drawn_is_apart_from_what_the_action_draws(dataset):
    seen = []
    pipeline = (
        Pipeline(dataset).multiply(0).add(R("uniform"), p=F(lambda p: seen.append(p) or 1.0)(R("uniform")))
    )
    drawn = pipeline.next_batch(5, seed=1).x[0]
    assert seen[0] != drawn


def test_repetitions_and_nested_ones_draw_anew(dataset):
    one = Pipeline(dataset).add(R("uniform"))
    drawn = set()
    for times in range(1, 5):
        drawn.add((one * times).next_batch(10, seed=1).x[0])
    assert len(drawn) == 4
    values = []
    ((Pipeline().call(values.append, R("uniform")) * 3) * 3 << dataset).run(10, seed=1)
    assert len(set(values)) == 9
    noises = [(Pipeline(dataset).noise() * n).next_batch(10, seed=1).x[0] for n in range(4)]
    steps = np.diff(noises)
    assert len(set(steps)) == 3


def test_a_coin_over_a_repetition_is_thrown_once_and_inside_each_time(dataset):
    outside = {x[0] for x in x_of((Pipeline().add(1) * 2) @ 0.5 << dataset, n_epochs=30, seed=1)} - {5, 7}
    inside = {x[0] for x in x_of((Pipeline().add(1) @ 0.5) * 2 << dataset, n_epochs=30, seed=1)} - {5, 6, 7}
    assert outside == {0, 2}
    assert inside == {0, 1, 2}


def test_functions_of_an_added_namespace_are_steps(dataset):
    namespace = type("space", (), {"describe": staticmethod(lambda x, unit="m": f"{x.sum()} {unit}")})
    pipeline = (
        Pipeline(dataset).add_namespace(math, namespace).init_variable("text").init_variable("root", 0.0)
    )
    pipeline = pipeline.describe(B("x"), save_to=V("text")).sqrt(16.0, save_to=V("root"))
    done = pipeline.run(5)
    assert done.v("text") == "35.0 m"
    assert done.v("root") == 4


def test_call_gets_no_batch_unless_it_asks(dataset):
    seen = []
    pipeline = Pipeline(dataset).init_variable("n", 0)
    pipeline.call(lambda *args: seen.append(args), 1).call(len, B(), save_to=V("n")).run(5)
    assert seen == [(1,), (1,)]
    assert pipeline.call(len, B(), save_to=V("n")).run(5).v("n") == 5


def test_a_function_may_have_a_mode_of_its_own(dataset):
    pipeline = Pipeline(dataset).call(np.pad, B("x"), 1, mode="edge", save_to=V("v")).init_variable("v")
    assert pipeline.run(10).v("v").tolist() == [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 9]
    seen = []
    Pipeline(dataset).call(lambda mode: seen.append(mode), mode="a").run(10)
    assert seen == ["a"]


def test_print_writes_in_the_order_of_batches(dataset, capsys):
    (Pipeline(dataset).print("first", B("x")[0], sep="=", end=";")).run(2, prefetch=2)
    assert capsys.readouterr().out == "first=0.0;first=2.0;first=4.0;first=6.0;first=8.0;"


def test_before_and_after_run_once(dataset):
    seen = []
    pipeline = Pipeline(dataset).before.call(seen.append, "before").main.call(seen.append, B("x")[0])
    pipeline = pipeline.after.call(seen.append, "after").main.add(1)
    pipeline.run(5)
    assert seen == ["before", 0, 5, "after"]


def test_after_runs_when_the_loop_is_left_early_and_on_errors(dataset):
    seen = []
    pipeline = Pipeline(dataset).fail_if(5).after.call(seen.append, "after").main
    for _ in pipeline.gen_batch(5):
        break
    assert seen == ["after"]
    with pytest.raises(ValueError, match="x is 5"):
        pipeline.run(5)
    assert seen == ["after", "after"]


def test_sections_of_both_operands_run_in_order(dataset):
    seen = []
    left = Pipeline(dataset).before.call(seen.append, "b1").after.call(seen.append, "a1").main
    right = Pipeline().before.call(seen.append, "b2").after.call(seen.append, "a2").main
    (left + right).run(10)
    assert seen == ["b1", "b2", "a1", "a2"]


def test_an_action_may_have_parameters_of_any_name(dataset, batch_class):
    from bf_batch import Dataset, action

    class Named(batch_class):
        @action
        def tell(self, name, self_=0, call=None, args=None, kwargs=None):
            self.x = self.x + name + args
            return self

    batch = (
        (Pipeline() << Dataset(3, Named, preloaded=(np.zeros(3), None))).tell(name=2, args=3).next_batch(3)
    )
    assert batch.x.tolist() == [5, 5, 5]


def test_actions_are_offered_for_completion(dataset):
    assert {"add", "shift", "run"} <= set(dir(Pipeline(dataset)))
    assert "shift" not in dir(Pipeline())


def test_an_action_with_a_name_of_pipelines_is_called_by_name(dataset, batch_class):
    from bf_batch import Dataset, action

    class Updated(batch_class):
        @action
        def update(self, value):
            self.x = self.x + value
            return self

    pipeline = Pipeline(Dataset(3, Updated, preloaded=(np.zeros(3), None))).action("update")(5)
    assert pipeline.next_batch(3).x.tolist() == [5, 5, 5]
    assert repr(pipeline).startswith("Pipeline().action('update')(5) <<")
    with pytest.raises(AttributeError, match="did you mean 'update'"):
        pipeline.action("updte")
    with pytest.raises(TypeError, match="has the name of a step of pipelines"):
        pipeline.to_yaml()


def test_private_names_are_never_actions(dataset):
    for name in ("_private", "__array__", "_ipython_display_"):
        assert not hasattr(Pipeline(), name)
        assert not hasattr(Pipeline(dataset), name)


def test_pipelines_survive_copying_and_pickling(dataset, net_class):
    pipeline = Pipeline(config={"a": 1}).add(B("y")).add(P(R("normal")), p=0.5) * 2 @ V("p")
    for other in (copy.copy(pipeline), copy.deepcopy(pipeline), pickle.loads(pickle.dumps(pipeline))):
        assert repr(other) == repr(pipeline)
    done = Pipeline(dataset).init_variable("v", 1).run(5)
    assert copy.deepcopy(done).last_run is None
