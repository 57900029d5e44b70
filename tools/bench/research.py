"""Domains and sweeps: the first configuration of many, a walk over 10,000, and what a warm trial costs."""

from __future__ import annotations

import itertools
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from functools import reduce
from pathlib import Path
from typing import Any

from common import have, heading, measure, table

from bf_pipeline import C
from bf_research import Domain, Option, Research

TRIALS, WORK = 40, 0.05
NAMES = "abcdefg"


def product(size: int, names: str) -> Domain:
    return reduce(lambda left, right: left * right, (Option(name, list(range(size))) for name in names))


def first() -> bool:
    """The first of 12^7 configurations; whoever builds the product first does not come back."""
    values = {name: list(range(12)) for name in NAMES}
    contenders: dict[str, Callable[[], object]] = {
        "bf-research": lambda: next(iter(product(12, NAMES))),
        "itertools.product": lambda: next(itertools.product(*values.values())),
    }
    timings = measure(contenders, 20)
    table("The first of 35.8 million configurations", timings, 1, "domain", "bf-research")
    seconds = max(timings["bf-research"].wall)
    print(
        f"- {seconds * 1000:.2f} ms, worst round (goal < 100): {'holds' if seconds < 0.1 else 'FALLS SHORT'}"
    )
    return seconds < 0.1


def walk() -> bool:
    """All 10,000 configurations of a product."""
    values = {name: list(range(10)) for name in "abcd"}

    def grid() -> list[Any]:
        return [dict(zip(values, point)) for point in itertools.product(*values.values())]

    contenders: dict[str, Callable[[], object]] = {
        "bf-research": lambda: list(product(10, "abcd")),
        "dicts of itertools": grid,
    }
    if have("sklearn"):
        from sklearn.model_selection import ParameterGrid

        contenders["sklearn ParameterGrid"] = lambda: list(ParameterGrid(values))
    table("A walk over 10,000 configurations", measure(contenders, 5), 10_000, "configuration", "bf-research")
    return True


def sleep(number: int) -> int:
    time.sleep(WORK)
    return number


def warm() -> bool:
    """A second sweep in the same process: what a trial costs over its work, two workers."""
    research = Research(Option("n", list(range(TRIALS)))).add_callable(sleep, C("n"), returns="number")
    over = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(5):
            began = time.perf_counter()
            research.run(name=Path(folder) / str(number), workers=2)
            seconds = time.perf_counter() - began
            if number:
                over.append(1000 * (seconds - TRIALS * WORK / 2) / TRIALS)
    middle = statistics.median(over)
    heading(f"A warm sweep of {TRIALS} trials of {WORK} s on two workers")
    print(
        f"- {middle:.1f} ms a trial over the work, median of {len(over)} ({min(over):.1f} to {max(over):.1f})"
    )
    print(f"- goal <= 30 ms: {'holds' if middle <= 30 else 'FALLS SHORT'}")
    return middle <= 30


def main() -> bool:
    """Print all tables; True when every target holds."""
    return all([first(), walk(), warm()])


if __name__ == "__main__":
    sys.exit(0 if main() else 1)
