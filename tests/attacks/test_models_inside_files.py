"""Models inside other files: saved models, checkpoints of runs, estimators of scikit-learn, results."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset
from bf_index import StateError
from bf_index.names import TargetError
from bf_models import MLP, KerasModel, SklearnModel
from bf_models.errors import CorruptModel, UnsafeCheckpoint
from bf_models.saving import archive
from bf_pipeline import Pipeline, V
from bf_pipeline.run.checkpoint.values import Decoder
from bf_research import Results

CONFIG = {"inputs": {"images": {"shape": (4,)}}, "num_classes": 2, "loss": "ce"}
VIA = "bf_models.saving.archive.os.system"
CHANGES = [
    {"body": {"_target_": VIA, "command": "{command}"}},
    {"head": {"_target_": "os.system", "command": "{command}"}, "allow": ["os", "posix"]},
    {"body": {"_target_": "os.system", "command": "{command}"}, "allow/os": 1, "allow/posix": 1},
    {"loss": {"_target_": VIA, "command": "{command}"}},
    {"loss": [{"name": "ce"}, {"name": VIA, "command": "{command}"}]},
    {"optimizer": {"_target_": "keras.utils.get_file", "origin": "file:///etc/passwd"}},
    {"schedule": {"_target_": VIA, "command": "{command}"}},
    {"body": "keras.models.load_model"},
    {"common": {"activation": {"class_name": "function", "module": "keras.utils", "config": "get_file"}}},
    {"common": {"activation": {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}}}},
]


def forge(path: Path, command: str, changes: dict[str, Any]) -> None:
    """Change the config in a saved model; its checksums are right again."""
    saved = archive.load(path)
    changes = json.loads(json.dumps(changes).replace("{command}", command))
    told = {**saved.description, "config": {**saved.description["config"], **changes}}
    archive.write(path, archive.Saved(told, saved.weights, saved.optimizer))


@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_saved_models(tmp_path, canary, changes):
    path = tmp_path / "net.bfm"
    MLP(CONFIG).build().save(path)
    forge(path, canary.command, changes)
    for reader in (MLP, KerasModel):
        with pytest.raises(TargetError, match=r"net\.bfm, model\.json: MLP\..* is refused"):
            reader.load(path)


def run(tmp_path: Path, config: dict[str, Any] = CONFIG, **options: Any) -> Any:
    images = np.zeros((4, 4), "f4")
    return (
        Pipeline(Dataset(4, Batch))
        .init_variable("seen", default=0)
        .init_model("static", MLP, "net", config)
        .train_model("net", images[:2], np.zeros(2, "i8"))
        .update(V("seen"), 1)
        .run(2, **options)
    )


def resumed(tmp_path: Path, config: dict[str, Any] = CONFIG) -> Any:
    return run(tmp_path, config, resume=tmp_path / "ck", n_epochs=2)


def signed(folder: Path) -> None:
    """Give a changed checkpoint the checksums of its files."""
    files = [path for path in folder.rglob("*") if path.is_file() and path.name != "manifest.json"]
    told = {
        path.relative_to(folder).as_posix(): {
            "bytes": path.stat().st_size,
            "sha256": hashlib.sha256(path.read_bytes()).hexdigest(),
        }
        for path in files
    }
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": told}))


@pytest.fixture
def checkpoint(tmp_path: Path) -> Callable[..., Path]:
    """Write a checkpoint of a run with a network, and return its folder."""

    def write(config: dict[str, Any] = CONFIG) -> Path:
        pipeline = (
            Pipeline(Dataset(4, Batch))
            .init_variable("seen", default=0)
            .init_model("static", MLP, "net", config)
            .train_model("net", np.zeros((2, 4), "f4"), np.zeros(2, "i8"))
            .update(V("seen"), 1)
        )
        pipeline.checkpoint(tmp_path / "ck").run(2, n_epochs=1)
        (folder,) = (tmp_path / "ck").glob("checkpoint-*")
        return folder

    return write


@pytest.mark.parametrize("changes", CHANGES[:3], ids=str)
def test_checkpoints(tmp_path, canary, checkpoint, changes):
    folder = checkpoint()
    forge(folder / "models" / "000", canary.command, changes)
    signed(folder)
    with pytest.raises(TargetError, match=r"checkpoint-000001/models/000, model\.json: MLP\..* is refused"):
        resumed(tmp_path)


def test_a_checkpoint_is_given_what_the_pipeline_allows(tmp_path, monkeypatch, checkpoint):
    (tmp_path / "myparts.py").write_text(
        "class Body:\n    def __call__(self, x, net):\n        return net.dense(x, 3, name='own')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    checkpoint({**CONFIG, "body": {"_target_": "myparts.Body"}, "allow": ["myparts"]})
    with pytest.raises(TargetError, match="myparts"):
        resumed(tmp_path)
    done = resumed(tmp_path, {**CONFIG, "allow": ["myparts"]})
    assert "own" in done.m("net").layer_names


class Counts:
    """A class that a pipeline names."""

    def evaluate(self) -> int:
        return 1


def test_objects_in_checkpoints():
    decode = Decoder({}, {"Counts": Counts}).decode
    assert decode({"$": "object", "class": "Counts", "attributes": {"n": 3}}).n == 3
    with pytest.raises(ValueError, match="a method"):
        decode({"$": "object", "class": "Counts", "attributes": {"evaluate": "x"}})
    with pytest.raises(ValueError, match=r"os\.system"):
        decode({"$": "object", "class": "os.system", "attributes": {}})


@pytest.fixture
def estimator(tmp_path: Path) -> Callable[..., Path]:
    """Save an estimator, with changes in what is said of it and in its arrays."""
    pytest.importorskip("sklearn")

    def write(arrays: dict[str, Any] | None = None, **changes: Any) -> Path:
        told = {"_target_": "sklearn.linear_model.SGDClassifier", "random_state": 0}
        model = SklearnModel({"estimator": told, "num_classes": 3})
        model.train(np.eye(3), np.arange(3))
        path = tmp_path / "sgd.bfm"
        model.save(path)
        saved = archive.load(path)
        description = {**saved.description, **changes}
        archive.write(path, archive.Saved(description, {**saved.weights, **(arrays or {})}, {}))
        return path

    return write


@pytest.mark.parametrize(
    "name",
    [
        "os.system",
        "sklearn.datasets.fetch_openml",
        "sklearn.base.inspect.getmembers",
        "sklearn.preprocessing.FunctionTransformer",
        "sklearn.pipeline.Pipeline",
        "sklearn.linear_model.SGDClassifier.set_params",
        "joblib.load",
        "bf_models.SklearnModel",
        "keras.utils.get_file",
    ],
)
def test_estimators_that_are_none(canary, estimator, name):
    path = estimator(target=name, parameters={"command": canary.command})
    with pytest.raises(
        TargetError, match=r"sgd\.bfm, model\.json: SklearnModel\.estimator: _target_ .*refused"
    ):
        SklearnModel.load(path)
    path = estimator(parameters={"_target_": name, "command": canary.command})
    with pytest.raises(TypeError, match="command"):  # the name that is said once is the one that counts
        SklearnModel.load(path)


@pytest.mark.parametrize(
    "name", ["predict", "fit", "__class__", "__dict__", "_validate_params", "nosuch", "a b_"]
)
def test_attributes_that_no_estimator_learns(estimator, name):
    with pytest.raises(UnsafeCheckpoint, match=r"sgd\.bfm, attributes: .*is refused"):
        SklearnModel.load(estimator(attributes={name: "x"}))
    with pytest.raises(UnsafeCheckpoint, match=r"sgd\.bfm, weights: .*is refused"):
        SklearnModel.load(estimator({name: np.zeros(2)}))


@pytest.mark.parametrize("value", [{"_target_": "os.system"}, [{"class_name": "x"}], [[{}]]])
def test_values_that_no_estimator_holds(estimator, value):
    with pytest.raises(UnsafeCheckpoint, match=r"attributes\.coef_ is"):
        SklearnModel.load(estimator(attributes={"coef_": value}))
    with pytest.raises(UnsafeCheckpoint, match=r"parameters\.alpha is"):
        SklearnModel.load(estimator(parameters={"alpha": value}))
    with pytest.raises(CorruptModel, match=r"sgd\.bfm"):
        SklearnModel.load(estimator(parameters=[value]))


def test_names_in_results_are_texts(tmp_path, canary):
    told = {"_target_": "os.system", "command": canary.command}
    trial = {
        "id": "a",
        "number": 0,
        "state": "DONE",
        "config": {"model": told},
        "rows": [{"score": 1, "x": told}],
    }
    path = tmp_path / "results.json"
    path.write_text(json.dumps({"results": 1, "returns": ["score", "x"], "trials": [trial]}))
    try:
        results = Results.load(path)
    except StateError as error:
        pytest.fail(f"the forged file is not read at all: {error}")
    assert results.records[0].config == {"model": told}
    assert results.df["x"][0] == told
