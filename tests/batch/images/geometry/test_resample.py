"""Geometry for every kind of picture (dtype, channels, order, border, sizes) against plain formulas."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import skimage.data

from bf_batch import ImagesBatch, PerItem

BORDERS = {"edge": "nearest", "reflect": "mirror", 0: "grid-constant", 0.25: "grid-constant"}


def picture(shape, channels, dtype, top=0):
    """A part of a photograph, smoothed, so that an error of place is small but seen."""
    part = skimage.data.astronaut()[top : top + shape[0], 100 : 100 + shape[1]] / 255
    smooth = scipy.ndimage.gaussian_filter(part, (2, 2, 0))
    wide = np.concatenate([smooth, smooth[::-1]], axis=2)[..., :channels]
    kind = np.dtype(dtype)
    return np.rint(wide * np.iinfo(kind).max).astype(kind) if kind.kind == "u" else wide.astype(kind)


def turned(batch, order, fill):
    """Seven steps, of which the middle ones take the order and the border of the first."""
    batch.rotate(-33, order=order, fill=fill).scale(0.8, preserve_size=True).shift((3, 1.5)).shear(-8)
    return batch.flip("lr").crop((40, 40)).resize((64, 48)).images[0]


def inverse_of_turned(height, width):
    """The same seven steps as one matrix from result to source, made of textbook matrices."""

    def move(y, x):
        return np.array([[1, 0, y], [0, 1, x], [0, 0, 1.0]])

    y, x = (height - 1) / 2, (width - 1) / 2
    sine, cosine = np.sin(np.deg2rad(-33)), np.cos(np.deg2rad(-33))
    rotation = np.array([[cosine, sine, 0], [-sine, cosine, 0], [0, 0, 1]])
    slant = np.array([[1, 0, 0], [-np.tan(np.deg2rad(-8)), 1, 0], [0, 0, 1]])
    middle = move(y, x) @ rotation @ np.diag([1.25, 1.25, 1]) @ move(-y, -x) @ move(-3, -1.5)
    mirrored = middle @ move(y, x) @ slant @ np.diag([1, -1, 1]) @ move(-y, -x)
    cut = mirrored @ move(np.floor((height - 40) / 2), np.floor((width - 40) / 2))
    grown = np.array([[40 / 64, 0, 20 / 64 - 0.5], [0, 40 / 48, 20 / 48 - 0.5], [0, 0, 1]])
    return cut @ grown


def points_of(matrix, limited):
    """The points of the picture; limited, since enlarging at the end repeats the edge of 40 x 40 pixels."""
    r, q = np.arange(64.0)[:, None], np.arange(48.0)[None]
    if limited:
        r, q = r.clip(0.5 * 1.6 - 0.5, 39.5 * 1.6 - 0.5), q.clip(0.5 * 1.2 - 0.5, 39.5 * 1.2 - 0.5)
    return [m[0] * r + m[1] * q + m[2] for m in matrix[:2]]


def keys(distance):
    """Cubic convolution with a = -1/2 (Keys 1981)."""
    t = np.abs(distance)
    inner, outer = 1.5 * t**3 - 2.5 * t**2 + 1, -0.5 * t**3 + 2.5 * t**2 - 4 * t + 2
    return np.where(t < 1, inner, np.where(t < 2, outer, 0))


def cubic(source, matrix, fill):
    """Cubic interpolation of a picture (h, w, c) as its definition says, sixteen pixels a point."""
    (h, w), (y, x) = source.shape[:2], points_of(matrix, limited=True)
    borders = {
        "edge": lambda at, n: np.clip(at, 0, n - 1),
        "reflect": lambda at, n: (n - 1) - np.abs(np.abs(at) % (2 * n - 2) - (n - 1)),
    }
    if fill == "reflect":
        y, x = borders[fill](y, h), borders[fill](x, w)
    total = np.zeros((64, 48, source.shape[2]))
    for down in range(-1, 3):
        for across in range(-1, 3):
            u, v = np.floor(y).astype(int) + down, np.floor(x).astype(int) + across
            border = borders.get(fill, borders["edge"])
            value = source[border(u, h), border(v, w)].astype(float)
            if fill not in borders:
                value[(u < 0) | (u >= h) | (v < 0) | (v >= w)] = fill
            total += (keys(y - u) * keys(x - v))[..., None] * value
    return total


@pytest.mark.parametrize("channels", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("dtype", ["uint8", "uint16", "float32", "float64"])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_every_kind_of_picture_is_turned_as_the_formulas_say(dtype, channels, order):
    source = picture((37, 41), channels, dtype)
    full = np.iinfo(dtype).max if dtype.startswith("u") else 1
    matrix = inverse_of_turned(37, 41)
    for fill, mode in BORDERS.items():
        value = fill if isinstance(fill, str) else round(fill * full, 2 if full == 1 else None)
        ours = turned(ImagesBatch(1, preloaded={"images": source[None]}), order, value)
        assert (ours.dtype, ours.shape) == (np.dtype(dtype), (64, 48, channels))
        if order == 3:
            theirs = (
                np.clip(cubic(source, matrix, value), 0, full) if full > 1 else cubic(source, matrix, value)
            )
        else:
            level = 0 if isinstance(value, str) else value
            points = np.broadcast_arrays(*points_of(matrix, limited=order == 1))
            theirs = np.stack(
                [
                    scipy.ndimage.map_coordinates(plane, points, order=order, mode=mode, cval=level)
                    for plane in np.moveaxis(source.astype(float), 2, 0)
                ],
                axis=2,
            )
        error = np.abs(ours - theirs) / full
        if order == 0:  # a rounding error may send a point to the next pixel
            assert (error > 1e-3).mean() < 0.01
        else:
            assert error.max() < (0.51 / 255 if dtype == "uint8" else 1e-3)


@pytest.mark.parametrize("channels", [None, 3, 5])
@pytest.mark.parametrize("order", [0, 1, 3])
def test_a_list_of_many_sizes_is_turned_as_each_picture_alone(channels, order):
    sizes = [(60, 80), (37, 41), (150, 130), (9, 200)]
    pictures = [picture(size, channels or 1, "uint8", 30 * i) for i, size in enumerate(sizes)]
    if channels is None:
        pictures = [one[..., 0] for one in pictures]

    def made(rows):
        some = pictures[rows]
        batch = ImagesBatch(len(some), preloaded={"images": some if len(some) > 1 else some[0][None]})
        taken = PerItem(np.array([1.0, 0, 1, 1])[rows])
        batch.rotate(PerItem(np.array([10, -20, 30, -40])[rows]), order=order, fill="edge", p=taken)
        batch.scale(PerItem(np.array([0.8, 1.2, 1, 1.4])[rows])).flip("ud", p=taken).pad((1, 2, 3, 4))
        return batch.shift(PerItem(np.array([[1, 2], [3, -4], [0, 0], [2.5, 0.5]])[rows])).images

    for number, one in enumerate(made(slice(None))):
        np.testing.assert_array_equal(one, made(slice(number, number + 1))[0])
