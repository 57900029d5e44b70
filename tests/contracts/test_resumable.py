"""What every pipeline promises: a state taken after any batch, brought to a new run, gives the very rest."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset, ImagesBatch, SkipBatch, action
from bf_index import Balanced, Weighted
from bf_models.metrics import ClassificationMetrics, RegressionMetrics
from bf_pipeline import B, F, I, NumpySampler, P, Pipeline, R, V, Where

SIZE = 23


class Points(Batch):
    """Numbers with labels; one batch is always left out."""

    components = ("x", "label")

    @action
    def make(self, scale=1):
        if 7 in self.indices:
            raise SkipBatch
        self.x = self.rng().normal(size=len(self)) * np.asarray(scale)
        self.label = np.asarray(self.indices) % 3
        return self

    @action
    def add(self, value):
        self.x = self.x + np.asarray(value)
        return self

    @action
    def minus(self, other):
        self.x = self.x - other.x
        return self


def plain(value: Any) -> Any:
    """A value as something that can be compared."""
    if isinstance(value, np.ndarray | np.generic):
        return value.tolist()
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return plain(vars(value)) if hasattr(value, "__dict__") else value


def look(batches):
    """All that comes out, and what the run holds at the end."""
    found = [[plain(getattr(batch, name)) for name in batch.components] for batch in batches]
    return found, plain(batches.run.variables)


def resumable(pipeline: Pipeline, ahead: dict[str, Any] | None = None, **options: Any) -> None:
    """Check that a run can be resumed after every batch, the first and the last included."""
    batches = pipeline.gen_batch(seed=13, **options, **(ahead or {}))
    states, seen = [batches.state()], []
    for batch in batches:
        seen.append([plain(getattr(batch, name)) for name in batch.components])
        states.append(json.loads(json.dumps(batches.state())))
    whole, variables = look(pipeline.gen_batch(seed=13, **options))
    assert seen == whole
    assert len(seen) > 3
    for taken, state in enumerate(states):
        assert pipeline.gen_batch(resume=state, **options).state() == state
        rest = pipeline.gen_batch(resume=state, **options, **(ahead or {}))
        assert look(rest) == (whole[taken:], variables), f"after {taken} batches"


DATA = Dataset(SIZE, Points)
OTHER = Pipeline(Dataset(SIZE, Points)).init_variable("n", 0).make().add(V("n")).update(V("n"), V("n") + 1)
PIPELINES = {
    "random": Pipeline(DATA).make(P(R("uniform", 1, 2))).add(P(R(NumpySampler("n") | NumpySampler("u")))),
    "coins": Pipeline(DATA).make() + (Pipeline().add(R("normal")) @ 0.5 + Pipeline().add(P(R("normal")))) * 3,
    "iteration": Pipeline(DATA).make().add(I()).add(Where(I() > 3, 100, R("normal"))),
    "variables": (
        Pipeline(DATA)
        .init_variable("history", list)
        .init_variable("best", {"value": None, "of": set()})
        .make()
        .update(V("history"), B("x"), mode="a")
        .update(V("best")["value"], F(np.max)(B("x")))
        .add(F(np.sum)(V("history")[-1]))
    ),
    "metrics": (
        Pipeline(DATA)
        .init_variable("classes")
        .init_variable("regression")
        .make()
        .gather_metrics(
            ClassificationMetrics, B("label"), B("label"), save_to=V("classes"), fmt="labels", num_classes=3
        )
        .gather_metrics(RegressionMetrics, B("label"), B("x"), save_to=V("regression"))
    ),
    "joined": Pipeline(DATA).make().join(OTHER).minus(),
    "merged": Pipeline(DATA).make().merge(OTHER),
    "before": (
        Pipeline(DATA)
        .before.init_variable("n", 0)
        .update(V("n"), 5)
        .main.make()
        .add(V("n"))
        .update(V("n"), V("n") + 1)
    ),
}


@pytest.mark.faults("RN24")
@pytest.mark.parametrize("name", PIPELINES)
def test_every_kind_of_pipeline_can_be_resumed_after_any_batch(name):
    resumable(PIPELINES[name], batch_size=4, shuffle=True, n_epochs=2)


@pytest.mark.faults("RN24")
@pytest.mark.parametrize("name", PIPELINES)
def test_under_prefetch_too(name):
    resumable(PIPELINES[name], {"prefetch": 3, "workers": 2}, batch_size=4, shuffle=True, n_epochs=1)


@pytest.mark.faults("RN24")
@pytest.mark.parametrize(
    "options",
    [
        {"drop_last": True},
        {"cross_epochs": True},
        {"order": Weighted(np.arange(1, SIZE + 1))},
        {"order": Balanced(np.arange(SIZE) % 3)},
        {"n_epochs": None, "n_iters": 7},
    ],
    ids=lambda options: "-".join(options),
)
def test_every_plan_can_be_resumed_after_any_batch(options):
    resumable(
        PIPELINES["random"], **{"batch_size": 4, "shuffle": "order" not in options, "n_epochs": 2, **options}
    )


@pytest.mark.faults("RN24")
def test_geometry_of_images_can_be_resumed_after_any_batch():
    images = np.random.default_rng(1).integers(0, 255, (SIZE, 8, 8), dtype=np.uint8)
    data = Dataset(SIZE, ImagesBatch, preloaded=(images, np.arange(SIZE)))
    pipeline = (
        Pipeline(data)
        .rotate(angle=P(R("uniform", -30, 30)), p=0.8)
        .scale(factor=P(R("uniform", 0.8, 1.2)), preserve_size=True)
    )
    resumable(pipeline, batch_size=4, shuffle=True, n_epochs=1)
