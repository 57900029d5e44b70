"""The processes that train one model together: which one this is, and what each of them takes and writes."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

VARIABLE = "TF_CONFIG"
MULTIWORKER, STRATEGIES = "multiworker", ("mirrored", "multiworker")
_EXAMPLE = '{"cluster": {"worker": ["host0:12345", "host1:12345"]}, "task": {"type": "worker", "index": 0}}'


@dataclass(frozen=True, slots=True)
class Workers:
    """``count`` processes of which this is ``number``; the first one, the chief, writes and records."""

    number: int = 0
    count: int = 1

    @property
    def is_chief(self) -> bool:
        """Whether this process writes the folder of the run and the tracker's records."""
        return self.number == 0

    def deal(self, batch_size: int) -> int:
        """Return how many items of each batch this worker takes; ``ValueError`` unless all take as many."""
        if batch_size % self.count:
            raise ValueError(
                f"batch_size={batch_size} is the whole batch, and {self.count} workers of {VARIABLE} take "
                f"equal parts of it; give a multiple, such as {-(-batch_size // self.count) * self.count}"
            )
        return batch_size // self.count

    def take_shard(self, dataset: Any) -> Any:
        """Return the part of the data to train on that this worker reads; all parts have one length."""
        return dataset if self.count == 1 else dataset.shard(self.number, self.count, even=True)


def read_workers(strategy: str | None, environment: Mapping[str, str] = os.environ) -> Workers:
    """Read from TF_CONFIG who trains together; one process alone but for ``strategy=multiworker``.

    ``ValueError`` says what is wrong with the variable. A task ``chief`` comes before the ``worker`` tasks;
    where there is none, worker 0 is the chief, as TensorFlow has it.
    """
    if strategy is not None and strategy not in STRATEGIES:
        raise ValueError(f"strategy must be null, {' or '.join(STRATEGIES)}, got {strategy!r}")
    if strategy != MULTIWORKER:
        return Workers()
    text = environment.get(VARIABLE)
    if text is None:
        raise ValueError(
            f"strategy={MULTIWORKER}: the environment variable {VARIABLE} says who trains together, and "
            f"is not set; start each process with its own, such as {VARIABLE}='{_EXAMPLE}'"
        )
    try:
        return _read(json.loads(text))
    except (ValueError, KeyError, TypeError, AttributeError, IndexError, RecursionError) as error:
        raise ValueError(
            f"strategy={MULTIWORKER}: {VARIABLE}={text[:300]!r} is not understood "
            f"({type(error).__name__}: {error}); it looks like {_EXAMPLE}"
        ) from None


def _read(config: Mapping[str, Any]) -> Workers:
    cluster, task = config["cluster"], config["task"]
    if unknown := sorted(set(cluster) - {"chief", "worker"}):
        raise ValueError(f"there are tasks {', '.join(unknown)}, only chief and worker can be")
    places = [(kind, number) for kind in ("chief", "worker") for number in range(len(cluster.get(kind, [])))]
    return Workers(places.index((task["type"], int(task["index"]))), len(places))
