"""What a run holds and where it stands; all that works on a run takes this value."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future
from operator import methodcaller
from typing import Any, NamedTuple

from bf_index.errors import unknown
from bf_pipeline.context import Models
from bf_pipeline.record.recorded import Recorded
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.regroup import Pool
from bf_pipeline.run.report import Profile
from bf_pipeline.run.runner import Runner


class LeftOut(NamedTuple):
    """A batch that was not delivered: its place, the ids of its items, and why."""

    epoch: int
    batch: int
    ids: tuple[Any, ...]
    reason: str


class Holdings:
    """Variables and models of a run, by name."""

    def __init__(self, runner: Runner) -> None:
        self.runner = runner

    @property
    def variables(self) -> dict[str, Any]:
        """The variables by name, as they are now."""
        return self.runner.scope.variables

    @property
    def models(self) -> Models:
        """The models of the run."""
        return self.runner.scope.models

    def v(self, name: str) -> Any:
        """Return a variable; ``KeyError`` with close matches."""
        if name not in self.variables:
            raise KeyError(unknown("variable", name, self.variables, "this run"))
        return self.variables[name]

    def m(self, name: str) -> Any:
        """Return a model; a dynamic one must have been used before."""
        return self.models.get(name)


class RunState(Holdings):
    """A run as a value: what it runs and how, how many batches it has delivered, and where it stands.

    ``place`` is that of the last batch that was delivered or left out; ``first`` is the number of batches
    before this run, when it goes on from a state. ``wait`` waits for a future, ``guard`` goes around what may
    be cut short without a change to the run. ``stopped`` is what a ``StopPipeline`` said that ended it.
    """

    def __init__(
        self,
        pipeline: Recorded,
        runner: Runner,
        places: Any,
        options: RunOptions,
        profile: Profile | None = None,
    ) -> None:
        super().__init__(runner)
        self.pipeline = pipeline
        self.places = places
        self.options = options
        self.profile = profile
        self.pools = [Pool(group) for group in runner.bound.regroups]
        self.initial_types = [type(value) for value in self.variables.values()]
        self.left_out: list[LeftOut] = []
        self.delivered = self.first = 0
        self.begun = False
        self.place: Any = None
        self.stopped: str | None = None
        self.wait: Callable[[Future[Any]], Any] = methodcaller("exception")
        self.guard: Callable[[Callable[[Any], Any]], Callable[[Any], Any]] = lambda work: work
        self.listeners: list[Callable[[Any], None]] = []

    @property
    def seed(self) -> int:
        """The seed of this run, given or drawn."""
        return self.places.seed  # type: ignore[no-any-return]

    @property
    def total(self) -> int | None:
        """How many batches the run delivers if none is left out; None when that is not known."""
        return self.options.n_iters if self.pools else self.places.total

    def note_delivered(self, place: Any) -> None:
        """Note a batch that is delivered."""
        self.place = place
        self.delivered += 1
        for listener in self.listeners:
            listener(self)

    def leave_out(self, place: Any, reason: str) -> None:
        """Note a batch that is not delivered."""
        self.place = place
        self.leave_out_items(place, self.places.index.subset(place.positions).indices.tolist(), reason)

    def leave_out_items(self, place: Any, ids: Sequence[Any], reason: str) -> None:
        """Note items that are not delivered; the run stays at the place of its last batch."""
        self.left_out.append(LeftOut(place.epoch, place.batch, tuple(ids), reason))
