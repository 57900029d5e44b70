"""Parts of a data set of one's own: those that the data have, or shares."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_index import split_positions
from bf_index.errors import escape

AUTO = "auto"
_SHARE = 0.8
PARTS: Mapping[str, str] = {
    "train": "train", "training": "train", "test": "test", "testing": "test",
    "val": "validation", "valid": "validation", "validation": "validation", "dev": "validation",
}  # fmt: skip
"""What parts are called in data, and here."""


def name_parts(values: Any, where: str) -> dict[str, NDArray[np.int64]]:
    """Return the positions of the parts that a column names, such as train, val and test."""
    found = np.array([str(value).strip().lower() for value in values])
    for row, value in enumerate(found.tolist(), 1):
        if value not in PARTS:
            raise ValueError(f"{where}: row {row} has {value!r} as its part; parts are {', '.join(PARTS)}")
    names = np.array([PARTS[value] for value in found.tolist()])
    return {part: np.flatnonzero(names == part) for part in ("train", "test", "validation") if part in names}


def make_parts(
    count: int, labels: Any, given: Mapping[str, Any], shares: Any, seed: int, where: str
) -> dict[str, Any]:
    """Return positions by the name of the part.

    ``given`` are the parts that the data have. ``shares`` are of train, test and validation where they have
    none; 'auto' is 0.8 to train on, and where the data have parts but no test, what they call validation is
    the test, or a fifth of train. Classes (whole numbers of ``labels``) are in each part alike.
    """
    if shares != AUTO:
        if given:
            raise ValueError(
                f"{escape(where)} has the parts {', '.join(map(escape, given))}; leave out shares"
            )
        return _split(count, labels, shares, seed)
    if not given:
        return _split(count, labels, _SHARE, seed)
    parts = dict(given)
    if "train" not in parts:
        raise ValueError(
            f"{escape(where)} has the parts {', '.join(parts)} and none to train on, called 'train'"
        )
    if "test" not in parts and "validation" in parts:
        parts["test"] = parts.pop("validation")
    elif "test" not in parts:
        whole = np.asarray(parts["train"])
        own = _split(len(whole), None if labels is None else np.asarray(labels)[whole], _SHARE, seed)
        parts = {name: whole[positions] for name, positions in own.items()}
    return parts


def _split(count: int, labels: Any, shares: Any, seed: int) -> dict[str, Any]:
    stratify = labels if labels is not None and np.asarray(labels).dtype.kind in "iu" else None
    split = split_positions(count, shares, True, seed, stratify)
    named = zip(("train", "test", "validation"), split)
    return {name: positions for name, positions in named if positions is not None}
