"""What belongs to a run (data, variables, models) and the batch at hand in it: what an expression sees."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from bf_index import Place, rng_at
from bf_index.errors import unknown

# The stage of the random address: actions draw at 0, expressions and coins at 1.
EXPRESSIONS = 1
# Values that no step can change in place.
PLAIN = (bool, int, float, complex, str, bytes, type(None), np.generic)
NOWHERE = Place(0, 0, slice(0, 0))


class ModelSlot:
    """A model under its name: built at its first use, then shared by all who hold the slot.

    ``lock`` is held around every use, so one model never trains in two threads at once.
    """

    def __init__(
        self,
        name: str,
        build: Callable[[Context | None], Any] | None = None,
        model: Any = None,
        kind: Callable[[Context], Any] | None = None,
        allow: Callable[[Context], Any] | None = None,
    ) -> None:
        self.name = name
        self.lock = threading.RLock()
        self.model = model
        self._build = build
        self._kind = kind
        self._allow = allow

    def get(self, context: Context | None = None) -> Any:
        """Return the model; the first call builds it."""
        if self.model is None:
            with self.lock:
                if self.model is None:
                    if self._build is None:
                        raise LookupError(f"model {self.name!r} was neither built nor loaded")
                    self.model = self._build(context)
        return self.model

    def load(self, path: Any, context: Context, kind: Any = None, **changes: Any) -> None:
        """Put what a file holds in place of the model, read by ``load`` of ``kind``, or of its own class.

        The file may name what the config that the pipeline gave the model allows, and nothing beyond.
        ``changes`` are further arguments of that ``load``.
        """
        if kind is None and self.model is None and self._kind is not None:
            kind = self._kind(context)
        reader = kind if hasattr(kind, "load") else type(self.get(context))
        allow = () if self._allow is None else self._allow(context)
        self.model = reader.load(path, **({"allow": allow} if allow else {}), **changes)


class Models:
    """The models of a run by name."""

    def __init__(self) -> None:
        self._slots: dict[str, ModelSlot] = {}

    def add(self, slot: ModelSlot, name: str | None = None) -> None:
        """Put a slot in, under its own name or another one."""
        self._slots[slot.name if name is None else name] = slot

    def slot(self, name: str) -> ModelSlot:
        """Return a model's slot; ``KeyError`` with close matches."""
        if name not in self._slots:
            raise KeyError(unknown("model", name, self._slots, "this run"))
        return self._slots[name]

    def get(self, name: str, context: Context | None = None) -> Any:
        """Return a model, building it if this is its first use."""
        return self.slot(name).get(context)

    def __iter__(self) -> Iterator[str]:
        return iter(self._slots)

    def __len__(self) -> int:
        return len(self._slots)


@dataclass(slots=True)
class Scope:
    """All that the batches of a run share: data, config, seed, variables, models, the plan of its batches.

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
        """Return what steps that run ahead may see: no models and no variables that may change."""
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
        """Return the generator of the next draw of this step: its address is seed, place, step, draw."""
        draw, self.draws = self.draws, self.draws + 1
        place = self.place
        return rng_at(self.scope.seed, EXPRESSIONS, place.epoch, place.batch, self.step + self.offset, draw)
