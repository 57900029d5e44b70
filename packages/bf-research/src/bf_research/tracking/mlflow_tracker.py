"""A run in MLflow that costs the training loop microseconds: a thread of its own speaks to the store."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from bf_pipeline.redaction.texts import redact_file
from bf_pipeline.redaction.values import redact
from bf_research.launcher.channel import trial
from bf_research.tracking.backlog import Point
from bf_research.tracking.names import as_texts, plain_step
from bf_research.tracking.opening import Buffering, RecorderOptions
from bf_research.tracking.recorder import Recorder
from bf_research.tracking.run_scope import TRIAL, SweepContext
from bf_research.tracking.store import TrackingError, address
from bf_research.tracking.tracker import Location, Status


class MLflowTracker:
    """A tracker that records a run in an MLflow store.

    ``uri``: any tracking URI, None for ``mlflow.db`` in the working folder. ``required=False``: a store that
    can't be used at the start does not stop the training; records go to a file in ``folder`` that
    ``python -m bf_research.tracking.replay FILE`` writes to the store later. ``keep_model`` logs the trained
    network as an MLflow model, ``register`` puts it into the model registry under a name; ``system_metrics``
    adds the load of processors and memory. ``buffering`` changes fields of ``Buffering``. Runs are addressed
    by explicit ids, without MLflow's global state, so that threads may have a tracker each.
    """

    kind = "mlflow"

    def __init__(
        self,
        uri: str | None = None,
        experiment: str = "batchflow",
        required: bool = True,
        folder: str = ".",
        keep_model: bool = False,
        register: str | None = None,
        system_metrics: bool = False,
        buffering: Mapping[str, Any] | None = None,
    ) -> None:
        sweep = SweepContext.current()
        sweep = sweep if sweep and sweep.run_id else None
        self.options = RecorderOptions(
            uri=sweep.store if sweep else address(uri),
            experiment=sweep.experiment if sweep else experiment,
            experiment_id=sweep.experiment_id if sweep else None,
            required=required,
            known=sweep is not None,
            folder=folder,
            system_metrics=system_metrics,
            buffering=Buffering(**(buffering or {})),
        )
        self._keep_model, self._register = keep_model or register is not None, register
        self._sweep = sweep
        self._recorder: Recorder | None = None
        self._points: list[Point] = []

    def start(self, name: str, tags: Mapping[str, str] | None = None, run_id: str | None = None) -> None:
        """Begin a run in the background, or go on with one: MLflow is imported while the caller goes on.

        Of a run that goes on, points that the store has already are not written again.
        """
        if self._recorder is not None:
            raise TrackingError("this tracker has started a run already: make a tracker for every run")
        marks = {"bf.kind": "trial" if self._sweep else "run", **as_texts(redact(tags or {}))}
        if self._sweep:
            own = {TRIAL: trial()} if trial() else {}
            marks = {**marks, "mlflow.parentRunId": self._sweep.run_id, **self._sweep.tags, **own}
        self._recorder = Recorder(self.options, name, marks, run_id, continues=run_id is not None)
        self._recorder.points.extend(self._points)  # what was logged before the start
        self._points = self._recorder.points
        if not self._sweep:
            self._recorder.put("surroundings", os.getcwd())
        self._recorder.start()

    def ready(self, timeout: float = 120.0) -> Location | None:
        """Wait until the run stands in the store; ``TrackingError`` when the store can't be used."""
        return self._running().wait_ready(timeout)

    def flush(self, timeout: float = 10.0) -> None:
        """Wait until the store has the points that were logged until now, or so many seconds."""
        if self._recorder is not None:
            self._recorder.flush(timeout)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record flat parameters; values become texts, without secrets. What has a value keeps it."""
        self._running().put("params", as_texts(redact(params)))

    def set_tags(self, tags: Mapping[str, str]) -> None:
        """Record what to find the run by, without secrets."""
        self._running().put("tags", as_texts(redact(tags)))

    def log_metric(self, name: str, value: float, step: int = 0) -> None:
        """Record one point: an append to a list, written later in batches."""
        whole = step if type(step) is int else plain_step(step)
        self._points.append(Point(str(name), float(value), whole, time.time_ns() // 1_000_000))

    def log_text(self, text: str, name: str) -> None:
        """Keep a text as a file of the run, without secrets; ``name`` may have folders."""
        self._running().put("text", (redact_file(str(text)), str(name)))

    def log_artifact(self, path: str, folder: str | None = None) -> None:
        """Keep a file or a folder of this machine with the run; it must stay until ``end``."""
        self._running().put("artifact", (os.path.abspath(path), folder))

    def log_data(self, name: str, digest: str, items: int, context: str) -> None:
        """Record which data were used."""
        data = {"name": name, "digest": digest, "items": items, "context": context, "source": name}
        self._running().put("data", data)

    def log_model(self, network: Any) -> None:
        """Record the signature of a Keras network with one input and one output; keep the model if wanted.

        What has ``write(folder)``, and may have a ``network``, says itself how it is kept.
        """
        kept: Any = None
        examples: list[Any] | None = None
        if hasattr(network, "write"):
            kept, network = network, network.network
        shapes: list[Any] = [getattr(network, f"{end}_shape", None) for end in ("input", "output")]
        if all(isinstance(shape, tuple) for shape in shapes):
            examples = [np.zeros((1, *[size or 1 for size in shape[1:]]), np.float32) for shape in shapes]
        elif kept is None:
            return
        item = {"network": network, "kept": kept, "examples": examples}
        self._running().put("model", {**item, "keep": self._keep_model, "register": self._register})

    def end(self, status: Status = "FINISHED") -> Location | None:
        """Write what is left and close the run; a second call does nothing."""
        if self._recorder is None:
            return None
        return self._recorder.finish(status)

    def _running(self) -> Recorder:
        if self._recorder is None:
            raise TrackingError("the tracker has no run: call start(name) first")
        return self._recorder
