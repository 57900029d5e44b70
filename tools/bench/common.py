"""Timing side by side: contenders run in turn, round after round, and are compared by ratio.

A machine's speed drifts, so a ratio is taken inside each round and the median of the rounds is shown.
"""

from __future__ import annotations

import importlib.util
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

Run = Callable[[], object]


@dataclass
class Timing:
    """Seconds of one contender, one value a round."""

    wall: list[float] = field(default_factory=list)
    cpu: list[float] = field(default_factory=list)


@dataclass(frozen=True)
class Target:
    """What a ratio has to reach: at least, or at most."""

    ours: str
    peer: str
    bound: float
    at_least: bool = True
    cpu: bool = False


def have(module: str) -> bool:
    """Whether a peer is installed; one that is not is named in the table and left out."""
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        print(f"({module} is not installed: left out)")
        return False
    return True


def measure(contenders: Mapping[str, Run], rounds: int = 5, warmup: int = 1) -> dict[str, Timing]:
    """Run every contender in turn, ``rounds`` times after ``warmup`` uncounted rounds."""
    timings = {name: Timing() for name in contenders}
    for number in range(warmup + rounds):
        for name, run in contenders.items():
            cpu, wall = time.process_time(), time.perf_counter()
            run()
            wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
            if number >= warmup:
                timings[name].wall.append(wall)
                timings[name].cpu.append(cpu)
    return timings


def ratio(timings: Mapping[str, Timing], slower: str, faster: str, cpu: bool = False) -> float:
    """How many times longer ``slower`` takes than ``faster``: the median over rounds."""
    kind = "cpu" if cpu else "wall"
    pairs = zip(getattr(timings[slower], kind), getattr(timings[faster], kind))
    return statistics.median(a / b for a, b in pairs)


def table(title: str, timings: Mapping[str, Timing], units: int, unit: str, ours: str) -> None:
    """Print microseconds a unit (median, least, most), CPU, and the ratio to our own time."""
    print(f"\n## {title}\n")
    print(f"| contender | us/{unit} median | least | most | CPU us/{unit} | x ours |")
    print("|---|---|---|---|---|---|")
    for name, timing in sorted(timings.items(), key=lambda pair: statistics.median(pair[1].wall)):
        wall = [value * 1e6 / units for value in timing.wall]
        cpu = statistics.median(timing.cpu) * 1e6 / units
        print(
            f"| {name} | {statistics.median(wall):.4g} | {min(wall):.4g} | {max(wall):.4g} "
            f"| {cpu:.4g} | {ratio(timings, name, ours):.3g} |"
        )


def judge(timings: Mapping[str, Timing], targets: Sequence[Target]) -> bool:
    """Print each target that can be judged (its peer is there) and whether it holds."""
    held = True
    for target in targets:
        if target.ours not in timings or target.peer not in timings:
            continue
        value = ratio(timings, target.peer, target.ours, target.cpu)
        value = value if target.at_least else 1 / value
        good = value >= target.bound if target.at_least else value <= target.bound
        held &= good
        what = "faster than" if target.at_least else "times the time of"
        sign = ">=" if target.at_least else "<="
        verdict = "holds" if good else "FALLS SHORT"
        print(f"- {target.ours}: {value:.2f}x {what} {target.peer} (goal {sign} {target.bound:g}): {verdict}")
    sys.stdout.flush()
    return held
