"""The pipeline: a frozen value that records actions; every method returns a new pipeline."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from os import PathLike
from pathlib import Path
from typing import Any, Literal, Self, Unpack, cast

from bf_batch import Dataset, SkipBatch
from bf_pipeline.bind.bind import STEPS, bind, check_actions, unknown_action
from bf_pipeline.bind.bound import Bound, Clock
from bf_pipeline.bind.models import load_now, save_now
from bf_pipeline.context import Models
from bf_pipeline.expressions.base import Expr
from bf_pipeline.expressions.named import Mode
from bf_pipeline.model import find_metrics
from bf_pipeline.outputs import Outputs
from bf_pipeline.plain_config import UNSET, is_omegaconf, merge_configs
from bf_pipeline.record.data import check_data, choose_data
from bf_pipeline.record.recorded import (
    Call,
    Recorded,
    Recorder,
    Repeat,
    Sometimes,
    Step,
    find_caller,
    with_config,
)
from bf_pipeline.record.text import draw_mermaid, write_code
from bf_pipeline.record.yaml import to_yaml
from bf_pipeline.run.options import Checkpointing, Options, RunOptions, check_names
from bf_pipeline.run.run import Batches, Memory, Run, feed_batches
from bf_pipeline.run.state import Holdings
from bf_pipeline.tf_dataset import to_tf_dataset
from bf_pipeline.torch_dataset import to_torch


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Pipeline(Recorded):
    """Actions recorded now and run later, batch after batch.

    Any action of the batch class is a method; its arguments may be named expressions. ``p=0.8`` runs the
    action for a batch with that probability, or item by item where the action is item-wise. Nothing changes a
    pipeline: each method returns a new one.

    ``a + b`` runs one after the other (config: right wins), ``a * 3`` repeats, ``a @ 0.5`` throws a coin for
    each batch; ``a << dataset`` and ``dataset >> a`` give the data, ``a << {...}`` adds to the config.

    >>> from bf_batch import Batch, Dataset, action
    >>> from bf_pipeline import Pipeline, B, V
    >>> class Points(Batch):
    ...     components = 'x',
    ...     @action
    ...     def add(self, value):
    ...         self.x = self.x + value
    ...         return self
    >>> import numpy as np
    >>> double = Pipeline().add(B('x')).init_variable('seen', 0).update(V('seen'), V('seen') + 1)
    >>> done = (double << Dataset(4, Points, preloaded=(np.arange(4),))).run(2)
    >>> done.v('seen')
    2
    """

    section: str = field(default="steps", kw_only=True)
    _memory: Memory = field(default_factory=Memory, init=False)

    def __getattr__(self, name: str) -> Recorder[Self]:
        # Names with an underscore are what Python and notebooks look for; they are never actions.
        if name.startswith("_"):
            raise AttributeError(f"Pipeline has no attribute {name!r}")
        return self.action(name)

    def action(self, name: str) -> Recorder[Self]:
        """Return an action whose name pipelines have themselves: ``pipeline.action('update')(value)``."""
        if text := unknown_action(self, name):
            raise AttributeError(text)
        return Recorder(self, name)

    def __dir__(self) -> list[str]:
        known = list(object.__dir__(self))
        return known if not isinstance(self.dataset, Dataset) else [*known, *self.dataset.batch_class.actions]

    def record(self, *steps: Step) -> Self:
        """Return a pipeline with further steps in the section that is being recorded."""
        longer: dict[str, Any] = {self.section: (*getattr(self, self.section), *steps)}
        return replace(self, **longer)

    # Sections

    @property
    def before(self) -> Self:
        """The section that runs once, before the first batch; ``.main`` goes back."""
        return replace(self, section="before_steps")

    @property
    def after(self) -> Self:
        """The section that runs once at the end, however the run ends; ``.main`` goes back."""
        return replace(self, section="after_steps")

    @property
    def main(self) -> Self:
        """The section that runs for every batch."""
        return replace(self, section="steps")

    def add_namespace(self, *namespaces: Any) -> Self:
        """Return a pipeline in which functions of these modules (or objects) can be used as steps."""
        for namespace in namespaces:
            if isinstance(namespace, str):
                raise TypeError(f"add_namespace: give the module itself, not its name {namespace!r}")
        return replace(self, namespaces=(*self.namespaces, *namespaces))

    # Algebra

    def __add__(self, other: Pipeline) -> Pipeline:
        if not isinstance(other, Pipeline):
            return cast(Pipeline, NotImplemented)
        return Pipeline(
            self.dataset if self.dataset is not None else other.dataset,
            merge_configs(self.config, other.config),
            steps=(*self.steps, *other.steps),
            before_steps=(*self.before_steps, *other.before_steps),
            after_steps=(*self.after_steps, *other.after_steps),
            namespaces=(*self.namespaces, *other.namespaces),
            options={**self.options, **other.options},
        )

    def __mul__(self, times: int | Expr) -> Pipeline:
        if not isinstance(times, Expr):
            if isinstance(times, bool) or not hasattr(times, "__index__"):
                raise TypeError(f"pipeline * n: n must be an integer >= 0 or an expression, got {times!r}")
            times = int(times)
            if times < 0:
                raise ValueError(f"pipeline * n: n must be an integer >= 0, got {times}")
        return replace(self, steps=(Repeat(self.steps, times, find_caller()),), section="steps")

    def __matmul__(self, p: float | Expr) -> Pipeline:
        if not isinstance(p, Expr):
            if isinstance(p, bool) or not hasattr(p, "__float__"):
                raise TypeError(f"pipeline @ p: p must be a number from 0 to 1 or an expression, got {p!r}")
            p = float(p)
            if not 0 <= p <= 1:
                raise ValueError(f"pipeline @ p: p must be from 0 to 1, got {p}")
        return replace(self, steps=(Sometimes(self.steps, p, find_caller()),), section="steps")

    def __lshift__(self, other: Dataset | Expr | Mapping[str, Any]) -> Pipeline:
        if isinstance(other, Expr):
            return replace(self, dataset=check_data(other))
        if isinstance(other, Dataset):
            given = replace(self, dataset=other)
            check_actions(given)
            return given
        if isinstance(other, Mapping) or is_omegaconf(other):
            return with_config(self, other)
        what = "a dataset, an expression of one or a config"
        raise TypeError(f"pipeline << {what}, got {type(other).__name__} {other!r}")

    def __rrshift__(self, other: Dataset | Mapping[str, Any]) -> Pipeline:
        return self.__lshift__(other)

    # Steps of its own

    def _builtin(self, name: str, /, *args: Any, **kwargs: Any) -> Self:
        """Record a step; arguments that were not given stay out, so that it reads as it was written."""
        given = {key: value for key, value in kwargs.items() if value is not UNSET}
        return self.record(Call(name, args, given, find_caller(), builtin=True))

    def init_variable(self, name: str, default: Any = UNSET, init_on_each_run: Any = UNSET) -> Self:
        """Declare a variable; each run starts with a fresh one.

        A callable (``list``, a function) is called for each run, an expression evaluated, any other value
        copied.
        """
        return self._builtin("init_variable", name, default=default, init_on_each_run=init_on_each_run)

    def init_variables(self, *variables: str | Mapping[str, Any]) -> Self:
        """Declare several variables: their names, or mappings of names to values as in ``init_variable``."""
        made = self
        for part in variables:
            for name in (part,) if isinstance(part, str) else part:
                made = made.init_variable(name, *(() if isinstance(part, str) else (part[name],)))
        return made

    def update(self, target: Any, value: Any, mode: Mode = UNSET) -> Self:
        """Put a value into ``V(name)``, ``B(name)`` or a part of them, for every batch.

        ``mode``: ``'w'`` write, ``'a'`` append, ``'e'`` extend, ``'u'`` update. Updates of variables happen
        in the order of the batches, whatever works ahead.
        """
        return self._builtin("update", target, value, mode=mode)

    def call(self, function: Callable[..., Any] | Any, /, *args: Any, **kwargs: Any) -> Self:
        """Call a function for every batch; it gets the batch only where an argument is ``B()``.

        ``save_to=`` and ``mode=`` (w, a, e, u) say where the result goes; ``in_parent=True`` keeps the call
        in the caller's process, in the order of the batches.
        """
        return self._builtin("call", function, *args, **kwargs)

    def print(self, *args: Any, sep: str = UNSET, end: str = UNSET) -> Self:
        """Write values to standard output for every batch."""
        return self._builtin("print", *args, sep=sep, end=end)

    # Steps with models

    def init_model(
        self, mode: Literal["dynamic", "static"], model_class: Any, name: str, config: Any = UNSET
    ) -> Self:
        """Declare a model: ``model_class(config)``.

        A dynamic one is built at its first use, so its config may hold expressions of the batch; a static one
        when the run starts.
        """
        return self._builtin("init_model", mode, model_class, name, config=config)

    def import_model(self, name: str, source: Any) -> Self:
        """Use the model of another pipeline (its last run), of a run, or a model itself; it is shared."""
        return self._builtin("import_model", name, source)

    def train_model(
        self,
        name: str,
        inputs: Any = UNSET,
        targets: Any = UNSET,
        *,
        fetches: Any = UNSET,
        feed_dict: Any = UNSET,
        save_to: Any = UNSET,
        mode: Mode = UNSET,
        **kwargs: Any,
    ) -> Self:
        """Train a model on every batch and save what ``fetches`` names to ``save_to``.

        ``save_to`` is a target, or a list or dict of them as ``fetches`` is; ``mode`` as in ``update``. Other
        arguments go to the model's ``train``.
        """
        named = {"fetches": fetches, "feed_dict": feed_dict, "save_to": save_to, "mode": mode}
        return self._builtin("train_model", name, inputs=inputs, targets=targets, **named, **kwargs)

    def predict_model(
        self,
        name: str,
        inputs: Any = UNSET,
        targets: Any = UNSET,
        *,
        fetches: Any = UNSET,
        feed_dict: Any = UNSET,
        save_to: Any = UNSET,
        mode: Mode = UNSET,
        **kwargs: Any,
    ) -> Self:
        """Predict for every batch; what ``fetches`` names (else predictions) goes to ``save_to``."""
        named = {"fetches": fetches, "feed_dict": feed_dict, "save_to": save_to, "mode": mode}
        return self._builtin("predict_model", name, inputs=inputs, targets=targets, **named, **kwargs)

    def save_model(self, name: str, path: Any) -> Self:
        """Save a model for every batch; in ``after`` once at the end."""
        return self._builtin("save_model", name, path)

    def load_model(self, name: str, path: Any) -> Self:
        """Load a model for every batch; in ``before`` once at the beginning."""
        return self._builtin("load_model", name, path)

    def save_model_once(self, name: str, path: Any) -> Self:
        """Save a model once, at the end of a run: a step of ``after``, wherever the pipeline is recording."""
        return replace(self.after.save_model(name, path), section=self.section)

    def load_model_once(self, name: str, path: Any) -> Self:
        """Load a model once, when a run begins: a step of ``before``, wherever the pipeline is recording."""
        return replace(self.before.load_model(name, path), section=self.section)

    def save_model_now(self, name: str, path: str | PathLike[str]) -> Self:
        """Save a model of the last run now; return this pipeline."""
        save_now(self._ran().models.slot(name), path)
        return self

    def load_model_now(self, name: str, path: str | PathLike[str], model_class: Any) -> Self:
        """Load a model now, by ``model_class.load(path)``, and return a pipeline that imports it."""
        return self.import_model(name, load_now(name, path, model_class))

    def gather_metrics(
        self,
        metrics_class: Any,
        targets: Any,
        predictions: Any = UNSET,
        *,
        save_to: Any,
        mode: Mode = UNSET,
        **kwargs: Any,
    ) -> Self:
        """Make metrics of every batch and add them to those in ``save_to`` (``mode='u'``).

        A class or a name: ``'classification'``, ``'segmentation'``, ``'instances'``, ``'regression'``, or
        ``'loss'`` of a value. ``mode='w'`` keeps the last batch's, ``'a'`` a list; the rest is for the class.
        """
        named = {"targets": targets, "predictions": predictions, "save_to": save_to, "mode": mode}
        return self._builtin("gather_metrics", find_metrics(metrics_class), **named, **kwargs)

    # Steps with other pipelines

    def join(self, *others: Any) -> Self:
        """Hand the next action batches of other datasets or pipelines, same ids, as first arguments."""
        return self._builtin("join", *others)

    def merge(self, *others: Any, fn: Any = UNSET, components: Any = UNSET) -> Self:
        """Put the items of other pipelines' batches behind those of the batch.

        With a function it is ``fn(batches)`` that returns the merged batch.
        """
        return self._builtin("merge", *others, fn=fn, components=components)

    def rebatch(self, batch_size: int, components: Any = UNSET, *, merge: Any = UNSET) -> Self:
        """Go on with batches of another size; the last may be short. ``n_iters`` counts these batches.

        A function ``merge(batches, batch_size)`` in place of ``Batch.merge`` returns what it does.
        """
        return self._builtin("rebatch", batch_size, components=components, merge=merge)

    def discard_batch(self) -> Self:
        """Let go of a batch's data: it is delivered with its ids and attributes, and without components."""
        return self._builtin("discard_batch")

    # Running it

    def run_later(self, batch_size: int | None = None, **options: Unpack[Options]) -> Self:
        """Return a pipeline that knows how to run: ``run()``, ``gen_batch()``, ``next_batch()`` use it."""
        given = _collect_options(batch_size, options, "run_later")
        RunOptions.of(given, "run_later")
        return replace(self, options={**self.options, **given})

    def run(self, batch_size: int | None = None, **options: Unpack[Options]) -> Self:
        """Run to the end; return a pipeline whose ``v(name)`` and ``m(name)`` read this run's results.

        Without ``n_epochs`` and ``n_iters`` it is one epoch. This pipeline's own ``v`` and ``m`` read it too,
        until its next run. ``go_on=True`` goes on with the last run: its variables, models and place.
        """
        batches = self._start(batch_size, options, "run")
        for _ in batches:
            pass
        done = replace(self)
        done._memory.run = batches.run
        return done

    def gen_batch(self, batch_size: int | None = None, **options: Unpack[Options]) -> Batches:
        """Start a run and return its batches one by one; wrong names and options are refused at once."""
        return self._start(batch_size, options, "gen_batch")

    def next_batch(self, batch_size: int | None = None, **options: Unpack[Options]) -> Any:
        """Return the next batch of the run that the first call starts; endless without n_epochs and n_iters.

        ``StopIteration`` at the end, and again until ``reset()``. Other options in the middle are a
        ``ValueError``.
        """
        memory, given = self._memory, _collect_options(batch_size, options, "next_batch")
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
        """Return a pipeline whose runs write checkpoints: every so many batches, on SIGTERM and at the end.

        The last ``keep`` stay. ``run(..., resume=path)`` goes on from the newest.
        """
        settings = Checkpointing(Path(path), every, keep)
        return replace(self, options={**self.options, "checkpoint": settings})

    def to_tf_dataset(self, batch_size: int, outputs: Outputs, **options: Any) -> Any:
        """Return the batches as a ``tf.data.Dataset``; see ``bf_pipeline.tf_dataset.to_tf_dataset``."""
        return to_tf_dataset(self, batch_size, outputs, **options)

    def to_torch(self, batch_size: int, outputs: Outputs, **options: Any) -> Any:
        """Return the batches for a PyTorch ``DataLoader``; see ``bf_pipeline.torch_dataset.to_torch``."""
        return to_torch(self, batch_size, outputs, **options)

    def reset(self) -> Self:
        """End the run that ``next_batch`` takes from; its next call starts another one."""
        if self._memory.batches is not None:
            self._memory.batches.close()
        self._memory.forget()
        return self

    def execute(self, batch: Any, **options: Unpack[Options]) -> Any:
        """Put one batch through all steps, as a run of its own, and return it; no dataset is needed."""
        for done in self.feed([batch], **options):
            return done
        raise SkipBatch("execute: a step left the batch out")

    def feed(self, batches: Iterable[Any], **options: Unpack[Options]) -> Iterator[Any]:
        """Put batches from anywhere, such as another pipeline's ``gen_batch``, through the steps."""
        options_of_run = RunOptions.of({**self.options, **options}, "feed")
        return feed_batches(self, batches, options_of_run, self._memory)

    # Its items, and the last run

    def __len__(self) -> int:
        """Count the items of the data set, as ``len(dataset)`` does; a run's ``total`` counts its batches."""
        return len(self.index)

    def __bool__(self) -> bool:
        return True

    @property
    def index(self) -> Any:
        """The index of the data set; ``TypeError`` without one."""
        if self.dataset is None:
            raise TypeError("the pipeline has no dataset; give it one with pipeline << dataset")
        return choose_data(self).dataset.index

    @property
    def indices(self) -> Any:
        """The ids of the data set's items."""
        return self.index.indices

    @property
    def last_run(self) -> Holdings | None:
        """The run that this object started last, None before the first; no part of the pipeline's value."""
        return self._memory.run

    def v(self, name: str) -> Any:
        """Return a variable of the last run."""
        return self._ran().v(name)

    def m(self, name: str) -> Any:
        """Return a model of the last run."""
        return self._ran().m(name)

    @property
    def models(self) -> Models:
        """The models of the last run."""
        return self._ran().models

    def _ran(self) -> Holdings:
        if self._memory.run is None:
            raise RuntimeError("this pipeline was not run yet; variables and models belong to a run")
        return self._memory.run

    def _start(
        self, batch_size: int | None, options: Mapping[str, Any], owner: str, endless: bool = False
    ) -> Batches:
        given = _collect_options(batch_size, options, owner)
        run = Run(self, RunOptions.of({**self.options, **given}, owner), endless, self._memory.run)
        self._memory.run = run
        return Batches(run)

    # Looking at it

    def bind(self, batch_class: type | None = None, clock: Clock | None = None) -> Bound:
        """Check every name against the dataset and config; ``BindError`` lists all mistakes at once.

        A ``clock`` is put around every step, to measure it.
        """
        return bind(choose_data(self), batch_class, clock)

    def __repr__(self) -> str:
        return write_code(self)

    def mermaid(self) -> str:
        """Return the pipeline as a Mermaid picture; notebooks show it by themselves."""
        return draw_mermaid(self)

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self.mermaid()}\n```"

    def to_yaml(self) -> str:
        """Return the pipeline as YAML for ``build``; ``TypeError`` for what is not plain data."""
        return to_yaml(self, STEPS)


def _collect_options(batch_size: int | None, options: Mapping[str, Any], owner: str) -> dict[str, Any]:
    check_names(options, owner)
    return dict(options) if batch_size is None else {**options, "batch_size": batch_size}


def zip_batches(*pipelines: Any, batch_size: int | None = None, **options: Any) -> Iterator[tuple[Any, ...]]:
    """Yield tuples of batches of several pipelines or datasets, in step; it ends with the shortest.

    The options are those of ``gen_batch`` and go to all of them.
    """
    chosen = [Pipeline(one) if isinstance(one, Dataset) else one for one in pipelines]
    for one in chosen:
        if not isinstance(one, Pipeline):
            raise TypeError(f"zip_batches: pipelines and datasets are needed, got {one!r}")
    runs = [one.gen_batch(batch_size, **options) for one in chosen]
    return _iterate_in_step(runs)


def _iterate_in_step(runs: list[Any]) -> Iterator[tuple[Any, ...]]:
    with ExitStack() as stack:
        for run in runs:
            stack.enter_context(closing(run))
        yield from zip(*runs, strict=False)
