"""The compiled loops of colour: tables for bytes, blends, hue, blur and sharpening."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.images.kernels.maps import REFLECT, fold, kernel, part

TRUNCATE = 4.0  # the Gauss curve is cut at this many deviations, as scipy.ndimage does


@kernel
def look_up(pictures: Any, tables: Any, out: Any) -> None:
    """Replace bytes (n, h, w, c) by the tables (n, c or 1, 256) of their pictures."""
    n, h, w, c = pictures.shape
    flat, target = pictures.reshape(n, h * w * c), out.reshape(n, h * w * c)
    for i in range(n):
        if tables.shape[1] == 1:
            table = tables[i, 0]
            for j in range(np.uintp(h * w * c)):
                target[i, j] = table[np.uintp(flat[i, j])]
        else:
            for j in range(h * w):
                for k in range(c):
                    target[i, j * c + k] = tables[i, k, np.uintp(flat[i, j * c + k])]


@kernel
def count_histograms(pictures: Any, counts: Any) -> None:
    """Count the bytes of pictures (n, h, w, c) into (n, c, 256)."""
    n, h, w, c = pictures.shape
    for i in range(n):
        for y in range(h):
            for x in range(w):
                for k in range(c):
                    counts[i, k, np.uintp(pictures[i, y, x, k])] += 1


@part
def to_stored(value: Any, limited: bool) -> Any:
    """Return a value as it is stored: rounded and limited for bytes, limited to 0..1 for floats."""
    if limited:
        return float(min(max(value + 0.5, 0.0), 255.0))
    return min(max(value, 0.0), 1.0)


@part
def luma(red: Any, green: Any, blue: Any) -> Any:
    """Return the grey of a colour by ITU-R 601, as Pillow and OpenCV have it."""
    return 0.299 * red + 0.587 * green + 0.114 * blue


@kernel
def average_grey(pictures: Any, means: Any) -> None:
    """Compute the mean grey of pictures (n, h, w, c): of 3 or 4 channels that of colours, else of all."""
    n, h, w, c = pictures.shape
    for i in range(n):
        total = 0.0
        for y in range(h):
            for x in range(w):
                pixel = pictures[i, y, x]
                if c in (3, 4):
                    total += luma(pixel[0], pixel[1], pixel[2])
                else:
                    for k in range(c):
                        total += pixel[k] / c
        means[i] = total / (h * w)


@kernel
def blend_grey(pictures: Any, factors: Any, limited: bool, out: Any) -> None:
    """Blend pictures (n, h, w, 3) with their own grey: 0 is grey, 1 the picture, 2 doubles the colour."""
    n, h, w, c = pictures.shape
    for i in range(n):
        f = np.float32(factors[i])
        for y in range(h):
            for x in range(w):
                a, b, d = pictures[i, y, x, 0], pictures[i, y, x, 1], pictures[i, y, x, 2]
                grey = np.float32(luma(np.float32(a), np.float32(b), np.float32(d)))
                for k in range(c):
                    value = np.float32(pictures[i, y, x, k])
                    out[i, y, x, k] = (
                        to_stored(grey + (value - grey) * f, limited) if k < 3 else pictures[i, y, x, k]
                    )


@kernel
def turn_hue(pictures: Any, shifts: Any, limited: bool, out: Any) -> None:
    """Turn the hue of pictures (n, h, w, 3) by parts of the circle, keeping saturation and value (HSV)."""
    n, h, w, c = pictures.shape
    for i in range(n):
        for y in range(h):
            for x in range(w):
                r, g = float(pictures[i, y, x, 0]), float(pictures[i, y, x, 1])
                b = float(pictures[i, y, x, 2])
                high, low = max(r, g, b), min(r, g, b)
                spread = high - low
                hue = 0.0
                if spread > 0:
                    if high == r:
                        hue = (g - b) / spread
                    elif high == g:
                        hue = 2.0 + (b - r) / spread
                    else:
                        hue = 4.0 + (r - g) / spread
                hue = (hue + 6.0 * shifts[i]) % 6.0
                for k in range(c):
                    if k > 2:
                        out[i, y, x, k] = pictures[i, y, x, k]
                        continue
                    # distance of the hue from the sector where this channel is lowest, red 5, green 3, blue 1
                    part = (5.0 - 2.0 * k + hue) % 6.0
                    lowered = max(0.0, min(part, 4.0 - part, 1.0))
                    out[i, y, x, k] = to_stored(high - spread * lowered, limited)


@part
def gauss_weights(sigma: float) -> Any:
    """Return the weights of a Gauss curve, with sum one."""
    reach = int(TRUNCATE * sigma + 0.5)
    weights = np.empty(2 * reach + 1, np.float32)
    for j in range(2 * reach + 1):
        weights[j] = np.exp(-0.5 * ((j - reach) / sigma) ** 2)
    return weights / weights.sum()


@kernel
def blur(pictures: Any, sigmas: Any, limited: bool, out: Any) -> None:
    """Blur pictures (n, h, w, c) by a Gauss curve.

    Beyond the edge they are mirrored, the edge pixel not repeated.
    """
    n, h, w, c = pictures.shape
    size = w * c
    down = np.empty((h, size), np.float32)
    for i in range(n):
        if sigmas[i] <= 0:
            out[i] = pictures[i]
            continue
        weights = gauss_weights(sigmas[i])
        reach = weights.size // 2
        source, target = pictures[i].reshape(h, size), out[i].reshape(h, size)
        down[:] = 0
        for y in range(h):
            line = down[y]
            for t in range(weights.size):
                near, weight = source[int(fold(float(y + t - reach), h, REFLECT))], weights[t]
                for j in range(np.uintp(size)):
                    line[j] += np.float32(near[j]) * weight
        padded, total = np.empty(size + 2 * reach * c, np.float32), np.empty(size, np.float32)
        for y in range(h):
            for x in range(-reach, w + reach):
                near_x = int(fold(float(x), w, REFLECT))
                for k in range(c):
                    padded[(x + reach) * c + k] = down[y, near_x * c + k]
            total[:] = 0
            for t in range(weights.size):
                part, weight = padded[t * c : t * c + size], weights[t]
                for j in range(np.uintp(size)):
                    total[j] += part[j] * weight
            row = target[y]
            half = np.float32(0.5 if limited else 0.0)
            for j in range(np.uintp(size)):
                row[j] = total[j] + half


@kernel
def sharpen(pictures: Any, factors: Any, limited: bool, out: Any) -> None:
    """Blend pictures with their smoothed copy (Pillow's SMOOTH): 0 smooth, 1 as is, 2 sharp; edges as is."""
    n, h, w, c = pictures.shape
    step, last = np.uintp(c), np.uintp((w - 1) * c)
    half, low = np.float32(0.5 if limited else 0.0), np.float32(0)
    high, four, whole = np.float32(255 if limited else 1), np.float32(4), np.float32(13)
    for i in range(n):
        f = np.float32(factors[i])
        out[i] = pictures[i]
        source, target = pictures[i].reshape(h, w * c), out[i].reshape(h, w * c)
        for y in range(1, h - 1):
            above, here, below, row = source[y - 1], source[y], source[y + 1], target[y]
            for j in range(step, last):
                a, b = j - step, j + step
                value = np.float32(here[j])
                total = np.float32(above[a]) + np.float32(above[j]) + np.float32(above[b])
                total += np.float32(here[a]) + value + np.float32(here[b])
                total += np.float32(below[a]) + np.float32(below[j]) + np.float32(below[b])
                smooth = (total + four * value) / whole
                row[j] = min(max(smooth + (value - smooth) * f + half, low), high)
