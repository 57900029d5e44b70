"""The file of a saved model: a zip of JSON and safetensors with checksums, written whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import tempfile
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import numpy as np

from bf_index.errors import escape
from bf_index.sizes import check_zip, reading
from bf_models.errors import CorruptModel, ModelStateError, UnsafeCheckpoint
from bf_models.safetensors import chunks, read

FORMAT = 1
_TENSORS = ("weights.safetensors", "optimizer.safetensors")
_JSON = ("manifest.json", "model.json")
_LARGEST_JSON = 16 * 2**20
# one time for all members, so that equal models are equal files
_DATE = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True, slots=True)
class Saved:
    """What a file holds: the description of the model, its weights and the optimizer's."""

    description: Mapping[str, Any]
    weights: Mapping[str, np.ndarray]
    optimizer: Mapping[str, np.ndarray]


@contextlib.contextmanager
def whole_file(path: Path) -> Iterator[IO[bytes]]:
    """Open a file that takes its place only when it is complete and on the disk.

    On any error the old file stays and no other is left; an OSError names the path.
    """
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name[:40]}.", suffix=".tmp")
        temporary = Path(name)
        with os.fdopen(handle, "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise OSError(error.errno, f"the model was not saved, {error.strerror}", str(path)) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def _sync_folder(folder: Path) -> None:
    number = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


class _Hashed:
    """File in which what is written is counted and hashed."""

    def __init__(self, file: IO[bytes]) -> None:
        self.file, self.hash, self.size = file, hashlib.sha256(), 0

    def write(self, part: bytes | memoryview) -> None:
        self.hash.update(part)
        self.size += len(part)
        self.file.write(part)


def write(path: Path, saved: Saved) -> None:
    """Save into one file, whole or not at all."""
    with whole_file(path) as file, zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
        members = {}
        parts: dict[str, Iterator[bytes | memoryview]] = {
            "model.json": iter([json.dumps(saved.description, indent=1).encode()])
        }
        for name, arrays in zip(_TENSORS, (saved.weights, saved.optimizer)):
            parts[name] = chunks(arrays)
        for name, content in parts.items():
            with archive.open(zipfile.ZipInfo(name, _DATE), "w", force_zip64=True) as member:
                hashed = _Hashed(member)
                for part in content:
                    hashed.write(part)
            members[name] = {"sha256": hashed.hash.hexdigest(), "size": hashed.size}
        manifest = {"format": FORMAT, "kind": "bf_models", "members": members}
        archive.writestr(zipfile.ZipInfo("manifest.json", _DATE), json.dumps(manifest, indent=1))


def load(path: Path) -> Saved:
    """Read a file back; nothing of it is run or unpacked to the disk.

    CorruptModel for damage, UnsafeCheckpoint for other files, ModelStateError for a newer format.
    """
    ours = (UnsafeCheckpoint, ModelStateError)
    with open(path, "rb") as file, reading(path, CorruptModel, *ours), zipfile.ZipFile(file) as archive:
        _refuse_unknown_members(archive, path)
        check_zip(archive, path, os.fstat(file.fileno()).st_size, option="")
        manifest = _read_json(archive, "manifest.json", path)
        if manifest.get("kind") != "bf_models" or not isinstance(manifest.get("format"), int):
            raise UnsafeCheckpoint(f"{escape(path)} is not a model that bf_models saved")
        if manifest["format"] > FORMAT:
            raise ModelStateError(
                f"{escape(path)} is of format {manifest['format']}, this bf_models reads up to {FORMAT}; "
                "upgrade bf-models"
            )
        content = {name: _read_member(archive, name, manifest, path) for name in ("model.json", *_TENSORS)}
    weights, optimizer = (read(content[name], f"{escape(path)}/{name}") for name in _TENSORS)
    return Saved(_parse(content["model.json"], path), weights, optimizer)


def is_model(path: Path) -> bool:
    """Whether a file looks like a model that bf_models saved, by the names of its members."""
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as archive:
        return set(_JSON) <= set(archive.namelist())


def _refuse_unknown_members(archive: zipfile.ZipFile, path: Path) -> None:
    names = archive.namelist()
    for item in archive.infolist():
        if item.filename not in (*_JSON, *_TENSORS):
            raise UnsafeCheckpoint(
                f"{escape(path)} holds {item.filename!r}, which no saved model has; it is not loaded"
            )
        # stored bytes cannot swell: a member is never larger than the file itself
        if item.compress_type != zipfile.ZIP_STORED or item.file_size != item.compress_size:
            raise UnsafeCheckpoint(
                f"{escape(path)}: {item.filename!r} is compressed, which no saved model is"
            )
        if item.filename in _JSON and item.file_size > _LARGEST_JSON:
            raise UnsafeCheckpoint(
                f"{escape(path)}: {item.filename!r} has {item.file_size} bytes, at most "
                f"{_LARGEST_JSON} are read"
            )
    if len(set(names)) != len(names):
        raise UnsafeCheckpoint(f"{escape(path)} holds one name twice: {sorted(names)}")


def _read_member(archive: zipfile.ZipFile, name: str, manifest: Mapping[str, Any], path: Path) -> bytes:
    expected = manifest["members"][name]
    data = archive.read(name)
    if len(data) != expected["size"] or hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise CorruptModel(f"{escape(path)}: {name!r} does not agree with its checksum")
    return data


def _read_json(archive: zipfile.ZipFile, name: str, path: Path) -> Any:
    if name not in archive.namelist():
        raise UnsafeCheckpoint(f"{escape(path)} has no {name!r}: it is not a model that bf_models saved")
    return _parse(archive.read(name), path)


def _parse(data: bytes, path: Path) -> Any:
    try:
        parsed = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise CorruptModel(f"{escape(path)}: damaged JSON: {escape(error)}") from error
    if not isinstance(parsed, dict):
        raise CorruptModel(f"{escape(path)}: a mapping was expected, got {type(parsed).__name__}")
    return parsed
