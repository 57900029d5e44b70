"""The normal form of a domain: a sum of cubes, each a product of axes and zips; never built ahead."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from typing import Any, Protocol

import numpy as np

from bf_pipeline.redaction.values import redact
from bf_research.domain.condition import Condition
from bf_research.domain.option import KV, Sampler, value_of

Values = dict[str, KV]
#: An option may have millions of values; so many are looked at before a sweep.
MOST_EDGES = 100
#: So many whole numbers with the same step between them are spelled as a range.
_SHORTEST_RANGE = 20


class Factor(Protocol):
    """One part of a product: the names it sets and the values at each of its positions."""

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the options it sets."""

    @property
    def size(self) -> int | None:
        """Number of positions; None when values are drawn and never end."""

    @property
    def draws(self) -> bool:
        """Whether a sampler draws any of its values."""

    def listed(self) -> Iterator[KV]:
        """Yield the values that are listed, not drawn."""

    def at(self, position: int, rng: np.random.Generator) -> Values:
        """Return the values at a position; a sampler draws from ``rng`` instead."""

    def draw(self, rng: np.random.Generator) -> Values:
        """Return the values at a random position."""


@dataclass(frozen=True)
class Axis:
    """One option: its name and its values, or the sampler they are drawn from."""

    name: str
    values: tuple[KV, ...] | Sampler

    @property
    def names(self) -> tuple[str, ...]:
        """The one name."""
        return (self.name,)

    @property
    def size(self) -> int | None:
        """Number of values; None for a sampler."""
        return len(self.values) if isinstance(self.values, tuple) else None

    @property
    def draws(self) -> bool:
        """Whether a sampler draws its values."""
        return not isinstance(self.values, tuple)

    def listed(self) -> Iterator[KV]:
        """Yield its values, unless a sampler draws them."""
        yield from self.values if isinstance(self.values, tuple) else ()

    def at(self, position: int, rng: np.random.Generator) -> Values:
        """Return the value at a position, or one drawn value."""
        if isinstance(self.values, tuple):
            return {self.name: self.values[position]}
        return {self.name: KV(value_of(self.values.sample(1, rng)))}

    def draw(self, rng: np.random.Generator) -> Values:
        """Return a random value."""
        return self.at(0 if self.size is None else int(rng.integers(self.size)), rng)

    def __repr__(self) -> str:
        spelled = _spell_values(self.values) if isinstance(self.values, tuple) else repr(self.values)
        return f"Option({self.name!r}, {redact(spelled, self.name)})"


def _spell_values(values: tuple[KV, ...]) -> str:
    """Return the expression that makes values: many whole numbers with the same step are a ``range``."""
    whole = [kv.value for kv in values if kv.alias is None and type(kv.value) is int]
    if len(whole) == len(values) >= _SHORTEST_RANGE and (step := whole[1] - whole[0]):
        found = range(whole[0], whole[-1] + (1 if step > 0 else -1), step)
        if whole == list(found):
            return repr(found)
    return repr(list(values))


@dataclass(frozen=True)
class Zip:
    """Finite domains of equal length walked side by side: what ``@`` makes."""

    parts: tuple[tuple[Cube, ...], ...]

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all parts, in order."""
        return tuple(dict.fromkeys(name for part in self.parts for cube in part for name in cube.names))

    @cached_property
    def size(self) -> int:
        """The length that all parts share."""
        return total(self.parts[0]) or 0

    @cached_property
    def draws(self) -> bool:
        """Whether a sampler draws any value of any part."""
        return any(cube.draws for part in self.parts for cube in part)

    def listed(self) -> Iterator[KV]:
        """Yield the listed values of all parts."""
        return (kv for part in self.parts for cube in part for kv in cube.listed())

    def at(self, position: int, rng: np.random.Generator) -> Values:
        """Return what all parts have at a position."""
        values: Values = {}
        for part in self.parts:
            cube, inside = locate(part, position)
            values |= part[cube].at(inside, rng)
        return values

    def draw(self, rng: np.random.Generator) -> Values:
        """Return what all parts have at a random position."""
        return self.at(int(rng.integers(self.size)), rng)

    def __repr__(self) -> str:
        return "(" + " @ ".join(spell(part, inside=True) for part in self.parts) + ")"


@dataclass(frozen=True)
class Cube:
    """A product of factors, its share in a random order, and the conditions that leave some out."""

    factors: tuple[Factor, ...] = ()
    weight: float | None = None
    conditions: tuple[Condition, ...] = ()

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all options, in order."""
        return tuple(name for factor in self.factors for name in factor.names)

    @cached_property
    def size(self) -> int | None:
        """Number of positions, conditions not looked at; None when every factor is a sampler."""
        finite = [factor.size for factor in self.factors if factor.size is not None]
        return math.prod(finite) if finite or not self.factors else None

    @cached_property
    def draws(self) -> bool:
        """Whether a sampler draws any of its values."""
        return any(factor.draws for factor in self.factors)

    def listed(self) -> Iterator[KV]:
        """Yield the listed values of all factors."""
        return (kv for factor in self.factors for kv in factor.listed())

    def at(self, position: int, rng: np.random.Generator) -> Values:
        """Return the values at a position, the rightmost factor running fastest."""
        places: list[int] = []
        for factor in reversed(self.factors):
            position, place = divmod(position, factor.size) if factor.size is not None else (position, 0)
            places.append(place)
        values: Values = {}
        for factor, place in zip(self.factors, reversed(places)):
            values |= factor.at(place, rng)
        return values

    def draw(self, rng: np.random.Generator) -> Values:
        """Return values drawn at random, each factor by itself."""
        values: Values = {}
        for factor in self.factors:
            values |= factor.draw(rng)
        return values

    def holds(self, values: Values) -> bool:
        """Whether all conditions keep these values."""
        if not self.conditions:
            return True
        config = {name: kv.value for name, kv in values.items()}
        keys = {name: kv.key for name, kv in values.items()}
        return all(condition.holds(config, keys) for condition in self.conditions)

    def __repr__(self) -> str:
        body = " * ".join(map(repr, self.factors)) or "Domain()"
        if self.conditions:
            body = f"({body})" + "".join(f".{condition!r}" for condition in self.conditions)
        return body if self.weight is None else f"{self.weight!r} * {body}"


def total(cubes: Sequence[Cube]) -> int | None:
    """Return the number of positions of a sum of cubes; None when one never ends."""
    sizes = [cube.size for cube in cubes if cube.size is not None]
    return sum(sizes) if len(sizes) == len(cubes) else None


def locate(cubes: Sequence[Cube], position: int) -> tuple[int, int]:
    """Find the cube that holds a position, and the position inside it."""
    start = 0
    for number, end in enumerate(
        accumulate(cube.size if cube.size is not None else math.inf for cube in cubes)
    ):
        if position < end:
            return number, position - start
        start = int(end)
    raise IndexError(f"position {position} of a domain with {start}")


def first(cube: Cube) -> Values | None:
    """Return the first values that a cube's conditions keep; None when a thousand are left out."""
    rng = np.random.default_rng(0)
    count = 1000 if cube.size is None else min(cube.size, 1000)
    drawn = (cube.at(position, rng) for position in range(count))
    return next((values for values in drawn if cube.holds(values)), None)


def edges(cube: Cube) -> Iterator[Values]:
    """Yield configurations that together have the values of every option, the first ``MOST_EDGES`` of each.

    Each factor is at each of its places in turn, the others at their first; what a condition leaves out is
    left out.
    """
    rng = np.random.default_rng(0)
    start = [factor.at(0, rng) for factor in cube.factors]
    for number, factor in enumerate(cube.factors):
        for place in range(min(factor.size or 0, MOST_EDGES)):
            parts = [*start[:number], factor.at(place, rng), *start[number + 1 :]]
            values = {name: kv for part in parts for name, kv in part.items()}
            if cube.holds(values):
                yield values


def blocks(cubes: Sequence[Cube]) -> Iterator[list[int]]:
    """Yield the numbers of cubes that go together: neighbours with weights, or one cube without."""
    group: list[int] = []
    for number, cube in enumerate(cubes):
        if cube.weight is None:
            if group:
                yield group
            yield [number]
            group = []
        else:
            group.append(number)
    if group:
        yield group


def spell(cubes: Sequence[Cube], inside: bool = False) -> str:
    """Return the expression that makes a sum of cubes."""
    spelled = " + ".join(map(repr, cubes))
    simple = len(cubes) == 1 and len(cubes[0].factors) == 1 and not cubes[0].conditions
    return spelled if simple or not inside else f"({spelled})"


def product(left: Sequence[Cube], right: Sequence[Cube]) -> tuple[Cube, ...]:
    """Multiply two sums: every cube of the left with every cube of the right, in that order."""
    return tuple(_multiply(a, b) for a in left for b in right)


def _multiply(left: Cube, right: Cube) -> Cube:
    weights = [cube.weight for cube in (left, right) if cube.weight is not None]
    _refuse_twice(left.names, right.names, "*")
    return Cube(
        (*left.factors, *right.factors),
        math.prod(weights) if weights else None,
        (*left.conditions, *right.conditions),
    )


def pair(left: Sequence[Cube], right: Sequence[Cube]) -> tuple[Cube, ...]:
    """Pair two sums position by position; ``ValueError`` unless both are finite and of one length."""
    sizes = [total(left), total(right)]
    if None in sizes:
        raise ValueError(
            f"@ pairs finite domains, got an endless one: {spell(left)} @ {spell(right)}; use * for samplers"
        )
    if sizes[0] != sizes[1]:
        raise ValueError(
            f"@ pairs domains of equal length, got {sizes[0]} and {sizes[1]}: {spell(left)} @ {spell(right)}"
        )
    for side in (left, right):
        if any(cube.conditions for cube in side):
            raise ValueError(
                f"@ pairs positions, which a condition leaves open: {spell(side)}; write (a @ b).where(...)"
            )
        if len(side) > 1 and any(cube.weight is not None for cube in side):
            raise ValueError(
                f"@ pairs positions, which weights leave open: {spell(side)}; write 0.3 * (a @ b)"
            )
    _refuse_twice(_all_names(left), _all_names(right), "@")
    weights = [cube.weight for cube in (*left, *right) if cube.weight is not None]
    parts = tuple(part for side in (left, right) for part in _parts(side))
    return (Cube((Zip(parts),), math.prod(weights) if weights else None),)


def _parts(cubes: Sequence[Cube]) -> tuple[tuple[Cube, ...], ...]:
    """Return the parts of a zip, so that ``a @ b @ c`` is one zip of three."""
    if len(cubes) == 1 and len(cubes[0].factors) == 1 and isinstance(cubes[0].factors[0], Zip):
        return cubes[0].factors[0].parts
    return (tuple(Cube(cube.factors) for cube in cubes),)


def _all_names(cubes: Sequence[Cube]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(name for cube in cubes for name in cube.names))


def _refuse_twice(left: Sequence[str], right: Sequence[str], sign: str) -> None:
    twice = [name for name in left if name in set(right)]
    if twice:
        raise ValueError(
            f"{sign}: option {twice[0]!r} is on both sides, and one would hide the other; "
            "rename it, or add with +"
        )


def weigh(cubes: Sequence[Cube], weight: Any) -> tuple[Cube, ...]:
    """Multiply the weights of all cubes; ``ValueError`` unless the weight is a finite number above 0."""
    number = float(weight)
    if isinstance(weight, bool) or not math.isfinite(number) or number <= 0:
        raise ValueError(f"weight * domain: the weight must be a number above 0, got {weight!r}")
    return tuple(
        Cube(cube.factors, number if cube.weight is None else cube.weight * number, cube.conditions)
        for cube in cubes
    )
