"""Checkpoints of a training, written by a thread while it goes on, and the file of the best model."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bf_index.errors import unknown
from bf_pipeline.run.checkpoint.capture import capture
from bf_pipeline.run.checkpoint.files import open_folder, write_checkpoint
from bf_research.own_files import open_plain, write_whole
from bf_research.stopping.directions import Mode
from bf_research.training.state import Event, Every, TrainingState, check_count, check_mode, is_better

log = logging.getLogger(__name__)

CHECKPOINTS, MODEL, MODEL_RECORD = "checkpoints", "model.bf", "model.json"


class Checkpoints(Event):
    """Write checkpoints to go on from, and keep the best model in a file.

    After each epoch, or every so many iterations or seconds; the last ``keep`` stay. ``best`` names a metric
    of a validation: the model is written to ``model.bf`` of the folder whenever that is better than ever
    before; without it that file holds the model of the end. A file that can't be written costs no training.
    """

    def __init__(
        self, every: Any = "epoch", keep: int = 2, best: str | None = None, mode: Mode = "auto"
    ) -> None:
        check_count(keep, 1, "checkpoint: keep")
        check_mode(mode, "checkpoint")
        self.every = Every.of(every, "checkpoint")
        self.keep, self.best, self.mode = keep, best, mode
        self.remembered: Callable[[], dict[str, Any]] = dict
        self._value: float | None = None
        self._saved = -1
        self._kept = -1
        self._last = time.monotonic()
        self._writer = _Writer()

    def check(self, state: TrainingState) -> None:
        """Refuse a metric that nobody measures: ``ValueError`` with those that are."""
        if self.best is not None and self.best not in state.metrics:
            raise ValueError(unknown("metric", self.best, sorted(state.metrics), "checkpoint: best"))

    def before(self, state: TrainingState) -> None:
        """Try to write into the folder, before hours of training depend on it."""
        open_folder(_folder(state) / CHECKPOINTS)
        self._last, self._saved = time.monotonic(), state.iteration

    def after_iteration(self, state: TrainingState) -> None:
        """Write what is due."""
        if self.every.is_due(state, time.monotonic(), self._last):
            self.save(state)
        else:
            self._keep_best(state)

    def after_epoch(self, state: TrainingState) -> None:
        """Write what is due."""
        if self.every.is_epoch:
            self.save(state)

    def after(self, state: TrainingState) -> None:
        """Write the end, and wait until it is on the disk."""
        self.save(state)
        if self.best is None or self._value is None:
            self._keep_model(state, None)
        self._writer.wait()

    def save(self, state: TrainingState) -> None:
        """Have a checkpoint written of this moment, unless there is one."""
        self._keep_best(state)
        if self._saved == state.iteration and state.stopped is None:
            return
        arrays: dict[str, Any] = {}
        run = state.run
        saved = {**capture(run, arrays), "training": self.remembered()}
        models = {name: _snapshot(run.m(name)) for name in saved["models"]}
        folder, keep = _folder(state) / CHECKPOINTS, self.keep
        text = f"the checkpoint of iteration {state.iteration}"
        flush = getattr(state.tracker, "flush", None)

        def write() -> None:
            if flush is not None:  # points that a checkpoint lies behind would never be logged again
                flush()
            write_checkpoint(folder, saved, arrays, models, keep)

        self._writer.write(text, write, at_once=not all(map(_is_copied, models.values())))
        self._saved, self._last = state.iteration, time.monotonic()

    def save_now(self, state: TrainingState) -> None:
        """Write a checkpoint and wait for it."""
        self.save(state)
        self._writer.wait()

    def _keep_best(self, state: TrainingState) -> None:
        metric = self.best
        if metric is None or state.measured.get(metric) != state.iteration or self._kept == state.iteration:
            return
        value = state.metrics[metric]
        if is_better(value, self._value, metric, self.mode):
            before, self._value = self._value, value
            self._keep_model(state, metric, before)

    def _keep_model(self, state: TrainingState, metric: str | None, before: float | None = None) -> None:
        self._kept = state.iteration
        record: dict[str, Any] = {"iteration": state.iteration, "epoch": state.epoch}
        if metric is not None:
            record |= {"metric": metric, "value": state.metrics[metric]}
        model, folder = _snapshot(state.model, optimizer=False), _folder(state)

        def write() -> None:
            try:
                model.save(folder / MODEL)
            except OSError:
                self._value = before  # the file holds the best before this one
                raise
            write_whole(folder / MODEL_RECORD, json.dumps(record))

        self._writer.write(f"the model of iteration {state.iteration}", write, not _is_copied(model))

    def state(self) -> dict[str, Any]:
        """Return the best value so far."""
        return {"best": self._value}

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take back what ``state`` returned."""
        self._value = saved["best"]

    def close(self) -> None:
        """Wait for what is being written."""
        self._writer.wait(quietly=True)


def read_model_record(folder: Path) -> dict[str, Any]:
    """Return what is noted of the model file of a folder: iteration, epoch, and the metric it is best by."""
    try:
        with open(folder / MODEL_RECORD, encoding="utf-8", opener=open_plain) as file:
            found = json.loads(file.read(10_000))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def _folder(state: TrainingState) -> Path:
    if state.folder is None:
        raise ValueError("checkpoints need a folder: give the training a name or a folder")
    return state.folder


def _snapshot(model: Any, **what: bool) -> Any:
    """Return what can be saved later while the model is trained on; a model without ``snapshot`` itself."""
    take = getattr(model, "snapshot", None)
    return model if take is None else take(**what)


def _is_copied(model: Any) -> bool:
    """Whether it is a snapshot; a model itself must not learn while it is saved."""
    return not hasattr(model, "train")


class _Writer:
    """One thread at a time that writes; what the disk refuses is told and costs nothing else."""

    def __init__(self) -> None:
        self._thread: threading.Thread | None = None
        self._error: BaseException | None = None

    def write(self, what: str, work: Callable[[], Any], at_once: bool = False) -> None:
        """Write after what is being written, and wait for it if that is wanted.

        An error that is no ``OSError`` is raised by the next call.
        """
        before = self._thread
        self._raise()

        def run() -> None:
            if before is not None:
                before.join()
            try:
                work()
            except OSError as error:
                log.warning(
                    "%s could not be written, earlier ones stay and the training goes on: %s", what, error
                )
            except BaseException as error:  # noqa: BLE001 - raised in the training's own thread
                error.add_note(f"while writing {what}")
                self._error = error

        self._thread = threading.Thread(target=run, name="bf-checkpoint")
        self._thread.start()
        if at_once:
            self.wait()

    def wait(self, quietly: bool = False) -> None:
        """Wait for what is being written and raise its error."""
        if self._thread is not None:
            self._thread.join()
            self._thread = None
        if not quietly:
            self._raise()

    def _raise(self) -> None:
        error, self._error = self._error, None
        if error is not None:
            raise error
