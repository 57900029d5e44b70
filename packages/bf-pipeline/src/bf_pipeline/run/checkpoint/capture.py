"""The state of a run: taken between two batches, given to a new run, and written while a run goes on."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bf_index import StateError
from bf_pipeline.context import Context
from bf_pipeline.record.steps import calls
from bf_pipeline.run.checkpoint.files import (
    SCHEMA,
    Checkpoint,
    check_schema,
    latest,
    open_folder,
    write_checkpoint,
)
from bf_pipeline.run.checkpoint.sigterm import Terminated, Termination
from bf_pipeline.run.checkpoint.values import Decoder, Encoder, class_name
from bf_pipeline.run.options import Checkpointing, Resumable, RunOptions
from bf_pipeline.run.state import RunState

_PARTS = ("position", "begun", "delivered", "variables", "sources", "regroups", "models")


def capture(run: RunState, arrays: dict[str, np.ndarray] | None = None) -> dict[str, Any]:
    """Take the state of a run after what it delivered last: JSON, with arrays apart if they are asked for."""
    encoder = Encoder(arrays, _classes(run))
    scope = run.runner.scope
    return {
        "schema": SCHEMA,
        "position": _position(run),
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
        "models": sorted(_built(run)),
    }


def _position(run: RunState) -> dict[str, Any]:
    """Where the run stands: under prefetch its places are further on than what it delivered."""
    if run.place is not None:
        return run.places.state(after=run.place)  # type: ignore[no-any-return]
    return {**run.places.state(), "batches": run.first}


def _classes(run: RunState) -> dict[str, type]:
    """Classes that the pipeline names: in the arguments of its steps, its config and its variables."""
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

    pipeline = run.pipeline
    for call in calls((*pipeline.before_steps, *pipeline.steps, *pipeline.after_steps)):
        look((call.args, call.kwargs))
    look((pipeline.config, run.initial_types))
    return found


def _built(run: RunState) -> dict[str, Any]:
    """Models that exist, by name: one that was never used has nothing to save."""
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
        # A state from before the first batch is also from before the section `before`.
        self.begun = bool(self.state["begun"])
        try:
            self.delivered = int(self.state["delivered"])
            self.first = int(self.state["position"]["batches"])
        except (KeyError, TypeError, ValueError) as error:
            raise StateError(f"resume: this is not a whole state of a run: {error!r}") from error

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
            places.restore(position)
        except StateError as error:
            error.add_note("resume(..., allow_other_data=True) takes the position over to other data")
            raise

    def fill(self, run: RunState) -> None:
        """Give a run the variables and models; it must be the same pipeline: ``StateError`` if it is not."""
        decoder = Decoder({} if self._checkpoint is None else self._checkpoint.arrays, _classes(run))
        scope = run.runner.scope
        _same("variables", self.state["variables"], run.variables)
        _same("joined pipelines", self.state["sources"], [str(key) for key in scope.sources])
        _fill(run.variables, self.state["variables"], decoder)
        for key, source in scope.sources.items():
            _fill(source.scope.variables, self.state["sources"][str(key)], decoder)
        _same("rebatch steps", range(len(self.state["regroups"])), range(len(run.pools)))
        for pool, state in zip(run.pools, self.state["regroups"]):
            pool.restore(state, decoder, scope.dataset.batch_class)
        self._load_models(run)

    def _load_models(self, run: RunState) -> None:
        names = self.state["models"]
        missing = sorted(set(names) - set(run.models))
        if missing:
            raise StateError(f"resume: the state has the models {missing} and this pipeline has not")
        for name in names:
            slot = run.models.slot(name)
            if self._checkpoint is not None:
                with slot.lock:
                    slot.model = slot.reader(Context(run.runner.scope)).load(
                        self._checkpoint.model_path(name)
                    )
            elif slot.model is None:
                text = f"a state() holds no weights and model {name!r} is not built"
                raise StateError(f"resume: {text}; resume from a checkpoint")


def _same(what: str, saved: Any, own: Any) -> None:
    if set(saved) != set(own):
        raise StateError(
            f"resume: the state has the {what} {sorted(saved)} and this pipeline has {sorted(own)}"
        )


def _fill(variables: dict[str, Any], saved: Mapping[str, Any], decoder: Decoder) -> None:
    for name, tree in saved.items():
        try:
            variables[name] = decoder.decode(tree)
        except (ValueError, KeyError, TypeError) as error:
            raise StateError(f"resume: variable {name!r} cannot be read: {error}") from error


def resumed(options: RunOptions) -> Resumed | None:
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


def checkpointed(source: Iterator[Any], run: RunState, settings: Checkpointing) -> Generator[Any, None, None]:
    """Pass batches on and write checkpoints between them: what the caller has done with a batch counts."""
    saved = False

    def save() -> None:
        nonlocal saved
        if not saved:
            arrays: dict[str, np.ndarray] = {}
            write_checkpoint(settings.path, capture(run, arrays), arrays, _built(run), settings.keep)
            saved = True

    # What can't be saved is told now, not after hours.
    capture(run, {})
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
