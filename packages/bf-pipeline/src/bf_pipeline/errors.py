"""What can go wrong with a pipeline, one class for each kind."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from typing import NamedTuple


class Location(NamedTuple):
    """The line at which a step was recorded, or the key of a YAML step."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class Mistake(NamedTuple):
    """One thing that binding found, and the call it belongs to."""

    where: Location
    text: str


class BindError(TypeError):
    """A pipeline does not fit its dataset, config or itself; lists every mistake found, with its line."""

    def __init__(self, owner: str, mistakes: Sequence[Mistake]) -> None:
        super().__init__(owner, mistakes)
        self.owner = owner
        self.mistakes = tuple(mistakes)

    def __str__(self) -> str:
        count = len(self.mistakes)
        head = f"{count} mistake{'s' if count > 1 else ''} in the pipeline for {self.owner}:"
        return "\n".join([head, *(f"  {mistake.where}: {mistake.text}" for mistake in self.mistakes)])


class SkippedBatches(UserWarning):
    """Some batches of a run were left out because of ``on_error='skip'``."""


class Terminated(SystemExit):
    """The end of a process that got SIGTERM: of a run between two batches, of a sweep at once."""

    def __init__(self) -> None:
        super().__init__(128 + signal.SIGTERM)
