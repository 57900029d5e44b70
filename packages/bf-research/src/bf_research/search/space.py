"""A domain as a search space: what a sampler may choose, and the configuration that its choice stands for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_research.domain.config import Config
from bf_research.domain.cube import Axis, Cube, Factor, Values
from bf_research.domain.domain import Domain
from bf_research.domain.option import KV, Interval, canonical

#: The parameter that chooses a part of a sum.
PART = "part"
_UNUSED = np.random.default_rng(0)


@dataclass(frozen=True)
class Space:
    """The parameters of a domain: intervals stay numbers, lists and zips become choices among labels.

    A sum has the parameter ``part``, and each of its parts has parameters of its own.
    """

    domain: Domain

    def __post_init__(self) -> None:
        for cube in self.domain.cubes:
            if cube.conditions or cube.weight is not None:
                what = "conditions" if cube.conditions else "weights"
                raise ValueError(f"search: {cube!r} has {what}, which a sampler can't know; leave them out")
            for factor in cube.factors:
                if not _is_known(factor):
                    raise ValueError(
                        f"search: {factor!r}: a sampler chooses from lists, uniform, loguniform and integers"
                    )

    @property
    def parts(self) -> list[str]:
        """The labels of the parts of a sum; empty for a single one."""
        cubes = self.domain.cubes
        return [f"{number}: {cube!r}" for number, cube in enumerate(cubes)] if len(cubes) > 1 else []

    def parameters(self, part: int) -> dict[str, Interval | list[str]]:
        """Return the parameters of a part by name: an interval, or the labels to choose from."""
        return {
            self._name(part, factor): factor.values
            if isinstance(factor, Axis) and isinstance(factor.values, Interval)
            else _labels(factor)
            for factor in self.domain.cubes[part].factors
        }

    def config(self, part: int, params: Mapping[str, Any]) -> Config:
        """Return the configuration of what was chosen; ``KeyError`` for a parameter that is lacking."""
        values: Values = {}
        for factor in self.domain.cubes[part].factors:
            chosen = params[self._name(part, factor)]
            if isinstance(factor, Axis) and isinstance(factor.values, Interval):
                values[factor.name] = KV(int(chosen) if factor.values.whole else float(chosen))
            else:
                values |= factor.at(_labels(factor).index(chosen), _UNUSED)
        return Config(values)

    def find(self, config: Mapping[str, Any]) -> tuple[int, dict[str, Any]] | None:
        """Return part and parameters of a configuration as a journal has it; None where it is not inside."""
        for part, cube in enumerate(self.domain.cubes):
            found = self._find_in(part, cube, config)
            if found is not None:
                return part, found
        return None

    def _find_in(self, part: int, cube: Cube, config: Mapping[str, Any]) -> dict[str, Any] | None:
        if set(cube.names) != set(config):
            return None
        params: dict[str, Any] = {}
        for factor in cube.factors:
            name = self._name(part, factor)
            if isinstance(factor, Axis) and isinstance(factor.values, Interval):
                value = config[factor.name]
                inside = isinstance(value, int | float) and factor.values.low <= value <= factor.values.high
                if not inside or (factor.values.whole and value != int(value)):
                    return None
                params[name] = int(value) if factor.values.whole else float(value)
                continue
            wanted = canonical({one: config[one] for one in factor.names})
            for place, label in enumerate(_labels(factor)):
                if canonical(_keys(factor.at(place, _UNUSED))) == wanted:
                    params[name] = label
                    break
            else:
                return None
        return params

    def _name(self, part: int, factor: Factor) -> str:
        name = " @ ".join(factor.names)
        return f"{part}: {name}" if len(self.domain.cubes) > 1 else name


def _is_known(factor: Factor) -> bool:
    if isinstance(factor, Axis):
        return isinstance(factor.values, tuple | Interval)
    return not factor.draws


def _keys(values: Values) -> dict[str, Any]:
    return {name: kv.key for name, kv in values.items()}


def _labels(factor: Factor) -> list[str]:
    """Return the positions of a list or a zip as text, each another one."""
    named = [", ".join(kv.name for kv in factor.at(n, _UNUSED).values()) for n in range(factor.size or 0)]
    return named if len(set(named)) == len(named) else [f"{n}: {name}" for n, name in enumerate(named)]
