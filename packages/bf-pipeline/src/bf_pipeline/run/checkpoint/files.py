"""Checkpoints on disk: a folder each, whole or not there at all, checked when read."""

from __future__ import annotations

import hashlib
import json
import os
import re
import secrets
import shutil
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bf_index.errors import StateError, escape
from bf_index.sizes import read_json, read_npz, reading
from bf_pipeline.model import Savable

SCHEMA = 1
_NAME = re.compile(r"checkpoint-(\d{6,})")
_TEMPORARY = re.compile(r"\.checkpoint-\d+\.(\d+)\.[0-9a-f]{8}\.tmp")
_MODEL = re.compile(r"models/\d{3,}")


class CorruptCheckpoint(ValueError):
    """A checkpoint of which files are missing, cut short or changed since they were written."""


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """A complete checkpoint that was read from its folder and agreed with its checksums.

    ``state`` is JSON, its values may refer to ``arrays``.
    """

    folder: Path
    state: Mapping[str, Any]
    arrays: Mapping[str, np.ndarray]

    def model_path(self, name: str) -> Path:
        """Return the path that was given to ``model.save``; ``KeyError`` naming the models that are saved."""
        if name not in self.state["models"]:
            raise KeyError(
                f"{escape(self.folder)} holds no model {name!r}; it holds {sorted(self.state['models'])}"
            )
        place = str(self.state["models"][name])
        if not _MODEL.fullmatch(place):
            raise CorruptCheckpoint(
                f"{escape(self.folder)}: model {name!r} is said to be at {place!r}, outside of it"
            )
        return self.folder / place


def check_schema(state: Mapping[str, Any], where: str = "") -> None:
    """Refuse a state that this version cannot read: ``StateError`` naming both versions."""
    found = state.get("schema")
    if not isinstance(found, int):
        raise StateError(
            f"{where}this is not the state of a run: it has no schema number, got keys {sorted(state)}"
        )
    if found > SCHEMA:
        raise StateError(
            f"{where}the state has schema {found} and this bf-pipeline reads up to {SCHEMA}; "
            "install a newer one"
        )


def open_folder(path: str | os.PathLike[str]) -> Path:
    """Make the folder for checkpoints and try to write there, before hours of training depend on it."""
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        probe = folder / f".checkpoint-0.{os.getpid()}.{secrets.token_hex(4)}.tmp"
        probe.mkdir()
        probe.rmdir()
    except OSError as error:
        raise type(error)(
            error.errno, f"checkpoints cannot be written: {error.strerror}", str(folder)
        ) from error
    return folder


def write_checkpoint(
    path: str | os.PathLike[str],
    state: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    models: Mapping[str, Savable],
    keep: int = 2,
) -> Path:
    """Write a checkpoint that is there whole or not at all, then remove all but the last ``keep``.

    ``state`` is JSON. ``OSError`` naming the path when it cannot be written; the others are untouched then.
    """
    folder = open_folder(path)
    _remove_leftovers(folder)
    numbers = [number for number, _ in _list_complete(folder)]
    final = folder / f"checkpoint-{max(numbers, default=0) + 1:06d}"
    with _whole_or_nothing(final) as temporary:
        places = {name: f"models/{i:03d}" for i, name in enumerate(sorted(models))}
        text = json.dumps({**state, "schema": SCHEMA, "models": places}, indent=1)
        (temporary / "state.json").write_text(text, encoding="utf-8")
        with open(temporary / "arrays.npz", "wb") as file:
            np.savez(file, **arrays)  # type: ignore[arg-type]
        if models:
            (temporary / "models").mkdir()
        for name, model in models.items():
            model.save(temporary / places[name])
    for _, old in _list_complete(folder)[:-keep]:
        _remove(old)
    return final


def latest(path: str | os.PathLike[str]) -> Checkpoint:
    """Read the newest complete checkpoint of a folder.

    A newer one that is damaged is passed over with a warning that says so. ``FileNotFoundError`` when
    there is none, ``CorruptCheckpoint`` when all are damaged.
    """
    folder = Path(path)
    found = _list_complete(folder)
    if not found:
        raise FileNotFoundError(f"no checkpoint in {folder.absolute()}")
    problems: list[str] = []
    for _, candidate in reversed(found):
        try:
            checkpoint = read_checkpoint(candidate)
        except CorruptCheckpoint as error:
            problems.append(str(error))
            continue
        for problem in problems:
            warnings.warn(f"{problem}; falling back to {checkpoint.folder}", RuntimeWarning, stacklevel=2)
        return checkpoint
    raise CorruptCheckpoint("; ".join(problems))


def read_checkpoint(path: str | os.PathLike[str]) -> Checkpoint:
    """Read one checkpoint whose files agree with their checksums, else ``CorruptCheckpoint``."""
    folder = Path(path)
    _verify(folder)
    with _reading(folder):
        state = read_json(folder / "state.json")
        if not isinstance(state, dict) or not isinstance(state.get("models", {}), dict):
            raise CorruptCheckpoint(f"{escape(folder)}: its state is not what a run writes")
        if type(state.get("schema")) is not int:
            raise CorruptCheckpoint(f"{escape(folder)}: its state has no schema number")
    check_schema(state, f"{escape(folder)}: ")
    with _reading(folder), open(folder / "arrays.npz", "rb") as file:
        # a checkpoint may come from anywhere: no pickles, and nothing compressed, which could swell
        arrays = read_npz(file, file.name, compressed=False)
    return Checkpoint(folder, state, arrays)


@contextmanager
def _reading(folder: Path) -> Iterator[None]:
    """Make a CorruptCheckpoint of whatever goes wrong, a file that is not there as well."""
    try:
        with reading(folder, CorruptCheckpoint):
            yield
    except OSError as error:
        raise CorruptCheckpoint(f"{escape(folder)} can't be read: {escape(error)}") from error


@contextmanager
def _whole_or_nothing(final: Path) -> Iterator[Path]:
    """Yield a temporary folder beside the final one; it takes the final name when all is on disk."""
    temporary = final.parent / f".{final.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    try:
        temporary.mkdir()
        yield temporary
        files = _compute_digests(temporary)
        manifest = {"schema": SCHEMA, "files": files}
        (temporary / "manifest.json").write_text(json.dumps(manifest, indent=1), encoding="utf-8")
        for entry in (*temporary.rglob("*"), temporary):
            _sync(entry)
        temporary.rename(final)
        _sync(final.parent)
    except OSError as error:
        text = f"{error.strerror or error}; this checkpoint was not written, the ones before it are intact"
        raise type(error)(error.errno, text, str(final)) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _compute_digests(folder: Path) -> dict[str, dict[str, Any]]:
    """Return size and sha256 of every file, by its path inside the folder."""
    found = {}
    for file in sorted(folder.rglob("*")):
        if file.is_file():
            with open(file, "rb") as opened:
                digest = hashlib.file_digest(opened, "sha256").hexdigest()
            found[file.relative_to(folder).as_posix()] = {"bytes": file.stat().st_size, "sha256": digest}
    return found


def _verify(folder: Path) -> None:
    with _reading(folder):
        manifest = read_json(folder / "manifest.json")
        listed = manifest.get("files") if isinstance(manifest, dict) else None
        if not isinstance(listed, dict) or not all(isinstance(told, dict) for told in listed.values()):
            raise CorruptCheckpoint(f"{escape(folder)}: its manifest lists no files with their checksums")
        links = [entry for entry in folder.rglob("*") if entry.is_symlink()]
        if links:
            raise CorruptCheckpoint(
                f"{escape(folder)}: {escape(links[0].name)} is a link, and a checkpoint holds none"
            )
        found = _compute_digests(folder)
    found.pop("manifest.json", None)
    for name in sorted({*listed, *found}):
        if listed.get(name) != found.get(name):
            what = "is missing" if name not in found else "was not written by this run"
            if name in listed and name in found:
                what = f"was {listed[name].get('bytes')} bytes and is {found[name]['bytes']}, or was changed"
            raise CorruptCheckpoint(f"{escape(folder)}: file {name} {what}")


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _list_complete(folder: Path) -> list[tuple[int, Path]]:
    """Return numbers and folders of the checkpoints that have their final name, oldest first."""
    if not folder.is_dir():
        return []
    matches = ((_NAME.fullmatch(entry.name), entry) for entry in folder.iterdir())
    return sorted((int(match[1]), entry) for match, entry in matches if match)


def _remove(folder: Path) -> None:
    """Remove a checkpoint so that, if this is cut short, it is not taken for one."""
    gone = folder.parent / f".{folder.name}.{os.getpid()}.{secrets.token_hex(4)}.tmp"
    folder.rename(gone)
    shutil.rmtree(gone)


def _remove_leftovers(folder: Path) -> None:
    """Remove what killed processes left half written."""
    for entry in folder.iterdir():
        match = _TEMPORARY.fullmatch(entry.name)
        if match and not Path(f"/proc/{match[1]}").exists():
            shutil.rmtree(entry, ignore_errors=True)
