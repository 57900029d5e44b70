"""RN rows of runs in the caller, and MD rows of steps with models."""

from __future__ import annotations

import signal
import threading
import time

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action, inbatch_parallel
from bf_pipeline import B, BindError, F, Pipeline, R, V


class Points(Batch):
    components = ("x",)

    @action
    def add(self, value):
        self.x = self.x + value
        return self

    @action
    def noise(self):
        self.x = self.x + self.rng().normal(size=len(self))
        return self

    @action
    @inbatch_parallel(init="x", post="take", target="inline")
    def jitter(self, item, rng):
        return item + rng.normal()

    def take(self, results, *args, **kwargs):
        self.x = np.array(results)
        return self

    @action
    def fail_at(self, number):
        if self.place.batch == number:
            raise KeyError("boom")
        return self

    @action
    def forget(self):
        self.x = self.x + 1


class Net:
    def __init__(self, config=None):
        self.inside, self.most = 0, 0

    def train(self, inputs=None, targets=None, *, fetches=None, feed_dict=None, rate=0.1):
        self.inside += 1
        self.most = max(self.most, self.inside)
        time.sleep(0.001)
        self.inside -= 1
        return 0.0

    def predict(self, inputs=None, targets=None, *, fetches=None, feed_dict=None):
        return inputs


@pytest.fixture
def dataset():
    return Dataset(20, Points, preloaded=(np.arange(20.0),))


@pytest.mark.faults("RN01")
def test_an_error_keeps_its_type_and_tells_step_batch_and_ids(dataset):
    pipeline = Pipeline(dataset).add(1).fail_at(3).add(2)
    delivered = []
    batches = pipeline.gen_batch(4)
    with pytest.raises(KeyError, match="boom") as caught:
        delivered.extend(batch.place.batch for batch in batches)
    assert delivered == [0, 1, 2]
    (note,) = caught.value.__notes__
    assert "step 1 'fail_at'" in note
    assert f"{__file__}:" in note
    assert "batch 3 of epoch 0" in note
    assert "ids [12, 13, 14, 15]" in note


@pytest.mark.faults("RN01")
def test_an_error_inside_a_repetition_names_the_inner_step_too(dataset):
    with pytest.raises(KeyError) as caught:
        ((Pipeline().add(1).fail_at(0)) * 2 << dataset).run(4)
    assert any("inside: step 2 'fail_at'" in note for note in caught.value.__notes__)


@pytest.mark.faults("BA06")
def test_an_action_that_returns_nothing_is_named(dataset):
    with pytest.raises(TypeError, match="forget returned NoneType, not a batch: end it with `return self`"):
        Pipeline(dataset).forget().add(1).run(4)


@pytest.mark.faults("RN06b")
def test_one_ctrl_c_ends_a_run_in_the_caller(start_script):
    script = start_script(
        """
        import time
        from bf_batch import Batch, Dataset, action
        from bf_pipeline import Pipeline

        class Slow(Batch):
            @action
            def wait(self):
                time.sleep(0.05)
                return self

        pipeline = Pipeline(Dataset(1000, Slow)).wait().after.print("after").main
        for number, batch in enumerate(pipeline.gen_batch(1)):
            if number == 2:
                print("running", flush=True)
        """
    )
    script.wait_for("running")
    script.interrupt()
    finished = script.finish()
    assert finished.code in (130, -signal.SIGINT)
    assert "KeyboardInterrupt" in finished.err
    assert "after" in finished.out


@pytest.mark.faults("RN11")
def test_negative_prefetch_is_refused_at_the_call(dataset):
    with pytest.raises(ValueError, match="-3"):
        Pipeline(dataset).gen_batch(4, prefetch=-3)
    with pytest.raises(TypeError, match="True"):
        Pipeline(dataset).gen_batch(4, prefetch=True)


@pytest.mark.faults("RN12")
@pytest.mark.parametrize("prefetch", [0, 2])
def test_unknown_engine_is_refused_at_the_call_with_those_that_there_are(dataset, prefetch):
    with pytest.raises(ValueError, match=r"unknown engine 'process'.*inline, threads, processes"):
        Pipeline(dataset).gen_batch(4, prefetch=prefetch, engine="process")


@pytest.mark.faults("RN12b")
def test_unknown_engine_is_refused_without_prefetch_too(dataset):
    with pytest.raises(ValueError, match="did you mean 'processes'"):
        Pipeline(dataset).run(4, engine="process")


@pytest.mark.faults("RN12c")
@pytest.mark.parametrize("method", ["run", "gen_batch", "next_batch", "run_later"])
def test_misspelt_option_is_refused_with_a_hint(dataset, method):
    with pytest.raises(TypeError, match=r"unknown argument 'prefech'.*did you mean 'prefetch'"):
        getattr(Pipeline(dataset), method)(4, prefech=4)


@pytest.mark.faults("RN15a", "RN23")
def test_the_same_seed_gives_the_same_values_again(dataset):
    pipeline = Pipeline(dataset).noise().add(R("normal"), p=0.5)
    first, again, other = (
        np.concatenate([batch.x for batch in pipeline.gen_batch(4, shuffle=True, n_epochs=2, seed=seed)])
        for seed in (1, 1, 2)
    )
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.faults("RN15b")
def test_batches_worked_on_ahead_by_threads_are_the_same(dataset):
    pipeline = Pipeline(dataset).noise().add(R("normal"), p=0.5)
    here, ahead = (
        np.concatenate(
            [batch.x for batch in pipeline.gen_batch(3, shuffle=True, n_epochs=2, seed=1, **options)]
        )
        for options in ({}, {"prefetch": 3, "engine": "threads", "workers": 2})
    )
    assert np.array_equal(here, ahead)


@pytest.mark.faults("RN15d")
def test_random_values_inside_items_are_the_same_in_threads(dataset):
    here, threads = (
        (Pipeline(dataset).jitter(target=target)).next_batch(20, seed=1).x for target in ("inline", "threads")
    )
    assert np.array_equal(here, threads)
    assert len(set((here - np.arange(20)).round(9))) == 20


@pytest.mark.faults("RN22")
def test_fewer_items_than_a_batch_is_an_error_and_not_an_empty_run(dataset):
    with pytest.raises(ValueError, match=r"batch_size=30.*20"):
        Pipeline(dataset).run(30, drop_last=True)
    with pytest.raises(ValueError, match="batch_size=30"):
        Pipeline(dataset).gen_batch(30, prefetch=2)


@pytest.mark.faults("RN26")
def test_an_error_in_a_default_or_before_is_the_original_one(dataset):
    def broken():
        raise OSError("disk gone")

    for pipeline in (
        Pipeline(dataset).init_variable("v", broken),
        Pipeline(dataset).init_variable("v", F(broken)),
        Pipeline(dataset).before.call(broken).main,
        Pipeline(dataset).after.call(broken).main,
    ):
        with pytest.raises(OSError, match="disk gone") as caught:
            pipeline.run(4)
        assert f"{__file__}:" in caught.value.__notes__[0]


@pytest.mark.faults("MD07")
def test_a_model_is_never_trained_by_two_threads_at_once(dataset):
    trained = Pipeline(dataset).init_model("static", Net, "net").run(20)
    pipeline = Pipeline(dataset).import_model("net", trained).train_model("net", B("x"))
    threads = [threading.Thread(target=pipeline.run, args=(1,), kwargs={"prefetch": 2}) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert trained.m("net").most == 1


@pytest.mark.faults("MD11")
def test_misspelt_model_is_found_at_bind(dataset):
    pipeline = Pipeline(dataset).init_model("dynamic", Net, "net").train_model("nett", B("x"))
    with pytest.raises(
        BindError, match=r"test_pipeline_running.py:\d+: .*unknown model 'nett'; did you mean 'net'"
    ):
        pipeline.run(4)


@pytest.mark.faults("MD12")
def test_two_models_of_one_name_are_an_error(dataset):
    pipeline = (
        Pipeline(dataset).init_model("dynamic", Net, "net").init_model("dynamic", Net, "net", config={"a": 1})
    )
    with pytest.raises(BindError, match="model 'net' is declared twice, first at"):
        pipeline.run(4)


@pytest.mark.faults("MD14")
def test_unknown_argument_of_train_names_model_and_argument(dataset):
    pipeline = Pipeline(dataset).init_model("dynamic", Net, "net").train_model("net", B("x"), rat=1)
    with pytest.raises(
        BindError, match=r"unknown argument 'rat' of train_model\('net'\); did you mean 'rate'"
    ):
        pipeline.run(4)


@pytest.mark.faults("RN32")
def test_a_second_iterator_in_the_middle_of_the_first_mixes_nothing(dataset):
    pipeline = Pipeline(dataset).init_variable("sum", 0.0).update(V("sum"), V("sum") + B("x").attr("sum")())
    first, second = pipeline.gen_batch(4, prefetch=2), pipeline.gen_batch(4, prefetch=2)
    next(first), next(first)
    assert [batch.x[0] for batch in second] == [0, 4, 8, 12, 16]
    assert [batch.x[0] for batch in first] == [8, 12, 16]
    assert first.v("sum") == second.v("sum") == 190
