"""The journal of a sweep: JSON lines, only ever appended, by one driver at a time, readable after a crash."""

from __future__ import annotations

import gc
import json
import os
import re
import socket
import sys
import threading
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType, TracebackType
from typing import IO, Any, ClassVar, NamedTuple, Self

import numpy as np

from bf_index.errors import StateError, escape
from bf_index.sizes import MOST_JSON, reading
from bf_research.own_files import open_plain, take_lock
from bf_research.sweep.records import History, Record, Told, check_field, fill, note_told, read_told
from bf_research.sweep.trial import Ended, Trial, TrialState

SCHEMA = 1
_STATES = {str(state): state for state in TrialState}
JOURNAL, LOCK = "journal.jsonl", "journal.lock"
#: Letters of a lock file that tell who holds it.
_LONGEST_HOLDER = 1000


class SweepLocked(RuntimeError):
    """Another process is running the sweep of this folder."""


class Journal:
    """The writer of a folder's journal; it holds the lock until ``close``, or until the process dies.

    What is finished is on the disk when ``end`` returns.
    """

    # A lock of the file system does not keep out another thread of the same process.
    _held: ClassVar[set[Path]] = set()
    _guard: ClassVar[threading.Lock] = threading.Lock()

    def __init__(self, folder: Path, head: Mapping[str, Any]) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder
        self._lock = _Lock(folder / LOCK, self._held, self._guard)
        try:
            found = read(folder)
            self._records, self._told = dict(found.records), list(found.told)
            self._file = _open_whole(folder / JOURNAL)
            first = {"journal": SCHEMA, "time": time.time(), **head}
            if not found.head:
                self._write(first, durable=True)
        except BaseException:
            self._lock.release()
            raise
        #: What the journal holds now; grows with what is written.
        self.history = History(found.head or first, MappingProxyType(self._records), self._told)

    def begin(self, trial: Trial, attempt: int = 1) -> None:
        """Write that a trial begins."""
        self._write(
            {
                "trial": trial.id,
                "state": TrialState.RUNNING,
                "number": trial.number,
                "config": trial.recorded,
                "repetition": trial.config.repetition,
                "update": trial.update,
                "attempt": attempt,
                "time": time.time(),
            }
        )

    def end(self, ended: Ended) -> None:
        """Write how a trial ended."""
        self._write(
            {
                "trial": ended.trial.id,
                "state": ended.state,
                "attempt": ended.attempts,
                "seconds": round(ended.seconds, 3),
                "device": ended.device,
                "reason": ended.reason,
                "error": ended.error,
                "rows": [dict(row) for row in ended.rows],
                **({"passing": True} if ended.passing else {}),
                "time": time.time(),
            },
            durable=True,
        )

    def mark(self, trial_id: str, state: TrialState, reason: str) -> None:
        """Write the state of a trial that nobody runs any more."""
        self._write({"trial": trial_id, "state": state, "reason": reason, "time": time.time()})

    def tell(self, told: Told, stop: str | None) -> None:
        """Write what a trial told the stopping rule, and why that stops it, if it does."""
        line = {"told": told.trial, "metric": told.metric, "step": told.step, "value": told.value}
        more = {**({"final": True} if told.final else {}), **({} if stop is None else {"stop": stop})}
        self._write({**line, **more, "time": time.time()})
        note_told(self._records, self._told, told)

    def prune(self, trial_id: str, reason: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write that a trial had been stopped by the stopping rule, though its end was not noted."""
        self._settle(trial_id, TrialState.PRUNED, reason, rows)

    def recover(self, trial_id: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Write the results of a trial that was finished, though its end was not noted."""
        self._settle(trial_id, TrialState.DONE, "", rows)

    def _settle(
        self, trial_id: str, state: TrialState, reason: str, rows: Sequence[Mapping[str, Any]]
    ) -> None:
        line = {"trial": trial_id, "state": state, "reason": reason, "error": ""}
        self._write({**line, "rows": [dict(row) for row in rows], "time": time.time()}, durable=True)

    def update(self, number: int, domain: str) -> None:
        """Write that the domain was replaced."""
        self._write({"update": number, "domain": domain, "time": time.time()})

    def _write(self, line: Mapping[str, Any], durable: bool = False) -> None:
        text = json.dumps(line, ensure_ascii=False, default=to_json)
        try:
            self._file.write(text.encode(errors="backslashreplace") + b"\n")
            self._file.flush()
            if durable:
                os.fsync(self._file.fileno())
        except OSError as error:
            error.add_note(
                f"the journal {self.folder / JOURNAL} can't be written; make room and resume the sweep"
            )
            raise
        if "trial" in line:
            _apply(self._records, json.loads(text))

    def close(self) -> None:
        """Release the folder; a second call does nothing."""
        try:
            self._file.close()
        finally:
            self._lock.release()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def to_json(value: Any) -> Any:
    """Turn numpy's numbers and arrays into JSON data; ``TypeError`` for what JSON does not know."""
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    raise TypeError(
        f"results hold numbers, text, lists, dicts and arrays, got a {type(value).__name__}: {value!r}; "
        "return what describes it, or write it to a file of the trial's folder"
    )


def exists(folder: Path) -> bool:
    """Whether a sweep was begun in a folder."""
    return (folder / JOURNAL).exists()


def read(folder: Path) -> History:
    """Read the journal of a folder, without its lock.

    A last line cut short is left out with a warning that says what is lost. ``StateError`` for a journal of a
    newer version or one that was damaged in the middle, ``StrangeFile`` for a link and what is no file.
    """
    path = folder / JOURNAL
    found = _Found({}, {}, [])
    where = _Place(path)
    if not path.exists():
        return History(*found)
    with open(path, "rb", opener=open_plain) as file, reading(where, StateError), no_collections():
        for where.line, line in enumerate(_lines(file), 1):
            if not line.endswith(b"\n"):
                _warn_of_torn_line(path, where.line, line)
                break
            found = _take_line(found, line, where)
    if not where.line:
        _warn_of_torn_line(path, 1, b"")
    return History(*found)


def _lines(file: IO[bytes]) -> Iterator[bytes]:
    """Yield the lines of a journal; ``ValueError`` for one that is longer than any file of JSON may be."""
    while line := file.readline(MOST_JSON + 1):
        if len(line) > MOST_JSON:
            raise ValueError(f"a line of more than {MOST_JSON:,} bytes")
        yield line


@contextmanager
def no_collections() -> Iterator[None]:
    """Let Python look for no cycles while a great many objects are made of which none is garbage."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.enable()


class _Found(NamedTuple):
    """What the lines of a journal have said so far."""

    head: dict[str, Any]
    records: dict[str, Record]
    told: list[Told]


@dataclass
class _Place:
    """The line of a journal that is being read."""

    path: Path
    line: int = 0

    def __str__(self) -> str:
        return f"{self.path}, line {self.line}"


def _take_line(found: _Found, line: bytes, where: _Place) -> _Found:
    """Add what a line says."""
    try:
        entry = json.loads(line.decode())
    except (ValueError, RecursionError) as error:
        raise StateError(
            f"{escape(where)} is not JSON: {line[:80]!r}; the file was changed by something else, "
            "restore it or start the sweep in a new folder"
        ) from error
    if "trial" in entry:
        _apply(found.records, entry)
    elif "told" in entry:
        note_told(found.records, found.told, read_told(entry))
    elif "journal" in entry:
        if entry["journal"] > SCHEMA:
            raise StateError(
                f"{escape(where)} has version {entry['journal']}, this bf-research reads up to {SCHEMA}; "
                "update it"
            )
        return found._replace(head=entry)
    return found


def read_head(folder: Path) -> Mapping[str, Any]:
    """Return what a journal begins with, whatever its length; nothing where there is none."""
    path = folder / JOURNAL
    if not path.exists():
        return {}
    where = _Place(path, 1)
    with open(path, "rb", opener=open_plain) as file, reading(where, StateError):
        line = next(_lines(file), b"")
        return _take_line(_Found({}, {}, []), line, where).head if line.endswith(b"\n") else {}


def read_earlier(folder: str | Path | None) -> list[Record]:
    """Return the trials of an earlier sweep, none without one; ``FileNotFoundError`` where none was."""
    if folder is None:
        return []
    if not exists(Path(folder)):
        raise FileNotFoundError(
            f"search.warm_start={escape(folder)}: there is no {JOURNAL} in it; give the folder of a sweep"
        )
    return list(read(Path(folder)).records.values())


def _warn_of_torn_line(path: Path, number: int, line: bytes) -> None:
    """Warn that the last line has no end: its writer was killed, the disk was full, or it still writes."""
    if not line:
        what = "is empty: it holds no trials"
    else:
        found = re.search(rb'"trial": "([^"]+)"', line)
        lost = f"what it said of trial {found[1].decode(errors='replace')}" if found else "what it said"
        what = f"ends in the middle of line {number}, {lost} is lost: {line[:60]!r}"
    warnings.warn(
        f"{escape(path)} {what}; unless the sweep is running just now, its writer was killed or "
        "the disk was full: "
        "resume the sweep, it runs again what is not finished",
        RuntimeWarning,
        stacklevel=3,
    )


def _apply(records: dict[str, Record], entry: Mapping[str, Any]) -> None:
    key = entry["trial"]
    record = records.get(key)
    if record is None:
        key = sys.intern(key)
        record = records[key] = Record(key, len(records), {})
    record.state = _STATES[entry["state"]] if entry["state"] in _STATES else TrialState(entry["state"])
    if record.state is TrialState.RUNNING:  # tried again: what an earlier try left no longer counts
        record.reason, record.error, record.rows, record.passing = "", "", [], False
    record.passing = entry.get("passing", record.passing)
    fill(record, entry)
    if "attempt" in entry:
        record.attempts = entry["attempt"]
        check_field(record, "attempts")


def _open_whole(path: Path) -> Any:
    """Open for appending, after cutting off a last line without its end."""
    with suppress(FileNotFoundError), open(path, "r+b", opener=open_plain) as file:
        text = file.read()
        whole = text.rfind(b"\n") + 1
        if whole < len(text):
            file.truncate(whole)
    return open(path, "ab", opener=open_plain)


class _Lock:
    """A lock file that names its holder; the system releases it when the holder dies."""

    def __init__(self, path: Path, held: set[Path], guard: threading.Lock) -> None:
        self._path, self._held, self._guard = path.resolve(), held, guard
        with guard:
            if self._path in held:
                raise SweepLocked(
                    f"{escape(path.parent)}: this process is already running the sweep of this folder"
                )
            self._file = open(path, "a+", opener=open_plain)  # noqa: SIM115 - closed by release()
            try:
                # not by workers, which may outlive a dead driver
                if not take_lock(self._file.fileno(), path, inherited=False):
                    raise SweepLocked(self._refusal(path))
            except BaseException:
                self._file.close()
                raise
            held.add(self._path)
        self._file.truncate(0)
        holder = {
            "pid": os.getpid(),
            "host": socket.gethostname(),
            "since": time.strftime("%Y-%m-%d %H:%M:%S"),
        }
        self._file.write(json.dumps(holder))
        self._file.flush()

    @staticmethod
    def _refusal(path: Path) -> str:
        try:
            with open(path, encoding="utf-8", opener=open_plain) as file:
                holder = json.loads(file.read(_LONGEST_HOLDER))
            who = escape(f"process {holder['pid']} on {holder['host']}, since {holder['since']}")
        except (OSError, ValueError, KeyError, TypeError, RecursionError):
            who = "another process"
        return (
            f"{escape(path.parent)}: {who} is running the sweep of this folder; wait for it, stop it, "
            "or give this sweep a folder of its own"
        )

    def release(self) -> None:
        with self._guard:
            self._held.discard(self._path)
            self._file.close()
