"""The pipeline: a frozen value that records actions; every method gives a new pipeline."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Self, cast

from bf_batch import Dataset
from bf_pipeline.bind.bind import bind, check_actions, unknown_action
from bf_pipeline.bind.bound import Bound, Clock
from bf_pipeline.expressions.base import Expr
from bf_pipeline.plain_config import merged
from bf_pipeline.record.code import written_pipeline
from bf_pipeline.record.mermaid import mermaid
from bf_pipeline.record.recorded import Recorded, with_config
from bf_pipeline.record.steps import Call, Repeat, Sometimes, Step, caller
from bf_pipeline.recording import Recording
from bf_pipeline.run.run import Memory
from bf_pipeline.starting import Starting


@dataclass(frozen=True, slots=True)
class Recorder:
    """An action that was named but not called yet."""

    pipeline: Pipeline
    name: str

    def __call__(self, *args: Any, **kwargs: Any) -> Pipeline:
        """Record the action with its arguments."""
        return self.pipeline.record(Call(self.name, args, kwargs, caller()))

    def __repr__(self) -> str:
        return f"<action {self.name!r} of a pipeline, not called yet>"


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Pipeline(Recorded, Recording, Starting):
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

    def __getattr__(self, name: str) -> Recorder:
        # Names with an underscore are what Python and notebooks look for; they are never actions.
        if name.startswith("_"):
            raise AttributeError(f"Pipeline has no attribute {name!r}")
        return self.action(name)

    def action(self, name: str) -> Recorder:
        """Give an action whose name pipelines have themselves: ``pipeline.action('update')(value)``."""
        if text := unknown_action(self, name):
            raise AttributeError(text)
        return Recorder(self, name)

    def __dir__(self) -> list[str]:
        known = list(object.__dir__(self))
        return known if self.dataset is None else [*known, *self.dataset.batch_class.actions]

    def record(self, *steps: Step) -> Self:
        """Give a pipeline with further steps in the section that is being recorded."""
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
        """Give a pipeline in which functions of these modules (or objects) can be used as steps."""
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
            merged(self.config, other.config),
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
        return replace(self, steps=(Repeat(self.steps, times, caller()),), section="steps")

    def __matmul__(self, p: float | Expr) -> Pipeline:
        if not isinstance(p, Expr):
            if isinstance(p, bool) or not hasattr(p, "__float__"):
                raise TypeError(f"pipeline @ p: p must be a number from 0 to 1 or an expression, got {p!r}")
            p = float(p)
            if not 0 <= p <= 1:
                raise ValueError(f"pipeline @ p: p must be from 0 to 1, got {p}")
        return replace(self, steps=(Sometimes(self.steps, p, caller()),), section="steps")

    def __lshift__(self, other: Dataset | Mapping[str, Any]) -> Pipeline:
        if isinstance(other, Dataset):
            given = replace(self, dataset=other)
            check_actions(given)
            return given
        if isinstance(other, Mapping) or hasattr(other, "_metadata"):
            return with_config(self, other)
        raise TypeError(f"pipeline << a dataset or a config, got {type(other).__name__} {other!r}")

    def __rrshift__(self, other: Dataset | Mapping[str, Any]) -> Pipeline:
        return self.__lshift__(other)

    # Looking at it

    def bind(self, batch_class: type | None = None, clock: Clock | None = None) -> Bound:
        """Check every name against the dataset and config; ``BindError`` lists all mistakes at once.

        A ``clock`` is put around every step, to measure it.
        """
        return bind(self, batch_class, clock)

    def __repr__(self) -> str:
        return written_pipeline(self)

    def mermaid(self) -> str:
        """Give the pipeline as a Mermaid picture; notebooks show it by themselves."""
        return mermaid(self)

    def _repr_markdown_(self) -> str:
        return f"```mermaid\n{self.mermaid()}\n```"

    def to_yaml(self) -> str:
        """Write the pipeline as YAML for ``build``; ``TypeError`` for what is not plain data."""
        from bf_pipeline.yaml.build import to_yaml

        return to_yaml(self)
