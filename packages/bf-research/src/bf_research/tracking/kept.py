"""The file of what a store did not take: lines of JSON, which ``replay`` writes to the store later."""

from __future__ import annotations

import json
import re
import shlex
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from bf_index.errors import escape
from bf_research.masks import is_masked
from bf_research.tracking.backlog import Backlog

#: What the first line of a file says of its run.
_HEAD = {"store": str, "experiment": str, "name": str, "tags": dict}
#: The names of the files.
PATTERN = "tracking-*.jsonl"
#: More of a first line is not read.
_LONGEST_HEAD = 1 << 20
#: Points that are read from the backlog at once.
_POINTS = 1000


def arguments(path: Path, uri: str) -> str:
    """Return the arguments of ``replay`` for a file: where it writes has to be said by the person."""
    return shlex.join([str(path), *([] if is_masked(uri) else [uri])])


class Kept(NamedTuple):
    """What a file holds: its head, its records in order, the status of the run and when it ended."""

    head: dict[str, Any]
    records: list[tuple[str, Any]]
    status: str = "FINISHED"
    when: int | None = None


def new_path(folder: str, run: str) -> Path:
    """Return the path of a new file for the records of a run."""
    name = re.sub(r"[^\w.=-]+", "_", run)[:100]
    return Path(folder).absolute() / f"tracking-{name}-{time.time_ns()}.jsonl"


def check_files(kind: str, payload: Any, path: Path) -> None:
    """Raise ``ValueError`` for a record of a file neither beside ``path`` nor in the working folder.

    A file of records may come from somebody else, and name any file of this machine.
    """
    if kind not in ("artifact", "surroundings"):
        return
    named = Path(str(payload[0] if kind == "artifact" else payload))
    inside = named.rglob("*") if kind == "artifact" and named.is_dir() else ()
    for found in (named, *inside):
        if not any(_lies_in(found.resolve(), folder) for folder in (path.parent.resolve(), Path.cwd())):
            raise ValueError(
                f"{escape(found)} is outside of {escape(path.parent)} and of the working folder; if it is "
                "yours, run this from the folder that it is in"
            )


def _lies_in(path: Path, folder: Path) -> bool:
    """Whether a path lies in a folder, and in none of its hidden ones."""
    inside = path.relative_to(folder).parts if path.is_relative_to(folder) else (".",)
    return not any(part.startswith(".") for part in inside)


def write(
    path: Path,
    head: Mapping[str, Any],
    records: Sequence[tuple[str, Any]],
    backlog: Backlog,
    end: tuple[str, int | None],
) -> None:
    """Write a file; the points go from the backlog into it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("x", encoding="utf-8") as file:
        file.write(json.dumps(["start", head]) + "\n")
        file.writelines(json.dumps(record) + "\n" for record in records)
        while batch := backlog.peek(_POINTS):
            file.writelines(json.dumps(["point", point]) + "\n" for point in batch)
            backlog.drop(len(batch))
        file.write(json.dumps(["end", end]) + "\n")


def read(path: Path) -> Kept:
    """Read a file; ``ValueError`` for any other, a warning for a last line that was cut off."""
    lines = list(_parse(path))
    if not lines or lines[0][0] != "start":
        raise ValueError(f"{escape(path)} holds no kept records: its first line must be a 'start'")
    head = lines[0][1]
    for key, kind in _HEAD.items():
        if not isinstance(head, dict) or not isinstance(head.get(key), kind):
            raise ValueError(f"{escape(path)}, line 1: {key!r} of the run is missing or no {kind.__name__}")
    records = [line for line in lines[1:] if line[0] != "end"]
    ends = [payload for kind, payload in lines if kind == "end"] or ["FINISHED"]
    status, when = (ends[-1], None) if isinstance(ends[-1], str) else ends[-1]
    return Kept(head, records, status, when)


def read_head(path: Path) -> dict[str, Any]:
    """Return what the first line of a file says of its run; nothing for any other file."""
    with path.open("rb") as file:
        line = file.readline(_LONGEST_HEAD)
    try:
        kind, head = json.loads(line)
    except (ValueError, TypeError, RecursionError):
        return {}
    whole = kind == "start" and isinstance(head, dict)
    return head if whole and all(isinstance(head.get(key), of) for key, of in _HEAD.items()) else {}


def _parse(path: Path) -> Iterator[tuple[str, Any]]:
    lines = path.read_bytes().split(b"\n")
    for number, line in enumerate(lines, 1):
        if not line:
            continue
        try:
            kind, payload = json.loads(line)
        except (ValueError, TypeError, RecursionError) as error:
            if number < len(lines):
                raise ValueError(f"{escape(path)}, line {number} is no kept record: {line[:80]!r}") from error
            warnings.warn(
                f"{escape(path)}: its last line {number} is cut off as by a full disk: what it said is lost",
                RuntimeWarning,
                stacklevel=3,
            )
        else:
            yield str(kind), payload
