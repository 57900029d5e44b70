"""A run of a pipeline: it is bound and begun here, and its batches are delivered one by one."""

from __future__ import annotations

import warnings
from collections.abc import Generator, Iterable, Iterator
from contextlib import closing, suppress
from itertools import islice
from typing import Any

from bf_batch import SkipBatch, StopPipeline
from bf_index import Place, new_seed
from bf_index.errors import unknown
from bf_pipeline.bind.bind import bind
from bf_pipeline.bind.bound import Bound
from bf_pipeline.context import Models
from bf_pipeline.errors import SkippedBatches
from bf_pipeline.record.data import choose_data
from bf_pipeline.record.recorded import Recorded, with_config
from bf_pipeline.run.checkpoint.capture import capture, read_resumed, save_checkpoints
from bf_pipeline.run.going_on import Earlier
from bf_pipeline.run.graphs import draw_curves, open_display
from bf_pipeline.run.monitors import Monitors
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.prefetch.ahead import deliver_ahead
from bf_pipeline.run.prefetch.travel import check_travels
from bf_pipeline.run.regroup import regroup_batches
from bf_pipeline.run.report import Profile, put_clock, show_progress
from bf_pipeline.run.runner import compile_steps, start_runner
from bf_pipeline.run.state import Holdings, RunState


class Run(RunState):
    """One execution of a pipeline: iterate ``batches()`` once; it owns its variables, models and seed.

    ``share`` is the number of a worker and how many there are: it makes every so many-th batch.
    """

    def __init__(
        self,
        pipeline: Recorded,
        options: RunOptions,
        endless: bool = False,
        before: Holdings | None = None,
        share: tuple[int, int] = (0, 1),
    ) -> None:
        if options.config is not None:
            pipeline = with_config(pipeline, options.config)
        if options.batch_size is None:
            raise TypeError("batch_size is missing: give it here or in run_later(batch_size)")
        if pipeline.dataset is None:
            raise TypeError("the pipeline has no dataset; give it one with pipeline << dataset")
        pipeline = choose_data(pipeline)
        profile = Profile() if options.profile else None
        bound = bind(pipeline, clock=put_clock if options.profile else None)
        self._resumed = read_resumed(options)
        earlier = Earlier(before, options) if options.go_on else None
        index = pipeline.dataset.index
        if earlier is not None:
            options = earlier.lengthen(index, options.with_seed(earlier.seed), endless, bool(bound.regroups))
        seed = new_seed() if options.seed is None else options.seed
        places = _make_places(index, options.with_seed(seed), bound, endless)
        if share != (0, 1):
            places = _take_share(places, bound, *share)
        if self._resumed is not None:
            self._resumed.go_to(places, options.seed)
        if earlier is not None:
            earlier.go_to(places)
        for option in ("bar_variables", "graphs"):
            for name in getattr(options, option):
                if name not in bound.variables:
                    raise ValueError(unknown("variable", name, bound.variables, option))
        self._monitors = Monitors(options.monitors) if options.monitors else None
        self._show = open_display() if options.graphs else None
        scope = None if earlier is None else earlier.run.runner.scope
        runner = start_runner(pipeline, bound, places.data_seed, places.plan, scope)
        super().__init__(pipeline, runner, places, options.with_seed(places.seed), profile)
        check_travels(self)
        if self._resumed is not None:
            self.begun, self.delivered = self._resumed.begun, self._resumed.delivered
            self.first = self._resumed.first
            self._resumed.fill(self)
        self._goes_on = earlier is not None
        if earlier is not None:
            earlier.fill(self)

    def __repr__(self) -> str:
        total = "without end" if self.total is None else f"of {self.total}"
        left_out = f", {len(self.left_out)} left out" if self.left_out else ""
        return f"<Run: {self.delivered} batches {total} delivered{left_out}, seed {self.seed}>"

    def batches(self) -> Generator[Any, None, None]:
        """Deliver the batches in order; ``before`` runs first, ``after`` last, however it ends."""
        bound, options = self.runner.bound, self.options
        try:
            if not self._goes_on:  # the run before has done it
                self.runner.run_once(bound.before)
            if self._resumed is not None and self.begun and bound.before:
                self._resumed.fill(self)
            self.begun = True
            source = self._one_by_one() if options.prefetch == 0 else deliver_ahead(self)
            for pool in self.pools:
                apply = pool.compile_steps(self.runner.scope, options.n_iters)
                if self.profile is not None:
                    apply = self.profile.around(apply)
                own = options.with_seed(self.places.data_seed)
                source = regroup_batches(source, pool, apply, own, self.leave_out_items)
            if self.pools and options.n_iters is not None:
                source = _take_first(source, options.n_iters - self.pools[-1].made)
            if options.bar:
                done = 0 if self.pools else self.delivered
                shown = options.bar_variables
                source = show_progress(source, self.total, done, self.variables, shown, self._monitors)
            if self._show is not None:
                source = draw_curves(source, self.variables, options.graphs, self._show)
            if self.profile is not None:
                self.wait = self.profile.timed_wait(self.wait)
                source = self.profile.watch(source)
            if options.checkpoint is not None:
                source = save_checkpoints(source, self, options.checkpoint)
            yield from source
        except StopPipeline:
            return
        finally:
            self._report()
            self.runner.run_once(bound.after)

    def _one_by_one(self) -> Generator[Any, None, None]:
        """Make each batch when it is asked for: the shortest way through."""
        next_place, prepare = self.places.next_place, self.guard(self.runner.preparer.prepare)
        finish = self.runner.finish if self.runner.bound.rest else None
        if self.profile is not None:
            prepare = self.profile.around(prepare, creates=True)
            finish = self.profile.around(self.runner.finish)
        skip, listeners = self.options.on_error == "skip", self.listeners
        while True:
            try:
                place = next_place()
            except StopIteration:
                return
            try:
                batch = prepare(place)
                if finish is not None:
                    batch = finish(batch)
            except SkipBatch:
                self.leave_out(place, "SkipBatch")
                continue
            except StopPipeline:
                return
            except Exception as error:
                if not skip:
                    raise
                self.leave_out(place, f"{type(error).__name__}: {error}")
                continue
            self.place = place
            self.delivered += 1
            if listeners:
                for listener in listeners:
                    listener(self)
            yield batch

    def state(self) -> dict[str, Any]:
        """Return the state after the batch that was delivered last, for ``resume=``: a dictionary for JSON.

        It holds the position, the seed and the variables; weights of models are in checkpoints only.
        """
        return capture(self)

    def _report(self) -> None:
        failed = [one for one in self.left_out if one.reason != "SkipBatch"]
        if failed:
            items = sum(len(one.ids) for one in failed)
            text = f"{len(failed)} batches ({items} items) failed and were left out; the first: {failed[0]}"
            warnings.warn(f"{text}; run.left_out lists all", SkippedBatches, stacklevel=3)


def _take_first(source: Generator[Any, None, None], count: int) -> Generator[Any, None, None]:
    with closing(source):
        yield from islice(source, count)


def _make_places(index: Any, options: RunOptions, bound: Bound, endless: bool) -> Any:
    """Make the iterator of places; a ``rebatch`` counts n_iters of its own batches, so it has no end."""
    plan = options.plan()
    make = index.gen_batch
    if (bound.regroups and options.n_iters is not None) or (
        endless and options.n_iters is None and options.n_epochs is None
    ):
        del plan["n_iters"], plan["n_epochs"]
        make = index.endless
    return make(options.batch_size, seed=options.seed, **plan)


def _take_share(places: Any, bound: Bound, number: int, count: int) -> Any:
    """Return every ``count``-th of the places; ``TypeError`` where steps need all batches in their order."""
    ordered = ["rebatch" for _ in bound.regroups] + [str(step) for step in bound.rest]
    if ordered:
        raise TypeError(
            f"{ordered[0]} needs all batches in their order, so that {count} workers can not share them; "
            "take one worker (num_workers=0 or 1), and prefetch=... to work ahead in it"
        )
    return places.share(number, count)


class Batches(Iterator[Any]):
    """The batches of a run, in order; ``close()`` ends it early, as leaving a ``for`` loop does."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._generator = run.batches()

    def __iter__(self) -> Iterator[Any]:
        # The loop holds the bare generator: it costs less, and a `break` closes it at once.
        return self._generator

    def __next__(self) -> Any:
        return next(self._generator)

    def close(self) -> None:
        """End the run now; safe to call twice, and after the end."""
        self._generator.close()

    def state(self) -> dict[str, Any]:
        """Return the state of the run after the last batch that came out, for ``resume=``."""
        return self.run.state()

    def v(self, name: str) -> Any:
        """Return a variable of the run."""
        return self.run.v(name)

    def m(self, name: str) -> Any:
        """Return a model of the run."""
        return self.run.m(name)

    @property
    def models(self) -> Models:
        """The models of the run."""
        return self.run.models


class Memory:
    """The memory of a pipeline object: its last run, and the batches that ``next_batch`` takes from.

    It is no part of the pipeline's value: new pipelines start with an empty one, copies and pickles too.
    """

    __slots__ = ("asked", "batches", "run")

    def __init__(self) -> None:
        self.forget()

    def forget(self) -> None:
        """Forget the last run."""
        self.run: Holdings | None = None
        self.batches: Batches | None = None
        self.asked: dict[str, Any] = {}

    def __reduce__(self) -> tuple[Any, ...]:
        return Memory, ()


def feed_batches(
    recorded: Recorded, batches: Iterable[Any], options: RunOptions, memory: Memory
) -> Iterator[Any]:
    """Put batches from anywhere through a pipeline, all steps in the caller.

    It is bound to the class of the first one; the run is noted in the ``memory``.
    """
    if options.go_on:
        raise TypeError("feed: go_on has no meaning for batches from elsewhere")
    if options.config is not None:
        recorded = with_config(recorded, options.config)
    recorded = choose_data(recorded)
    seed = new_seed() if options.seed is None else options.seed
    source = iter(batches)
    first = next(source, None)
    if first is None:
        return
    bound = bind(recorded, type(first))
    runner = start_runner(recorded, bound, seed, None)
    memory.run = Holdings(runner)
    if bound.regroups:
        raise ValueError("feed: a pipeline with rebatch can not be fed; rebatch where the batches are made")
    apply = compile_steps(bound.steps, runner.scope)
    try:
        runner.run_once(bound.before)
        number = 0
        batch = first
        while batch is not None:
            place = Place(0, number, slice(0, len(batch)))
            batch.place, batch.seed = place, seed
            with suppress(SkipBatch):
                yield apply(batch, place)
            number += 1
            batch = next(source, None)
    except StopPipeline:
        return
    finally:
        runner.run_once(bound.after)
