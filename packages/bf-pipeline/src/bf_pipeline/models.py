"""Models of a run: what a model and metrics must be able to do, and one slot with one lock for each model."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from os import PathLike
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from bf_index.errors import unknown

if TYPE_CHECKING:
    from bf_pipeline.context import Context


@runtime_checkable
class Model(Protocol):
    """What a pipeline needs of a model; its class is called with the config, or with nothing.

    An error with a true attribute ``stops_pipeline`` ends the run without a fault, as ``StopPipeline`` does.
    """

    def train(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        fetches: Any = None,
        feed_dict: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Make one step and return what ``fetches`` names: None, one value, a list or a dict as asked."""

    def predict(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        fetches: Any = None,
        feed_dict: Any = None,
        **kwargs: Any,
    ) -> Any:
        """Return what ``fetches`` names, by default the predictions."""

    def save(self, path: str | PathLike[str]) -> Any:
        """Write the whole model, optimizer included."""

    def load(self, path: str | PathLike[str]) -> Any:
        """Read a model; a classmethod that returns it."""


@runtime_checkable
class Metrics(Protocol):
    """What ``gather_metrics`` needs; its class is called with ``targets``, ``predictions`` and options."""

    def update(self, other: Any) -> None:
        """Take the counts of another batch in."""

    def evaluate(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Give a metric over all that was taken in."""


class ModelSlot:
    """A model under its name: built at its first use, then shared by all who hold the slot.

    ``lock`` is held around every use, so one model never trains in two threads at once.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[Context | None], Any] | None = None,
        model: Any = None,
        kind: Callable[[Context], Any] | None = None,
    ) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.model = model
        self._build = build
        self._kind = kind

    def get(self, context: Context | None = None) -> Any:
        """Give the model; the first call builds it."""
        if self.model is None:
            with self.lock:
                if self.model is None:
                    if self._build is None:
                        raise LookupError(f"model {self.name!r} was neither built nor loaded")
                    self.model = self._build(context)
        return self.model

    def reader(self, context: Context) -> Any:
        """Give the class whose ``load`` reads what this model saved."""
        kind = None if self.model is not None or self._kind is None else self._kind(context)
        return kind if hasattr(kind, "load") else type(self.get(context))


class Models:
    """The models of a run by name."""

    def __init__(self) -> None:
        self._slots: dict[str, ModelSlot] = {}

    def add(self, slot: ModelSlot, name: str | None = None) -> None:
        """Put a slot in, under its own name or another one."""
        self._slots[slot.name if name is None else name] = slot

    def slot(self, name: str) -> ModelSlot:
        """Give a model's slot; ``KeyError`` with close matches."""
        if name not in self._slots:
            raise KeyError(unknown("model", name, self._slots, "this run"))
        return self._slots[name]

    def get(self, name: str, context: Context | None = None) -> Any:
        """Give a model, building it if this is its first use."""
        return self.slot(name).get(context)

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)
