"""When a unit of an experiment runs: every n-th iteration, exactly one, the last, or several of these."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Self

Execute = int | str | Sequence[int | str]


@dataclass(frozen=True)
class Schedule:
    """Iterations at which a unit runs: ``every`` n-th ones, ``exact`` ones counted from 0, the ``last``."""

    every: frozenset[int] = frozenset()
    exact: frozenset[int] = frozenset()
    last: bool = False

    @classmethod
    def of(cls, execute: Execute, unit: str = "unit") -> Self:
        """Read what ``execute=``: ``10`` (iterations 9, 19, ...; 0: never), ``'#5'``, ``'last'``, or a list.

        ``ValueError`` for anything else.
        """
        if isinstance(execute, list | tuple) and not execute:
            raise ValueError(f"{unit}: execute={execute!r} names no iteration, so it would never run")
        parts: Sequence[Any] = execute if isinstance(execute, list | tuple) else [execute]
        every, exact, last = set(), set(), False
        for part in parts:
            if part == "last":
                last = True
            elif isinstance(part, int) and not isinstance(part, bool) and part >= 0:
                every.add(part)
            elif isinstance(part, str) and part[:1] == "#" and part[1:].isdecimal():
                exact.add(int(part[1:]))
            else:
                raise ValueError(
                    f"{unit}: execute={part!r} is none of: n >= 0 (every n-th iteration), '#i' (exactly "
                    "iteration i, from 0), 'last', or a list of these"
                )
        return cls(frozenset(every - {0}), frozenset(exact), last)

    def at(self, iteration: int, n_iters: int | None) -> bool:
        """Whether the unit runs at an iteration; the last one is known only when ``n_iters`` is."""
        return (
            any((iteration + 1) % step == 0 for step in self.every)
            or iteration in self.exact
            or (self.last and n_iters is not None and iteration == n_iters - 1)
        )

    @property
    def only_last(self) -> bool:
        """Whether the unit runs once, at the end."""
        return self.last and not self.every and not self.exact
