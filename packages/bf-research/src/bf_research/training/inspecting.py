"""The event that looks into the model at the end of a training, and keeps what it finds with the run."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any

from bf_research import targets
from bf_research.training.state import Event, TrainingState

log = logging.getLogger(__name__)


class Inspection(Event):
    """Look into the model at the end of a training, by an object with ``inspect(model)``.

    ``by`` is such an object, or names its class: ``{'_target_': 'bf_models.inspection.Benchmarking', ...}``.
    What it returns has ``to_dict()``, which goes into ``NAME.json`` of the run's folder, ``list_metrics()``,
    which are logged as ``NAME/METRIC``, and a text for the log. ``found`` has it. ``TargetError`` and
    ``TypeError`` for a class that may not be named, or does not take the options.
    """

    def __init__(self, by: Any, name: str = "inspection") -> None:
        self._by = targets.build(by, "inspection", where=f"{name}.by") if isinstance(by, Mapping) else by
        if not hasattr(self._by, "inspect"):
            raise TypeError(f"{name}: by has a method inspect(model), got {by!r}")
        self.name = name
        self.found: Any = None

    def after(self, state: TrainingState) -> None:
        """Look into the model."""
        self.found = self._by.inspect(state.model)
        log.info("%s", self.found)
        for name, value in self.found.list_metrics().items():
            state.tracker.log_metric(f"{self.name}/{name}", value, state.iteration)
        if state.folder is not None:
            path = state.folder / f"{self.name}.json"
            path.write_text(json.dumps(self.found.to_dict(), indent=1))
            state.tracker.log_artifact(str(path))
