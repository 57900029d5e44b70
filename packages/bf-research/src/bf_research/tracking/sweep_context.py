"""What a trial has to know of the sweep it belongs to: handed from the sweep's process to the trials'."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field

#: The environment is what every launcher hands to its workers, threads and processes alike.
VARIABLE = "BF_SWEEP"


@dataclass(frozen=True)
class SweepContext:
    """The sweep's own run, in which store, and the tags that its trials bear."""

    store: str
    experiment: str
    run_id: str
    tags: dict[str, str] = field(default_factory=dict)
    #: what was said for the whole sweep; the other overrides of a trial are its own
    given: list[str] = field(default_factory=list)
    #: of the experiment; looked up by its name where it is not told
    experiment_id: str | None = None

    def publish(self) -> None:
        """Make this the sweep of the trials that this process and its later children run."""
        os.environ[VARIABLE] = json.dumps(asdict(self))

    @staticmethod
    def withdraw() -> None:
        """Trials from here on belong to no sweep."""
        os.environ.pop(VARIABLE, None)

    @classmethod
    def current(cls) -> SweepContext | None:
        """Return the sweep that this process works for, if any."""
        text = os.environ.get(VARIABLE)
        return cls(**json.loads(text)) if text else None
