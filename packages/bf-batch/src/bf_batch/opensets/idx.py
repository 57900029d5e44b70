"""The idx format of MNIST and FashionMNIST: four files with images and labels."""

from __future__ import annotations

import gzip
import math
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.opensets.download import Patience, RemoteFile, cache_folder, fetch
from bf_index.errors import escape
from bf_index.sizes import check_size, reading

_UNSIGNED_BYTES = 8


@dataclass(frozen=True, slots=True)
class IdxFiles:
    """Images and labels to train on and to test."""

    train_images: RemoteFile
    train_labels: RemoteFile
    test_images: RemoteFile
    test_labels: RemoteFile

    def load(
        self, folder: str | os.PathLike[str] | None, name: str, patience: Patience
    ) -> tuple[NDArray[np.uint8], NDArray[np.int64], int]:
        """Return all images (n, height, width, 1), their labels, and how many come first to train on."""
        place = cache_folder(folder) / name
        images = [read_idx(fetch(file, place, patience), 3) for file in (self.train_images, self.test_images)]
        labels = [read_idx(fetch(file, place, patience), 1) for file in (self.train_labels, self.test_labels)]
        for pictures, numbers in zip(images, labels):
            if len(pictures) != len(numbers):
                raise ValueError(f"{name}: got {len(pictures)} images and {len(numbers)} labels")
        together = np.concatenate(images)[..., np.newaxis]
        return together, np.concatenate(labels).astype(np.int64), len(images[0])


def make_idx_files(sources: Sequence[str], sums: Sequence[str]) -> IdxFiles:
    """Return the four files under their usual names, with sha256 in the order of the fields of IdxFiles."""
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    files = (
        RemoteFile(f"{name}-ubyte.gz", total, tuple(f"{source}/{name}-ubyte.gz" for source in sources))
        for name, total in zip(names, sums, strict=True)
    )
    return IdxFiles(*files)


def read_idx(path: Path, dimensions: int) -> NDArray[Any]:
    """Return the bytes in a gzipped idx file of so many dimensions; ValueError for any other file."""
    begin = 4 * (1 + dimensions)
    with reading(path), gzip.open(path) as file:
        head = file.read(begin)
        if len(head) < begin or head[:4] != bytes((0, 0, _UNSIGNED_BYTES, dimensions)):
            raise ValueError(f"{escape(path)} is no idx file of bytes in {dimensions} dimensions")
        shape = tuple(np.frombuffer(head, ">i4", dimensions, 4).tolist())
        claimed = math.prod(shape)
        if min(shape) < 0:
            raise ValueError(f"{escape(path)} says it has the shape {shape}")
        check_size(path, claimed, os.path.getsize(path), option="")
        data = file.read(claimed + 1)
    if len(data) != claimed:
        held = f"more than {claimed}" if len(data) > claimed else len(data)
        raise ValueError(f"{escape(path)} says it has the shape {shape} but holds {held} bytes")
    return np.frombuffer(data, np.uint8).reshape(shape)
