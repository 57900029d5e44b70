"""ArrayFiles: items and labels in two npy files."""

from __future__ import annotations

import os
from typing import Any, Literal

import numpy as np

from bf_batch.batch import Batch
from bf_batch.dataset import Dataset
from bf_batch.images import ImagesBatch
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.labels import Task, check_task, number_labels, read_numbers, refuse_lacking
from bf_batch.opensets.own.parts import AUTO, make_parts
from bf_batch.opensets.own.rows import RowsBatch
from bf_batch.opensets.own.signals import SignalsBatch
from bf_index.errors import escape, unknown
from bf_index.sizes import count_left, read_npy, read_npy_head, reading

Kind = Literal["auto", "features", "images", "signals"]
#: By component: the class of batches, and how many axes an array has.
_KINDS: dict[str, tuple[type[Batch], tuple[int, ...]]] = {
    "features": (RowsBatch, (2,)),
    "images": (ImagesBatch, (3, 4)),
    "signals": (SignalsBatch, (2, 3)),
}
_STRICT = "give larger shares or more items, join rare classes, or allow it with strict=false"


class ArrayFiles(Openset):
    """Items of an npy file, read batch by batch, with labels of another one.

    Parameters
    ----------
    path : an array (n, columns) of features, (n, height, width) or (n, height, width, channels) of pictures,
        or with ``kind='signals'`` (n, length, channels) or (n, length) of signals
    labels : an array (n,) of classes, numbers or texts, or for ``task='regression'`` numbers, (n, k) too;
        ``task='reconstruction'`` needs none
    kind : what the array holds: ``features``, ``images``, ``signals``; ``auto`` tells the first two apart
    shares, seed, task, strict : as in ``ImageFiles``
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        labels: str | os.PathLike[str] | None = None,
        shares: Any = AUTO,
        seed: int = 0,
        task: Task = "classification",
        strict: bool = False,
        batch_class: type[Batch] | None = None,
        kind: Kind = "auto",
    ) -> None:
        check_task(task, "ArrayFiles")
        component, batches, count = _find_kind(path, kind)
        if labels is None and task == "reconstruction":
            parts = make_parts(count, None, {}, shares, seed, escape(path))
            super().__init__(count, parts, None, {component: os.fspath(path)}, batch_class or batches)
            return
        if labels is None:
            raise ValueError(
                f"{escape(path)}: where are the labels? labels=FILE.npy, an array of one for each item"
            )
        where = escape(labels)
        with reading(labels), open(labels, "rb") as file:
            told = read_npy(file, os.fspath(labels))
        if np.shape(told)[:1] != (count,):
            raise ValueError(
                f"{where}: labels of shape {np.shape(told)} for {count} items of {escape(path)}; they differ"
            )
        classes: tuple[str, ...] | None = None
        numbers: Any
        if task == "regression":
            numbers = read_numbers(told, where)
        else:
            flat = told.reshape(-1) if told.ndim == 2 and told.shape[1] == 1 else told
            numbers, classes = number_labels(flat, where)
        parts = make_parts(count, numbers, {}, shares, seed, where)
        if strict and classes is not None:
            refuse_lacking(numbers, classes, parts, where, _STRICT)
        preloaded = {component: os.fspath(path), "labels": numbers}
        super().__init__(count, parts, classes, preloaded, batch_class or batches)

    @classmethod
    def unlabelled(
        cls,
        path: str | os.PathLike[str],
        batch_class: type[Batch] | None = None,
        kind: Kind = "auto",
        **labelling: Any,
    ) -> Dataset:
        """Return the items without labels and parts; the arguments are those of the class."""
        component, batches, count = _find_kind(path, kind)
        return Dataset(count, batch_class or batches, {component: os.fspath(path)})


def _find_kind(path: str | os.PathLike[str], kind: Kind) -> tuple[str, type[Batch], int]:
    """Return the component that an array goes to, the class of batches, and the number of items."""
    where = os.fspath(path)
    if not os.path.isfile(where):
        raise FileNotFoundError(f"no file {where!r} (working folder {os.getcwd()!r})")
    with reading(where), open(where, "rb") as file:
        shape = read_npy_head(file, where, count_left(file))[0]
    if kind != "auto" and kind not in _KINDS:
        raise ValueError(unknown("kind", str(kind), ("auto", *_KINDS), "ArrayFiles"))
    for name, (batches, axes) in _KINDS.items():
        if len(shape) in axes and (kind == name or (kind == "auto" and name != "signals")):
            return name, batches, shape[0]
    what = "an array" if kind == "auto" else f"kind={kind}, and an array"
    raise ValueError(
        f"{escape(where)}: {what} of shape {shape}; features are (n, columns), pictures (n, height, width) "
        "or (n, height, width, channels), signals (n, length, channels) or (n, length)"
    )
