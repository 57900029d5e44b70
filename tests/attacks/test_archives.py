"""Archives whose members lead out of the folder they are unpacked to."""

from __future__ import annotations

import tarfile
import zipfile
from pathlib import Path

import pytest

from bf_batch.opensets.archives import UnsafeArchiveError, read_members, unpack

CLIMBING = ["../canary", "a/../../canary", "/{out}", "a\\..\\..\\canary"]


def tar(path: Path, *members: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w:gz") as archive:
        for member in members:
            archive.addfile(member)
    return path


def link(name: str, target: Path, kind: bytes) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, str(target)
    return info


@pytest.mark.parametrize("name", CLIMBING)
@pytest.mark.parametrize("kind", ["tar", "zip"])
def test_climbing_names(tmp_path, canary, kind, name):
    name = name.format(out=canary.path) if "{" in name else name.replace("canary", canary.path.name)
    path = tmp_path / f"bad.{kind}"
    if kind == "tar":
        tar(path, tarfile.TarInfo(name))
    else:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr(name, b"")
    with pytest.raises(UnsafeArchiveError, match=r"bad\.(tar|zip): the member .* leads out"):
        unpack(path, canary.path.parent / "in")
    assert [entry.name for entry in canary.path.parent.rglob("*") if not entry.name.startswith(".")] == []


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE, tarfile.CHRTYPE])
def test_links_and_devices(tmp_path, canary, kind):
    behind = tarfile.TarInfo(f"way/{canary.path.name}")
    path = tar(tmp_path / "bad.tar", link("way", canary.path.parent, kind), behind)
    with pytest.raises(UnsafeArchiveError, match=r"bad\.tar: 'way' is a link or a device"):
        unpack(path, tmp_path / "in")
    with pytest.raises(UnsafeArchiveError, match="link or a device"):
        read_members(path, [behind.name])
