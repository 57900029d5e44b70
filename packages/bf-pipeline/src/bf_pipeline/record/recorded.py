"""The recorded pipeline as a value: its steps, data and config, which everything else reads."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

from bf_batch import Dataset
from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import Expr
from bf_pipeline.plain_config import PlainConfig, merge_configs


@dataclass(frozen=True, slots=True, eq=False)
class Call:
    """An action, or a step of the pipeline's own (``builtin``), with the line that recorded it."""

    name: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    where: Location
    builtin: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Repeat:
    """Steps that run ``times`` times for each batch."""

    steps: tuple[Step, ...]
    times: int | Expr
    where: Location


@dataclass(frozen=True, slots=True, eq=False)
class Sometimes:
    """Steps that run for a batch with a probability: one coin for the whole batch."""

    steps: tuple[Step, ...]
    p: float | Expr
    where: Location


Step = Call | Repeat | Sometimes


def walk_calls(steps: tuple[Step, ...]) -> Iterator[Call]:
    """Yield the calls of steps in order, those inside repetitions and coins too."""
    for step in steps:
        if isinstance(step, Call):
            yield step
        else:
            yield from walk_calls(step.steps)


def find_caller() -> Location:
    """Return the line that is recording: the nearest one outside this package."""
    frame = sys._getframe(1)
    while frame.f_back is not None and frame.f_globals.get("__name__", "").startswith("bf_pipeline."):
        frame = frame.f_back
    return Location(frame.f_code.co_filename, frame.f_lineno)


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Recorded:
    """What a pipeline is made of; ``Pipeline`` adds the methods that record, run and show it.

    Public names here are names that no action can have, so what works on a recorded pipeline is a function.
    """

    dataset: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = field(default=(), kw_only=True)
    before_steps: tuple[Step, ...] = field(default=(), kw_only=True)
    after_steps: tuple[Step, ...] = field(default=(), kw_only=True)
    namespaces: tuple[Any, ...] = field(default=(), kw_only=True)
    options: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        if self.dataset is not None and not isinstance(self.dataset, Dataset | Expr):
            if isinstance(self.dataset, Mapping) and not self.config:  # Pipeline(config), as a config alone
                object.__setattr__(self, "config", self.dataset)
                object.__setattr__(self, "dataset", None)
            else:
                raise TypeError(f"Pipeline: the first argument is a Dataset, got {self.dataset!r}")
        object.__setattr__(self, "config", PlainConfig.of(self.config))


AnyRecorded = TypeVar("AnyRecorded", bound=Recorded)


def with_config(recorded: AnyRecorded, config: Any) -> AnyRecorded:
    """Return the pipeline with further config values; where both have one, the new one wins."""
    return replace(recorded, config=merge_configs(recorded.config, PlainConfig.of(config)))


def list_declared(recorded: Recorded) -> list[str]:
    """Return the names of the variables that a pipeline declares."""
    found: list[str] = []
    for call in walk_all_calls(recorded):
        if call.builtin and call.name == "init_variable":
            found.append(str(call.args[0] if call.args else call.kwargs.get("name")))
        elif call.builtin and call.name == "init_variables":
            found += [str(name) for part in call.args for name in ([part] if isinstance(part, str) else part)]
    return found


def walk_all_calls(recorded: Recorded) -> Iterator[Call]:
    """Yield every call of a pipeline in the order of running: ``before``, the main steps, ``after``."""
    return walk_calls((*recorded.before_steps, *recorded.steps, *recorded.after_steps))


@dataclass(frozen=True, slots=True)
class Recorder(Generic[AnyRecorded]):
    """An action of a pipeline that was named but not called yet."""

    pipeline: AnyRecorded
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> AnyRecorded:
        """Record the action with its arguments."""
        pipeline: Any = self.pipeline
        made: AnyRecorded = pipeline.record(Call(self.name, args, kwargs, find_caller()))
        return made

    def __repr__(self) -> str:
        return f"<action {self.name!r} of a pipeline, not called yet>"
