"""Roots that several trials of one process share: each of their batches is made once."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bf_research.domain.config import Config
from bf_research.domain.option import canonical


@dataclass(eq=False)
class SharedRoot:
    """Batches that are made once and handed to every trial that is still there."""

    batches: Iterator[Any]
    queues: dict[int, deque[Any]]

    def take(self, place: int) -> Any:
        """Return the next batch of a trial, which may change it; ``StopIteration`` at the end."""
        queue = self.queues[place]
        if not queue:
            batch = next(self.batches)
            for other in self.queues.values():
                other.append(batch)
        batch = queue.popleft()
        waiting = any(batch is kept for other in self.queues.values() for kept in other)
        return batch.copy() if waiting else batch


@dataclass(eq=False)
class Roots:
    """The shared roots of trials that run side by side, by the name of their unit."""

    configs: Sequence[Config]
    roots: dict[str, SharedRoot] = field(default_factory=dict)
    gone: set[int] = field(default_factory=set)
    #: What is made once for all trials, and the latest value of what is called once an iteration.
    made: dict[str, Any] = field(default_factory=dict)
    called: dict[str, tuple[int, Any, BaseException | None]] = field(default_factory=dict)

    @property
    def differing(self) -> frozenset[str]:
        """Options that are not the same in all trials: a root can't know them."""
        first, *others = self.configs
        return frozenset(
            name
            for name, key in first.key.items()
            if any(canonical(other.key.get(name)) != canonical(key) for other in others)
        )

    def read(self, name: str, place: int, make: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Yield the batches of a root for a trial; whichever trial asks first makes them."""
        if name not in self.roots:
            places = (place for place in range(len(self.configs)) if place not in self.gone)
            self.roots[name] = SharedRoot(make(), {place: deque() for place in places})
        root = self.roots[name]
        while True:
            try:
                batch = root.take(place)
            except StopIteration:
                return
            yield batch

    def call(self, name: str, iteration: int, function: Callable[[], Any]) -> Any:
        """Return the value of a function in an iteration: the first trial that asks calls it.

        What it raises is raised for all of them.
        """
        if self.called.get(name, (None,))[0] != iteration:
            try:
                self.called[name] = (iteration, function(), None)
            except Exception as error:
                self.called[name] = (iteration, None, error)
                raise
        _, value, raised = self.called[name]
        if isinstance(raised, StopIteration):
            raise StopIteration
        if raised is not None:
            kind = type(raised).__name__
            raise RuntimeError(f"{name}, which is called once for all branches, failed: {kind}: {raised}")
        return value

    def leave(self, place: int) -> None:
        """Keep no more batches for a trial that has ended; the last one ends the roots."""
        self.gone.add(place)
        if len(self.gone) == len(self.configs):
            for made in self.made.values():
                if isinstance(made, Generator):
                    made.close()
        for root in self.roots.values():
            root.queues.pop(place, None)
            close = getattr(root.batches, "close", None)
            if not root.queues and close is not None:
                close()


@dataclass(frozen=True)
class Branch:
    """The place of a trial among those that share roots; alone by default."""

    roots: Roots | None = None
    place: int = 0

    def known(self, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what of a config a root may know: what all trials have in common."""
        if self.roots is None:
            return dict(config)
        hidden = self.roots.differing | {name.partition(".")[0] for name in self.roots.differing}
        return {name: value for name, value in config.items() if name not in hidden | {"repetition"}}

    def make(self, name: str, function: Callable[[], Any], own: dict[str, Any], shared: bool) -> Any:
        """Return what a function makes once: for this trial, which keeps it in ``own``, or for all."""
        place = self.roots.made if shared and self.roots is not None else own
        if name not in place:
            place[name] = function()
        return place[name]

    def call(self, name: str, iteration: int, function: Callable[[], Any], shared: bool) -> Any:
        """Return the value of a function, called once an iteration for all trials if it is shared."""
        return self.roots.call(name, iteration, function) if shared and self.roots is not None else function()

    def read(self, name: str, make: Callable[[], Iterator[Any]]) -> Iterator[Any]:
        """Return the batches of a root, shared with the other trials."""
        return make() if self.roots is None else self.roots.read(name, self.place, make)


#: The place of a trial that shares nothing.
ALONE = Branch()
