"""The options of a run: one frozen value, checked when it is made."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, get_args

from bf_batch.engines import Engine
from bf_batch.engines.base import check_workers
from bf_index.errors import unknown

EngineName = Literal["inline", "threads", "processes", "ray"]
OnError = Literal["raise", "skip"]
Resumable = Mapping[str, Any] | str | os.PathLike[str]


@dataclass(frozen=True, slots=True)
class Checkpointing:
    """The folder for checkpoints and when they are written: after so many batches, on SIGTERM, at the end."""

    path: Path
    every: int | None = None
    keep: int = 2

    def __post_init__(self) -> None:
        for name, value in (("every", self.every), ("keep", self.keep)):
            if name == "every" and value is None:
                continue
            if isinstance(value, bool) or not isinstance(value, int) or value < 1:
                raise ValueError(f"checkpoint: {name} must be an integer >= 1, got {value!r}")

    @classmethod
    def of(cls, given: Any) -> Checkpointing:
        """Make a schedule of one, or of a mapping as YAML gives it; anything else is a ``TypeError``."""
        if isinstance(given, Checkpointing):
            return given
        if not isinstance(given, Mapping) or "path" not in given:
            advice = "use pipeline.checkpoint(path, every=...), or {path: ..., every: ...} in YAML"
            raise TypeError(f"checkpoint: got {given!r}; {advice}")
        known = [field.name for field in fields(cls)]
        for name in given:
            if name not in known:
                raise TypeError(unknown("argument", name, known, "checkpoint"))
        return cls(**{**given, "path": Path(given["path"])})


class Options(TypedDict, total=False):
    """Named arguments of ``run``, ``gen_batch``, ``next_batch`` and ``run_later``; see ``RunOptions``."""

    shuffle: bool
    n_epochs: int | None
    n_iters: int | None
    drop_last: bool
    seed: int | None
    order: Any
    cross_epochs: bool
    prefetch: int
    engine: EngineName | Engine
    workers: int | None
    retries: int
    bar: bool
    bar_variables: Sequence[str]
    monitors: Sequence[str]
    graphs: Sequence[str]
    on_error: OnError
    profile: bool
    config: Mapping[str, Any]
    checkpoint: Checkpointing | None
    resume: Resumable | None
    allow_other_data: bool
    go_on: bool


@dataclass(frozen=True, slots=True)
class RunOptions:
    """The way to run a pipeline, checked when it is made.

    batch_size, shuffle, n_epochs, n_iters, drop_last, seed, order, cross_epochs
        As in ``DatasetIndex.gen_batch``; without n_epochs and n_iters it is one epoch. The seed is also that
        of all random values; None draws one, ``run.seed`` tells it.
    prefetch, engine, workers
        So many batches are worked on ahead, by ``'threads'``, ``'processes'`` or ``'ray'``; or by an engine
        made with ``bf_batch.engines.make_engine`` that is lent to the run and stays warm for the next one.
    retries
        So many times a batch whose worker died is prepared again, before that is an error.
    bar, bar_variables
        A progress bar with the latest values of some variables beside it.
    monitors
        What the machine does, beside the bar: ``'cpu'``, ``'memory'``, ``'gpu'``, ``'gpu_memory'`` or some.
    graphs
        Variables whose curves grow in the cell of a notebook; ``RuntimeError`` where there is none.
    on_error
        ``'raise'``, or ``'skip'`` to leave out batches that fail; they are counted in ``run.left_out``.
    profile
        Measure the time of every step; ``run.profile`` holds the table.
    config
        Goes over the pipeline's own config for this run.
    checkpoint
        Where checkpoints go and how often; ``pipeline.checkpoint(path, every=...)`` sets it.
    resume, allow_other_data
        The state or the folder of checkpoints to go on from; data with other ids only if that is allowed.
    go_on
        Go on with the pipeline's last run in this process: ``n_epochs`` or ``n_iters`` more, with its
        variables, models, seed and place.
    """

    batch_size: int | None = None
    shuffle: bool = False
    n_epochs: int | None = None
    n_iters: int | None = None
    drop_last: bool = False
    seed: int | None = None
    order: Any = None
    cross_epochs: bool = False
    prefetch: int = 0
    engine: EngineName | Engine = "threads"
    workers: int | None = None
    retries: int = 0
    bar: bool = False
    bar_variables: Sequence[str] = ()
    monitors: Sequence[str] = ()
    graphs: Sequence[str] = ()
    on_error: OnError = "raise"
    profile: bool = False
    config: Mapping[str, Any] | None = None
    checkpoint: Checkpointing | None = None
    resume: Resumable | None = None
    allow_other_data: bool = False
    go_on: bool = False

    def __post_init__(self) -> None:
        check_ahead(self.prefetch, self.engine, self.workers, self.on_error)
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ValueError(f"retries must be an integer >= 0, got {self.retries!r}")
        if self.checkpoint is not None:
            object.__setattr__(self, "checkpoint", Checkpointing.of(self.checkpoint))
        for name in ("bar_variables", "monitors", "graphs"):
            if isinstance(one := getattr(self, name), str):
                object.__setattr__(self, name, (one,))
        if self.monitors and not self.bar:
            raise ValueError(f"monitors={list(self.monitors)} stand beside the bar; say bar=True too")
        for name in ("bar", "profile", "allow_other_data", "go_on"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")

    @classmethod
    def of(cls, given: Mapping[str, Any], owner: str) -> RunOptions:
        """Make options from named arguments; an unknown one is a ``TypeError`` with a hint."""
        check_names(given, owner)
        return cls(**given)

    def plan(self) -> dict[str, Any]:
        """Return the arguments that decide which items come when."""
        names = ("shuffle", "n_epochs", "n_iters", "drop_last", "order", "cross_epochs")
        return {name: getattr(self, name) for name in names}

    def with_seed(self, seed: int) -> RunOptions:
        """Return the same options with a seed that is known."""
        return replace(self, seed=seed)


NAMES = tuple(field.name for field in fields(RunOptions))


def check_names(given: Mapping[str, Any], owner: str) -> None:
    """Refuse arguments that are no options: a ``TypeError`` with close matches."""
    for name in given:
        if name not in NAMES:
            raise TypeError(unknown("argument", name, NAMES, owner))


def check_ahead(prefetch: int, engine: EngineName | Engine, workers: int | None, on_error: str) -> None:
    """Refuse a wrong way of running at the call: ``TypeError`` or ``ValueError`` naming what is wrong."""
    if isinstance(prefetch, bool) or not isinstance(prefetch, int):
        raise TypeError(f"prefetch must be a number of batches (0 for none), got {prefetch!r}")
    if prefetch < 0:
        raise ValueError(f"prefetch must not be negative (0 for none), got {prefetch}")
    if isinstance(engine, Engine):
        if workers is not None:
            raise ValueError(
                f"workers: the engine that is lent has {engine.workers}; leave workers={workers} out"
            )
    elif engine not in get_args(EngineName):
        raise ValueError(unknown("engine", engine, get_args(EngineName)))
    check_workers(workers)
    if on_error not in get_args(OnError):
        raise ValueError(unknown("on_error", on_error, get_args(OnError)))
