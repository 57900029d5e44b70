"""Whether a batch is worked on ahead or made in its turn: the way that is faster, found out in the run.

To hand a batch over to a thread costs some tens of microseconds, and more where all cores are busy. A small
batch is made in less; a large one is worth it, and so is one that waits for a disk. Nobody can tell
beforehand, so both ways are timed now and then. Where a batch is made changes nothing in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Generator

Clock = Callable[[], float]
Ways = Generator[bool, None, None]

_SAMPLE = 16
"""Batches that are timed in a go, if not more are worked on ahead."""

_MARGIN = 0.95
"""The part of the time of the way at hand that the other one must take no more than: of two that are as good
the present one stays."""

_LONG = 0.005
"""Seconds a batch from which on handing it over is nothing beside it, and trying the other way is dear."""

_REST, _LONGEST_REST = 1 << 10, 1 << 14
"""Batches between two comparisons: so many at first, twice as many each time that nothing changed."""


def choose_ways(depth: int, clock: Clock = time.perf_counter) -> Ways:
    """Yield for each batch, before it is made, whether to work ahead; at first it is ahead."""
    ahead, rest = True, _REST
    while True:
        if (yield from _other_is_faster(ahead, depth, clock)):
            ahead, rest = not ahead, _REST
        for _ in range(rest):
            yield ahead
        rest = min(2 * rest, _LONGEST_REST)


def _other_is_faster(ahead: bool, depth: int, clock: Clock) -> Generator[bool, None, bool]:
    """Time both ways in turn and return whether the other one won: the best of three."""
    sample, won, lost = max(_SAMPLE, depth), 0, 0
    while won < 2 and lost < 2:
        took = yield from _time(ahead, depth, sample, clock)
        if took > sample * _LONG:
            return not ahead
        limit = _MARGIN * took
        other = yield from _time(not ahead, depth, sample, clock, limit)
        won, lost = won + (other <= limit), lost + (other > limit)
    return won > lost


def _time(
    ahead: bool, depth: int, sample: int, clock: Clock, limit: float = float("inf")
) -> Generator[bool, None, float]:
    """Return the seconds that some batches take one way, no longer than it takes to exceed a limit.

    Those before them are not counted: the first ones were begun the other way.
    """
    for _ in range(depth):
        yield ahead
    begin, took = clock(), 0.0
    for _ in range(sample):
        yield ahead
        took = clock() - begin
        if took > limit:
            break
    return took
