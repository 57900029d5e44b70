"""State of a run: taken after any batch, in any engine, the rest is the same to the last bit."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bf_batch import Batch, Dataset, SkipBatch, action
from bf_index import StateError
from bf_pipeline import B, P, Pipeline, R, V, build
from bf_pipeline.run.checkpoint.files import latest

WAYS = [("inline", 0), ("threads", 1), ("threads", 4)]


class Noisy(Batch):
    """A batch with random values of every kind."""

    components = ("x",)

    @action
    def draw(self, scale):
        if 7 in self.indices:
            raise SkipBatch
        self.x = self.rng().normal(size=len(self)) * np.asarray(scale)
        return self


class Mean:
    """Metrics in miniature."""

    def __init__(self, targets, predictions):
        self.sums = np.array([float(np.sum(targets)), float(len(targets))])

    def update(self, other):
        self.sums += other.sums

    def evaluate(self, name):
        return float(self.sums[0] / self.sums[1])


class Line:
    """A model in miniature: weights and the momentum of its optimizer."""

    def __init__(self, config):
        self.state = [1.0, 0.0]

    def train(self, inputs=None, targets=None, *, fetches=None, feed_dict=None, **kwargs):
        weight, momentum = self.state
        momentum = 0.9 * momentum + float(np.sum(inputs)) * 0.1
        self.state = [weight - momentum, momentum]
        return self.state[0]

    def predict(self, inputs=None, targets=None, *, fetches=None, feed_dict=None, **kwargs):
        return inputs

    def save(self, path):
        path.write_text(json.dumps(self.state))

    @classmethod
    def load(cls, path):
        made = cls(None)
        made.state = json.loads(path.read_text())
        return made


def template(n=50, model=False):
    """A pipeline with random numbers, variables of several kinds and metrics."""
    pipeline = (
        Pipeline(Dataset(n, Noisy))
        .init_variable("history", init_on_each_run=list)
        .init_variable("metrics", None)
        .init_variable("total", np.zeros(3))
        .draw(P(R("uniform", 1, 2)))
        .update(V("history"), B("x"), mode="a")
        .update(V("total"), V("total") + B("x")[0])
        .gather_metrics(Mean, B("x"), B("x"), save_to=V("metrics"))
    )
    if model:
        pipeline = pipeline.init_model("dynamic", Line, "line").train_model("line", B("x"), save_to=V("loss"))
        pipeline = Pipeline().init_variable("loss", 0.0) + pipeline
    return pipeline


OPTIONS = {"batch_size": 4, "shuffle": True, "n_epochs": 3}


def values(batches):
    return [(batch.indices.tolist(), batch.x.tolist()) for batch in batches]


def memory(run):
    """All that a run holds, as plain values."""
    found = {name: run.v(name) for name in ("history", "total")}
    return [
        [list(map(float, row)) for row in found["history"]],
        found["total"].tolist(),
        run.v("metrics").sums.tolist(),
    ]


@pytest.fixture(scope="module")
def whole():
    """A run that was never interrupted."""
    batches = template().gen_batch(seed=11, **OPTIONS)
    return values(batches), memory(batches.run)


@pytest.mark.faults("RN24")
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("taken", [0, 1, 12, 13, 36])
def test_a_resumed_run_gives_the_rest_bit_by_bit(whole, way, taken):
    wanted, wanted_memory = whole
    first = template().gen_batch(seed=11, engine=way[0], prefetch=way[1], **OPTIONS)
    assert values(next(first) for _ in range(taken)) == wanted[:taken]
    state = json.loads(json.dumps(first.state()))
    first.close()
    for engine, prefetch in WAYS:
        rest = template().gen_batch(resume=state, engine=engine, prefetch=prefetch, **OPTIONS)
        assert values(rest) == wanted[taken:]
        assert memory(rest.run) == wanted_memory


@pytest.mark.faults("RN24")
def test_the_state_is_that_after_each_batch_inside_a_loop(whole):
    states = []
    batches = template().gen_batch(seed=11, prefetch=4, **OPTIONS)
    for _ in batches:
        states.append(batches.state())
    for taken in (3, 20, 35):
        assert values(template().gen_batch(resume=states[taken - 1], **OPTIONS)) == whole[0][taken:]


def test_next_batch_and_run_resume_too(whole):
    first = template().gen_batch(seed=11, **OPTIONS)
    for _ in range(5):
        next(first)
    pipeline = template()
    batch = pipeline.next_batch(resume=first.state(), **OPTIONS)
    assert (batch.indices.tolist(), batch.x.tolist()) == whole[0][5]
    done = template().run(resume=first.state(), **OPTIONS)
    assert memory(done.last_run) == whole[1]


@pytest.mark.parametrize("way", WAYS)
def test_a_run_stopped_between_checkpoints_goes_on_from_the_last_one(tmp_path, way):
    whole = template(model=True).run(seed=3, **OPTIONS)
    pipeline = template(model=True).checkpoint(tmp_path / "saved", every=5)
    batches = pipeline.gen_batch(seed=3, engine=way[0], prefetch=way[1], **OPTIONS)
    for _ in range(13):
        next(batches)
    batches.close()
    assert latest(tmp_path / "saved").state["delivered"] == 10
    done = pipeline.run(resume=tmp_path / "saved", **OPTIONS)
    assert memory(done.last_run) == memory(whole.last_run)
    assert done.m("line").state == whole.m("line").state
    assert latest(tmp_path / "saved").state["delivered"] == done.last_run.delivered


def test_a_first_start_with_resume_begins_at_the_beginning(tmp_path):
    pipeline = template().checkpoint(tmp_path, every=5)
    done = pipeline.run(seed=3, resume=tmp_path, **OPTIONS)
    assert memory(done.last_run) == memory(template().run(seed=3, **OPTIONS).last_run)


def test_a_finished_run_can_have_more_epochs(tmp_path):
    longer = {**OPTIONS, "n_epochs": 4}
    template().checkpoint(tmp_path).run(seed=3, **OPTIONS)
    done = template().run(resume=tmp_path, **longer)
    assert memory(done.last_run) == memory(template().run(seed=3, **longer).last_run)


def test_checkpoints_of_another_run_are_not_written_over(tmp_path):
    template().checkpoint(tmp_path).run(seed=3, **OPTIONS)
    with pytest.raises(FileExistsError, match="resume="):
        template().checkpoint(tmp_path).gen_batch(seed=3, **OPTIONS)


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("inner", "outer"), [(3, 5), (5, 3), (4, 4)])
def test_a_rebatched_run_goes_on_after_any_batch(inner, outer, way):
    pipeline = (
        Pipeline(Dataset(50, Noisy))
        .init_variable("n", 0)
        .draw(P(R("uniform", 1, 2)))
        .update(V("n"), V("n") + 1)
        .rebatch(outer)
        .update(B("x"), B("x") + R("normal") + V("n"))
        .rebatch(2)
    )
    options = {"batch_size": inner, "shuffle": True, "n_epochs": 2}
    batches = pipeline.gen_batch(seed=4, engine=way[0], prefetch=way[1], **options)
    wanted, states = [], [batches.state()]
    for batch in batches:
        wanted.append(batch.x.tolist())
        states.append(json.loads(json.dumps(batches.state())))
    assert len(wanted) > 40
    for taken in (0, 1, 2, 7, 20, len(wanted)):
        rest = pipeline.gen_batch(resume=states[taken], **options)
        assert [batch.x.tolist() for batch in rest] == wanted[taken:]


def test_n_iters_of_a_rebatched_run_count_from_the_beginning():
    pipeline = Pipeline(Dataset(50, Noisy)).draw(1).rebatch(5)
    options = {"batch_size": 3, "n_iters": 8}
    whole = [batch.x.tolist() for batch in pipeline.gen_batch(seed=4, **options)]
    first = pipeline.gen_batch(seed=4, **options)
    for _ in range(3):
        next(first)
    assert [batch.x.tolist() for batch in pipeline.gen_batch(resume=first.state(), **options)] == whole[3:]


@pytest.mark.faults("CK14")
def test_other_data_is_refused_unless_allowed():
    state = template(50).gen_batch(seed=1, **OPTIONS).state()
    with pytest.raises(StateError, match="other data") as caught:
        template(51).gen_batch(resume=state, **OPTIONS)
    assert "allow_other_data=True" in caught.value.__notes__[0]
    assert values(template(51).gen_batch(resume=state, allow_other_data=True, **OPTIONS))


@pytest.mark.faults("CK09")
def test_a_newer_state_is_refused():
    state = template().gen_batch(seed=1, **OPTIONS).state()
    with pytest.raises(StateError, match="schema 99"):
        template().gen_batch(resume={**state, "schema": 99}, **OPTIONS)


@pytest.mark.parametrize(
    ("change", "options", "text"),
    [
        ({}, {"batch_size": 5}, "batch_size"),
        ({}, {"seed": 2}, "seed"),
        ({"position": {}}, {}, "the state can't be read: KeyError: 'batches'"),
        ({"delivered": None}, {}, "the state can't be read: TypeError"),
        ({"position": {"batches": 1}}, {}, "seed"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_at_the_call(change, options, text):
    state = template().gen_batch(seed=1, **OPTIONS).state()
    with pytest.raises(StateError, match=text):
        template().gen_batch(resume={**state, **change}, **{**OPTIONS, **options})


def test_the_state_of_another_pipeline_is_refused():
    state = template().gen_batch(seed=1, **OPTIONS).state()
    other = template().init_variable("more", 1)
    with pytest.raises(StateError, match=r"\['history', 'metrics', 'total'\].*'more'"):
        other.gen_batch(resume=state, **OPTIONS)


def test_a_state_without_weights_does_not_pretend():
    batches = template(model=True).gen_batch(seed=1, **OPTIONS)
    next(batches)
    with pytest.raises(StateError, match="resume from a checkpoint"):
        template(model=True).gen_batch(resume=batches.state(), **OPTIONS)


def test_a_variable_that_is_no_data_is_named():
    pipeline = Pipeline(Dataset(4, Noisy)).init_variable("f", lambda: print).draw(1)
    with pytest.raises(TypeError, match="variable 'f'"):
        pipeline.gen_batch(2).state()


class Odd(dict):
    """Holds more than its attributes."""


class Slotted:
    """Holds nothing in attributes."""

    __slots__ = ("a",)


@pytest.mark.parametrize("make", [lambda: print, lambda: lambda: 1, Odd, Slotted, object])
def test_only_objects_that_are_all_attributes_are_saved(make):
    pipeline = Pipeline(Dataset(4, Noisy)).init_variable("f", lambda: make())
    with pytest.raises(TypeError, match="variable 'f'"):
        pipeline.gen_batch(2).state()


def test_an_object_of_a_class_that_only_a_step_knows_is_refused_when_saving():
    pipeline = Pipeline(Dataset(4, Noisy)).init_variable("f").update(V("f"), R(lambda size: [Mean([1], [1])]))
    batches = pipeline.gen_batch(2)
    next(batches)
    with pytest.raises(TypeError, match=r"variable 'f'.*classes that the pipeline names"):
        batches.state()


def test_what_can_not_be_saved_is_told_before_the_first_batch(tmp_path):
    pipeline = Pipeline(Dataset(4, Noisy)).init_variable("f", lambda: print).draw(1)
    with pytest.raises(TypeError, match="variable 'f'"):
        next(pipeline.checkpoint(tmp_path).gen_batch(2))


def test_a_schedule_comes_from_yaml_too(tmp_path):
    config = {
        "steps": [{"draw": 1}],
        "run": {"batch_size": 4, "checkpoint": {"path": str(tmp_path), "every": 2}},
    }
    build(config, Dataset(50, Noisy)).run()
    assert latest(tmp_path).state["delivered"] == 12
    with pytest.raises(TypeError, match=r"pipeline\.checkpoint"):
        template().run(4, checkpoint="saved")
    with pytest.raises(TypeError, match="did you mean 'every'"):
        template().run(4, checkpoint={"path": "saved", "evry": 3})


@pytest.mark.parametrize(("every", "keep"), [(0, 1), (1.5, 1), (True, 1), (1, 0)])
def test_a_wrong_schedule_is_refused(every, keep, tmp_path):
    with pytest.raises(ValueError, match="integer >= 1"):
        Pipeline().checkpoint(tmp_path, every=every, keep=keep)
