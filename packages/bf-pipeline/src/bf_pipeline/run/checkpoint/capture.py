"""The state of a run: taken between two batches, given to a new run, and written while a run goes on.

SIGTERM is a request: the run goes on to the end of a batch, saves, and the process ends with 143.
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Generator, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self, TypeVar, cast

import numpy as np

from bf_index import StateError
from bf_index.sizes import reading
from bf_pipeline.context import Context
from bf_pipeline.errors import Terminated
from bf_pipeline.plain_config import UNSET, find_value, make_plain, replace_value
from bf_pipeline.record.recorded import walk_all_calls
from bf_pipeline.run.checkpoint.files import (
    SCHEMA,
    Checkpoint,
    check_schema,
    latest,
    open_folder,
    write_checkpoint,
)
from bf_pipeline.run.checkpoint.values import Decoder, Encoder, class_name
from bf_pipeline.run.options import Checkpointing, Resumable, RunOptions
from bf_pipeline.run.state import RunState

_PARTS = ("position", "begun", "delivered", "variables", "sources", "regroups", "models")
T = TypeVar("T")
R = TypeVar("R")


def capture(run: RunState, arrays: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
    """Return the state of a run after what it delivered last, as JSON; arrays go apart if they may."""
    encoder = Encoder(arrays, _collect_classes(run))
    scope = run.runner.scope
    return {
        "schema": SCHEMA,
        "position": find_position(run),
        "begun": run.begun,
        "delivered": run.delivered,
        "variables": {
            name: encoder.encode(value, f"variable {name!r}") for name, value in run.variables.items()
        },
        "sources": {
            str(key): {
                name: encoder.encode(value, f"variable {name!r} of a joined pipeline")
                for name, value in source.scope.variables.items()
            }
            for key, source in scope.sources.items()
        },
        "regroups": [pool.state(encoder) for pool in run.pools],
        "models": sorted(_find_built_models(run)),
        **_capture_written(run, encoder),
    }


def _capture_written(run: RunState, encoder: Encoder) -> dict[str, Any]:
    """Return what steps have written to the config and the data set, under one key; nothing if none does."""
    scope, (paths, names) = run.runner.scope, run.runner.bound.written
    config = {path: find_value(scope.config, path) for path in sorted(paths)}
    data = {name: getattr(scope.dataset, name, UNSET) for name in sorted(names)}
    found = {
        kind: {
            name: encoder.encode(make_plain(value), f"{kind} {name!r}")
            for name, value in values.items()
            if value is not UNSET
        }
        for kind, values in (("config", config), ("data", data))
    }
    return {"written": found} if any(found.values()) else {}


def find_position(run: RunState) -> dict[str, Any]:
    """Return where the run stands: under prefetch its places are further on than what it delivered."""
    if run.place is not None:
        return run.places.state(after=run.place)  # type: ignore[no-any-return]
    return {**run.places.state(), "batches": run.first}


def _collect_classes(run: RunState) -> dict[str, type]:
    """Return the classes that the pipeline names: in arguments of its steps, its config and its variables."""
    found: dict[str, type] = {}

    def look(value: Any) -> None:
        if isinstance(value, type):
            found[class_name(value)] = value
        elif isinstance(value, Mapping):
            for item in value.values():
                look(item)
        elif isinstance(value, list | tuple):
            for item in value:
                look(item)

    for call in walk_all_calls(run.pipeline):
        look((call.args, call.kwargs))
    look((run.pipeline.config, run.initial_types))
    return found


def _find_built_models(run: RunState) -> dict[str, Any]:
    """Return the models that exist, by name: one that was never used has nothing to save."""
    models = run.models
    return {name: models.slot(name).model for name in models if models.slot(name).model is not None}


class Resumed:
    """A state or a checkpoint that a new run begins with."""

    def __init__(self, source: Resumable, allow_other_data: bool = False) -> None:
        self._checkpoint: Checkpoint | None = None
        if isinstance(source, Mapping):
            self.state: Mapping[str, Any] = source
            check_schema(source)
        else:
            self._checkpoint = latest(source)
            self.state = self._checkpoint.state
        self._allow = allow_other_data
        if missing := sorted(set(_PARTS) - set(self.state)):
            raise StateError(f"resume: this is not a whole state of a run: {', '.join(missing)} is missing")
        with reading("resume: the state", StateError):
            # A state from before the first batch is also from before the section `before`.
            self.begun = bool(self.state["begun"])
            self.delivered = int(self.state["delivered"])
            self.first = int(self.state["position"]["batches"])

    def go_to(self, places: Any, seed: int | None) -> None:
        """Bring the places to the position; ``StateError`` for other data, another plan or another seed."""
        position = self.state["position"]
        if seed is not None and seed != position.get("seed"):
            raise StateError(
                f"resume: the run had seed {position.get('seed')}, seed={seed} would be another run"
            )
        if self._allow:
            own = places.state()
            position = {**position, "items": own["items"], "index": own["index"]}
        try:
            with reading("resume: the position", StateError, StateError):
                places.restore(position)
        except StateError as error:
            error.add_note("resume(..., allow_other_data=True) takes the position over to other data")
            raise

    def fill(self, run: RunState) -> None:
        """Give a run the variables and models; it must be the same pipeline: ``StateError`` if it is not."""
        decoder = Decoder({} if self._checkpoint is None else self._checkpoint.arrays, _collect_classes(run))
        with reading("resume: the state", StateError, StateError):
            self._fill_data(run, decoder)
        self._load_models(run)

    def _fill_data(self, run: RunState, decoder: Decoder) -> None:
        scope = run.runner.scope
        _check_same("variables", self.state["variables"], run.variables)
        _check_same("joined pipelines", self.state["sources"], [str(key) for key in scope.sources])
        _fill_variables(run.variables, self.state["variables"], decoder)
        for key, source in scope.sources.items():
            _fill_variables(source.scope.variables, self.state["sources"][str(key)], decoder)
        self._fill_written(run, decoder)
        _check_same("rebatch steps", range(len(self.state["regroups"])), range(len(run.pools)))
        for pool, state in zip(run.pools, self.state["regroups"]):
            pool.restore(state, decoder, scope.dataset.batch_class)

    def _fill_written(self, run: RunState, decoder: Decoder) -> None:
        """Bring back what steps had written to the config and the data set: only what they may write."""
        scope, written = run.runner.scope, self.state.get("written", {})
        for kind, own in zip(("config", "data"), run.runner.bound.written):
            for name, tree in written.get(kind, {}).items():
                if name not in own:
                    raise StateError(
                        f"resume: the state has {kind} {name!r}, which no step of this pipeline writes"
                    )
                with reading(f"resume: {kind} {name!r}", StateError):
                    value = decoder.decode(tree)
                if kind == "data":
                    setattr(scope.dataset, name, value)
                else:
                    cast("dict[str, Any]", scope.config).update(replace_value(scope.config, name, value))

    def _load_models(self, run: RunState) -> None:
        names = self.state["models"]
        missing = sorted(set(names) - set(run.models))
        if missing:
            raise StateError(f"resume: the state has the models {missing} and this pipeline has not")
        for name in names:
            slot = run.models.slot(name)
            if self._checkpoint is not None:
                with slot.lock:
                    slot.load(self._checkpoint.model_path(name), Context(run.runner.scope))
            elif slot.model is None:
                text = f"a state() holds no weights and model {name!r} is not built"
                raise StateError(f"resume: {text}; resume from a checkpoint")


def _check_same(what: str, saved: Any, own: Any) -> None:
    if set(saved) != set(own):
        raise StateError(
            f"resume: the state has the {what} {sorted(saved)} and this pipeline has {sorted(own)}"
        )


def _fill_variables(variables: dict[str, Any], saved: Mapping[str, Any], decoder: Decoder) -> None:
    for name, tree in saved.items():
        with reading(f"resume: variable {name!r}", StateError):
            variables[name] = decoder.decode(tree)


def read_resumed(options: RunOptions) -> Resumed | None:
    """Read what a run is to begin with, if anything.

    A folder that the run writes to itself and that holds no checkpoint yet is a first start.
    """
    source, own = options.resume, options.checkpoint
    if own is not None:
        open_folder(own.path)
    if source is None:
        if own is not None and _holds_checkpoints(own.path):
            raise FileExistsError(
                f"checkpoint: {own.path} holds checkpoints of an earlier run; "
                "go on with resume=<that folder>, or give another one"
            )
        return None
    if own is not None and not isinstance(source, Mapping):
        path = Path(source)
        if path.absolute() == own.path.absolute() and not _holds_checkpoints(path):
            return None
    return Resumed(source, options.allow_other_data)


def _holds_checkpoints(path: Path) -> bool:
    return any(path.glob("checkpoint-*"))


class Termination:
    """A watch for SIGTERM: inside its ``with`` that sets ``asked``, and ends a wait for the next batch.

    Only the main thread can look at signals; elsewhere SIGTERM ends the process as usual.
    """

    _watching: ClassVar[list[Termination]] = []
    _before: ClassVar[Any] = None

    def __init__(self) -> None:
        self.asked = False
        self._honoured = False
        self._waiting = False

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            if not self._watching:
                Termination._before = signal.signal(signal.SIGTERM, _on_sigterm)
            self._watching.append(self)
        return self

    def __exit__(self, kind: type[BaseException] | None, error: Any, trace: TracebackType | None) -> None:
        if self not in self._watching:
            return
        self._watching.remove(self)
        if not self._watching:
            signal.signal(signal.SIGTERM, Termination._before or signal.SIG_DFL)
        if self.asked and not self._honoured and kind in (None, GeneratorExit):
            # The run was left before it could answer: the process still has to end.
            signal.raise_signal(signal.SIGTERM)

    def waiting(self, work: Callable[[T], R]) -> Callable[[T], R]:
        """Return ``work`` as SIGTERM may cut it short: what changes nothing of the run, such as a wait."""

        def interruptible(what: T) -> R:
            self._waiting = True
            try:
                if self.asked:
                    raise Terminated
                return work(what)
            finally:
                self._waiting = False

        return interruptible

    def answer(self, save: Callable[[], Any]) -> None:
        """Save if SIGTERM came, and end with ``Terminated``."""
        if self.asked:
            save()
            self._honoured = True
            raise Terminated

    def notice(self) -> bool:
        """Take the signal in; True when the caller only waits and may be interrupted."""
        self.asked = True
        return self._waiting


def _on_sigterm(number: int, frame: Any) -> None:
    interruptible = [watch.notice() for watch in Termination._watching]
    if any(interruptible):
        raise Terminated


def save_checkpoints(
    source: Iterator[Any], run: RunState, settings: Checkpointing
) -> Generator[Any, None, None]:
    """Pass batches on and write checkpoints between them: what the caller has done with a batch counts."""
    saved = False

    def save() -> None:
        nonlocal saved
        if not saved:
            arrays: dict[str, np.ndarray] = {}
            write_checkpoint(
                settings.path, capture(run, arrays), arrays, _find_built_models(run), settings.keep
            )
            saved = True

    capture(run, {})  # an error about what can't be saved comes now, not after hours
    with Termination() as termination:
        run.guard = termination.waiting
        try:
            number = 0
            for batch in source:
                saved, number = False, number + 1
                yield batch
                del batch
                termination.answer(save)
                if settings.every is not None and number % settings.every == 0:
                    save()
        except Terminated:
            termination.answer(save)
        save()
