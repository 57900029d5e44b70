"""Labels as they are written down: names or numbers of classes, or numbers that are to be predicted."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_index.errors import escape

#: Labels of items that are to be told again are classes, and take no part.
Task = Literal["classification", "regression", "reconstruction"]
TASKS = ("classification", "regression", "reconstruction")
_SHOWN = 5
#: The largest whole number that floats tell from its neighbours.
_MOST_WHOLE = 2.0**53


def check_task(task: str, owner: str) -> None:
    """Refuse a task that there is not."""
    if task not in TASKS:
        raise ValueError(
            f"{owner}: task must be 'classification', 'regression' or 'reconstruction', got {task!r}"
        )


def number_labels(values: Any, where: str) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """Return the number of each item's class, and the names of the classes in their order.

    Labels are texts, whole numbers or booleans. Numbers are sorted by value, texts by the alphabet.

    >>> number_labels(["dog", "cat", "dog"], "pets.csv")
    (array([1, 0, 1]), ('cat', 'dog'))
    """
    array = np.asarray(values)
    if array.ndim != 1:
        raise ValueError(f"{where}: one label an item is needed, got an array of shape {array.shape}")
    _refuse_missing(array, where)
    if array.dtype.kind == "O":
        array = np.array([str(value) for value in array.tolist()])
    if array.dtype.kind == "f":
        if not (np.abs(array) <= _MOST_WHOLE).all():
            strange = array[~(np.abs(array) <= _MOST_WHOLE)][0]
            raise ValueError(f"{where}: {strange:g} is no number of a class; write classes as texts")
        if (array != np.rint(array)).any():
            part = array[array != np.rint(array)][0]
            raise ValueError(
                f"{where}: labels are numbers such as {part:g}, which are no classes; to predict a number "
                "give task=regression"
            )
        array = array.astype(np.int64)
    names, numbers = np.unique(array, return_inverse=True)
    classes = tuple(str(name) for name in names.tolist())
    if len(classes) < 2:
        raise ValueError(
            f"{where}: all {len(array)} items have the label {classes[0]!r}; there is nothing to tell apart"
        )
    if len(classes) == len(array) > 2:
        raise ValueError(
            f"{where}: each of the {len(array)} items has a label of its own, such as {classes[0]!r}; name "
            "the column of classes, or give task=regression to predict a number"
        )
    return numbers.astype(np.int64).reshape(-1), classes


def read_numbers(values: Any, where: str) -> NDArray[np.float32]:
    """Return the numbers to predict as float32, (n,) or (n, columns)."""
    array = np.asarray(values)
    _refuse_missing(array, where)
    if array.dtype.kind not in "biuf":
        try:
            array = array.astype(np.float64)
        except (TypeError, ValueError):
            shown = next(value for value in array.reshape(-1).tolist() if not _is_number(value))
            raise ValueError(
                f"{where}: {shown!r} is no number; classes are told apart with task=classification"
            ) from None
    if not np.isfinite(array).all():
        raise ValueError(f"{where}: row {_first(~np.isfinite(array))} holds no finite number")
    with np.errstate(over="ignore"):
        numbers = array.astype(np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError(
            f"{where}: row {_first(~np.isfinite(numbers))} holds a number too large for float32, more than "
            f"{np.finfo(np.float32).max:g}; take another unit"
        )
    return numbers


def refuse_lacking(
    labels: NDArray[np.int64], classes: tuple[str, ...], parts: dict[str, Any], where: str, way: str
) -> None:
    """Refuse classes that have items in one part and none in another; ``way`` ends the message."""
    lacking = []
    for part, positions in parts.items():
        counts = np.bincount(labels[positions], minlength=len(classes))
        lacking += [f"{classes[number]!r} has none in {part}" for number in np.flatnonzero(counts == 0)]
    if lacking:
        more = f" and {len(lacking) - _SHOWN} more" if len(lacking) > _SHOWN else ""
        raise ValueError(
            f"{escape(where)}: classes without items: {', '.join(lacking[:_SHOWN])}{more}; {way}"
        )


def _refuse_missing(array: NDArray[Any], where: str) -> None:
    if array.dtype.kind == "f":
        missing = np.isnan(array)
    elif array.dtype.kind in "OUS":
        flat = [str(value).strip() in ("", "None", "nan", "<NA>") for value in array.reshape(-1).tolist()]
        missing = np.array(flat, dtype=bool).reshape(array.shape)
    else:
        return
    if missing.any():
        raise ValueError(
            f"{where}: row {_first(missing)} has no label ({int(missing.sum())} of {len(array)} rows); fill "
            "it in, or take these rows out"
        )


def _first(mask: NDArray[np.bool_]) -> int:
    """Return the number, from 1, of the first row in which something is true."""
    return int(np.flatnonzero(mask.reshape(len(mask), -1).any(axis=1))[0]) + 1


def _is_number(value: Any) -> bool:
    try:
        float(value)
    except (TypeError, ValueError):
        return False
    return True
