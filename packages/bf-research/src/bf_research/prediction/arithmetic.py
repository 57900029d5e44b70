"""The last steps of a preparation as arithmetic: a factor and a number that is added, and the way back."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_batch import Dataset, ImagesBatch
from bf_batch.opensets.own.rows import RowsBatch
from bf_batch.opensets.own.signals import SignalsBatch
from bf_index.seeding import rng_at
from bf_pipeline import B, build
from bf_research.prediction.steps import SECTIONS, find_inputs, read_steps, reads_files
from bf_research.trained import NoModel, Trained

#: Steps that may be a factor and a number that is added.
_LINEAR = ("to_array", "normalize")
_BATCHES = {"images": ImagesBatch, "features": RowsBatch, "signals": SignalsBatch}
_OPENSETS = "bf_batch.opensets."
_ARRAYS = f"{_OPENSETS}ArrayFiles"
_PROBED, _SIDE = 3, 16


@dataclass(frozen=True)
class Arithmetic:
    """The last steps of the preparation as ``x * scale + shift``, and those before that are not."""

    scale: Any = 1.0
    shift: Any = 0.0
    inside: Sequence[Any] = ()
    before: Sequence[Any] = ()

    def undo(self, values: Any) -> np.ndarray:
        """Return numbers (..., channels) that the network sees as they were before, float32."""
        raw: np.ndarray = (np.asarray(values, np.float64) - np.asarray(self.shift)) / np.asarray(self.scale)
        return np.asarray(raw, np.float32)


def find_component(trained: Trained) -> str | None:
    """Return the component that the network predicts from; None where that is an expression or not known."""
    try:
        inputs, _ = find_inputs(trained)
    except NoModel:
        return None
    return inputs.name if isinstance(inputs, B) and inputs.name in _BATCHES else None


def list_prepared(trained: Trained) -> list[Any]:
    """Return the steps that data go through before the network sees them."""
    return [step for section in SECTIONS for step in read_steps(trained, section)]


def find_arithmetic(trained: Trained, name: str, shape: Sequence[int | None]) -> Arithmetic:
    """Return the last steps of the preparation as a factor and a number for each channel, as far as they are.

    They are tried out on numbers of ``shape`` for the component ``name``; a step that reads other numbers
    than bytes, or draws some, stays before the network.
    """
    steps = list_prepared(trained)
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
