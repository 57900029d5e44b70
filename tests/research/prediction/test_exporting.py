"""Trained networks written for other programs, held against the predictions of the command."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
import pytest
import yaml

from bf_batch.opensets import Digits
from bf_models import MLP, KerasModel
from bf_research import find_trained
from bf_research.prediction.arithmetic import find_arithmetic
from bf_research.prediction.exporting import export_trained
from bf_research.prediction.predictor import Predictor
from bf_research.trained import Trained, write_trained

TEST = [{"predict_model": {"name": "net", "inputs": {"_target_": "bf_pipeline.B", "_args_": ["images"]}}}]
SCALED = {"to_array": {"dtype": "float32", "scale": 0.0625}}
NORMALIZED = {"normalize": {"mean": [0.02], "std": [0.05]}}
RESIZED = {"resize": {"size": [8, 8]}}
DIGITS = "bf_batch.opensets.Digits"


def make_run(folder: Path, prepare: list[Any], dataset: str = DIGITS, **config: Any) -> Trained:
    """Return a trained network for digits of 8 x 8 in a folder, with these steps."""
    folder.mkdir(exist_ok=True)
    body = {"units": [6]}
    model = MLP({"inputs": {"images": {"shape": (8, 8, 1)}}, "num_classes": 10, "seed": 5, "body": body})
    model.save(folder / "model.bf")
    told = {"dataset": {"_target_": dataset}, "model": {"_target_": "bf_models.MLP"}, **config}
    told["pipeline"] = {"prepare": prepare, "test": TEST}
    write_trained(folder, yaml.safe_dump(told), [f"digit {n}" for n in range(10)])
    return find_trained(str(folder))


@pytest.mark.parametrize(
    ("prepare", "inside"), [([SCALED], 1), ([NORMALIZED], 1), ([RESIZED, SCALED], 1), ([], 0)]
)
def test_raw_pixels_give_the_predictions_of_the_command(tmp_path, prepare, inside):
    trained = make_run(tmp_path / "a", prepare)
    done = export_trained(trained, tmp_path / "net.onnx")
    assert done.difference < 1e-4
    assert list(done.before) == prepare[: len(prepare) - inside]
    assert "bytes of 0 to 255" in str(done) if inside else "bytes" not in str(done)
    session = onnxruntime.InferenceSession(str(tmp_path / "net.onnx"), providers=["CPUExecutionProvider"])
    told = session.get_modelmeta().custom_metadata_map
    classes = json.loads(told["classes"])
    assert (len(json.loads(told["inside"])), json.loads(told["before"])) == (inside, list(done.before))
    test = Digits().test.subset(np.arange(20))
    wanted = next(Predictor(trained).predict(test, 20))
    pixels = test.create_batch(test.indices).images.astype("f4")
    proba, labels = session.run(["proba", "labels"], {"images": pixels})
    np.testing.assert_allclose(proba, wanted.shares, atol=1e-5)
    assert [classes[label] for label in labels] == wanted.values


def test_steps_that_are_no_arithmetic_of_bytes_stay_before_the_network(tmp_path):
    shape = (8, 8, 1)
    flipped = make_run(tmp_path / "a", [SCALED, {"flip": {"p": 1.0}}])
    assert find_arithmetic(flipped, "images", shape).inside == ()
    own = make_run(tmp_path / "b", [NORMALIZED], "bf_batch.opensets.ArrayFiles")  # pixels may be floats
    assert find_arithmetic(own, "images", shape).before == [NORMALIZED]
    each = make_run(tmp_path / "c", [{"normalize": {}}])  # of each picture by itself
    assert find_arithmetic(each, "images", shape).inside == ()
    rows = make_run(tmp_path / "d", [{"normalize": {"mean": [1.0, 2.0], "std": [2.0, 4.0]}}])
    found = find_arithmetic(rows, "features", (2,))
    np.testing.assert_allclose([found.scale, found.shift], [[0.5, 0.25], [-0.5, -0.5]])


def test_a_model_file_alone_is_written_with_names_that_are_given(tmp_path):
    model = make_run(tmp_path / "a", []).model
    (tmp_path / "alone.bf").write_bytes(model.read_bytes())
    trained = find_trained(str(tmp_path / "alone.bf"))
    with pytest.raises(ValueError, match="1 names of classes, and there are 10"):
        export_trained(trained, tmp_path / "net.onnx", classes=["ant"])
    done = export_trained(trained, tmp_path / "served", classes=list("abcdefghij"))
    assert (tmp_path / "served" / "saved_model.pb").is_file()
    assert done.before == []
    assert KerasModel.load(trained.model).name == "MLP"


def test_what_is_not_installed_is_told_before_anything_is_written(tmp_path, monkeypatch):
    trained = make_run(tmp_path / "a", [])
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"pip install 'bf-models\[onnx\]'"):
        export_trained(trained, tmp_path / "net.onnx")
    assert not (tmp_path / "net.onnx").exists()
