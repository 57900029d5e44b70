"""A configuration of a domain, the trial that runs it, and the states a trial goes through."""

from __future__ import annotations

import hashlib
import re
import traceback
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bf_index.errors import unknown
from bf_research.option import KV, as_kv, canonical

_READABLE = 60  # a folder name may have 255 bytes; the rest is for the hash and for paths inside


class TrialState(StrEnum):
    """Where a trial stands."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"  # its code raised
    CRASHED = "CRASHED"  # its process died
    TIMEOUT = "TIMEOUT"
    KILLED = "KILLED"  # the sweep was stopped

    @property
    def finished(self) -> bool:
        """Whether a resume leaves the trial alone."""
        return self in _FINISHED


_FINISHED = frozenset({TrialState.DONE, TrialState.FAILED, TrialState.CRASHED, TrialState.TIMEOUT})
FAILURES = frozenset({TrialState.FAILED, TrialState.CRASHED, TrialState.TIMEOUT})


class Config(Mapping[str, Any]):
    """One configuration: a read-only mapping from names of options to real values, and its repetition.

    ``config.key`` has what stands for the values (JSON data), ``config.aliases`` the same as text,
    ``config.nested()`` the values under nested names (``model.lr`` inside ``model``).
    """

    __slots__ = ("_values", "repetition")

    def __init__(self, values: Mapping[str, Any], repetition: int = 0) -> None:
        self._values: dict[str, KV] = {name: as_kv(value) for name, value in values.items()}
        self.repetition = repetition

    def __getitem__(self, name: str) -> Any:
        if name not in self._values:
            raise KeyError(unknown("option", str(name), self._values))
        return self._values[name].value

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    @property
    def key(self) -> dict[str, Any]:
        """What identifies the configuration: JSON data, equal in every spelling of the domain."""
        return {name: kv.key for name, kv in self._values.items()}

    @property
    def aliases(self) -> dict[str, str]:
        """Names of the values, for tables."""
        return {name: kv.name for name, kv in self._values.items()}

    def values_by_name(self) -> dict[str, KV]:
        """Return the values with their aliases."""
        return dict(self._values)

    def nested(self) -> dict[str, Any]:
        """Return the values as nested dicts; ``ValueError`` when a name is both a value and a section."""
        return nest(self)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, Config):
            return self.repetition == other.repetition and canonical(self.key) == canonical(other.key)
        return Mapping.__eq__(self, other) if isinstance(other, Mapping) else NotImplemented

    def __hash__(self) -> int:
        return hash((canonical(self.key), self.repetition))

    def __repr__(self) -> str:
        pairs = ", ".join(f"{name}={value}" for name, value in self.aliases.items())
        return f"Config({pairs}, repetition={self.repetition})"

    def with_repetition(self, repetition: int) -> Config:
        """Return the same values as another repetition."""
        return self if repetition == self.repetition else Config(self._values, repetition)


def nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Turn ``{'model.lr': 1}`` into ``{'model': {'lr': 1}}``; ``ValueError`` when two names clash."""
    tree: dict[str, Any] = {}
    sections: set[str] = set()
    for name, value in flat.items():
        *path, last = name.split(".")
        place = tree
        for depth, part in enumerate(path, 1):
            section = ".".join(path[:depth])
            if part in place and section not in sections:
                raise ValueError(
                    f"option {name!r} lies inside {section!r}, which is an option with a value of its own"
                )
            sections.add(section)
            place = place.setdefault(part, {})
        if last in place:
            raise ValueError(f"option {name!r} is both a value and the section of another option")
        place[last] = value
    return tree


@dataclass(frozen=True)
class Trial:
    """One configuration to run: ``id`` is the same in every spelling and every process.

    ``update`` counts the updates of the domain before it, ``occurrence`` earlier equal configurations.
    """

    config: Config
    number: int = 0
    update: int = 0
    occurrence: int = 0
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "id", trial_id(self.config, self.update, self.occurrence))


def trial_id(config: Config, update: int = 0, occurrence: int = 0) -> str:
    """Name a trial: readable text and a hash, safe as a file name on every system.

    Depends on names, values and the repetition alone: not on the order of options, nor on the spelling.

    >>> trial_id(Config({'model': 'vgg7', 'lr': 0.1}))
    'lr-0.1_model-vgg7_967835b82ea8'
    """
    key = config.key
    identity = [key, config.repetition, update, occurrence]
    digest = hashlib.sha256(canonical(identity).encode(errors="backslashreplace")).hexdigest()[:12]
    shown = {**config.aliases, **({"repetition": config.repetition} if config.repetition else {})}
    readable = "_".join(f"{name}-{shown[name]}" for name in sorted(shown))
    safe = re.sub(r"[^A-Za-z0-9._-]+", "-", readable)[:_READABLE].strip(".-_")
    return f"{safe}_{digest}" if safe else digest


@dataclass(frozen=True)
class Ended:
    """How a trial ended: its state, its results row by row, why it failed in one line, the traceback."""

    trial: Trial
    state: TrialState
    rows: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    error: str = ""
    seconds: float = 0.0
    attempts: int = 1
    device: str = ""


def as_rows(value: Any) -> tuple[dict[str, Any], ...]:
    """Turn what a trial returned into rows of results: nothing, a number, a mapping, or rows already.

    Anything with ``metrics`` (what ``bf_research.train`` returns) counts as a mapping of them.
    """
    if value is None:
        return ()
    metrics = getattr(value, "metrics", None)
    if isinstance(metrics, Mapping):
        iterations = getattr(value, "iterations", None)
        return ({**({} if iterations is None else {"iteration": int(iterations)}), **metrics},)
    if isinstance(value, Mapping):
        return ({str(name): item for name, item in value.items()},)
    if isinstance(value, list | tuple) and all(isinstance(row, Mapping) for row in value):
        return tuple({str(name): item for name, item in row.items()} for row in value)
    return ({"value": value},)


def reason(error: BaseException) -> str:
    """Say in one line what went wrong."""
    first = str(error).strip().partition("\n")[0]
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def text(error: BaseException) -> str:
    """Return the traceback with its notes: the worker's own traceback is one."""
    notes = getattr(error, "__notes__", ())
    if any(note.startswith("in a worker:") for note in notes):
        return "\n".join(notes)
    return "".join(traceback.format_exception(error))
