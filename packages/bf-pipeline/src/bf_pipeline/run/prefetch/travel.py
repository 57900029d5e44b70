"""What changes when batches are prepared in other processes: steps must travel, global randomness differs."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from bf_batch.engines.pickling import explain_failure
from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.record.recorded import walk_calls
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.state import RunState

_OTHER_PROCESSES = ("processes", "ray")
_ADVICE = "make it inside the step, or use engine 'threads'"


def in_other_processes(options: RunOptions) -> bool:
    """Whether batches are prepared in other processes."""
    if isinstance(options.engine, str):
        return options.engine in _OTHER_PROCESSES
    from bf_batch.engines.processes import ProcessesEngine

    return isinstance(options.engine, ProcessesEngine)


class GlobalRandomness(UserWarning):
    """A warning that steps drew from ``np.random``: other values in every worker and every run."""


def check_travels(run: RunState) -> None:
    """Refuse steps that cannot go to a worker, at the call: ``TypeError`` naming step, line and argument."""
    if run.options.prefetch == 0 or not in_other_processes(run.options):
        return
    for step in run.runner.bound.ahead:
        if (reason := explain_failure(step.run)) is not None:
            raise TypeError(f"{step} can't go to a worker process: {_explain_step(run, step, reason)}")


def _explain_step(run: RunState, step: BoundStep, reason: str) -> str:
    """Return why a step cannot travel, and which argument of the call it is, if it is one."""
    for call in walk_calls(run.pipeline.steps):
        if (call.where, call.name) == (step.where, step.name):
            named: dict[str, Any] = {f"argument {place}": value for place, value in enumerate(call.args)}
            named |= {f"argument {name!r}": value for name, value in call.kwargs.items()}
            for name, value in named.items():
                if (why := explain_failure(value)) is not None:
                    return f"{name} can't be pickled ({why}); {_ADVICE}"
    return f"it can't be pickled ({reason}); {_ADVICE}"


@contextmanager
def warn_of_global_randomness() -> Iterator[None]:
    """Warn, once a process, when what runs inside draws from numpy's global generator."""
    before = global_draws()
    yield
    if global_draws() != before:
        warnings.warn(
            "a step used np.random, which differs in every worker and run; batch.rng() does not",
            GlobalRandomness,
            stacklevel=3,
        )


def global_draws() -> tuple[int, int]:
    """Return how far numpy's global generator has come: numbers that change with nearly every draw."""
    state: Any = np.random.get_state(legacy=False)["state"]
    return state["pos"], int(state["key"][0])
