"""CIFAR10 and CIFAR100, 32 x 32 in colour, from their binary versions: the others are pickles."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.batch import Batch
from bf_batch.opensets.archives import read_members
from bf_batch.opensets.base import ArrayOpenset
from bf_batch.opensets.download import Patience, RemoteFile, cache_folder, fetch
from bf_index.errors import escape

_SHAPE = (3, 32, 32)
_PIXELS = 3 * 32 * 32
_SOURCE = "https://www.cs.toronto.edu/~kriz"


class CIFAR10(ArrayOpenset):
    """Small photos in 10 classes: images uint8 (32, 32, 3), 50,000 to train on and 10,000 to test.

    Downloaded once (170 MB); ``folder`` is where it is kept, see ``cache_folder``.
    """

    file = RemoteFile(
        "cifar-10-binary.tar.gz",
        "c4a38c50a1bc5f3a1c5537f2155ab9d68f9f25eb1ed8d9ddda3db29a59bca1dd",
        (f"{_SOURCE}/cifar-10-binary.tar.gz",),
    )

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        only: Sequence[str | int] | None = None,
        per_class: int | None = None,
    ) -> None:
        path = fetch(self.file, cache_folder(folder) / "cifar10", patience)
        inside = "cifar-10-batches-bin"
        trained = [f"{inside}/data_batch_{number}.bin" for number in range(1, 6)]
        tested, named = f"{inside}/test_batch.bin", f"{inside}/batches.meta.txt"
        members = read_members(path, [*trained, tested, named])
        both = b"".join(members[name] for name in trained), members[tested]
        images, labels, count = _read_both(path, *both, labels=1)
        super().__init__(
            images, labels[:, 0], count, members[named].decode().split(), batch_class, only, per_class
        )


class CIFAR100(ArrayOpenset):
    """Small photos in 100 classes, or in their 20 groups: images uint8 (32, 32, 3), 50,000 and 10,000.

    ``labels`` is 'fine' for the classes or 'coarse' for the groups. Downloaded once (169 MB).
    """

    file = RemoteFile(
        "cifar-100-binary.tar.gz",
        "58a81ae192c23a4be8b1804d68e518ed807d710a4eb253b1f2a199162a40d8ec",
        (f"{_SOURCE}/cifar-100-binary.tar.gz",),
    )

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        batch_class: type[Batch] | None = None,
        labels: Literal["fine", "coarse"] = "fine",
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        only: Sequence[str | int] | None = None,
        per_class: int | None = None,
    ) -> None:
        if labels not in ("fine", "coarse"):
            raise ValueError(f"CIFAR100: labels must be 'fine' or 'coarse', got {labels!r}")
        path = fetch(self.file, cache_folder(folder) / "cifar100", patience)
        trained, tested = "cifar-100-binary/train.bin", "cifar-100-binary/test.bin"
        named = f"cifar-100-binary/{labels}_label_names.txt"
        members = read_members(path, [trained, tested, named])
        images, numbers, count = _read_both(path, members[trained], members[tested], labels=2)
        chosen = numbers[:, 1 if labels == "fine" else 0]
        super().__init__(images, chosen, count, members[named].decode().split(), batch_class, only, per_class)


def _read_both(
    path: Path, train: bytes, test: bytes, labels: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
    """Return images and labels of both parts together, and how many come first to train on."""
    images, numbers = _parse_records(path, train, labels)
    more_images, more_numbers = _parse_records(path, test, labels)
    together = np.concatenate([images, more_images])
    return together, np.concatenate([numbers, more_numbers]), len(images)


def _parse_records(path: Path, data: bytes, labels: int) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Return images (n, 32, 32, 3) and labels (n, ``labels``) of records of labels and pixels."""
    size = labels + _PIXELS
    if not data or len(data) % size:
        raise ValueError(f"{escape(path)} holds {len(data)} bytes, no whole number of records of {size}")
    records = np.frombuffer(data, np.uint8).reshape(-1, size)
    images = records[:, labels:].reshape(-1, *_SHAPE).transpose(0, 2, 3, 1)
    return np.ascontiguousarray(images), records[:, :labels].astype(np.int64)
