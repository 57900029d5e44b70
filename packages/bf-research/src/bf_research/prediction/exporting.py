"""A trained network written for other programs, with the steps before it that are arithmetic, and checked."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from bf_batch import Dataset, ImagesBatch
from bf_batch.opensets.own.rows import RowsBatch
from bf_index.errors import escape
from bf_index.seeding import rng_at
from bf_pipeline import B, build
from bf_research.prediction.predictor import load_model, read_scale
from bf_research.prediction.steps import SECTIONS, find_inputs, read_steps, reads_files
from bf_research.trained import NoModel, Trained

#: Steps that may be a factor and a number that is added.
_LINEAR = ("to_array", "normalize")
_BATCHES = {"images": ImagesBatch, "features": RowsBatch}
_OPENSETS = "bf_batch.opensets."
_ARRAYS = f"{_OPENSETS}ArrayFiles"
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


@dataclass(frozen=True)
class Arithmetic:
    """The last steps of the preparation as ``x * scale + shift``, and those before that are not."""

    scale: Any = 1.0
    shift: Any = 0.0
    inside: Sequence[Any] = ()
    before: Sequence[Any] = ()


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
    name = _find_component(trained)
    found = Arithmetic(before=_list_steps(trained))
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


def _find_component(trained: Trained) -> str | None:
    """Return the component that the network predicts from; None where that is an expression or not known."""
    try:
        inputs, _ = find_inputs(trained)
    except NoModel:
        return None
    return inputs.name if isinstance(inputs, B) and inputs.name in _BATCHES else None


def _list_steps(trained: Trained) -> list[Any]:
    return [step for section in SECTIONS for step in read_steps(trained, section)]


def find_arithmetic(trained: Trained, name: str, shape: Sequence[int | None]) -> Arithmetic:
    """Return the last steps of the preparation as a factor and a number for each channel, as far as they are.

    They are tried out on numbers of ``shape`` for the component ``name``; a step that reads other numbers
    than bytes, or draws some, stays before the network.
    """
    steps = _list_steps(trained)
    first = len(steps)
    while first and isinstance(steps[first - 1], Mapping) and set(steps[first - 1]) <= set(_LINEAR):
        first -= 1
    if name == "images" and not _has_bytes(trained):
        first = len(steps)
    for start in range(first, len(steps)):
        found = _probe(steps[start:], name, tuple(side or _SIDE for side in shape))
        if found is not None:
            return Arithmetic(*found, inside=steps[start:], before=steps[:start])
        if name == "images":  # what the first steps leave are no bytes
            break
    return Arithmetic(before=steps)


def _has_bytes(trained: Trained) -> bool:
    """Whether pictures are bytes before they are prepared: those of files, and of our open data sets."""
    target = str((trained.config.get("dataset") or {}).get("_target_"))
    return reads_files(trained) or (target.startswith(_OPENSETS) and target != _ARRAYS)


def _probe(steps: Sequence[Any], name: str, shape: tuple[int, ...]) -> tuple[list[float], list[float]] | None:
    """Return factor and number for each channel of what some steps do; None where they do anything else."""
    pixels = name == "images"
    top = 255 if pixels else 1
    some = rng_at(0).integers(0, 256, (_PROBED, *shape))
    raw = np.stack([np.zeros(shape), np.full(shape, top), *some]).astype(np.uint8 if pixels else np.float64)
    dataset = Dataset(len(raw), _BATCHES[name], {name: raw})
    batch = (build({"steps": list(steps)}) << dataset).next_batch(len(raw))
    made = np.asarray(getattr(batch, name))
    if made.shape != raw.shape or made.dtype.kind != "f":
        return None
    axes = tuple(range(len(shape) - 1))
    shift = made[0].astype(np.float64).mean(axes)
    scale = (made[1].astype(np.float64).mean(axes) - shift) / top
    wanted = raw * scale + shift
    if not np.allclose(made, wanted, rtol=1e-5, atol=1e-5 * max(1.0, float(np.abs(wanted).max()))):
        return None
    return np.atleast_1d(scale).tolist(), np.atleast_1d(shift).tolist()


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
