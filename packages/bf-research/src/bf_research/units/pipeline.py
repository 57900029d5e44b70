"""Pipelines as units of an experiment: one batch an execution, or a whole run."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from types import SimpleNamespace
from typing import Any, cast

from bf_batch import Dataset
from bf_index.errors import unknown
from bf_pipeline import BindError, Pipeline
from bf_pipeline.bind.bound import Bound
from bf_pipeline.expressions.base import Attribute, Expr, Item, walk
from bf_pipeline.expressions.named import C, W
from bf_pipeline.record.recorded import Call, Repeat, Step, walk_calls
from bf_research.units.base import RunningTrial, Schedule, Unit
from bf_research.units.expressions import differing_faults
from bf_research.units.instances import Part
from bf_research.units.shared_roots import Branch

#: What ``Research.add_pipeline`` takes itself; other keywords are for the pipeline's config.
OWN_KEYWORDS = ("root", "branch", "dataset", "variables", "name", "execute", "run", "import_from")


@dataclass(frozen=True)
class PipelineUnit:
    """A unit that runs a pipeline with the trial's config.

    An execution takes the next batch; with ``whole`` it runs the pipeline from its beginning to its end. With
    a ``branch``, batches of ``pipeline`` are handed on to the branch, which has the variables and models;
    trials that run side by side share them.
    ``config`` are further keys of the pipeline's config; ``import_from`` names the unit that
    ``C('import_from')`` stands for.
    """

    name: str
    pipeline: Pipeline
    branch: Pipeline | None
    dataset: Any
    import_from: str | None
    whole: bool
    variables: tuple[str, ...]
    config: Mapping[str, Any]
    schedule: Schedule

    @property
    def returns(self) -> tuple[str, ...]:
        """Variables that go to the results."""
        return self.variables

    @property
    def arguments(self) -> Any:
        """What may hold expressions of the trial."""
        return (dict(self.config), self.dataset)

    @property
    def ends(self) -> bool:
        """Whether its data end the trial's iterations."""
        return not self.whole and not self.schedule.only_last

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Take a batch, or run from beginning to end; return the variables."""
        if self.whole:
            for _ in self._start(running, endless=False)[1]:
                pass
        else:
            self.run_in(running)
            next(running.kept[self.name][1])
        main = running.kept[self.name][0]
        return {name: main.v(name) for name in self.variables}

    def run_in(self, running: RunningTrial) -> Any:
        """Return the pipeline that runs in this trial, begun if necessary: ``.v(name)``, ``.m(name)``."""
        if self.name not in running.kept:
            self._start(running, endless=running.n_iters is not None)
        return running.kept[self.name][0]

    def _start(self, running: RunningTrial, endless: bool) -> tuple[Pipeline, Iterator[Any]]:
        config = {**running.config, **running.evaluate(dict(self.config))}
        if self.import_from is not None:
            config["import_from"] = running.run_of(self.import_from)
        data = self._with_data(running.evaluate(self.dataset))
        main, batches = (
            self._batches(data, config, endless)
            if self.branch is None
            else self._branched(self.branch, data, config, endless, running.branch)
        )
        running.kept[self.name] = (main, batches)
        return main, batches

    @staticmethod
    def _batches(data: Pipeline, config: Mapping[str, Any], endless: bool) -> tuple[Pipeline, Iterator[Any]]:
        main = data << config
        return main, _endless(main) if endless else iter(main.gen_batch())

    def _branched(
        self, branch: Pipeline, data: Pipeline, config: Mapping[str, Any], endless: bool, place: Branch
    ) -> tuple[Pipeline, Iterator[Any]]:
        main = branch << data.dataset << config
        batches = place.read(self.name, lambda: self._batches(data, place.known(config), endless)[1])
        return main, main.feed(batches)

    def root_faults(self, config: Mapping[str, Any], differing: Collection[str]) -> Iterator[str]:
        """Yield what a root asks for that is not the same in all trials which share it."""
        if self.branch is None or isinstance(self.dataset, Expr):
            return
        known = {name: value for name, value in config.items() if name not in differing}
        try:
            (self._with_data(self.dataset) << {**known, **self.config}).bind()
        except BindError as error:
            yield f"the root is shared, so it can't know what differs between trials: {error}"

    def check_config(self) -> None:
        """Raise ``TypeError`` for keys of the config that nothing in the pipelines reads."""
        read = [*_reads(self.pipeline), *_reads(self.branch)]
        paths = [path for path in read if path is not None]
        if len(paths) < len(read):  # C() is the whole config
            return
        for key in self.config:
            if not any(path == key or path.startswith(f"{key}/") for path in paths):
                text = unknown("argument", key, (*OWN_KEYWORDS, *paths), "add_pipeline")
                raise TypeError(
                    f"{text}; a further keyword is for the pipeline's config, and no C({key!r}) in it reads "
                    "this one"
                )

    def _with_data(self, dataset: Any) -> Pipeline:
        return self.pipeline if dataset is None else self.pipeline << dataset

    def bound(self, config: Mapping[str, Any]) -> Bound:
        """Bind what has the variables and models; ``BindError`` names what does not fit."""
        known = {**config, **self.config, **({} if self.import_from is None else {"import_from": self})}
        root = self._with_data(self._known_data(config))
        if root.dataset is None:
            return ((self.branch or root) << known).bind()
        data = (root << known).bind()
        return data if self.branch is None else (self.branch << root.dataset << known).bind()

    def _known_data(self, config: Mapping[str, Any]) -> Any:
        """Return the data; of an expression if it only looks up the config, None if it makes the data."""
        if not isinstance(self.dataset, Expr):
            return self.dataset
        if not all(isinstance(part, C | Attribute | Item) for part in walk(self.dataset)):
            return None
        found = self.dataset.evaluate(SimpleNamespace(scope=SimpleNamespace(config=config)))  # type: ignore[arg-type]
        if not isinstance(found, Dataset):
            raise TypeError(f"a Dataset is needed, got {found!r}")
        return found

    def variables_in(self, config: Mapping[str, Any]) -> Collection[str]:
        """Return the variables that the pipeline declares, also when its data are not known yet."""
        try:
            return self.bound(config).variables
        except (BindError, TypeError, LookupError, AttributeError):  # reported as a fault of its own
            main = self.branch or self.pipeline
            steps = walk_calls((*main.before_steps, *main.steps, *main.after_steps))
            made = [step for step in steps if step.builtin and step.name == "init_variable"]
            return [str(step.args[0] if step.args else step.kwargs.get("name")) for step in made]

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield what does not fit: names in the pipeline, its variables, the unit it imports from."""
        yield from self.import_faults(before)
        yield from self._binding_faults(config)
        variables = self.variables_in(config)
        for name in self.variables:
            if name not in variables:
                yield unknown("variable", name, variables, f"pipeline {self.name!r}")

    def import_faults(self, before: Sequence[Unit]) -> Iterator[str]:
        """Yield that the unit it imports from is no pipeline before it."""
        pipelines = [unit.name for unit in before if hasattr(unit, "run_in")]
        if self.import_from is not None and self.import_from not in pipelines:
            yield f"import_from: {unknown('pipeline', self.import_from, pipelines)}"

    def _binding_faults(self, config: Mapping[str, Any]) -> Iterator[str]:
        """Yield what binding finds, unless the data and so the batch class are known only in a trial."""
        if any(isinstance(expr, C) and expr.absent(config) for expr in walk(self.dataset)):
            return  # reported already
        try:
            data = self._known_data(config)
        except (TypeError, LookupError, AttributeError) as error:
            yield f"dataset={self.dataset!r}: {error}"
            return
        if data is None and self.pipeline.dataset is None:
            return
        try:
            self.bound(config)
        except BindError as error:
            yield str(error)
        except (TypeError, LookupError, AttributeError) as error:
            if not isinstance(self.pipeline.dataset, Expr):
                raise
            yield f"{self.pipeline.dataset!r}: {error}"


@dataclass(frozen=True)
class InstancePipelineUnit:
    """A unit that runs a pipeline which is an attribute of an instance, so that it is known in a trial only.

    ``unit`` is the unit without it.
    """

    unit: PipelineUnit
    root: Pipeline | Part
    branch: Pipeline | Part | None

    @property
    def name(self) -> str:
        """Its name among the units."""
        return self.unit.name

    @property
    def schedule(self) -> Schedule:
        """When it runs."""
        return self.unit.schedule

    @property
    def returns(self) -> tuple[str, ...]:
        """Variables that go to the results."""
        return self.unit.variables

    @property
    def arguments(self) -> Any:
        """What may hold expressions of the trial."""
        return self.unit.arguments

    @property
    def ends(self) -> bool:
        """Whether its data end the trial's iterations."""
        return self.unit.ends

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Take a batch, or run from beginning to end; return the variables."""
        return self._with_pipelines(running).execute(running)

    def run_in(self, running: RunningTrial) -> Any:
        """Return the pipeline that runs in this trial, begun if necessary: ``.v(name)``, ``.m(name)``."""
        return self._with_pipelines(running).run_in(running)

    def _with_pipelines(self, running: RunningTrial) -> PipelineUnit:
        found = [part.find(running) if isinstance(part, Part) else part for part in (self.root, self.branch)]
        for part, pipeline in zip((self.root, self.branch), found):
            if not isinstance(pipeline, Pipeline) and part is not None:
                raise TypeError(f"{part}: a Pipeline is needed, got {pipeline!r}")
        unit = replace(self.unit, pipeline=cast(Pipeline, found[0]), branch=found[1])
        if unit.pipeline.dataset is None and unit.dataset is None:
            raise ValueError(
                f"{self.root}: the pipeline has no dataset; give pipeline << dataset, or dataset="
            )
        return unit

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield what is known before the pipeline is: the unit that it imports from."""
        yield from self.unit.import_faults(before)

    def root_faults(self, config: Mapping[str, Any], differing: Collection[str]) -> Iterator[str]:
        """Yield the instance that makes a shared pipeline and is not shared itself."""
        if self.branch is not None:
            yield from differing_faults(self.unit.dataset, differing)


def _reads(pipeline: Pipeline | None) -> Iterator[str | None]:
    """Yield the config paths that a pipeline and those it joins read; None stands for the whole config."""
    steps = () if pipeline is None else (*pipeline.before_steps, *pipeline.steps, *pipeline.after_steps)
    yield from _paths([value for step in steps for value in _values(step)])
    yield from _paths([] if pipeline is None else [dict(pipeline.options), pipeline.dataset])


def _paths(values: Sequence[Any]) -> Iterator[str | None]:
    for value in values:
        for expr in walk(value):
            if isinstance(expr, C):
                yield expr.path
            elif isinstance(expr, W):
                yield from _paths([expr.expression])
        if isinstance(value, Pipeline):
            yield from _reads(value)


def _values(step: Step) -> Iterator[Any]:
    """Yield the arguments of a step and of those inside it."""
    if isinstance(step, Call):
        yield from (*step.args, *step.kwargs.values())
        return
    yield step.times if isinstance(step, Repeat) else step.p
    for inner in step.steps:
        yield from _values(inner)


def _endless(pipeline: Pipeline) -> Iterator[Any]:
    """Yield batches without end, unless the pipeline's own options set one."""
    while True:
        try:
            yield pipeline.next_batch()
        except StopIteration:
            return
