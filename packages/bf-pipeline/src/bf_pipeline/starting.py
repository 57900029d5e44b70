"""Starting runs: ``run``, ``gen_batch``, ``next_batch`` and what a pipeline remembers of its last run."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self, Unpack

from bf_batch import SkipBatch
from bf_pipeline.run.options import Checkpointing, Options, RunOptions, check_names
from bf_pipeline.run.run import Batches, Memory, Run, feed_batches
from bf_pipeline.run.state import Holds
from bf_pipeline.tf_dataset import Outputs, to_tf_dataset

if TYPE_CHECKING:
    from bf_pipeline.context import Models


class Starting:
    """Methods of ``Pipeline`` that run it; their options are those of ``RunOptions``."""

    __slots__ = ()

    if TYPE_CHECKING:
        options: Mapping[str, Any]
        config: Mapping[str, Any]
        _memory: Memory

    def run_later(self, batch_size: int | None = None, **options: Unpack[Options]) -> Self:
        """Give a pipeline that knows how to run: ``run()``, ``gen_batch()``, ``next_batch()`` use it."""
        given = _given(batch_size, options, "run_later")
        RunOptions.of(given, "run_later")
        return replace(self, options={**self.options, **given})  # type: ignore[type-var]

    def run(self, batch_size: int | None = None, **options: Unpack[Options]) -> Self:
        """Run to the end; gives a pipeline whose ``v(name)`` and ``m(name)`` read this run's results.

        Without ``n_epochs`` and ``n_iters`` it is one epoch. This pipeline's own ``v`` and ``m`` read it too,
        until its next run.
        """
        batches = self._start(batch_size, options, "run")
        for _ in batches:
            pass
        done = replace(self)  # type: ignore[type-var]
        done._memory.run = batches.run
        return done  # type: ignore[no-any-return]

    def gen_batch(self, batch_size: int | None = None, **options: Unpack[Options]) -> Batches:
        """Start a run and give its batches one by one; wrong names and options are refused at this call."""
        return self._start(batch_size, options, "gen_batch")

    def next_batch(self, batch_size: int | None = None, **options: Unpack[Options]) -> Any:
        """Give the next batch of the run that the first call starts; endless without n_epochs and n_iters.

        ``StopIteration`` at the end, and again until ``reset()``. Other options in the middle are a
        ``ValueError``.
        """
        memory, given = self._memory, _given(batch_size, options, "next_batch")
        if memory.batches is None:
            memory.batches = self._start(batch_size, options, "next_batch", endless=True)
            memory.asked = given
        elif given and given != memory.asked:
            raise ValueError(
                f"next_batch: got {given} in the middle of a run begun with {memory.asked}; "
                "call reset() to begin anew"
            )
        return next(memory.batches)

    def checkpoint(self, path: str | PathLike[str], every: int | None = None, keep: int = 2) -> Self:
        """Give a pipeline whose runs write checkpoints: every so many batches, on SIGTERM and at the end.

        The last ``keep`` stay. ``run(..., resume=path)`` goes on from the newest.
        """
        settings = Checkpointing(Path(path), every, keep)
        return replace(self, options={**self.options, "checkpoint": settings})  # type: ignore[type-var]

    def to_tf_dataset(self, batch_size: int, outputs: Outputs, **options: Any) -> Any:
        """Give the batches as a ``tf.data.Dataset``; see ``bf_pipeline.interop.to_tf_dataset``."""
        return to_tf_dataset(self, batch_size, outputs, **options)  # type: ignore[arg-type]

    def reset(self) -> Self:
        """End the run that ``next_batch`` takes from; its next call starts another one."""
        if self._memory.batches is not None:
            self._memory.batches.close()
        self._memory.forget()
        return self

    def execute(self, batch: Any, **options: Unpack[Options]) -> Any:
        """Put one batch through all steps, as a run of its own, and give it back; no dataset is needed."""
        for done in self.feed([batch], **options):
            return done
        raise SkipBatch("execute: a step left the batch out")

    def feed(self, batches: Iterable[Any], **options: Unpack[Options]) -> Iterator[Any]:
        """Put batches from anywhere, such as another pipeline's ``gen_batch``, through the steps."""
        given = _given(None, options, "feed")
        options_of_run = RunOptions.of({**self.options, **given}, "feed")
        return feed_batches(self, batches, options_of_run, self._memory)  # type: ignore[arg-type]

    # The last run

    @property
    def last_run(self) -> Holds | None:
        """The run that this object started last, None before the first; no part of the pipeline's value."""
        return self._memory.run

    def v(self, name: str) -> Any:
        """Give a variable of the last run."""
        return self._ran().v(name)

    def m(self, name: str) -> Any:
        """Give a model of the last run."""
        return self._ran().m(name)

    @property
    def models(self) -> Models:
        """The models of the last run."""
        return self._ran().models

    def _ran(self) -> Holds:
        if self._memory.run is None:
            raise RuntimeError("this pipeline was not run yet; variables and models belong to a run")
        return self._memory.run

    def _start(
        self, batch_size: int | None, options: Mapping[str, Any], owner: str, endless: bool = False
    ) -> Batches:
        given = _given(batch_size, options, owner)
        run = Run(self, RunOptions.of({**self.options, **given}, owner), endless)  # type: ignore[arg-type]
        self._memory.run = run
        return Batches(run)


def _given(batch_size: int | None, options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    check_names(options, owner)
    given = dict(options)
    if batch_size is not None:
        given["batch_size"] = batch_size
    return given
