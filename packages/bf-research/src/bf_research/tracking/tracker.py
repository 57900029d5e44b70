"""The protocol of a tracker, the tracker that records nothing, and parameters as trackers take them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol, runtime_checkable

from bf_pipeline.redaction.texts import MASK, Mask
from bf_pipeline.redaction.values import redact
from bf_research.tracking.names import LONGEST_VALUE, Names, number_repeats

Status = Literal["FINISHED", "FAILED", "KILLED"]


@dataclass(frozen=True)
class Location:
    """The place where a run is recorded, and what a person types to see it."""

    store: str
    experiment: str
    experiment_id: str
    run_id: str
    run_name: str
    command: str
    page: str
    #: what kind of tracker it is, such as ``mlflow``
    tracker: str = "tracker"

    @property
    def parts(self) -> tuple[Location, ...]:
        """The places, one for each tracker."""
        return (self,)

    def __str__(self) -> str:
        return (
            f"logged  run {self.run_name} ({self.run_id}), experiment {self.experiment!r}, {self.store}\n"
            f"open    {self.command}\n        then {self.page}"
        )


@dataclass(frozen=True)
class FileLocation(Location):
    """The file or the folder that a run is recorded in."""

    def __str__(self) -> str:
        opened = f"\nopen    {self.command}" if self.command else ""
        return f"logged  run {self.run_name}, {self.page}{opened}"


@runtime_checkable
class Tracker(Protocol):
    """A recorder of one run: ``start``, then anything in any order, then ``end``.

    No call but ``ready`` and ``end`` waits for the store; metrics keep the order in which they were logged.
    """

    def start(self, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None) -> None:
        """Begin a run; it is a child of the sweep's run when there is one."""

    def ready(self, timeout: float = 120.0) -> Location | None:
        """Wait until the run stands in the store; ``TrackingError`` when the store can't be used."""

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record what the run was made of."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record what to find the run by."""

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Record one point; takes microseconds."""

    def log_text(self, text: str, name: str) -> None:
        """Keep a text as a file of the run."""

    def log_artifact(self, path: str, folder: str | None = None) -> None:
        """Keep a file of this machine with the run."""

    def log_data(self, name: str, digest: str, items: int, context: str) -> None:
        """Record which data were used: ``context`` is 'train' or 'test', ``digest`` names their content."""

    def log_model(self, network: Any) -> None:
        """Record the signature of a trained Keras network, and the network itself where that is wanted."""

    def end(self, status: Status = "FINISHED") -> Location | None:
        """Write what is left and close the run; a second call does nothing."""


class NoTracker:
    """A tracker that records nothing."""

    def start(self, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None) -> None:
        """Do nothing."""

    def ready(self, timeout: float = 120.0) -> Location | None:
        """Return None at once: there is no store."""
        return None

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Do nothing."""

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Do nothing."""

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Do nothing."""

    def log_text(self, text: str, name: str) -> None:
        """Do nothing."""

    def log_artifact(self, path: str, folder: str | None = None) -> None:
        """Do nothing."""

    def log_data(self, name: str, digest: str, items: int, context: str) -> None:
        """Do nothing."""

    def log_model(self, network: Any) -> None:
        """Do nothing."""

    def end(self, status: Status = "FINISHED") -> Location | None:
        """Do nothing."""
        return None


def flatten(config: Mapping[str, Any], mask: Mask = lambda secret: MASK) -> dict[str, str]:
    """Return ``{'model.lr': '0.1'}`` for ``{'model': {'lr': 0.1}}``, with ``***`` in place of secrets.

    Names that would become one are kept apart.

    >>> flatten({'model': {'depth': 18}, 'steps': ['a', 'b'], 'api_key': 'x'})
    {'model.depth': '18', 'steps': "['a', 'b']", 'api_key': '***'}
    """
    leaves = list(_leaves(config, ""))
    numbered = number_repeats(name for name, _ in leaves)
    names = Names()
    names.fit(numbered)
    return {
        names.given[own]: str(redact(value, name, mask))[:LONGEST_VALUE]
        for own, (name, value) in zip(numbered, leaves, strict=True)
    }


def _leaves(value: Any, name: str) -> Iterator[tuple[str, Any]]:
    if isinstance(value, Mapping) and value:
        for key, inner in value.items():
            yield from _leaves(inner, f"{name}.{key}" if name else str(key))
    elif _holds_mappings(value):
        for number, inner in enumerate(value):
            yield from _leaves(inner, f"{name}.{number}")
    elif name:
        yield name, value


def _holds_mappings(value: Any) -> bool:
    return (
        isinstance(value, Sequence)
        and not isinstance(value, str | bytes)
        and any(isinstance(item, Mapping) for item in value)
    )
