"""Colour actions of image batches, defined as in Pillow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal, Self

import numpy as np

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.dtypes import limit_to
from bf_batch.images.arguments import Names
from bf_batch.images.arrays import read_only
from bf_batch.images.colour.recolour import (
    LEVELS,
    Pictures,
    Recolour,
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
    def invert(
        self,
        channels: int | Sequence[int] | Literal["all"] = "all",
        *,
        p: Number = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Make negatives, of all channels or of those of some numbers (from 0; -1 is the last)."""
        numbers = None if isinstance(channels, str) and channels == "all" else _as_channels(channels)

        def function(pictures: Pictures) -> Pictures:
            if numbers is None:
                return _invert(pictures)
            some = _pick_channels(numbers, pictures.shape[3])
            out = new_output(pictures)
            out[...] = pictures
            out[..., some] = _invert(pictures[..., some])
            return out

        return replace_pictures(self, "invert", lambda _: function, p, src, dst)

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
        self, bits: Number = 4, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
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

    @action(itemwise=True, older={"multiplier": "factor"})
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
    def clip(
        self, low: Number, high: Number, *, p: Number = 1.0, src: Names = "images", dst: Names | None = None
    ) -> Self:
        """Limit pixels to a range, in the units of the pictures; integers to the whole numbers within it."""
        return replace_pictures(self, "clip", lambda _: _clip, p, src, dst, low=low, high=high)

    @action(itemwise=True)
    def enhance(
        self,
        factor: Number | Sequence[Number],
        layout: str = "hcbs",
        *,
        p: Number = 1.0,
        src: Names = "images",
        dst: Names | None = None,
    ) -> Self:
        """Change saturation (h), contrast (c), brightness (b) and sharpness (s), in the order of ``layout``.

        ``factor`` is a number for all, or one for each letter; 1 leaves pictures as they are, see
        ``adjust_saturation`` and the others.
        """
        letters = _check_layout(layout)
        factors = _split_factors(factor, letters)

        def function(pictures: Pictures, **values: Any) -> Pictures:
            for number, letter in enumerate(letters):
                changed = _ENHANCEMENTS[letter](pictures, values[f"factor_{number}"])
                pictures = read_only(changed)
            return pictures

        named = {f"factor_{number}": value for number, value in enumerate(factors)}
        return recolour(self, "enhance", function, p, src, dst, **named)

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


def _as_channels(channels: Any) -> tuple[int, ...]:
    """Return numbers of channels as a tuple."""
    numbers = (channels,) if isinstance(channels, (int, np.integer)) else tuple(channels)
    whole = [isinstance(one, (int, np.integer)) and not isinstance(one, bool) for one in numbers]
    if not numbers or not all(whole):
        raise ValueError(f"invert: channels is 'all', a number from 0 on, or several, got {channels!r}")
    return numbers


def _pick_channels(numbers: tuple[int, ...], count: int) -> list[int]:
    """Return which of so many channels are meant; a ValueError for one that there is not."""
    for number in numbers:
        if not -count <= number < count:
            raise ValueError(f"invert: channels={number} for pictures of {count}; give 0 to {count - 1}")
    return sorted({number % count for number in numbers})


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


def _clip(pictures: Pictures, low: Any, high: Any) -> Pictures:
    low, high = low.reshape(-1, 1, 1, 1), high.reshape(-1, 1, 1, 1)
    kind = pictures.dtype
    if kind.kind in "biu":  # the whole numbers within the range, as far as there are such in the dtype
        low, high = np.ceil(low), np.floor(high)
    if not (low <= high).all():
        raise ValueError(
            f"clip: low must not be above high, and of {kind} a whole number must lie between them; got "
            f"low={low.max():g}, high={high.min():g}"
        )
    if kind.kind == "f":
        return np.asarray(np.clip(pictures, low.astype(kind), high.astype(kind)))
    return np.asarray(np.clip(pictures, limit_to(kind, low), limit_to(kind, high)))


def _check_layout(layout: str) -> str:
    for letter in layout if isinstance(layout, str) else "?":
        if letter not in _ENHANCEMENTS:
            raise ValueError(
                "enhance: layout is made of h (saturation), c (contrast), b (brightness) and s (sharpness), "
                f"got {layout!r}"
            )
    if not layout:
        raise ValueError("enhance: layout is empty; give letters of 'hcbs'")
    return layout


def _split_factors(factor: Any, letters: str) -> list[Any]:
    """Return a factor for each letter; rows of a ``PerItem`` hold one for each, too."""
    if isinstance(factor, PerItem):
        values = np.asarray(factor.values, np.float64).reshape(len(factor), -1)
        columns = [PerItem(values[:, column]) for column in range(values.shape[1])]
    elif isinstance(factor, (Sequence, np.ndarray)) and not isinstance(factor, str):
        columns = list(factor)
    else:
        columns = [factor]
    if len(columns) not in (1, len(letters)):
        raise ValueError(
            f"enhance: got {len(columns)} factors for the {len(letters)} letters of layout={letters!r}; give "
            "one, or one each"
        )
    return columns * (len(letters) // len(columns))


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


_ENHANCEMENTS: Mapping[str, Recolour] = {
    "h": _adjust_saturation,
    "c": _adjust_contrast,
    "b": _adjust_brightness,
    "s": _adjust_sharpness,
}
"""What the letters of ``enhance`` stand for."""
