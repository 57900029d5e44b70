"""Timing side by side: contenders run in turn, round after round, and are compared by ratio.

A machine's speed drifts, so a ratio is taken inside each round and the median of the rounds is shown.
"""

from __future__ import annotations

import importlib.util
import os
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from _cpu import busy, head

# As the product does it: without AVX-512 TensorFlow leaves oneDNN off. Set before anybody imports TensorFlow.
os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")

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


def run_parts(parts: Mapping[str, Callable[[], bool]], wanted: Sequence[str]) -> bool:
    """Run the parts of a benchmark that are wanted, all without a wish; whether every target held."""
    if strangers := [name for name in wanted if name not in parts]:
        sys.exit(f"unknown part: {', '.join(strangers)}; there are: {', '.join(parts)}")
    held = [parts[name]() for name in wanted or parts]
    return all(held)


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


def heading(title: str) -> None:
    """Print a title and the machine as it is now."""
    print(f"\n## {title}\n\n{head()}\n")


def brief(value: float) -> str:
    """Write four digits, or all of a larger number's whole part."""
    return f"{value:.4g}" if value < 1000 else f"{value:.0f}"


def table(title: str, timings: Mapping[str, Timing], units: int, unit: str, ours: str) -> None:
    """Print the heading, then time a unit (median, least, most), CPU, and the ratio to our own time.

    Times are in microseconds, or in milliseconds where our own is 10 or more of these.
    """
    long = statistics.median(timings[ours].wall) / units >= 0.01
    scale, symbol = (1e3, "ms") if long else (1e6, "us")
    heading(title)
    print(f"| contender | {symbol}/{unit} median | least | most | CPU {symbol}/{unit} | x ours |")
    print("|---|---|---|---|---|---|")
    for name, timing in sorted(timings.items(), key=lambda pair: statistics.median(pair[1].wall)):
        wall, cpu = timing.wall, timing.cpu
        seconds = (statistics.median(wall), min(wall), max(wall), statistics.median(cpu))
        cells = " | ".join(brief(value * scale / units) for value in seconds)
        print(f"| {name} | {cells} | {ratio(timings, name, ours):.3g} |")


def verdicts() -> tuple[str, str]:
    """What to say of a target that falls short and of one that holds, on this machine as it is now."""
    noise = " (on a busy machine)" if busy() else ""
    return f"FALLS SHORT{noise}", f"holds{noise}"


def judge(timings: Mapping[str, Timing], targets: Sequence[Target]) -> bool:
    """Print each target that can be judged (its peer is there) and whether it holds."""
    held = True
    told = verdicts()
    for target in targets:
        if target.ours not in timings or target.peer not in timings:
            continue
        value = ratio(timings, target.peer, target.ours, target.cpu)
        value = value if target.at_least else 1 / value
        good = value >= target.bound if target.at_least else value <= target.bound
        held &= good
        what = "faster than" if target.at_least else "times the time of"
        sign = ">=" if target.at_least else "<="
        goal = f"(goal {sign} {target.bound:g})"
        print(f"- {target.ours}: {value:.2f}x {what} {target.peer} {goal}: {told[good]}")
    sys.stdout.flush()
    return held
