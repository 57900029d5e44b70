"""A trained network written for other programs, with the steps before it that are arithmetic, and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bf_index.errors import escape
from bf_index.seeding import rng_at
from bf_research.prediction.arithmetic import Arithmetic, find_arithmetic, find_component, list_prepared
from bf_research.prediction.predictor import load_model, read_scale
from bf_research.trained import Trained

_PROBED, _SIDE = 3, 16
#: What programs may differ by, as a share of the largest prediction.
_NEAR = 1e-2
ONNX = ".onnx"


@dataclass(frozen=True)
class Exported:
    """A network that was written: where, what it takes, and by how much it differs from ours."""

    path: Path
    takes: str
    before: Sequence[Any]
    difference: float

    def __str__(self) -> str:
        left = f"; before it: {json.dumps(list(self.before))}" if self.before else ""
        return (
            f"{self.path}: takes {self.takes}{left}; its predictions for {_PROBED} random items differ by at "
            f"most {self.difference:.1e} from those of the training's program"
        )


def export_trained(
    trained: Trained, path: str | Path, *, allow: Sequence[str] = (), classes: Sequence[str] | None = None
) -> Exported:
    """Write a trained network as ``NAME.onnx`` or as a SavedModel, a folder, and compare its predictions.

    The steps ``to_array`` and ``normalize`` at the end of ``prepare`` are inside, so that it takes pixels of
    0 to 255, or rows, as they were read; the file's metadata have ``classes``, ``input``, and the steps
    ``inside`` and ``before`` it as JSON. ImportError names what is not installed, ValueError what can't be
    written, RuntimeError a file whose predictions are others.
    """
    path = Path(path).expanduser()
    if path.suffix.lower() == ONNX and find_spec("onnxruntime") is None:
        raise ImportError(
            f"{escape(path)}: it is compared by onnxruntime, which is not installed: "
            "pip install 'bf-models[onnx]'"
        )
    model = load_model(trained, tuple(allow))
    if not hasattr(model, "export"):
        raise ValueError(f"{trained.shown}: {type(model).__name__} has no method export")
    shapes = [tuple(item.shape[1:]) for item in model.network.inputs]
    name = find_component(trained)
    found = Arithmetic(before=list_prepared(trained))
    if name is not None and len(shapes) == 1:
        found = find_arithmetic(trained, name, shapes[0])
    named = ", ".join(f"{item.name} {shape}" for item, shape in zip(model.network.inputs, shapes))
    numbers = "bytes of 0 to 255 as they were read" if found.inside and name == "images" else "numbers"
    takes = f"{named} of float32, {numbers}"
    notes = {
        "input": takes,
        "inside": json.dumps(list(found.inside)),
        "before": json.dumps(list(found.before)),
        "model": type(model).__name__,
    }
    scaled = read_scale(trained)
    if scaled is not None:  # numbers that were learnt with mean 0 and deviation 1
        mean, deviation = (np.asarray(value).tolist() for value in scaled)
        notes["unit"] = json.dumps({"mean": mean, "std": deviation})
    names = trained.classes if classes is None else tuple(classes)
    model.export(path, classes=names, scale=found.scale, shift=found.shift, notes=notes)
    return Exported(path, takes, found.before, _compare(path, model, found))


def _compare(path: Path, model: Any, found: Arithmetic) -> float:
    """Return the largest difference of the written network's predictions; RuntimeError where it is large."""
    top = 255.0 if found.inside else 1.0
    feeds = {}
    for number, item in enumerate(model.network.inputs):
        shape = tuple(side or _SIDE for side in item.shape[1:])
        feeds[item.name] = rng_at(1, number).uniform(0, top, (_PROBED, *shape)).astype(np.float32)
    scale, shift = np.asarray(found.scale, np.float32), np.asarray(found.shift, np.float32)
    want = model.predict(feed_dict={name: values * scale + shift for name, values in feeds.items()})
    run = _run_onnx if path.suffix.lower() == ONNX else _run_saved_model
    got = run(path, feeds)
    difference = float(np.abs(got - want).max())
    if not difference <= _NEAR * max(1.0, float(np.abs(want).max())):
        raise RuntimeError(f"{escape(path)}: its predictions differ by {difference:g}; do not use it")
    return difference


def _run_onnx(path: Path, feeds: Mapping[str, Any]) -> Any:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    return session.run(["predictions"], dict(feeds))[0]


def _run_saved_model(path: Path, feeds: Mapping[str, Any]) -> Any:
    import tensorflow as tf

    loaded = tf.saved_model.load(str(path))
    given = {name: tf.constant(values) for name, values in feeds.items()}
    return loaded.signatures["serving_default"](**given)["predictions"].numpy()
