"""Item-wise work in threads that the caller helps, as long as they are of help."""

from __future__ import annotations

import time
from operator import length_hint
from typing import Any

from bf_batch.engines.base import Engine
from bf_batch.engines.factory import shared
from bf_batch.itemwise.work import Work

_TRIAL = 5e-4
"""Seconds that the caller works alone before it asks threads for help."""

_SAMPLE = 4
"""Items of the caller's own between judgements of whether help pays."""

_GAIN = 0.9
"""Help pays when an item takes less than this share of its time alone."""

_REMEMBERED = 1000

_WORTH = 1e-3
"""Seconds of work left from which on help is worth its cost."""


def run_threads(work: Work, workers: int) -> list[Any]:
    """Run the items in the caller and in up to ``workers - 1`` threads besides.

    The caller takes part, so that a call from inside a thread can never wait for itself. It works alone while
    the items are too cheap to share, and sends the threads away when they do not make the work any faster,
    which is so where items hold the interpreter lock or let go of it for microseconds only.
    """
    n = len(work)
    results: list[Any] = [None] * n
    number = 0
    alone = workers == 1 or not should_ask_help(work.function)
    begin = time.perf_counter()
    while number < n:
        results[number] = work.run(number)
        number += 1
        if not alone:
            spent = time.perf_counter() - begin
            if spent > _TRIAL and spent / number * (n - number) > _WORTH:
                break
    if number < n:
        crew = Crew(work, results, number, (time.perf_counter() - begin) / number)
        crew.run(min(workers, n - number) - 1, shared("threads", workers))
    return results


class Crew:
    """The caller and the threads that help it, taking items off one list."""

    def __init__(self, work: Work, results: list[Any], first: int, seconds: float) -> None:
        self.work = work
        self.results = results
        self.numbers = iter(range(first, len(results)))  # next() of it is atomic under the interpreter lock
        self.seconds = seconds
        self.wanted = True
        self.joined: tuple[float, int] | None = None
        self.doubts = 0
        self.judged = False

    def help(self) -> None:
        """Take items as long as help is wanted; runs in a thread."""
        if self.joined is None:
            self.joined = time.perf_counter(), length_hint(self.numbers)
        while self.wanted and (number := next(self.numbers, None)) is not None:
            self.results[number] = self.work.run(number)

    def run(self, helpers: int, engine: Engine) -> None:
        """Run all items; an interrupt leaves no thread at work."""
        futures = [engine.submit(self.help) for _ in range(helpers)]
        own = 0
        try:
            for number in self.numbers:
                self.results[number] = self.work.run(number)
                own += 1
                if own % _SAMPLE == 0 and self.wanted and self.joined is not None:
                    self._judge(*self.joined, helpers)
            if self.judged:
                remember_help(self.work.function, self.wanted)
        finally:  # no waiting here: an interrupt must not last as long as the items of the others
            self.wanted = False
            waiting = [future for future in futures if not future.cancel()]
        for future in waiting:
            future.result()

    def _judge(self, joined: float, left: int, helpers: int) -> None:
        """Send the helpers away when, twice in a row, an item takes as long as it does alone."""
        spent = time.perf_counter() - joined
        done = left - length_hint(self.numbers) - helpers
        if spent < _TRIAL or done < _SAMPLE:
            return
        helped = spent / done < _GAIN * self.seconds
        self.doubts = 0 if helped else self.doubts + 1
        self.wanted = self.doubts < 2
        self.judged = True


_unhelped: dict[Any, tuple[int, int]] = {}
"""By code: for how many calls no help is asked for, and for how many more next time."""


def _code_of(function: Any) -> Any:
    return getattr(function, "__code__", type(function))


def should_ask_help(function: Any) -> bool:
    """Whether to ask threads for help: not where they were of none, but for a new try now and then."""
    left, again = _unhelped.get(_code_of(function), (0, 0))
    if left:
        _unhelped[_code_of(function)] = left - 1, again
    return not left


def remember_help(function: Any, helped: bool) -> None:
    """Remember whether threads were of help, for the calls to come."""
    code = _code_of(function)
    if helped:
        _unhelped.pop(code, None)
        return
    if len(_unhelped) > _REMEMBERED:
        _unhelped.clear()
    again = min(max(2 * _unhelped.get(code, (0, 0))[1], 8), 256)
    _unhelped[code] = again, again
