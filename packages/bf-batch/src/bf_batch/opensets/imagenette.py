"""Imagenette and Imagewoof: ten easy classes of ImageNet, and ten breeds of dogs, which are not."""

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
from bf_batch.opensets.own.pictures import PictureSet
from bf_batch.opensets.unpacked import fetch_unpacked, find_inside, open_given

_PARTS = {"train": "train", "val": "test"}
_SOURCE = "https://s3.amazonaws.com/fast-ai-imageclas"
_SUMS = {
    "160": "64d0c4859f35a461889e0147755a999a48b49bf38a7e0f9bd27003f10db02fe5",
    "320": "569b4497c98db6dd29f335d1f109cf315fe127053cedf69010d047f0188e158c",
    "full": "6cbfac238434d89fe99e651496f0812ebc7a10fa62bd42d6874042bf01de4efd",
}
_WOOF_SUMS = {
    "160": "663c22f69c2802d85e2a67103c017e047096702ffddf9149a14011b7002539bf",
    "320": "4e4905ed7643120daaf9bf3b2ef7f3a7e8396d9bdaf254a38c6f01f618b4973d",
}
"""As FastAI.jl and VisionDatasets.jl record them; of the full size none is published."""
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
_WOOF_NAMES = {
    "n02086240": "Shih-Tzu",
    "n02087394": "Rhodesian ridgeback",
    "n02088364": "beagle",
    "n02089973": "English foxhound",
    "n02093754": "Border terrier",
    "n02096294": "Australian terrier",
    "n02099601": "golden retriever",
    "n02105641": "Old English sheepdog",
    "n02111889": "Samoyed",
    "n02115641": "dingo",
}


def _make_files(stem: str, sums: Mapping[str, str]) -> Mapping[str, RemoteFile]:
    names = {size: f"{stem}.tgz" if size == "full" else f"{stem}-{size}.tgz" for size in sums}
    return MappingProxyType(
        {size: RemoteFile(name, sums[size], (f"{_SOURCE}/{name}",)) for size, name in names.items()}
    )


class Imagenette(PictureSet, Openset):
    """Photos of ten classes, 9,469 to train on and 3,925 to test; ``batch.load()`` reads them.

    ``size`` is the shorter side: '160' (99 MB to download, once), '320' (342 MB) or 'full' (1.6 GB).
    """

    files: Mapping[str, RemoteFile] = _make_files("imagenette2", _SUMS)

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
        found = find_classes(inside, _PARTS)
        classes = [_NAMES.get(name, name) for name in found.classes]
        super().__init__(found.index, found.parts, classes, {"labels": found.labels}, batch_class)


class Imagewoof(PictureSet, Openset):
    """Photos of ten breeds of dogs, 9,025 to train on and 3,929 to test; ``batch.load()`` reads them.

    ``size`` is the shorter side: '160' (92 MB to download, once), '320' (329 MB) or 'full', of which no sum
    is published: download https://s3.amazonaws.com/fast-ai-imageclas/imagewoof2.tgz (1.3 GB) yourself and
    give it as ``path``. ``path`` is an archive, of any size, or the folder that it was unpacked to.
    """

    files: Mapping[str, RemoteFile] = _make_files("imagewoof2", _WOOF_SUMS)

    def __init__(
        self,
        size: Literal["160", "320", "full"] = "160",
        path: str | os.PathLike[str] | None = None,
        folder: str | os.PathLike[str] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
    ) -> None:
        if size not in _SUMS:
            raise ValueError(f"Imagewoof: size must be '160', '320' or 'full', got {size!r}")
        place = cache_folder(folder) / "imagewoof"
        if path is not None:
            root = open_given(path, place, "Imagewoof")
        elif size in self.files:
            root = fetch_unpacked(self.files[size], place, patience)
        else:
            raise ValueError(
                f"Imagewoof: no sum of imagewoof2.tgz is published; download {_SOURCE}/imagewoof2.tgz and "
                "give it as path="
            )
        stem = "imagewoof2" if size == "full" else f"imagewoof2-{size}"
        inside = find_inside(root, stem, "train", "Imagewoof")
        found = find_classes(inside, _PARTS)
        classes = [_WOOF_NAMES.get(name, name) for name in found.classes]
        super().__init__(found.index, found.parts, classes, {"labels": found.labels}, batch_class)
