"""The algebra of samplers: arithmetic, mixtures, stacked coordinates, transforms and truncation."""

from __future__ import annotations

import math
import operator
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import numpy as np

Rows = np.ndarray

# The most rows that one attempt of a truncated sampler draws: 8 MiB of float64 for ten coordinates.
_LARGEST_ATTEMPT = 100_000


class Sampler(ABC):
    """A distribution over rows of numbers, a frozen value.

    ``sample(size, rng)`` gives an array of shape (size, number of coordinates) and is a pure function of the
    generator handed in, so the same address gives the same values in every thread and process.

    ``a + b``, ``-``, ``*``, ``/``, ``//``, ``%``, ``**`` are arithmetic on what is drawn (with samplers,
    numbers or arrays); ``a | b`` is a mixture, ``0.3 & a`` sets a weight for it; ``a & b`` puts coordinates
    side by side.

    >>> import numpy as np
    >>> from bf_pipeline.samplers import NumpySampler
    >>> angle = NumpySampler('uniform', low=-1, high=1) * 10 | 0.5 & NumpySampler('normal')
    >>> angle.sample(3, np.random.default_rng(7)).shape
    (3, 1)
    """

    __slots__ = ()
    # Without this numpy would take `array + sampler` apart element by element.
    __array_ufunc__: ClassVar[None] = None

    @property
    def weight(self) -> float:
        """Weight in a mixture."""
        return 1.0

    def sample(self, size: int, rng: np.random.Generator | None = None) -> Rows:
        """Draw an array of shape (size, coordinates); without a generator the values cannot be repeated."""
        if size < 0:
            raise ValueError(f"sample: size must not be negative, got {size}")
        return self._rows(int(size), np.random.default_rng() if rng is None else rng)

    def values(self, size: int, rng: np.random.Generator | None = None) -> np.ndarray:
        """Draw one value per item: shape (size,) for one coordinate, else (size, coordinates)."""
        rows = self.sample(size, rng)
        return rows[:, 0] if rows.shape[1] == 1 else rows

    def draw(self, rng: np.random.Generator | None = None) -> Any:
        """Draw a single value: a Python scalar for one coordinate, else an array of the coordinates."""
        row = self.sample(1, rng)[0]
        return row[0].item() if len(row) == 1 else row

    def apply(self, transform: Callable[[Rows], Rows]) -> Sampler:
        """Transform what is drawn: a function from (size, coordinates) to (size, new coordinates)."""
        if not callable(transform):
            raise TypeError(f"apply: a function of an array of rows is needed, got {transform!r}")
        return _Applied(self, transform)

    def truncate(
        self,
        high: Any = None,
        low: Any = None,
        expr: Callable[[Rows], np.ndarray] | None = None,
        prob: float = 0.5,
        max_iters: int = 1000,
    ) -> Sampler:
        """Keep only rows with ``low <= row <= high``, or ``low <= expr(row) <= high``, or where expr is true.

        ``prob`` estimates the share that is kept and only affects speed. ``ValueError`` at sampling when
        ``max_iters`` attempts (each of up to 100,000 rows) do not give enough rows.
        """
        if high is None and low is None and expr is None:
            raise ValueError("truncate: give high=, low= or expr=, got none of them")
        if low is not None and high is not None and np.any(np.asarray(low) > np.asarray(high)):
            raise ValueError(f"truncate: low must not exceed high, got low={low!r}, high={high!r}")
        if not 0 < prob <= 1:
            raise ValueError(f"truncate: prob must be in (0, 1], got {prob!r}")
        if max_iters < 1:
            raise ValueError(f"truncate: max_iters must be at least 1, got {max_iters!r}")
        return _Truncated(self, high, low, expr, float(prob), int(max_iters))

    @abstractmethod
    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        """Draw an array of shape (size, coordinates): what a subclass defines."""

    def _arithmetic(self, sign: str, other: Any, reflected: bool = False) -> Sampler:
        if not isinstance(other, Sampler):
            if not isinstance(other, int | float | np.number | np.ndarray | list | tuple):
                # Python then tries the other operand, and a named expression knows what to do.
                return cast(Sampler, NotImplemented)
            other = np.asarray(other)
        return _Arithmetic(sign, other, self) if reflected else _Arithmetic(sign, self, other)

    def __add__(self, other: Any) -> Sampler:
        return self._arithmetic("+", other)

    def __radd__(self, other: Any) -> Sampler:
        return self._arithmetic("+", other, reflected=True)

    def __sub__(self, other: Any) -> Sampler:
        return self._arithmetic("-", other)

    def __rsub__(self, other: Any) -> Sampler:
        return self._arithmetic("-", other, reflected=True)

    def __mul__(self, other: Any) -> Sampler:
        return self._arithmetic("*", other)

    def __rmul__(self, other: Any) -> Sampler:
        return self._arithmetic("*", other, reflected=True)

    def __truediv__(self, other: Any) -> Sampler:
        return self._arithmetic("/", other)

    def __rtruediv__(self, other: Any) -> Sampler:
        return self._arithmetic("/", other, reflected=True)

    def __floordiv__(self, other: Any) -> Sampler:
        return self._arithmetic("//", other)

    def __rfloordiv__(self, other: Any) -> Sampler:
        return self._arithmetic("//", other, reflected=True)

    def __mod__(self, other: Any) -> Sampler:
        return self._arithmetic("%", other)

    def __rmod__(self, other: Any) -> Sampler:
        return self._arithmetic("%", other, reflected=True)

    def __pow__(self, other: Any) -> Sampler:
        return self._arithmetic("**", other)

    def __rpow__(self, other: Any) -> Sampler:
        return self._arithmetic("**", other, reflected=True)

    def __neg__(self) -> Sampler:
        return self._arithmetic("*", -1)

    def __or__(self, other: Any) -> Sampler:
        if not isinstance(other, Sampler):
            return NotImplemented
        return _Mixture((*_parts(self), *_parts(other)))

    def __and__(self, other: Any) -> Sampler:
        if isinstance(other, Sampler):
            return _Stacked((*_stack(self), *_stack(other)))
        return self.__rand__(other)

    def __rand__(self, other: Any) -> Sampler:
        if not isinstance(other, int | float | np.number):
            return NotImplemented
        weight = float(other)
        if not (math.isfinite(weight) and weight >= 0):
            raise ValueError(f"weight & sampler: the weight must be a number >= 0, got {other!r}")
        return _Weighted(self, self.weight * weight)


def concatenate(*samplers: Sampler) -> Sampler:
    """Put samplers' coordinates side by side: the same as ``a & b & c``."""
    if not samplers:
        raise ValueError("concatenate: give at least one sampler")
    for sampler in samplers:
        if not isinstance(sampler, Sampler):
            raise TypeError(f"concatenate: samplers are needed, got {sampler!r}")
    return _Stacked(tuple(part for sampler in samplers for part in _stack(sampler)))


_OPERATORS: dict[str, Callable[[Any, Any], Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
}


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Arithmetic(Sampler):
    sign: str
    left: Sampler | np.ndarray
    right: Sampler | np.ndarray

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        left = self.left.sample(size, rng) if isinstance(self.left, Sampler) else self.left
        right = self.right.sample(size, rng) if isinstance(self.right, Sampler) else self.right
        return np.asarray(_OPERATORS[self.sign](left, right))

    def __repr__(self) -> str:
        sides = [side if isinstance(side, Sampler) else side.tolist() for side in (self.left, self.right)]
        return f"({sides[0]!r} {self.sign} {sides[1]!r})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Weighted(Sampler):
    base: Sampler
    share: float

    @property
    def weight(self) -> float:
        return self.share

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        return self.base.sample(size, rng)

    def __repr__(self) -> str:
        return f"({self.share!r} & {self.base!r})"


def _parts(sampler: Sampler) -> tuple[tuple[float, Sampler], ...]:
    """Return weights and samplers of a mixture, so that ``a | b | c`` is one mixture of three."""
    if isinstance(sampler, _Mixture):
        return sampler.parts
    if isinstance(sampler, _Weighted):
        return ((sampler.share, sampler.base),)
    return ((sampler.weight, sampler),)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Mixture(Sampler):
    parts: tuple[tuple[float, Sampler], ...]

    def __post_init__(self) -> None:
        if self.weight <= 0:
            raise ValueError(f"mixture {self!r}: at least one weight must be above 0")

    @property
    def weight(self) -> float:
        return sum(weight for weight, _ in self.parts)

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        shares = np.array([weight for weight, _ in self.parts]) / self.weight
        chosen = rng.choice(len(self.parts), size=size, p=shares)
        counts = np.bincount(chosen, minlength=len(self.parts))
        drawn = [sampler.sample(int(n), rng) for n, (_, sampler) in zip(counts, self.parts)]
        widths = {rows.shape[1] for rows in drawn}
        if len(widths) > 1:
            raise ValueError(
                f"mixture {self!r}: its parts have different numbers of coordinates {sorted(widths)}"
            )
        together = np.concatenate([rows for rows in drawn if len(rows)] or drawn)
        mixed = np.empty_like(together)
        mixed[np.argsort(chosen, kind="stable")] = together
        return mixed

    def __repr__(self) -> str:
        return " | ".join(f"{weight:g} & {sampler!r}" for weight, sampler in self.parts)


def _stack(sampler: Sampler) -> tuple[Sampler, ...]:
    return sampler.parts if isinstance(sampler, _Stacked) else (sampler,)


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Stacked(Sampler):
    parts: tuple[Sampler, ...]

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        return np.concatenate([part.sample(size, rng) for part in self.parts], axis=1)

    def __repr__(self) -> str:
        return f"({' & '.join(map(repr, self.parts))})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Applied(Sampler):
    base: Sampler
    transform: Callable[[Rows], Rows]

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        rows = np.asarray(self.transform(self.base.sample(size, rng)))
        if rows.ndim == 0 or len(rows) != size:
            raise ValueError(
                f"{self!r}: the function must return one row per row, got shape {rows.shape} for {size} rows"
            )
        return rows.reshape(size, -1) if size else rows.reshape(0, math.prod(rows.shape[1:]))

    def __repr__(self) -> str:
        return f"{self.base!r}.apply({getattr(self.transform, '__name__', repr(self.transform))})"


@dataclass(frozen=True, slots=True, eq=False, repr=False)
class _Truncated(Sampler):
    base: Sampler
    high: Any
    low: Any
    expr: Callable[[Rows], np.ndarray] | None
    prob: float
    max_iters: int

    def _kept(self, rows: Rows) -> np.ndarray:
        """Return the mask of the rows that satisfy the condition, shape (len(rows),)."""
        tested = rows if self.expr is None else np.asarray(self.expr(rows)).reshape(len(rows), -1)
        kept = np.ones(len(rows), dtype=bool)
        if self.low is not None:
            kept &= np.greater_equal(tested, self.low).all(axis=1)
        if self.high is not None:
            kept &= np.less_equal(tested, self.high).all(axis=1)
        if self.low is None and self.high is None:
            kept &= tested.astype(bool).all(axis=1)
        return kept

    def _rows(self, size: int, rng: np.random.Generator) -> Rows:
        if size == 0:
            return self.base.sample(0, rng)
        found: list[Rows] = []
        drawn = accepted = 0
        for _ in range(self.max_iters):
            share = accepted / drawn if accepted else self.prob / (1 + drawn)
            attempt = min(_LARGEST_ATTEMPT, math.ceil((size - accepted) / share * 1.1) + 8)
            rows = self.base.sample(attempt, rng)
            found.append(rows[self._kept(rows)])
            drawn, accepted = drawn + attempt, accepted + len(found[-1])
            if accepted >= size:
                return np.concatenate(found)[:size]
        raise ValueError(
            f"{self!r}: {drawn} rows were drawn and only {accepted} of {size} fit; widen low and high"
        )

    def __repr__(self) -> str:
        given = {"high": self.high, "low": self.low, "expr": self.expr}
        return f"{self.base!r}.truncate({', '.join(f'{k}={v!r}' for k, v in given.items() if v is not None)})"
