"""The sqlite file of a store: made whole or not at all, by one process of all that want it."""

from __future__ import annotations

import fcntl
import os
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import quote

#: The file of a store that somebody is making changes at least so often.
MAKING_SECONDS = 5.0
_MAGIC = b"SQLite format 3\0"


def connect(path: Path, make_client: Callable[[str], Any]) -> Any:
    """Return the client of an sqlite store that ``make_client`` makes for an address; make the store first.

    Processes that make tables in one file at once would spoil it: the first makes it, the others wait.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with _locked(path.parent):
        if not path.exists():
            _create(path, make_client)
        return _wait_for_maker(path, make_client)


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock the folder itself: no lock file is left behind."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _create(path: Path, make_client: Callable[[str], Any]) -> None:
    """Make the store elsewhere, and put it in its place.

    An ``mlflow ui`` that begins at the same moment knows no lock of ours. Who has the file first makes it.
    """
    with tempfile.TemporaryDirectory(prefix=".mlflow-", dir=path.parent) as folder:
        made, whole = Path(folder) / "made.db", Path(folder) / "whole.db"
        make_client(f"sqlite:///{made.absolute()}")
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(whole)) as copy:
            source.backup(copy)  # MLflow keeps its connection to the other
        with suppress(OSError):  # it is there now, or this file system has no links: MLflow makes it in place
            os.link(whole, path)


def _wait_for_maker(path: Path, make_client: Callable[[str], Any]) -> Any:
    """Return a client; who is just making tables is waited for, and whatever goes wrong then is tried again.

    MLflow keeps out another that spells the address as it does itself; two that do not spoil the file.
    """
    end = time.monotonic() + 4 * MAKING_SECONDS
    while time.monotonic() < end and _is_being_made(path) and not _is_whole(path):
        time.sleep(MAKING_SECONDS / 100)
    while True:
        try:
            return make_client(f"sqlite:///{path}")
        except Exception:  # of sqlite, SQLAlchemy or alembic, whose steps the other one is taking
            if time.monotonic() > end or not _is_being_made(path):
                raise
            time.sleep(MAKING_SECONDS / 20)


def _is_whole(path: Path) -> bool:
    """Whether a file has the tables that this version of MLflow makes, all of them."""
    address = f"file:{quote(str(path.absolute()))}?mode=ro"
    try:
        with closing(sqlite3.connect(address, uri=True, timeout=1.0)) as database:
            found = database.execute("SELECT version_num FROM alembic_version").fetchone()
    except sqlite3.Error:  # no tables yet, or somebody is writing
        return False
    return found is not None and _newest_tables() in (found[0], None)


@cache
def _newest_tables() -> str | None:
    """Return the version of the tables that MLflow makes; None where MLflow does not tell."""
    from mlflow.store.db import utils

    tell = getattr(utils, "_get_latest_schema_revision", None)
    return None if tell is None else str(tell())


def _is_being_made(path: Path) -> bool:
    """Whether a file is an sqlite database, or none yet, and was written a moment ago."""
    try:
        with path.open("rb") as file:
            begins = file.read(len(_MAGIC))
        return begins in (b"", _MAGIC) and time.time() - path.stat().st_mtime < MAKING_SECONDS
    except OSError:
        return False
