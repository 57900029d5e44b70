"""Colour actions of image batches, defined as in Pillow."""

from __future__ import annotations

from typing import Any, Self

import numpy as np

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.images.arguments import Names
from bf_batch.images.colour.recolour import (
    LEVELS,
    Pictures,
    apply_curve,
    colour_loops,
    count_levels,
    equalizing_tables,
    has_colours,
    look_up,
    new_output,
    recolour,
    replace_pictures,
    round_to_tables,
    stretching_tables,
    to_levels,
)
from bf_batch.itemwise.work import PerItem

Number = float | PerItem


class ColourActions(Batch):
    """Brightness, contrast and the like: on bytes, or on floats of 0..1 (before ``normalize``).

    All take ``p`` (the chance of each item), ``src`` and ``dst``; numbers may be ``PerItem``. They read the
    pixels, so pending geometry is computed first: put colour before or after all geometry, not between.
    """

    @action(itemwise=True)
    def adjust_brightness(
        self, factor: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Multiply pixels: 0 is black, 1 the picture as it is."""
        return recolour(self, "adjust_brightness", _adjust_brightness, p, src, dst, factor=factor)

    @action(itemwise=True)
    def adjust_contrast(
        self, factor: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Blend with the mean grey of the picture: 0 is that grey, 1 the picture as it is.

        Of other than 1, 3 or 4 channels it is the mean of all.
        """
        return recolour(self, "adjust_contrast", _adjust_contrast, p, src, dst, factor=factor)

    @action(itemwise=True)
    def adjust_saturation(
        self, factor: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Blend with the grey picture: 0 is grey, 1 the picture as it is; grey pictures stay as they are."""
        return recolour(self, "adjust_saturation", _adjust_saturation, p, src, dst, factor=factor)

    @action(itemwise=True)
    def adjust_hue(
        self, shift: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Turn the hue by a part of the circle, from -0.5 to 0.5; grey pictures stay as they are."""
        return recolour(self, "adjust_hue", _adjust_hue, p, src, dst, shift=shift)

    @action(itemwise=True)
    def adjust_gamma(
        self,
        gamma: Number,
        gain: Number = 1.0,
        *,
        p: Number = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Replace pixels by ``gain * pixel ** gamma`` on the scale of 0..1: gamma above 1 darkens."""
        return recolour(self, "adjust_gamma", _adjust_gamma, p, src, dst, gamma=gamma, gain=gain)

    @action(itemwise=True)
    def adjust_sharpness(
        self, factor: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Blend with a smoothed picture: 0 is smooth, 1 as it is, 2 sharper."""
        return recolour(self, "adjust_sharpness", _adjust_sharpness, p, src, dst, factor=factor)

    @action(itemwise=True)
    def invert(self, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None) -> Self:
        """Make negatives."""
        return replace_pictures(self, "invert", lambda _: _invert, p, src, dst)

    @action(itemwise=True)
    def solarize(
        self, threshold: Number = 0.5, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Invert the pixels from a threshold up.

        The threshold is a part of full white: Pillow's 128 is 128 / 255.
        """
        return recolour(self, "solarize", _solarize, p, src, dst, threshold=threshold)

    @action(itemwise=True)
    def posterize(
        self, bits: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Keep the highest ``bits`` (1 to 8) of each byte."""
        return recolour(self, "posterize", _posterize, p, src, dst, bits=bits)

    @action(itemwise=True)
    def equalize(self, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None) -> Self:
        """Spread the histogram of each channel evenly over all values."""
        return recolour(self, "equalize", _equalize, p, src, dst)

    @action(itemwise=True)
    def autocontrast(self, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None) -> Self:
        """Stretch each channel so that its darkest pixel is black and its lightest white."""
        return recolour(self, "autocontrast", _stretch, p, src, dst)

    @action(itemwise=True)
    def multiply(
        self, factor: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Multiply pixels.

        Bytes are rounded and limited, floats are not limited (``to_array(scale=)`` makes floats).
        """
        return recolour(self, "multiply", _multiply, p, src, dst, factor=factor)

    @action(itemwise=True)
    def add(self, term: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None) -> Self:
        """Add a part of full white (0.1 is 25.5 on bytes); bytes are limited, floats are not."""
        return recolour(self, "add", _add, p, src, dst, term=term)

    @action(itemwise=True)
    def blur(
        self, sigma: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Blur by a Gauss curve of ``sigma`` pixels; pictures are mirrored at their edges."""
        return recolour(self, "blur", _blur, p, src, dst, sigma=sigma)


def _is_bytes(pictures: Pictures) -> bool:
    return bool(pictures.dtype == np.uint8)


def _adjust_brightness(pictures: Pictures, factor: Any) -> Pictures:
    return apply_curve(pictures, lambda level, value: level * value, factor)


def _adjust_contrast(pictures: Pictures, factor: Any) -> Pictures:
    means = np.empty(len(pictures))
    colour_loops().average_grey(pictures, means)
    if _is_bytes(pictures):
        middle = np.floor(means + 0.5)[:, None]  # Pillow rounds the mean
        return look_up(pictures, round_to_tables(middle + (LEVELS - middle) * factor[:, None]))
    middle = means.astype(np.float32).reshape(-1, 1, 1, 1)
    shaped = factor.astype(np.float32).reshape(-1, 1, 1, 1)
    return np.asarray(np.clip(middle + (pictures - middle) * shaped, 0, 1))


def _adjust_saturation(pictures: Pictures, factor: Any) -> Pictures:
    if not has_colours(pictures, "adjust_saturation"):
        return pictures
    out = new_output(pictures)
    colour_loops().blend_grey(pictures, np.array(factor), _is_bytes(pictures), out)
    return out


def _adjust_hue(pictures: Pictures, shift: Any) -> Pictures:
    if not has_colours(pictures, "adjust_hue"):
        return pictures
    out = new_output(pictures)
    colour_loops().turn_hue(pictures, np.array(shift), _is_bytes(pictures), out)
    return out


def _adjust_gamma(pictures: Pictures, gamma: Any, gain: Any) -> Pictures:
    if (gain == 1).all():
        return apply_curve(pictures, lambda level, value: level**value, gamma)
    if _is_bytes(pictures):
        return look_up(
            pictures, round_to_tables(255 * gain[:, None] * (LEVELS / 255)[None] ** gamma[:, None])
        )
    powers = pictures ** gamma.astype(np.float32).reshape(-1, 1, 1, 1)
    return np.asarray(np.clip(powers * gain.astype(np.float32).reshape(-1, 1, 1, 1), 0, 1))


def _adjust_sharpness(pictures: Pictures, factor: Any) -> Pictures:
    out = new_output(pictures)
    colour_loops().sharpen(pictures, np.array(factor), _is_bytes(pictures), out)
    return out


def _invert(pictures: Pictures) -> Pictures:
    kind = pictures.dtype
    if kind.kind == "b":
        return ~pictures
    if kind.kind not in "iu":
        return np.asarray(kind.type(1) - pictures)
    # what is below zero is blacker than black: its negative is white
    return np.asarray(np.iinfo(kind).max - np.maximum(pictures, 0))


def _solarize(pictures: Pictures, threshold: Any) -> Pictures:
    return apply_curve(
        pictures, lambda level, value: np.where(level < value - 1e-9, level, 1 - level), threshold
    )


def _posterize(pictures: Pictures, bits: Any) -> Pictures:
    whole = np.asarray(bits).astype(np.int64)
    if not ((whole >= 1) & (whole <= 8)).all():
        raise ValueError(f"posterize: bits must be from 1 to 8, got {bits[(whole < 1) | (whole > 8)][0]:g}")
    masks = (0xFF << (8 - whole)) & 0xFF
    tables = (np.arange(256)[None] & masks[:, None]).astype(np.uint8)[:, None]
    return _apply_on_bytes(pictures, lambda _: tables)


def _equalize(pictures: Pictures) -> Pictures:
    return _apply_on_bytes(pictures, lambda levels: equalizing_tables(count_levels(levels)))


def _stretch(pictures: Pictures) -> Pictures:
    return _apply_on_bytes(pictures, lambda levels: stretching_tables(count_levels(levels)))


def _apply_on_bytes(pictures: Pictures, tables: Any) -> Pictures:
    """Apply tables that are defined on bytes; floats are first rounded to 256 levels."""
    levels = pictures if _is_bytes(pictures) else to_levels(pictures)
    levels = levels.view()
    levels.flags.writeable = False
    found = look_up(levels, tables(levels))
    return found if _is_bytes(pictures) else (found / np.float32(255)).astype(np.float32)


def _multiply(pictures: Pictures, factor: Any) -> Pictures:
    if _is_bytes(pictures):
        return look_up(pictures, round_to_tables(LEVELS[None] * factor[:, None]))
    return np.asarray(pictures * factor.astype(np.float32).reshape(-1, 1, 1, 1))


def _add(pictures: Pictures, term: Any) -> Pictures:
    if _is_bytes(pictures):
        return look_up(pictures, round_to_tables(LEVELS[None] + 255 * term[:, None]))
    return np.asarray(pictures + term.astype(np.float32).reshape(-1, 1, 1, 1))


def _blur(pictures: Pictures, sigma: Any) -> Pictures:
    out = new_output(pictures)
    colour_loops().blur(pictures, np.array(sigma), _is_bytes(pictures), out)
    return out
