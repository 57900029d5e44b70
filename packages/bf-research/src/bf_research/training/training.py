"""The loop that trains: batches, events, and a state that can be gone back to."""

from __future__ import annotations

import contextlib
import copy
import logging
import os
import signal
import threading
import time
from collections.abc import Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Self

from bf_index.errors import StateError
from bf_pipeline.errors import Terminated
from bf_pipeline.run.checkpoint.files import latest
from bf_research.launcher.channel import report, stopping
from bf_research.tracking.tracker import NoTracker, Tracker
from bf_research.training.checkpoints import CHECKPOINTS, Checkpoints
from bf_research.training.folder import FINISHED, RunFolder, make_free
from bf_research.training.state import Event, TrainingState

log = logging.getLogger(__name__)

Resume = Literal["auto", "never"] | str | os.PathLike[str]


@dataclass(frozen=True)
class TrainingOutcome:
    """The end of a training: metrics, how far it came and why it stopped, the run and its model."""

    metrics: Mapping[str, float]
    iterations: int
    seconds: float
    stopped: str | None = None
    folder: Path | None = None
    model: Any = field(default=None, repr=False)
    run: Any = field(default=None, repr=False)


class Training:
    """A training of the model of a pipeline, with events that measure, save and stop it.

    ``pipeline`` trains the model ``model`` and keeps the loss of each batch in the variable ``loss``. With a
    ``name`` the training has the folder ``outputs/NAME``, or the one that is given; there it leaves
    checkpoints and ``model.bf``, if ``Checkpoints`` are among its events. ``settings`` are what must be equal
    for a folder's training to be gone on with.
    """

    def __init__(
        self,
        pipeline: Any,
        name: str | None = None,
        *,
        folder: str | os.PathLike[str] | RunFolder | None = None,
        tracker: Tracker | None = None,
        events: Sequence[Event] = (),
        model: str = "net",
        loss: str = "loss",
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        for event in events:
            if not isinstance(event, Event):
                raise TypeError(f"events must be objects of classes of Event, got {event!r}")
        self.pipeline = pipeline
        self.tracker = tracker or NoTracker()
        self.events = _ordered(events)
        self._model, self._loss = model, loss
        self._settings = dict(settings or {})
        self._opened = folder if isinstance(folder, RunFolder) else None
        given = None if folder is None or isinstance(folder, RunFolder) else Path(folder)
        self._path = Path("outputs") / name if given is None and name is not None else given

    @property
    def _checkpoints(self) -> list[Checkpoints]:
        return [event for event in self.events if isinstance(event, Checkpoints)]

    def inside(self, folder: str | os.PathLike[str], *events: Event) -> Self:
        """Return this training with another folder and with further events."""
        other = copy.copy(self)
        other._path, other._opened = Path(folder), None
        other.events = _ordered([*self.events, *events])
        return other

    def run(
        self, batch_size: int | None = None, *, resume: Resume = "auto", **options: Any
    ) -> TrainingOutcome:
        """Train to the end, or to where an event stops it.

        The options are those of ``pipeline.gen_batch``; by default those of the pipeline's ``run_later``.
        ``resume='auto'`` goes on from the newest checkpoint of the folder; ``'never'`` begins anew, in a
        folder beside it if it is taken; a folder of checkpoints begins with what it holds. SIGTERM and Ctrl-C
        end it after the batch at hand, with a checkpoint.
        """
        steps = self.iterate(batch_size, resume=resume, **options)
        while True:
            try:
                next(steps)
            except StopIteration as end:
                outcome: TrainingOutcome = end.value
                return outcome

    def iterate(
        self, batch_size: int | None = None, *, resume: Resume = "auto", **options: Any
    ) -> Generator[TrainingState, None, TrainingOutcome]:
        """Train as ``run`` does, and yield the state after each iteration."""
        if self._checkpoints and self._path is None and self._opened is None:
            raise ValueError("Checkpoints need a folder: give the training a name or a folder")
        began = time.monotonic()
        with self._open_folder(resume) as (folder, ended):
            source = self._find_source(folder, resume)
            batches = self.pipeline.gen_batch(batch_size, resume=source, **options)
            state = TrainingState(
                batches.run,
                self._model,
                batches.run.total,
                None if folder is None else folder.path,
                self.tracker,
                iteration=batches.run.delivered,
            )
            if source is not None:
                self._restore(state, source)
                where = "" if state.total is None else f" of {state.total}"
                log.info("%s: going on after %d%s iterations", source.parent, state.iteration, where)
            with contextlib.closing(batches):
                yield from self._train(state, batches, folder, ended)
            if folder is not None:
                folder.note(iteration=state.iteration, stopped=state.stopped, metrics=state.metrics)
            return TrainingOutcome(
                dict(state.metrics),
                state.iteration,
                time.monotonic() - began,
                state.stopped,
                state.folder,
                state.model,
                state.run,
            )

    @contextlib.contextmanager
    def _open_folder(self, resume: Resume) -> Iterator[tuple[RunFolder | None, bool]]:
        """Yield the folder, None for none, and whether the training in it has come to its end before."""
        if self._opened is not None or self._path is None:
            yield self._opened, self._opened is not None and self._opened.is_finished
            return
        path = self._path
        if resume == "never" and (path / CHECKPOINTS).exists():
            path = make_free(path)
        with RunFolder(path) as folder:
            if resume == "auto":
                folder.check_same(self._settings)
            ended = folder.is_finished
            folder.begin(self._settings, folder.record.get("run_id"))
            yield folder, ended
            folder.note(state=FINISHED)

    def _find_source(self, folder: RunFolder | None, resume: Resume) -> Path | None:
        """Return the folder of checkpoints to begin with, None for none."""
        if resume not in ("auto", "never"):
            given = Path(resume)
            return given / CHECKPOINTS if (given / CHECKPOINTS).is_dir() else given
        if resume == "never" or folder is None:
            return None
        found = folder.path / CHECKPOINTS
        return found if any(found.glob("checkpoint-*")) else None

    def _restore(self, state: TrainingState, source: Path) -> None:
        """Give the events what they have to remember."""
        saved = latest(source).state.get("training")
        if saved is None:
            return
        # an event that remembers nothing may come and go, such as the one that asks a sweep
        remembering = [event for event in self.events if event.state()]
        kept = [
            (kind, remembered)
            for kind, remembered in saved["events"]
            # of several workers one writes checkpoints, and all begin with them
            if remembered and (kind != Checkpoints.__name__ or self._checkpoints)
        ]
        before = [kind for kind, _ in kept]
        now = [type(event).__name__ for event in remembering]
        if before != now:
            raise StateError(f"{source}: the training was saved with the events {before} and has now {now}")
        state.iteration, state.epoch, state.loss = saved["iteration"], saved["epoch"], saved["loss"]
        state.metrics, state.measured = dict(saved["metrics"]), dict(saved["measured"])
        state.stopped = saved["stopped"]
        state.times = dict(saved.get("times", {}))
        for event, (_, remembered) in zip(remembering, kept):
            event.restore(remembered)

    def _remember(self, state: TrainingState) -> dict[str, Any]:
        return {
            "iteration": state.iteration,
            "epoch": state.epoch,
            "loss": state.loss,
            "metrics": state.metrics,
            "measured": state.measured,
            "times": state.times,
            "stopped": state.stopped,
            "events": [(type(event).__name__, event.state()) for event in self.events],
        }

    def _train(
        self, state: TrainingState, batches: Any, folder: RunFolder | None, ended: bool
    ) -> Iterator[TrainingState]:
        """Go through the batches and let the events look at each, and at the end unless it had ``ended``."""
        first = state.iteration
        for checkpoints in self._checkpoints:
            checkpoints.remembered = lambda: self._remember(state)
        try:
            for event in self.events:
                event.before(state)
            checked = state.stopped is None and _can_predict(state)
            if checked:
                self._check(state)
            with Signals() as signals:
                for _ in batches if state.stopped is None else ():
                    state.iteration += 1
                    state.loss = float(batches.v(self._loss))
                    if state.iteration == first + 1:
                        self._begin(state, folder)
                        if not checked:
                            self._check(state)
                    self._tell(state)
                    report(state.iteration, state.total, loss=state.loss)
                    self._answer(state, signals)
                    yield state
                    if state.stopped is not None:
                        log.info("stopped after %d iterations: %s", state.iteration, state.stopped)
                        break
            if state.stopped is None and state.run.stopped is not None:
                state.stop(state.run.stopped)
                log.info("stopped after %d iterations: %s", state.iteration, state.stopped)
            if state.iteration > first or not ended:  # an end that was cut off is made up for
                for event in self.events:
                    event.after(state)
        finally:
            for event in self.events:
                event.close()

    def _begin(self, state: TrainingState, folder: RunFolder | None) -> None:
        """Wait after the first batch for the store: until then MLflow was loaded."""
        location = self.tracker.ready()
        if location is not None and folder is not None:
            folder.note_run(location, self.tracker)

    def _check(self, state: TrainingState) -> None:
        """Let events try what they will do, with one batch."""
        for event in self.events:
            event.check(state)

    def _tell(self, state: TrainingState) -> None:
        """Tell events of an iteration, and of the epoch that ended with it; checkpoints hold all of that."""
        ends_epoch = _ends_epoch(state.run)
        looking = [event for event in self.events if not isinstance(event, Checkpoints)]
        for event in looking:
            event.after_iteration(state)
        if ends_epoch:
            state.epoch = state.run.place.epoch + 1
            for event in looking:
                event.after_epoch(state)
        for checkpoints in self._checkpoints:
            checkpoints.after_iteration(state)
            if ends_epoch:
                checkpoints.after_epoch(state)

    def _answer(self, state: TrainingState, signals: Signals) -> None:
        """End with a checkpoint where somebody asks for the end."""
        if signals.error is None and not stopping():
            return
        error = signals.error or KeyboardInterrupt()
        planned = "" if state.total is None else f" of {state.total}"
        note = f"after {state.iteration}{planned} iterations"
        for checkpoints in self._checkpoints:
            checkpoints.save_now(state)
            note += f"; saved in {state.folder}: the same command goes on"
        error.add_note(note)
        error.bf_rows = [{"iteration": state.iteration, **state.metrics}]  # type: ignore[attr-defined]
        raise error


def _can_predict(state: TrainingState) -> bool:
    """Whether the model can predict before it has learnt; one without ``build`` is tried after a step."""
    try:
        return hasattr(state.model, "build")
    except LookupError:  # the first batch makes it
        return False


def _ordered(events: Sequence[Event]) -> list[Event]:
    """Return events in their order, checkpoints last."""
    return sorted(events, key=lambda event: isinstance(event, Checkpoints))


def _ends_epoch(run: Any) -> bool:
    """Whether the batch that was delivered last is the last of its epoch, as far as the run's plan tells."""
    plan, place = run.places.plan, run.place
    if plan is None or place is None:
        return False
    return bool(plan.first(place.epoch) + place.batch + 1 == plan.first(place.epoch + 1))


class Signals:
    """A watch for SIGTERM and Ctrl-C: inside its ``with`` the first one waits for the batch at hand.

    A second one ends at once. Only the main thread can look at signals.
    """

    def __init__(self) -> None:
        self.error: BaseException | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *error: object) -> None:
        for number, before in self._before.items():
            signal.signal(number, before or signal.SIG_DFL)

    def _note(self, number: int, frame: Any) -> None:
        error = Terminated() if number == signal.SIGTERM else KeyboardInterrupt()
        if self.error is not None:
            raise error
        self.error = error
