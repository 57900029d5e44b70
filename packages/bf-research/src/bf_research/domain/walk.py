"""How a domain is walked: order, repetitions, random draws, and when it is updated."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_index.seeding import rng_at
from bf_research.domain.config import Config
from bf_research.domain.cube import Cube, Values, blocks, locate, spell, total

When = int | str | Sequence[int | str]

# Parts of the random addresses, so that draws for different purposes never meet.
_VALUES, _ORDER, _RANDOM = 0, 1, 2
# After so many refusals in a row the conditions are taken to leave nothing.
_ATTEMPTS = 10_000
# For cubes without samplers: making a generator costs more than all the rest of a configuration.
_UNUSED = np.random.default_rng(0)


@dataclass(frozen=True)
class WalkOptions:
    """Options of a walk over a domain; see ``Domain.set_iterator``."""

    brute_force: bool = True
    n_reps: int = 1
    n_iters: int | None = None
    repeat_each: int | None = None
    seed: int | None = None

    def __post_init__(self) -> None:
        if not isinstance(self.brute_force, bool):
            raise TypeError(f"set_iterator: brute_force must be True or False, got {self.brute_force!r}")
        given = {"n_reps": self.n_reps, "n_iters": self.n_iters, "repeat_each": self.repeat_each}
        for name, value in given.items():
            if (value is None and name == "n_reps") or (value is not None and not _whole(value, 1)):
                raise ValueError(f"set_iterator: {name} must be a whole number above 0, got {value!r}")
        if self.seed is not None and not _whole(self.seed, 0):
            raise ValueError(f"set_iterator: seed must be a whole number >= 0 or None, got {self.seed!r}")


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, int | np.integer) and not isinstance(value, bool) and int(value) >= least


@dataclass(frozen=True)
class Update:
    """A function that returns the next domain from the results so far, and when it is called.

    ``when``: a number (after every so many finished trials), ``'#i'`` (after exactly i of them), ``'last'``
    (when all are finished), or a list of these. ``n_updates``: how often at most; by default once for each
    entry of ``when``. ``n_reps``, ``n_iters`` and ``repeat_each``: how the domains that it returns are
    walked, by default as they say themselves.
    """

    function: Callable[[Any], Any]
    when: When = "last"
    n_updates: int | None = None
    n_reps: int | None = None
    n_iters: int | None = None
    repeat_each: int | None = None

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise TypeError(f"set_update: a function of the results is needed, got {self.function!r}")
        for moment in self.moments:
            exact = isinstance(moment, str) and moment[:1] == "#" and moment[1:].isdecimal()
            if moment != "last" and not _whole(moment, 1) and not (exact and int(moment[1:])):
                raise ValueError(
                    f"set_update: when={moment!r} is none of: n > 0 (after every n finished trials), '#i' "
                    "(after exactly i of them), 'last', or a list of these"
                )
        if not self.moments:
            raise ValueError("set_update: when=[] names no moment, so there would never be an update")
        given = {"n_updates": self.n_updates, "n_reps": self.n_reps, "n_iters": self.n_iters}
        for name, value in {**given, "repeat_each": self.repeat_each}.items():
            if value is not None and not _whole(value, 1):
                raise ValueError(f"set_update: {name} must be a whole number above 0, got {value!r}")

    @property
    def moments(self) -> tuple[Any, ...]:
        """The entries of ``when``."""
        many = isinstance(self.when, Sequence) and not isinstance(self.when, str)
        return tuple(self.when) if many else (self.when,)  # type: ignore[arg-type]

    @property
    def most(self) -> int:
        """How many updates there are at most."""
        return len(self.moments) if self.n_updates is None else int(self.n_updates)

    def is_due(self, finished: int) -> bool:
        """Whether it is called now that so many trials are finished."""
        return any(
            moment == f"#{finished}" or (_whole(moment, 1) and finished % int(moment) == 0)
            for moment in self.moments
        )

    @property
    def at_end(self) -> bool:
        """Whether it is called when all trials are finished."""
        return "last" in self.moments

    @property
    def walk(self) -> dict[str, int]:
        """What it says about the walk of the domains that it returns."""
        given = {"n_reps": self.n_reps, "n_iters": self.n_iters, "repeat_each": self.repeat_each}
        return {name: int(value) for name, value in given.items() if value is not None}


@dataclass(frozen=True)
class Walk:
    """The configurations of a sum of cubes in the order that options ask for; a pure function of the three.

    Every draw has an address (pass, cube, position), so the walk can start anywhere and needs no memory.
    """

    cubes: tuple[Cube, ...]
    options: WalkOptions
    seed: int

    def __iter__(self) -> Iterator[Config]:
        options, count = self.options, self.n_configs
        if options.repeat_each is None and count is not None:
            for rep in range(options.n_reps):
                yield from (self._repeat(config, rep) for config in self._configs(count))
            return
        configs = self._configs(count)
        while block := list(itertools.islice(configs, options.repeat_each or 1)):
            for rep in range(options.n_reps):
                yield from (self._repeat(config, rep) for config in block)

    @property
    def size(self) -> int | None:
        """Number of combinations, repetitions not counted; None when they never end."""
        size = total(self.cubes)
        if size is None or not any(cube.conditions for cube in self.cubes):
            return size
        return sum(1 for _ in self._one_pass(0))

    @property
    def n_configs(self) -> int | None:
        """Number of configurations that the options ask for, before repetitions; None when they never end."""
        if self.options.n_iters is not None:
            return self.options.n_iters
        return self.size if self.options.brute_force else None

    @property
    def endless(self) -> bool:
        """Whether the walk has no end."""
        return self.options.n_iters is None and (not self.options.brute_force or total(self.cubes) is None)

    def at(self, number: int) -> Config:
        """Return an item of the walk by its number; ``IndexError`` beyond the end."""
        count = self.n_configs
        if number < 0 or (count is not None and number >= count * self.options.n_reps):
            raise IndexError(f"configuration {number} of a domain with {(count or 0) * self.options.n_reps}")
        full = length = self.options.repeat_each or count or 1
        block, inside = divmod(number, full * self.options.n_reps)
        if count is not None:
            length = min(full, count - block * full)
        rep, place = divmod(inside, length)
        return self._repeat(self._config_at(block * full + place), rep)

    def _repeat(self, config: Config, rep: int) -> Config:
        return config.with_repetition(config.repetition * self.options.n_reps + rep)

    def _configs(self, count: int | None) -> Iterator[Config]:
        """Yield configurations before repetitions; ``repetition`` counts the passes."""
        if not self.options.brute_force:
            numbers = itertools.count() if count is None else range(count)
            yield from (self._random(number) for number in numbers)
            return
        left = count
        for rep in itertools.count():
            passed = 0
            for config in itertools.islice(self._one_pass(rep), left):
                passed += 1
                yield config
            left = None if left is None else left - passed
            if not left or not passed:
                return

    def _one_pass(self, rep: int) -> Iterator[Config]:
        missed = 0
        for number, position in self._positions(rep):
            cube = self.cubes[number]
            values = self._values(rep, number, position)
            if cube.holds(values):
                missed = 0
                yield Config(values, rep)
            elif (missed := missed + 1) == _ATTEMPTS and cube.size is None:
                raise ValueError(f"{cube!r}: the conditions refuse {_ATTEMPTS} draws in a row")

    def _positions(self, rep: int) -> Iterator[tuple[int, int]]:
        """Yield cube and position of each combination, in order; mix weighted neighbours by their weights."""
        groups = list(blocks(self.cubes))
        for group in groups:
            endless = [number for number in group if self.cubes[number].size is None]
            if endless and group is not groups[-1]:
                raise ValueError(
                    f"{self.cubes[endless[0]]!r} never ends, so what follows it in {spell(self.cubes)} is "
                    "never reached; put it last, give weights, or set_iterator(brute_force=False)"
                )
            if len(group) == 1:
                size = self.cubes[group[0]].size
                yield from (
                    (group[0], place) for place in (itertools.count() if size is None else range(size))
                )
            else:
                yield from self._mixed(group, rep)

    def _mixed(self, group: list[int], rep: int) -> Iterator[tuple[int, int]]:
        places = dict.fromkeys(group, 0)
        for step in itertools.count():
            if not places:
                return
            number = _choose(self.cubes, list(places), rng_at(self.seed, _ORDER, rep, group[0], step))
            yield number, places[number]
            places[number] += 1
            if places[number] == self.cubes[number].size:
                del places[number]

    def _random(self, number: int) -> Config:
        """Return the ``number``-th independent draw."""
        rng = rng_at(self.seed, _RANDOM, number)
        for _ in range(_ATTEMPTS):
            cube = self.cubes[_choose(self.cubes, range(len(self.cubes)), rng)]
            values = cube.draw(rng)
            if cube.holds(values):
                return Config(values)
        raise ValueError(f"{spell(self.cubes)}: the conditions refuse {_ATTEMPTS} random draws")

    def _config_at(self, number: int) -> Config:
        if not self.options.brute_force:
            return self._random(number)
        if any(cube.conditions or cube.weight is not None for cube in self.cubes):
            return next(itertools.islice(self._configs(number + 1), number, None))
        size = total(self.cubes)
        rep, position = (0, number) if size is None else divmod(number, size)
        cube, inside = locate(self.cubes, position)
        return Config(self._values(rep, cube, inside), rep)

    def _values(self, rep: int, number: int, position: int) -> Values:
        """Return the values of a cube at a position; its draws have an address of their own in each pass."""
        cube = self.cubes[number]
        rng = rng_at(self.seed, _VALUES, rep, number, position) if cube.draws else _UNUSED
        return cube.at(position, rng)


def _choose(cubes: tuple[Cube, ...], numbers: Any, rng: np.random.Generator) -> int:
    """Return one of the numbered cubes, with probability in proportion to its weight (1 when it has none)."""
    weights = np.array([1.0 if cubes[n].weight is None else cubes[n].weight for n in numbers])
    return int(rng.choice(list(numbers), p=weights / weights.sum()))
