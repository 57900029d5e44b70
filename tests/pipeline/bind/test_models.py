"""Models and metrics in pipelines: only their protocols are known."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import numpy as np
import pytest

from bf_pipeline import B, BindError, C, F, M, Metrics, Model, Pipeline, V


def test_the_protocols_fit_what_the_tests_use(net_class, counts_class):
    assert isinstance(net_class(), Model)
    assert isinstance(counts_class([1], [1]), Metrics)


def test_a_dynamic_model_is_built_at_its_first_use_from_the_batch(dataset, net_class):
    pipeline = (
        Pipeline(dataset, {"depth": 3})
        .init_model(
            "dynamic",
            net_class,
            "net",
            config={"shape": B("x").attr("shape"), "depth": C("depth"), "n": [F(int)]},
        )
        .train_model("net", B("x"))
    )
    batches = pipeline.gen_batch(5)
    assert batches.run.models.slot("net").model is None
    next(batches)
    assert batches.m("net").config == {"shape": (5,), "depth": 3, "n": [0]}


def test_a_static_model_is_there_when_the_run_starts(dataset, net_class):
    pipeline = Pipeline(dataset, {"depth": 3}).init_variable("k", 7)
    pipeline = pipeline.init_model("static", net_class, "net", config={"depth": C("depth"), "k": V("k")})
    assert pipeline.gen_batch(5).m("net").config == {"depth": 3, "k": 7}


def test_the_class_of_a_model_may_come_from_the_config(dataset, net_class):
    pipeline = Pipeline(dataset).init_model("dynamic", C("model"), "net").train_model("net", B("x"))
    assert isinstance(pipeline.run(5, config={"model": net_class}).m("net"), net_class)


def test_each_run_has_a_model_of_its_own_and_the_recorded_config_stays(dataset, net_class):
    config = {"list": [1]}
    pipeline = Pipeline(dataset).init_model("static", net_class, "net", config=config)
    first, second = pipeline.gen_batch(5), pipeline.gen_batch(5)
    first.m("net").config["list"].append(2)
    assert second.m("net").config == {"list": [1]}
    assert config == {"list": [1]}


def test_outputs_of_training_go_where_they_are_told(dataset, net_class):
    pipeline = (
        Pipeline(dataset)
        .init_model("dynamic", net_class, "net")
        .init_variable("losses", init_on_each_run=list)
        .init_variable("last", 0)
        .init_variable("mean", 0)
        .init_variable("named", list)
        .train_model("net", fetches="loss", feed_dict={"x": B("x")}, save_to=V("losses"), mode="a")
        .train_model("net", B("x"), fetches=["loss", "mean"], save_to=[V("last"), V("mean")], rate=2.0)
        .train_model("net", inputs=B("x"), fetches={"a": "mean"}, save_to={"a": V("named")}, mode="a")
        .train_model("net", B("x"))
    )
    done = pipeline.run(5)
    assert done.v("losses") == [10, 35]
    assert (done.v("last"), done.v("mean")) == (70, 7)
    assert done.v("named") == [2, 7]


def test_predictions_go_into_components_and_variables(dataset, net_class):
    pipeline = (
        Pipeline(dataset)
        .init_model("dynamic", net_class, "net")
        .init_variable("all", list)
        .predict_model("net", B("x"), save_to=B("y"))
        .predict_model("net", B("x"), save_to=V("all"), mode="e")
    )
    assert next(pipeline.gen_batch(5)).y.tolist() == [0, 10, 20, 30, 40]
    assert pipeline.run(5).v("all") == [10 * i for i in range(10)]


def test_a_model_is_imported_from_a_pipeline_a_run_or_as_it_is(dataset, net_class):
    train = Pipeline(dataset).init_model("dynamic", net_class, "net").train_model("net", B("x"))
    test = Pipeline(dataset).import_model("net", train).predict_model("net", B("x"), save_to=B("y"))
    with pytest.raises(LookupError, match="was not run yet"):
        test.run(5)
    done = train.run(5)
    for source in (train, done, done.last_run, done.m("net")):
        tested = Pipeline(dataset).import_model("net", source).train_model("net", B("x")).run(10)
        assert tested.m("net") is done.m("net")
    assert test.run(5).m("net") is train.m("net")
    late = (
        Pipeline(dataset).import_model("net", C("import_from")).predict_model("net", B("x"), save_to=B("y"))
    )
    assert late.run(5, config={"import_from": train}).m("net") is train.m("net")
    with pytest.raises(TypeError, match="not a pipeline, a run or a model"):
        Pipeline(dataset).import_model("net", 5).run(5)


def test_a_model_is_shared_while_its_run_goes_on(dataset, net_class):
    train = Pipeline(dataset).init_model("dynamic", net_class, "net").train_model("net", B("x"))
    train.next_batch(5)
    test = (
        Pipeline(dataset)
        .import_model("net", train)
        .init_variable("seen")
        .update(V("seen"), M("net").attr("seen"))
    )
    assert test.run(10).v("seen") == [10]
    train.next_batch()
    assert test.run(10).v("seen") == [10, 35]


def test_models_are_saved_and_loaded(dataset, net_class, tmp_path):
    path = str(tmp_path / "net.txt")
    train = Pipeline(dataset).init_model("dynamic", net_class, "net").train_model("net", B("x"))
    train.after.save_model("net", path).main.run(5)
    again = train.before.load_model("net", V("path")).main.init_variable("path", path).run(5)
    assert again.m("net").seen == [10, 35, 10, 35]
    every = train.save_model("net", F("{}/{}.txt".format)(str(tmp_path), B("x")[0])).run(5)
    assert sorted(one.name for one in tmp_path.iterdir()) == ["0.0.txt", "5.0.txt", "net.txt"]
    assert every.m("net").seen == [10, 35]


def test_metrics_are_gathered_over_batches(dataset, counts_class):
    pipeline = Pipeline(dataset).init_variable("metrics").init_variable("each", list).init_variable("last")
    for name, mode in (("metrics", "u"), ("each", "a"), ("last", "w")):
        pipeline = pipeline.gather_metrics(counts_class, B("y"), B("x") * 0, save_to=V(name), mode=mode)
    done = pipeline.run(4)
    assert (done.v("metrics").right, done.v("metrics").all, done.v("metrics").evaluate("accuracy")) == (
        5,
        10,
        0.5,
    )
    assert [one.all for one in done.v("each")] == [4, 4, 2]
    assert done.v("last").all == 2
    scaled = (
        Pipeline(dataset)
        .init_variable("m")
        .gather_metrics(counts_class, targets=B("y"), predictions=B("y"), scale=3, save_to=V("m"))
    )
    assert scaled.run(5).v("m").right == 30


def test_one_model_never_trains_in_two_threads_at_once(dataset, net_class):
    class Slow(net_class):
        inside = 0
        most = 0

        def train(self, inputs=None, targets=None, *, fetches=None, feed_dict=None):
            Slow.inside += 1
            Slow.most = max(Slow.most, Slow.inside)
            time.sleep(0.002)
            Slow.inside -= 1

    model = Slow()
    pipeline = Pipeline(dataset).import_model(
        "net", Pipeline(dataset).init_model("static", Slow, "net").run(5)
    )
    pipeline = pipeline.train_model("net", B("x"))
    threads = [threading.Thread(target=lambda: pipeline.run(1)) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert Slow.most == 1
    assert model.inside == 0


def test_a_failed_step_leaves_the_model_usable(dataset, net_class):
    pipeline = (
        Pipeline(dataset).init_model("static", net_class, "net").train_model("net", B("x"), fetches="nothing")
    )
    batches = pipeline.gen_batch(5)
    with pytest.raises(KeyError, match="nothing"):
        next(batches)
    assert batches.m("net").train(np.ones(3), fetches="loss") == 3


def test_an_error_while_building_names_the_model(dataset):
    def broken(config):
        raise RuntimeError("no such depth")

    with pytest.raises(RuntimeError, match="no such depth") as caught:
        Pipeline(dataset).init_model("static", broken, "net").run(5)
    assert any("while building model 'net'" in note for note in caught.value.__notes__)


def test_a_class_that_can_not_train_is_found_at_bind(dataset, net_class):
    pipeline = Pipeline(dataset).init_model("dynamic", dict, "net").train_model("net", B("x"))
    with pytest.raises(BindError, match=r"train_model\('net'\): dict has no train\(\); a model needs train"):
        pipeline.run(5)
    late = Pipeline(dataset).init_model("dynamic", C("model"), "net").train_model("net", B("x"), rat=1)
    with pytest.raises(BindError, match="unknown argument 'rat'"):
        late.run(5, config={"model": net_class})


def test_an_unknown_argument_of_the_model_is_found_at_bind(dataset, net_class):
    pipeline = (
        Pipeline(dataset).init_model("dynamic", net_class, "net").predict_model("net", B("x"), ftches="a")
    )
    with pytest.raises(
        BindError, match=r"unknown argument 'ftches' of predict_model\('net'\); did you mean 'fetches'"
    ):
        pipeline.run(5)


def test_a_model_may_end_the_run_without_a_fault(dataset, net_class):
    class Enough(ArithmeticError):
        stops_pipeline = True

    class Sated(net_class):
        steps = 0

        def train(self, *args, **kwargs):
            self.steps += 1
            if self.steps == 2:
                raise Enough("nothing more to learn")
            return super().train(*args, **kwargs)

    pipeline = Pipeline(dataset).init_model("dynamic", Sated, "net").train_model("net", B("x"))
    batches = list(pipeline.gen_batch(2))
    assert len(batches) == 1


class Kept:
    """A model that is kept as a number in a file."""

    def __init__(self, config=None):
        self.seen = []

    def train(self, inputs=None, targets=None, *, fetches=None, feed_dict=None):
        self.seen.append(float(np.sum(inputs)))

    def predict(self, inputs=None, targets=None, *, fetches=None, feed_dict=None):
        return inputs

    def save(self, path):
        Path(path).write_text(str(sum(self.seen)))

    @classmethod
    def load(cls, path):
        model = cls()
        model.seen = [float(Path(path).read_text())]
        return model


def test_a_model_is_saved_and_loaded_once_wherever_the_pipeline_is_recording(dataset, tmp_path):
    path = tmp_path / "model"
    training = (
        Pipeline(dataset)
        .init_model("dynamic", Kept, "net")
        .save_model_once("net", path)
        .train_model("net", B("x"))
        .init_variable("after")
    )
    assert [step.name for step in training.steps] == ["init_model", "train_model", "init_variable"]
    training.run(5)
    assert path.read_text() == "45.0"
    going = Pipeline(dataset).init_model("dynamic", Kept, "net").load_model_once("net", path)
    assert going.train_model("net", B("x")).run(10).m("net").seen == [45.0, 45.0]


def test_a_model_is_saved_and_loaded_now(dataset, tmp_path):
    path = tmp_path / "model"
    training = Pipeline(dataset).init_model("dynamic", Kept, "net").train_model("net", B("x"))
    with pytest.raises(RuntimeError, match="was not run yet"):
        training.save_model_now("net", path)
    done = training.run(5)
    assert done.save_model_now("net", path) is done
    loaded = Pipeline(dataset).load_model_now("net", path, Kept).train_model("net", B("x"))
    assert loaded.run(10).m("net").seen == [45.0, 45.0]
    with pytest.raises(TypeError, match="a class of models with load"):
        Pipeline(dataset).load_model_now("net", path, len)
    with pytest.raises(KeyError, match="did you mean 'net'"):
        done.save_model_now("nett", path)
