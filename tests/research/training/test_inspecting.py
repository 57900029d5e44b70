"""The event that looks into a model at the end of a training, and keeps what it finds with the run."""

from __future__ import annotations

import json

import pytest

from bf_batch import Batch, Dataset
from bf_index.names import TargetError
from bf_models import MLP
from bf_pipeline import B, Pipeline, V
from bf_research import Training
from bf_research.training.inspecting import Inspection
from tests.research.training.test_rate_test import FEATURES, LABELS


class Rows(Batch):
    components = "features", "labels"


def test_what_is_found_is_kept_with_the_run(tmp_path) -> None:
    by = {"_target_": "bf_models.inspection.Benchmarking", "batch_sizes": [1, 4], "seconds": 0.01}
    event = Inspection(by, name="benchmark")
    config = {"num_classes": 3, "loss": "ce", "body": {"units": [4]}}
    pipeline = (
        Pipeline()
        .init_variable("loss")
        .init_model("static", MLP, "net", config)
        .train_model("net", B("features"), B("labels"), fetches="loss", save_to=V("loss"))
    ) << Dataset(64, Rows, preloaded=(FEATURES, LABELS))
    Training(pipeline, folder=tmp_path, events=[event]).run(16, n_iters=1)
    kept = json.loads((tmp_path / "benchmark.json").read_text())
    assert [(one["kind"], one["batch_size"]) for one in kept["timings"]] == [
        ("predict", 1),
        ("predict", 4),
        ("train", 1),
        ("train", 4),
    ]
    assert kept == json.loads(json.dumps(event.found.to_dict()))


def test_what_cannot_look_is_refused_at_once() -> None:
    with pytest.raises(TargetError, match="an inspection of a model is asked for"):
        Inspection({"_target_": "bf_models.inspection.benchmark"})
    with pytest.raises(TargetError, match="is refused"):
        Inspection({"_target_": "os.system"})
    with pytest.raises(TypeError, match=r"unknown argument 'second'.*did you mean 'seconds'"):
        Inspection({"_target_": "bf_models.inspection.Benchmarking", "second": 1})
    with pytest.raises(TypeError, match="by has a method inspect"):
        Inspection(3)
