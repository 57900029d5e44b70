"""The options of a run: one frozen value, checked when it is made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal, TypedDict

from bf_batch.engines import Engine
from bf_index.errors import unknown
from bf_pipeline.checkpoint_run import Checkpointing, Resumable
from bf_pipeline.prefetch import EngineName, check_ahead


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
    on_error: Literal["raise", "skip"]
    profile: bool
    config: Mapping[str, Any]
    checkpoint: Checkpointing | None
    resume: Resumable | None
    allow_other_data: bool


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How to run a pipeline.

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
    on_error: Literal["raise", "skip"] = "raise"
    profile: bool = False
    config: Mapping[str, Any] | None = None
    checkpoint: Checkpointing | None = None
    resume: Resumable | None = None
    allow_other_data: bool = False

    def __post_init__(self) -> None:
        check_ahead(self.prefetch, self.engine, self.workers, self.on_error)
        if isinstance(self.retries, bool) or not isinstance(self.retries, int) or self.retries < 0:
            raise ValueError(f"retries must be an integer >= 0, got {self.retries!r}")
        if self.checkpoint is not None:
            object.__setattr__(self, "checkpoint", Checkpointing.of(self.checkpoint))
        if isinstance(self.bar_variables, str):
            object.__setattr__(self, "bar_variables", (self.bar_variables,))
        for name in ("bar", "profile", "allow_other_data"):
            if not isinstance(getattr(self, name), bool):
                raise TypeError(f"{name} must be True or False, got {getattr(self, name)!r}")

    @classmethod
    def of(cls, given: Mapping[str, Any], owner: str) -> RunOptions:
        """Make options from named arguments; an unknown one is a ``TypeError`` with a hint."""
        check_names(given, owner)
        return cls(**given)

    def plan(self) -> dict[str, Any]:
        """Give the arguments that decide which items come when."""
        names = ("shuffle", "n_epochs", "n_iters", "drop_last", "order", "cross_epochs")
        return {name: getattr(self, name) for name in names}

    def with_seed(self, seed: int) -> RunOptions:
        """Give the same options with a seed that is known."""
        return replace(self, seed=seed)


NAMES = tuple(field.name for field in fields(RunOptions))


def check_names(given: Mapping[str, Any], owner: str) -> None:
    """Refuse arguments that are no options: a ``TypeError`` with close matches."""
    for name in given:
        if name not in NAMES:
            raise TypeError(unknown("argument", name, NAMES, owner))
