"""What an expression sees: the batch at hand, its place in the run, and what belongs to the whole run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bf_index import Place, rng_at
from bf_pipeline.models import Models

# The stage of the random address: actions draw at 0, expressions and coins at 1.
EXPRESSIONS = 1
# Values that no step can change in place.
PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
NOWHERE = Place(0, 0, slice(0, 0))


@dataclass(slots=True)
class Scope:
    """What all batches of a run share: data, config, seed, variables, models, the plan of its batches.

    ``sources`` are the runners of joined and merged pipelines by their key.
    """

    dataset: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0
    variables: dict[str, Any] = field(default_factory=dict)
    models: Models = field(default_factory=Models)
    sources: dict[int, Any] = field(default_factory=dict)
    plan: Any = None

    @property
    def total(self) -> int | None:
        """How many batches the run has; None when it has no end."""
        return None if self.plan is None else self.plan.total

    def number(self, place: Place) -> int:
        """Count the batches of the run before a place."""
        return place.batch if self.plan is None else self.plan.first(place.epoch) + place.batch

    def ahead(self) -> Scope:
        """Give what steps that run ahead may see: no models and no variables that may change."""
        plain = {name: value for name, value in self.variables.items() if isinstance(value, PLAIN)}
        return replace(self, models=Models(), variables=plain)


class Context:
    """One batch on its way through the steps; an expression's ``evaluate`` gets it."""

    __slots__ = ("batch", "draws", "offset", "place", "scope", "size", "step")

    def __init__(self, scope: Scope, batch: Any = None, place: Place = NOWHERE) -> None:
        self.scope = scope
        self.batch = batch
        self.place = place
        self.step = self.draws = self.offset = 0
        self.size: int | None = None

    @property
    def iteration(self) -> int:
        """The number of the batch in the run, from 0."""
        return self.scope.number(self.place)

    def rng(self) -> np.random.Generator:
        """Give the generator of the next draw of this step: its address is seed, place, step, draw."""
        draw, self.draws = self.draws, self.draws + 1
        place = self.place
        return rng_at(self.scope.seed, EXPRESSIONS, place.epoch, place.batch, self.step + self.offset, draw)
