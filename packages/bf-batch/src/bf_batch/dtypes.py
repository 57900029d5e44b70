"""What numbers of a dtype mean: which of them is white, and how others are brought into its range."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray


def white_of(dtype: np.dtype[Any]) -> float:
    """Return the value of full white: the greatest number of integers, else 1."""
    return float(np.iinfo(dtype).max) if dtype.kind in "iu" else 1.0


def limit_to(dtype: np.dtype[Any], values: NDArray[Any]) -> NDArray[Any]:
    """Return numbers as another dtype: integers are rounded and limited to its range, bool is 'at least 0.5'.

    NaN becomes the integer 0.
    """
    if values.dtype == dtype:
        return values
    if dtype.kind == "b":
        return np.asarray(values >= 0.5)
    if dtype.kind not in "iu":
        with np.errstate(over="ignore"):  # a narrower float has its inf for what is too large
            return values.astype(dtype)
    limits = np.iinfo(dtype)
    if values.dtype.kind in "iu":  # numpy compares integers of all widths as what they are
        return values.clip(
            max(limits.min, np.iinfo(values.dtype).min), min(limits.max, np.iinfo(values.dtype).max)
        ).astype(dtype)
    whole = np.nan_to_num(np.rint(values.astype(np.float64)), copy=False, posinf=np.inf, neginf=-np.inf)
    above = whole >= float(limits.max)  # 2 ** 63, as a float, is one too many
    done = np.where(above, 0.0, np.maximum(whole, limits.min)).astype(dtype)
    done[above] = limits.max
    return done
