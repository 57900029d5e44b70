"""Imagenette: ten easy classes of ImageNet."""

from __future__ import annotations

import os
from collections.abc import Mapping
from types import MappingProxyType
from typing import Literal

from bf_batch.batch import Batch
from bf_batch.opensets.archives import unpack
from bf_batch.opensets.base import Openset
from bf_batch.opensets.download import Patience, RemoteFile, cache_folder, fetch
from bf_batch.opensets.image_folder import find_classes

_SOURCE = "https://s3.amazonaws.com/fast-ai-imageclas"
_SUMS = {
    "160": "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    "320": "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    "full": "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
}
_NAMES = {
    "n01440764": "tench",
    "n02102040": "English springer",
    "n02979186": "cassette player",
    "n03000684": "chain saw",
    "n03028079": "church",
    "n03394916": "French horn",
    "n03417042": "garbage truck",
    "n03425413": "gas pump",
    "n03445777": "golf ball",
    "n03888257": "parachute",
}


def _make_file(size: str) -> RemoteFile:
    name = "imagenette2.tgz" if size == "full" else f"imagenette2-{size}.tgz"
    return RemoteFile(name, _SUMS[size], (f"{_SOURCE}/{name}",))


class Imagenette(Openset):
    """Photos of ten classes, 9,469 to train on and 3,925 to test; ``batch.load()`` reads them.

    ``size`` is the shorter side: '160' (99 MB to download, once), '320' (342 MB) or 'full' (1.6 GB).
    """

    files: Mapping[str, RemoteFile] = MappingProxyType({size: _make_file(size) for size in _SUMS})

    def __init__(
        self,
        size: Literal["160", "320", "full"] = "160",
        folder: str | os.PathLike[str] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        if size not in _SUMS:
            raise ValueError(f"Imagenette: size must be '160', '320' or 'full', got {size!r}")
        file = self.files[size]
        place = cache_folder(folder) / "imagenette"
        target = place / f"{size}-{file.sha256[:12]}"
        if not target.is_dir():
            unpack(fetch(file, place, patience), target)
        inside = target / file.name.removesuffix(".tgz")
        found = find_classes(inside, {"train": "train", "val": "test"})
        classes = [_NAMES.get(name, name) for name in found.classes]
        super().__init__(found.index, found.parts, classes, {"labels": found.labels}, batch_class)
