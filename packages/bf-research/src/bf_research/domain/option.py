"""The values of an option: listed, each with a stable name, or drawn from a distribution."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Protocol, runtime_checkable

import numpy as np


@runtime_checkable
class Sampler(Protocol):
    """Anything that can stand for the values of an option: it draws ``size`` values from a generator."""

    def sample(self, size: int, rng: np.random.Generator) -> Any:
        """Return an array-like with ``size`` values or rows."""


@dataclass(frozen=True, slots=True, eq=False)
class KV:
    """A value and the name that stands for it: ``KV(my_network, 'wide')``.

    Numbers, strings, booleans, None and lists or dicts of them stand for themselves; classes and functions
    are known by their ``__name__``. Anything else needs an alias, since the name must be the same in every
    process. ``TypeError`` says so.
    """

    value: Any
    alias: str | None = None

    def __post_init__(self) -> None:
        if self.alias is not None and not isinstance(self.alias, str):
            raise TypeError(f"KV: the alias must be a string, got {self.alias!r}")
        _ = self.key  # a value that can't be named is refused here, not in the middle of a sweep

    @property
    def key(self) -> Any:
        """What identifies the value in trial ids and journals: JSON data, equal for equal values."""
        return plain(self.value) if self.alias is None else self.alias

    @property
    def name(self) -> str:
        """The alias as text, for tables and folder names."""
        key = self.key
        return key if isinstance(key, str) else json.dumps(key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, KV) and same_json(self.key, other.key)

    def __hash__(self) -> int:
        return hash(canonical(self.key))

    def __repr__(self) -> str:
        value = getattr(self.value, "__name__", None) or repr(self.value)
        return value if self.alias is None else f"KV({value}, {self.alias!r})"


def as_kv(value: Any) -> KV:
    """Wrap a value; a ``KV`` stays what it is."""
    return value if isinstance(value, KV) else KV(value)


def plain(value: Any) -> Any:
    """Turn a value into JSON data that is the same in every process; ``TypeError`` if it has no stable name.

    Numbers that are equal give equal data: ``1.0`` and ``np.int64(1)`` give ``1``.
    """
    if value is None or isinstance(value, str | bool | np.bool_):
        return bool(value) if isinstance(value, np.bool_) else value
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        number = float(value)
        if math.isfinite(number):
            return int(number) if number.is_integer() and abs(number) < 2**53 else number
        return str(number)
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    return _named(value)


def _named(value: Any) -> str:
    name = getattr(value, "__name__", None)
    if isinstance(name, str):
        return name
    text = str(value)
    if " at 0x" in text:
        raise TypeError(
            f"{text}: this value has no name that is the same in every process, and trials are known "
            "by names; write KV(value, 'a name')"
        )
    return text


_CANONICAL = json.JSONEncoder(sort_keys=True, ensure_ascii=False, separators=(",", ":"))


def canonical(data: Any) -> str:
    """Write JSON data in the one way that equal data share."""
    return _CANONICAL.encode(data)


def same_json(left: Any, right: Any) -> bool:
    """Whether two pieces of JSON data are the same; unlike with ``==``, True is not 1."""
    return canonical(left) == canonical(right)


def value_of(row: Any) -> Any:
    """Return the one value that a sampler drew for size 1: a scalar, or a list of the coordinates."""
    values = np.asarray(row).ravel().tolist()
    return values[0] if len(values) == 1 else values


@dataclass(frozen=True, slots=True, repr=False)
class Interval:
    """Numbers between ``low`` and ``high``, even in the logarithm with ``log``; integers with ``whole``.

    Integers include both ends. ``ValueError`` when the ends are out of order, or not above 0 with ``log``.
    """

    low: float
    high: float
    log: bool = False
    whole: bool = False

    def __post_init__(self) -> None:
        for end in (self.low, self.high):
            if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
                raise ValueError(f"{self}: the ends must be finite numbers, got {end!r}")
        if not self.low < self.high:
            raise ValueError(f"{self}: low must be below high, got {self.low!r} and {self.high!r}")
        if self.log and self.low <= 0:
            raise ValueError(f"{self}: a logarithm needs low above 0, got {self.low!r}")
        if self.whole and not (float(self.low).is_integer() and float(self.high).is_integer()):
            raise ValueError(f"{self}: integers need whole ends, got {self.low!r} and {self.high!r}")

    def sample(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw an array of shape (size,), float64 or int64."""
        low, high = (self.low, self.high + 1) if self.whole else (self.low, self.high)
        values = (
            np.exp(rng.uniform(math.log(low), math.log(high), size))
            if self.log
            else rng.uniform(low, high, size)
        )
        if self.whole:
            values = np.floor(values)
        # Rounding in exp may step over an end by one unit.
        inside = np.clip(values, self.low, self.high)
        return inside.astype(np.int64) if self.whole else inside

    def __repr__(self) -> str:
        if self.whole:
            return f"integers({self.low!r}, {self.high!r}{', log=True' if self.log else ''})"
        return f"{'loguniform' if self.log else 'uniform'}({self.low!r}, {self.high!r})"


@dataclass(frozen=True, slots=True, repr=False)
class Normal:
    """Normally distributed numbers; ``ValueError`` unless ``std`` is above 0."""

    mean: float = 0.0
    std: float = 1.0

    def __post_init__(self) -> None:
        if not (math.isfinite(self.mean) and math.isfinite(self.std) and self.std > 0):
            raise ValueError(
                f"normal: a finite mean and a std above 0 are needed, got {self.mean!r}, {self.std!r}"
            )

    def sample(self, size: int, rng: np.random.Generator) -> np.ndarray:
        """Draw an array of shape (size,), float64."""
        return rng.normal(self.mean, self.std, size)

    def __repr__(self) -> str:
        return f"normal({self.mean!r}, {self.std!r})"


def uniform(low: float, high: float) -> Interval:
    """Return a distribution of numbers between low and high, evenly."""
    return Interval(low, high)


def loguniform(low: float, high: float) -> Interval:
    """Return a distribution of numbers between low and high, evenly in the logarithm: for learning rates."""
    return Interval(low, high, log=True)


def integers(low: int, high: int, log: bool = False) -> Interval:
    """Return a distribution of whole numbers from low to high, both included."""
    return Interval(low, high, log=log, whole=True)


def normal(mean: float = 0.0, std: float = 1.0) -> Normal:
    """Return a distribution of normally distributed numbers."""
    return Normal(mean, std)


# What a domain in text or YAML may call.
DISTRIBUTIONS: MappingProxyType[str, Callable[..., Any]] = MappingProxyType(
    {"uniform": uniform, "loguniform": loguniform, "integers": integers, "normal": normal}
)
