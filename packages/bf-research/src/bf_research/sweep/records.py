"""The trials of a sweep as its journal has them, and what they told its stopping rule."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bf_research.sweep.trial import TrialState


@dataclass(slots=True)
class Record:
    """One trial as the journal has it."""

    id: str
    number: int
    config: dict[str, Any]
    repetition: int = 0
    update: int = 0
    state: TrialState = TrialState.PENDING
    attempts: int = 0
    seconds: float = 0.0
    device: str = ""
    reason: str = ""
    error: str = ""
    rows: list[dict[str, Any]] = field(default_factory=list)
    #: whether it failed by what was around it, such as a store that did not answer
    passing: bool = False
    #: the last step that it told the stopping rule
    step: int = 0


@dataclass(frozen=True, slots=True)
class Told:
    """What a trial told the stopping rule: the value of a metric at a step, and whether it ended there."""

    trial: str
    metric: str
    step: int
    value: float
    final: bool = False


_KINDS: Mapping[str, type | tuple[type, ...]] = {
    **dict.fromkeys(("id", "device", "reason", "error"), str),
    **dict.fromkeys(("number", "repetition", "update", "attempts", "step"), int),
    **{"config": dict, "seconds": (int, float), "rows": list},
}


#: What a line of a journal may say of a trial, under the same names.
_WRITTEN = {
    name: _KINDS[name]
    for name in ("number", "config", "repetition", "update", "seconds", "device", "reason", "error", "rows")
}


def fill(record: Record, entry: Mapping[str, Any]) -> None:
    """Set what a line of a journal says of a trial; ``TypeError`` for a field of another kind.

    Names, which are the same in all trials, are kept once.
    """
    for name, value in entry.items():
        if (kind := _WRITTEN.get(name)) is None:
            continue
        setattr(record, name, value)
        if not isinstance(value, kind):
            check_field(record, name)
        if name == "rows":
            if value:
                check_field(record, name)
                record.rows = [{sys.intern(key): one for key, one in row.items()} for row in value]
        elif name == "config":
            record.config = {sys.intern(key): one for key, one in value.items()}
        elif name == "device":
            record.device = sys.intern(value)


def check_record(record: Record) -> Record:
    """Return a record that was read; ``TypeError`` for a field of another kind than is written."""
    for name in _KINDS:
        check_field(record, name)
    return record


def check_field(record: Record, name: str) -> None:
    """Raise ``TypeError`` for a field of another kind than is written."""
    value = getattr(record, name)
    if not isinstance(value, _KINDS[name]):
        raise TypeError(f"{name!r} of trial {record.id!r} is {str(value)[:80]!r}")
    for row in record.rows if name == "rows" else ():
        if not isinstance(row, dict):
            raise TypeError(f"a row of trial {record.id!r} is {str(row)[:80]!r}")


@dataclass(frozen=True)
class History:
    """The contents of a journal: its head, its trials as they began, what the stopping rule heard."""

    head: Mapping[str, Any]
    records: Mapping[str, Record]
    told: Sequence[Told] = ()

    def count(self, *states: TrialState) -> int:
        """Count the trials in any of these states."""
        return sum(record.state in states for record in self.records.values())


def read_told(entry: Mapping[str, Any]) -> Told:
    """Read a line of a journal; ``TypeError`` for a field of another kind than is written."""
    step, value = entry["step"], entry["value"]
    if isinstance(step, bool) or not isinstance(step, int) or not isinstance(value, int | float):
        raise TypeError(f"step {str(step)[:80]!r} and value {str(value)[:80]!r} of trial {entry['told']!r}")
    return Told(
        str(entry["told"]), str(entry["metric"]), step, float(value), entry.get("final", False) is True
    )


def note_told(records: Mapping[str, Record], everything: list[Told], told: Told) -> None:
    """Add what a trial told, also to its record."""
    everything.append(told)
    if told.trial in records:
        records[told.trial].step = told.step
