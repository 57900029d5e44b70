"""Domains: sets of configurations as an algebra of options, indexed and walked without being built."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any, overload

import numpy as np

from bf_index.errors import Suggests
from bf_index.seeding import new_seed
from bf_research.domain import cube as cubes_
from bf_research.domain.condition import Condition
from bf_research.domain.config import Config
from bf_research.domain.cube import Axis, Cube
from bf_research.domain.option import KV, Sampler, as_kv
from bf_research.domain.walk import Update, Walk, WalkOptions, When


class Domain(Suggests):
    """A set of configurations.

    ``Option('model', [VGG7, ResNet18]) * Option('lr', [.1, .01])`` is all pairs, the rightmost option running
    fastest; ``a + b`` all of a, then all of b; ``a @ b`` pairs of equal length side by side; ``0.3 * a`` a
    share in a random order of neighbouring weighted parts; ``a.where(condition)`` leaves configurations out.
    Operands are never changed. ``Domain()`` has one empty configuration; ``Domain({'lr': [.1, .01]},
    batch=[32, 64])`` is a product too. Nothing is built ahead: a product of 10^8 configurations costs what
    its options cost.

    >>> domain = Option('model', ['vgg7', 'resnet18']) * Option('lr', [.1, .01])
    >>> len(domain), domain[3]
    (4, Config(model=resnet18, lr=0.01, repetition=0))
    """

    def __init__(self, space: Any = None, /, **options: Any) -> None:
        self._cubes = _cubes_of(space)
        for name, values in options.items():
            self._cubes = cubes_.product(self._cubes, _make_axis(name, values))
        self._plan = space.plan if isinstance(space, Domain) else WalkOptions()
        self._update = space.update if isinstance(space, Domain) else None
        self._drawn_seed: int | None = None

    @property
    def cubes(self) -> tuple[Cube, ...]:
        """The normal form: a sum of products."""
        return self._cubes

    @property
    def plan(self) -> WalkOptions:
        """How the domain is walked."""
        return self._plan

    @property
    def update(self) -> Update | None:
        """The function that returns the next domain and when it is called; None without one."""
        return self._update

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all options, in order."""
        return tuple(dict.fromkeys(name for cube in self._cubes for name in cube.names))

    @property
    def seed(self) -> int:
        """The seed of everything random here; drawn once when none was given."""
        if self._plan.seed is not None:
            return int(self._plan.seed)
        if self._drawn_seed is None:
            self._drawn_seed = new_seed()
        return self._drawn_seed

    def set_iterator(
        self,
        brute_force: bool = True,
        n_reps: int = 1,
        n_iters: int | None = None,
        repeat_each: int | None = None,
        seed: int | None = None,
    ) -> Domain:
        """Set how this very domain is walked, and return it.

        ``brute_force``: all combinations in order; otherwise every configuration is an independent random
        draw, without end unless ``n_iters`` is given. ``n_reps``: each configuration comes that often,
        ``repetition`` counting. ``n_iters``: number of configurations before repetitions (more than there
        are: they come again as further repetitions). ``repeat_each``: repetitions follow every so many
        configurations instead of the whole set (an endless set: after each one). ``seed``: for samplers,
        weights and random draws. ``ValueError`` for numbers below 1.
        """
        self._plan = WalkOptions(brute_force, n_reps, n_iters, repeat_each, seed)
        self._drawn_seed = None
        return self

    def with_seed(self, seed: int) -> Domain:
        """Return the same domain, walked with this seed."""
        domain = Domain(self)
        domain._plan = replace(self._plan, seed=seed)
        return domain

    def with_walk(self, **options: Any) -> Domain:
        """Return the same domain with some options of ``set_iterator`` changed."""
        domain = Domain(self)
        domain._plan = replace(self._plan, **options)
        return domain

    def set_update(
        self,
        function: Callable[[Any], Any],
        when: When = "last",
        n_updates: int | None = None,
        n_reps: int | None = None,
        n_iters: int | None = None,
        repeat_each: int | None = None,
    ) -> Domain:
        """Let ``function(results)`` return the domain to go on with, and return this very domain.

        ``when``: ``'last'`` (all trials of the domain are finished), a number (after every so many finished
        trials), ``'#i'`` (after exactly i of them), or a list of these. ``n_updates``: how often at most; by
        default once for each entry of ``when``. The domain that it returns replaces what is left and is
        walked as it says itself, but for ``n_reps``, ``n_iters`` and ``repeat_each`` that are given here.
        None changes nothing.
        """
        self._update = Update(function, when, n_updates, n_reps, n_iters, repeat_each)
        return self

    def where(self, test: str | Callable[[Mapping[str, Any]], Any]) -> Domain:
        """Return the domain without the configurations for which the condition is false.

        ``test``: a function of the configuration, or text such as ``"model != 'vgg7' or lr < 0.1"``. ``len``
        and indexing then walk through the configurations.
        """
        condition = Condition(test)
        condition.check_names(self.names)
        for cube in self._cubes:
            missing = [name for name in condition.names if name not in cube.names]
            if missing:
                raise ValueError(
                    f"where({test!r}): {cube!r} has no option {missing[0]!r}; "
                    "put the condition on the part of the sum that has it"
                )
        return _make_domain(replace(cube, conditions=(*cube.conditions, condition)) for cube in self._cubes)

    def __mul__(self, other: Any) -> Domain:
        if isinstance(other, Domain):
            return _make_domain(cubes_.product(self._cubes, other.cubes))
        return self.__rmul__(other)

    def __rmul__(self, other: Any) -> Domain:
        return (
            _make_domain(cubes_.weigh(self._cubes, other))
            if isinstance(other, int | float | np.number)
            else NotImplemented
        )

    def __add__(self, other: Any) -> Domain:
        return _make_domain((*self._cubes, *other.cubes)) if isinstance(other, Domain) else NotImplemented

    def __matmul__(self, other: Any) -> Domain:
        return (
            _make_domain(cubes_.pair(self._cubes, other.cubes))
            if isinstance(other, Domain)
            else NotImplemented
        )

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Domain):
            return NotImplemented
        return self._cubes == other.cubes and self._plan == other.plan

    __hash__ = None  # type: ignore[assignment]

    @property
    def _walk(self) -> Walk:
        return Walk(self._cubes, self._plan, self.seed)

    @property
    def size(self) -> int | None:
        """Number of combinations, repetitions not counted; None when they never end."""
        return self._walk.size

    @property
    def endless(self) -> bool:
        """Whether the walk has no end."""
        return self._walk.endless

    @property
    def drawn(self) -> bool:
        """Whether values of some option are drawn, so that they are in no list."""
        return any(cube.draws for cube in self._cubes)

    @property
    def endless_text(self) -> str:
        """The message for a walk without end, and why it has none."""
        how = "" if self._plan.brute_force else " with brute_force=False (independent random draws)"
        return f"{self!r}{how} never ends"

    def values_by_id(self) -> dict[int, KV]:
        """Return the values of all finite options, each object once."""
        return {id(kv): kv for cube in self._cubes for kv in cube.listed()}

    def examples(self) -> list[Config]:
        """Return one configuration of each part of the sum that has any, for checks before a sweep."""
        firsts = (cubes_.first(cube) for cube in self._cubes)
        return [Config(values) for values in firsts if values is not None]

    def edges(self) -> Iterator[Config]:
        """Yield configurations that together have every value of every option, for cheap checks.

        Of an option with many values the first hundred are taken. Conditions hold in all of them.
        """
        for cube in self._cubes:
            yield from map(Config, cubes_.edges(cube))
        yield from self.examples()

    def __len__(self) -> int:
        count = self._walk.n_configs
        if count is None:
            raise TypeError(
                f"{self.endless_text}, so it has no length; set_iterator(n_iters=...) says how many to take"
            )
        return count * self._plan.n_reps

    def __bool__(self) -> bool:
        return True

    def __iter__(self) -> Iterator[Config]:
        return iter(self._walk)

    @overload
    def __getitem__(self, item: int) -> Config: ...
    @overload
    def __getitem__(self, item: slice) -> list[Config]: ...
    def __getitem__(self, item: int | slice) -> Config | list[Config]:
        if isinstance(item, slice):
            return [self[number] for number in range(*item.indices(len(self)))]
        number = int(item)
        return self._walk.at(number + len(self) if number < 0 else number)

    def __repr__(self) -> str:
        return cubes_.spell(self._cubes)


class Option(Domain):
    """The domain of one option: a name and its values, or a sampler that is asked for each configuration.

    ``values``: a list, tuple or 1-d array of anything with a stable name (see ``KV``), or an object with
    ``sample(size, rng)``. ``ValueError`` when empty, ``TypeError`` for text or a single value.

    >>> 0.3 * Option('lr', [.1, .01]) @ Option('batch', [32, 64])
    0.3 * (Option('lr', [0.1, 0.01]) @ Option('batch', [32, 64]))
    """

    def __init__(self, name: str, values: Any) -> None:
        super().__init__()
        self._cubes = _make_axis(name, values)

    @property
    def name(self) -> str:
        """Name of the option."""
        return self.names[0]

    @property
    def values(self) -> tuple[Any, ...] | Sampler:
        """Real values, or the sampler."""
        axis = self._cubes[0].factors[0]
        values = axis.values if isinstance(axis, Axis) else ()
        return tuple(kv.value for kv in values) if isinstance(values, tuple) else values


def _make_domain(cubes: Iterable[Cube]) -> Domain:
    """Return a plain domain of these cubes, whatever the classes of the operands."""
    domain = Domain()
    domain._cubes = tuple(cubes)
    return domain


def _cubes_of(space: Any) -> tuple[Cube, ...]:
    if space is None:
        return (Cube(),)
    if isinstance(space, Domain):
        return space.cubes
    if isinstance(space, Mapping):
        return _multiply([_make_axis(name, values) for name, values in space.items()])
    if _is_rows(space):
        return tuple(cube for row in space for cube in _multiply([part.cubes for part in row]))
    raise TypeError(
        f"Domain: an Option, a Domain, a dict of values or a list of lists of Options is needed, "
        f"got {space!r}"
    )


def _is_rows(space: Any) -> bool:
    """Whether it is a list of lists of options: the sum of their products."""
    if not isinstance(space, list | tuple) or not space:
        return False
    return all(
        isinstance(row, list | tuple) and row and all(isinstance(x, Domain) for x in row) for row in space
    )


def _multiply(parts: Sequence[tuple[Cube, ...]]) -> tuple[Cube, ...]:
    cubes: tuple[Cube, ...] = (Cube(),)
    for part in parts:
        cubes = cubes_.product(cubes, part)
    return cubes


def _make_axis(name: Any, values: Any) -> tuple[Cube, ...]:
    """Return one cube with one axis, after all checks of an option."""
    if not isinstance(name, str) or not name.strip():
        raise TypeError(f"Option: the name must be a string that is not empty, got {name!r}")
    if not isinstance(values, str | type) and isinstance(values, Sampler):
        return (Cube((Axis(name, values),)),)
    if isinstance(values, np.ndarray) and values.ndim == 1:
        values = values.tolist()
    if not isinstance(values, Sequence) or isinstance(values, str | bytes):
        raise TypeError(
            f"option {name!r}: a list, tuple or 1-d array of values or a sampler is needed, got {values!r}; "
            "write [value] for a single value"
        )
    if len(values) == 0:
        raise ValueError(f"option {name!r} has no values; give at least one, or leave the option out")
    kvs = tuple(as_kv(value) for value in values)
    _refuse_one_name_for_two(name, kvs)
    return (Cube((Axis(name, kvs),)),)


def _refuse_one_name_for_two(name: str, kvs: Sequence[KV]) -> None:
    seen: dict[KV, Any] = {}
    for kv in kvs:
        first = seen.setdefault(kv, kv.value)
        if not _are_equal(first, kv.value):
            raise ValueError(
                f"option {name!r}: {first!r} and {kv.value!r} are both called {kv.name!r}, so their trials "
                "could not be told apart; name them: KV(value, 'a name')"
            )


def _are_equal(left: Any, right: Any) -> bool:
    try:
        return left is right or bool(left == right)
    except (TypeError, ValueError):  # arrays have no single truth value
        return False
