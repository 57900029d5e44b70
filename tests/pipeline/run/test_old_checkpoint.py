"""A checkpoint that was written before the package had rooms is read, and its run goes on as if never cut."""

from pathlib import Path

import numpy as np

from bf_batch import Batch, Dataset, action
from bf_models.metrics import ClassificationMetrics, RegressionMetrics
from bf_pipeline import B, Pipeline, V
from bf_pipeline.checkpoint import latest

SAVED = Path(__file__).parent / "saved"
OPTIONS = {"batch_size": 4, "shuffle": True, "n_epochs": 2}


class Points(Batch):
    """Numbers drawn for each batch, with labels."""

    components = ("x", "label")

    @action
    def make(self):
        self.x = self.rng().normal(size=len(self))
        self.label = np.asarray(self.indices) % 3
        return self


def measured():
    labels = {"fmt": "labels", "num_classes": 3}
    return (
        Pipeline(Dataset(23, Points))
        .init_variable("classes")
        .init_variable("regression")
        .make()
        .gather_metrics(ClassificationMetrics, B("label"), B("label"), save_to=V("classes"), **labels)
        .gather_metrics(RegressionMetrics, B("label"), B("x"), save_to=V("regression"))
    )


def test_names_of_classes_in_it_are_those_of_today():
    variables = latest(SAVED).state["variables"]
    for name, kind in (("classes", ClassificationMetrics), ("regression", RegressionMetrics)):
        assert variables[name]["class"] == f"{kind.__module__}.{kind.__qualname__}"


def test_the_run_goes_on_with_the_same_batches():
    taken = latest(SAVED).state["delivered"]
    whole = [batch.x.tolist() for batch in measured().gen_batch(seed=13, **OPTIONS)]
    resumed = measured().gen_batch(resume=SAVED, **OPTIONS)
    assert [batch.x.tolist() for batch in resumed] == whole[taken:]
    assert resumed.v("classes").evaluate("accuracy") == 1
    assert len(resumed.v("regression")._targets) == 46
