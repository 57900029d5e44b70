"""The trial that runs a configuration, the states it goes through, and how it ended."""

from __future__ import annotations

import hashlib
import json
import re
import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from bf_pipeline.redaction.texts import redact_text
from bf_pipeline.redaction.values import redact
from bf_research.domain.config import Config
from bf_research.domain.option import canonical
from bf_research.masks import Masks

_UNSAFE = re.compile(r"[^A-Za-z0-9._-]+")
_READABLE = 60  # a folder name may have 255 bytes; the rest is for the hash and for paths inside


class TrialState(StrEnum):
    """The state of a trial."""

    PENDING = "PENDING"
    RUNNING = "RUNNING"
    DONE = "DONE"
    FAILED = "FAILED"  # its code raised
    CRASHED = "CRASHED"  # its process died
    TIMEOUT = "TIMEOUT"
    KILLED = "KILLED"  # the sweep was stopped
    PRUNED = "PRUNED"  # the sweep's stopping rule stopped it

    @property
    def finished(self) -> bool:
        """Whether a resume leaves the trial alone; one without a stopping rule takes up what was PRUNED."""
        return self in _FINISHED


_FINISHED = frozenset(
    {TrialState.DONE, TrialState.PRUNED, TrialState.FAILED, TrialState.CRASHED, TrialState.TIMEOUT}
)
FAILURES = frozenset({TrialState.FAILED, TrialState.CRASHED, TrialState.TIMEOUT})


@dataclass(frozen=True, slots=True)
class Trial:
    """One configuration to run: ``id`` is the same in every spelling and every process.

    ``update`` counts the updates of the domain before it, ``occurrence`` earlier equal configurations,
    ``masks`` are those of the sweep.
    """

    config: Config
    number: int = 0
    update: int = 0
    occurrence: int = 0
    masks: Masks = field(default_factory=Masks, compare=False, repr=False)
    #: the configuration as files and tables have it: JSON data with masks in place of secrets
    recorded: dict[str, Any] = field(init=False, compare=False, repr=False)
    id: str = field(init=False, compare=False)

    def __post_init__(self) -> None:
        recorded = _record(self.config, self.masks)
        object.__setattr__(self, "recorded", recorded)
        name = _name(recorded, self.config.repetition, self.update, self.occurrence)
        object.__setattr__(self, "id", name)


def trial_id(config: Config, update: int = 0, occurrence: int = 0, masks: Masks | None = None) -> str:
    """Return the name of a trial: readable text and a hash, safe as a file name on every system.

    It depends on names, values and the repetition alone: not on the order of options, nor on the spelling.

    >>> trial_id(Config({'model': 'vgg7', 'lr': 0.1}))
    'lr-0.1_model-vgg7_967835b82ea8'
    """
    return _name(_record(config, masks or Masks()), config.repetition, update, occurrence)


def _name(recorded: Mapping[str, Any], repetition: int, update: int, occurrence: int) -> str:
    identity = [recorded, repetition, update, occurrence]
    digest = hashlib.sha256(canonical(identity).encode(errors="backslashreplace")).hexdigest()[:12]
    shown = {**recorded, **({"repetition": repetition} if repetition else {})}
    readable = "_".join(f"{name}-{_spell(shown[name])}" for name in sorted(shown))
    safe = _UNSAFE.sub("-", readable)[:_READABLE].strip(".-_")
    return sys.intern(f"{safe}_{digest}" if safe else digest)


def _record(config: Config, masks: Masks) -> dict[str, Any]:
    recorded: dict[str, Any] = redact(config.key, mask=masks)
    return recorded


def _spell(value: Any) -> str:
    if isinstance(value, str):
        return value
    return str(value) if type(value) is int else json.dumps(value)


@dataclass(frozen=True, slots=True)
class Ended:
    """The end of a trial: its state, its results row by row, why it failed in one line, the traceback.

    ``passing``: it failed by what was around it; a sweep that goes on runs it again.
    """

    trial: Trial
    state: TrialState
    rows: tuple[Mapping[str, Any], ...] = ()
    reason: str = ""
    error: str = ""
    seconds: float = 0.0
    attempts: int = 1
    device: str = ""
    passing: bool = False


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
    """Return in one line what went wrong, without secrets."""
    first = redact_text(str(error).strip().partition("\n")[0])
    return f"{type(error).__name__}: {first}" if first else type(error).__name__


def traceback_text(error: BaseException) -> str:
    """Return the traceback with its notes, without secrets: the worker's own traceback is one."""
    notes = getattr(error, "__notes__", ())
    if any(note.startswith("in a worker:") for note in notes):
        return redact_text("\n".join(notes))
    return redact_text("".join(traceback.format_exception(error)))
