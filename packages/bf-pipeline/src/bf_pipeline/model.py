"""Protocols: what a pipeline needs of a model and of metrics, and a checkpoint of what it saves."""

from __future__ import annotations

from importlib import import_module
from os import PathLike
from typing import Any, Protocol, runtime_checkable


@runtime_checkable
class Model(Protocol):
    """The methods that a pipeline needs of a model; its class is called with the config, or with nothing.

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
    """The methods that ``gather_metrics`` needs; the class is called with targets, predictions, options.

    One with a true attribute ``weighs_items`` is called with a value and the number of items instead.
    """

    def update(self, other: Any) -> None:
        """Take the counts of another batch in."""

    def evaluate(self, name: Any, *args: Any, **kwargs: Any) -> Any:
        """Return a metric over all that was taken in."""


def find_metrics(given: Any) -> Any:
    """Return the class that a name such as ``'loss'`` stands for in bf-models; anything but a text as it is.

    ``ValueError`` for an unknown name, ``ModuleNotFoundError`` without bf-models.
    """
    if not isinstance(given, str):
        return given
    try:
        metrics = import_module("bf_models.metrics")
    except ModuleNotFoundError as error:
        if error.name not in ("bf_models", "bf_models.metrics"):
            raise
        raise ModuleNotFoundError(
            f"gather_metrics({given!r}): names of metrics are those of bf-models; pip install bf-models, or "
            "give a class"
        ) from error
    return metrics.find_metrics(given)


class Savable(Protocol):
    """A thing that can write itself to a checkpoint: a model."""

    def save(self, path: Any) -> Any:
        """Write the model, its optimizer included."""
