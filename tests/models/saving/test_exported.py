"""Networks written for other programs, run by onnxruntime and by a process that has TensorFlow alone."""

from __future__ import annotations

import json
import sys

import numpy as np
import onnxruntime
import pytest

from bf_models import MLP, KerasModel
from bf_models.network.catalog import CATALOG
from bf_models.saving.exported import NOTES

RNG = np.random.default_rng(0)
NAMES = ("ant", "bee", "cat")
#: Small networks of each kind: residual, plain, depthwise, GELU and layer scale, attention.
NETWORKS = {
    "resnet18": {"stem": "small", "body": {"depths": [1, 1], "filters": 8}},
    "vgg7": {"body": {"stages": [[1, 0, 4], [1, 0, 8]]}},
    "mobilenetv2": {"stem": "small"},
    "convnexttiny": {
        "stem": "small",
        "initial_block": {"filters": 4},
        "body": {"depths": [1, 1], "scale": 1.0},
    },
    "vits16": {"initial_block": {"width": 12}, "body": {"depth": 2, "heads": 2, "hidden": 24}},
}


def make(name: str, **more) -> KerasModel:
    """Make a network whose weights and statistics are far from where they begin."""
    config = {"num_classes": 3, "seed": 1, "inputs": {"images": {"shape": (16, 16, 3)}}}
    model = CATALOG[name]({**config, **NETWORKS.get(name, {}), **more})
    for item in model.network.weights:
        if "seed" in item.path:
            continue
        low = 0.5 if item.path.endswith(("moving_variance", "gamma")) else -0.3
        item.assign(RNG.uniform(low, 0.8, item.shape))
    return model


def read(path):
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    names = [item.name for item in session.get_outputs()]
    return session, lambda **feeds: dict(zip(names, session.run(names, feeds)))


@pytest.mark.parametrize("name", NETWORKS)
def test_onnxruntime_predicts_as_we_do_for_batches_of_any_size(name, tmp_path):
    model = make(name)
    model.export(tmp_path / "net.onnx", classes=NAMES)
    session, run = read(tmp_path / "net.onnx")
    assert session.get_inputs()[0].shape == ["batch", 16, 16, 3]
    assert json.loads(session.get_modelmeta().custom_metadata_map["classes"]) == list(NAMES)
    for count in (1, 5):
        images = RNG.random((count, 16, 16, 3), "f4")
        want = model.predict(images, fetches={name: name for name in ("predictions", "proba", "labels")})
        got = run(images=images)
        assert np.abs(want["predictions"]).max() > 1e-3
        scale = np.abs(want["predictions"]).max()
        np.testing.assert_allclose(got["predictions"], want["predictions"], atol=1e-4 * scale)
        np.testing.assert_allclose(got["proba"], want["proba"], atol=1e-3)
        np.testing.assert_array_equal(got["labels"], want["labels"])


def test_scale_and_shift_are_inside_for_each_channel(tmp_path):
    model = make("vgg7")
    pixels = RNG.integers(0, 256, (4, 16, 16, 3))
    mean, deviation = np.array([0.4, 0.5, 0.6]), np.array([0.2, 0.25, 0.3])
    want = model.predict(((pixels / 255 - mean) / deviation).astype("f4"), fetches="proba")
    model.export(tmp_path / "net.onnx", scale=1 / 255 / deviation, shift=-mean / deviation)
    _, run = read(tmp_path / "net.onnx")
    np.testing.assert_allclose(run(images=pixels.astype("f4"))["proba"], want, atol=1e-5)


def test_averages_are_written_and_a_network_of_numbers_has_no_classes(tmp_path):
    rows, targets = RNG.normal(size=(8, 6)).astype("f4"), RNG.normal(size=8).astype("f4")
    model = MLP({"loss": "mse", "ema": 0.9, "body": {"units": [5]}, "inputs": {"rows": {"shape": (6,)}}})
    for _ in range(3):
        model.train(rows=rows, labels=targets)
    model.export(tmp_path / "net.onnx")
    _, run = read(tmp_path / "net.onnx")
    got = run(rows=rows)
    assert list(got) == ["predictions"]
    np.testing.assert_allclose(got["predictions"], model.predict(rows=rows), atol=1e-6)


@pytest.mark.slow
def test_a_process_with_tensorflow_alone_predicts_the_same(tmp_path, run_script):
    model, images = make("convnexttiny"), RNG.random((3, 16, 16, 3), "f4")
    for _ in range(2):  # a second one takes the place of the first
        model.export(tmp_path / "served", classes=NAMES, scale=2.0, shift=-0.5)
    np.save(tmp_path / "images.npy", images)
    np.save(tmp_path / "proba.npy", model.predict(images * 2 - 0.5, fetches="proba"))
    done = run_script(
        f"""
        import json, sys
        import numpy as np, tensorflow as tf
        served = tf.saved_model.load({str(tmp_path / "served")!r}).signatures["serving_default"]
        want = np.load({str(tmp_path / "proba.npy")!r})
        images = np.load({str(tmp_path / "images.npy")!r})
        for count in (1, 3):
            got = served(images=tf.constant(images[:count]))["proba"]
            assert np.allclose(got, want[:count], atol=1e-5)
        assert not [name for name in sys.modules if name.startswith("bf_")]
        print(json.load(open({str(tmp_path / "served" / NOTES)!r}))["classes"])
        """
    )
    assert json.loads(done.out) == list(NAMES), done.err


def test_what_cannot_be_written_is_refused(tmp_path, monkeypatch):
    model = make("vgg7")
    with pytest.raises(ValueError, match="2 names of classes, and there are 3"):
        model.export(tmp_path / "net.onnx", classes=("ant", "bee"))
    with pytest.raises(ValueError, match="one for each of 3 channels"):
        model.export(tmp_path / "net.onnx", scale=[1.0, 2.0])
    (tmp_path / "notes.txt").write_text("mine")
    for place in (tmp_path, tmp_path / "notes.txt"):
        with pytest.raises(FileExistsError, match="is there and no SavedModel"):
            model.export(place)
    (tmp_path / "folder.onnx").mkdir()
    with pytest.raises(FileExistsError, match="is a folder"):
        model.export(tmp_path / "folder.onnx")
    monkeypatch.setitem(sys.modules, "tf2onnx", None)
    with pytest.raises(ImportError, match=r"'tf2onnx' is not installed: pip install 'bf-models\[onnx\]'"):
        model.export(tmp_path / "net.onnx")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["folder.onnx", "notes.txt"]
