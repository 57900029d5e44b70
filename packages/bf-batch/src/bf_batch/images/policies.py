"""Augmentation policies: RandAugment and TrivialAugment, each item with steps of its own."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from bf_batch.actions import action
from bf_batch.images.arguments import Fill, Names, role_of
from bf_batch.images.colour.actions import ColourActions
from bf_batch.images.geometry.actions import GeometryActions
from bf_batch.images.geometry.apply import StepOptions, apply_step
from bf_batch.images.geometry.frames import Sizes, Step, centres_of, rows_of
from bf_batch.itemwise.work import PerItem

STEPS = (
    "identity",
    "shear_x",
    "shear_y",
    "translate_x",
    "translate_y",
    "rotate",
    "adjust_brightness",
    "adjust_saturation",
    "adjust_contrast",
    "adjust_sharpness",
    "posterize",
    "solarize",
    "autocontrast",
    "equalize",
)
_NUMBER = {name: number for number, name in enumerate(STEPS)}
_GEOMETRY = STEPS[1:6]
_BLENDS = STEPS[6:10]


@dataclass(frozen=True, slots=True)
class Ranges:
    """The changes that each step makes at full strength.

    Shears are tangents, angles degrees, shifts a part of the side or, when above 1, pixels; blends move the
    factor from 1; the posterize step takes so many bits away. Solarize goes from white to black at full
    strength in both papers.
    """

    shear: float
    shift: float
    angle: float
    blend: float
    bits: int


RAND = Ranges(shear=0.3, shift=150 / 331, angle=30.0, blend=0.9, bits=4)
"""RandAugment (Cubuk 2019) at a magnitude of 30."""
WIDE = Ranges(shear=0.99, shift=32.0, angle=135.0, blend=0.99, bits=6)
"""TrivialAugment's wide space (Müller 2021)."""
LEVELS = 30


class PolicyActions(GeometryActions, ColourActions):
    """RandAugment and TrivialAugment on bytes or floats of 0..1; masks and points get the geometry."""

    @action
    def rand_augment(
        self, n: int = 2, magnitude: float = 9.0, *, fill: Fill = 0.0, src: Names = "images"
    ) -> Self:
        """Apply ``n`` random steps of one strength, from 0 to 30, to each item (Cubuk 2019)."""
        if n < 0 or not 0 <= magnitude <= LEVELS:
            raise ValueError(
                f"rand_augment: n must not be negative and magnitude from 0 to {LEVELS}, got n={n}, "
                f"magnitude={magnitude}"
            )
        for _ in range(n):
            draw = self.rng()
            steps = draw.integers(len(STEPS), size=len(self))
            signs = np.where(draw.random(len(self)) < 0.5, -1.0, 1.0)
            strength = np.full(len(self), magnitude / LEVELS)
            take_steps(self, steps, strength, signs, RAND, fill, src, "rand_augment")
        return self

    @action
    def trivial_augment(self, *, fill: Fill = 0.0, src: Names = "images") -> Self:
        """Apply one random step of a random strength to each item (Müller 2021, the wide space)."""
        draw = self.rng()
        steps = draw.integers(len(STEPS), size=len(self))
        strength = draw.integers(LEVELS + 1, size=len(self)) / LEVELS
        signs = np.where(draw.random(len(self)) < 0.5, -1.0, 1.0)
        take_steps(self, steps, strength, signs, WIDE, fill, src, "trivial_augment")
        return self


def take_steps(
    batch: PolicyActions,
    steps: NDArray[np.int64],
    strength: NDArray[np.float64],
    signs: NDArray[np.float64],
    ranges: Ranges,
    fill: Fill,
    src: Names,
    what: str,
) -> None:
    """Let each item take its own step.

    All geometry is one step; then each colour step follows for the items that drew it.
    """

    def drew(name: str) -> NDArray[np.bool_]:
        return np.asarray(steps == _NUMBER[name])

    signed = signs * strength
    if any(drew(name).any() for name in _GEOMETRY):
        zero = np.zeros_like(signed)

        def make(sizes: Sizes) -> Step:
            sides = rows_of(sizes) if ranges.shift <= 1 else np.ones((1, 2))
            down, right = (ranges.shift * sides[:, axis] * signed for axis in (0, 1))
            return Step(
                sizes,
                angle=np.where(drew("rotate"), signed * ranges.angle, zero),
                shear=ranges.shear
                * np.column_stack([np.where(drew(f"shear_{axis}"), signed, zero) for axis in ("y", "x")]),
                shift=np.column_stack(
                    [np.where(drew("translate_y"), down, zero), np.where(drew("translate_x"), right, zero)]
                ),
                centre=centres_of(sizes, sizes),
            )

        apply_step(batch, make, 1.0, StepOptions(None, fill, True, src, None), what)
    pictures = [n for n in ([src] if isinstance(src, str) else src) if role_of(batch, n) == "image"]
    values: dict[str, dict[str, Any]] = {name: {"factor": 1 + signed * ranges.blend} for name in _BLENDS}
    values["posterize"] = {"bits": 8 - np.rint(strength * ranges.bits)}
    values["solarize"] = {"threshold": 1 - strength}
    for name in STEPS[6:]:
        chosen = drew(name)
        if chosen.any():
            arguments = {key: PerItem(value) for key, value in values.get(name, {}).items()}
            getattr(batch, name)(**arguments, p=PerItem(chosen.astype(float)), src=pictures)
