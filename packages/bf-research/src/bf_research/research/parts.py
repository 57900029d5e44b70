"""The units of a research: the methods that add them, checked at the call."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Self

from bf_index.errors import Suggests
from bf_pipeline import Pipeline
from bf_pipeline.expressions.base import Expr
from bf_research.units.base import RESERVED, Execute, Schedule, Unit
from bf_research.units.dumps import DumpUnit
from bf_research.units.experiment import Experiment
from bf_research.units.expressions import check_keywords
from bf_research.units.functions import CallableUnit, GeneratorUnit, MetricsUnit
from bf_research.units.instances import InstanceUnit, parse_part
from bf_research.units.pipeline import InstancePipelineUnit, PipelineUnit
from bf_research.units.training import TrainingUnit

if TYPE_CHECKING:
    from bf_research.training.training import Training

Names = str | Sequence[str] | None


class Parts(Suggests):
    """The units of an experiment in their order; the methods add one and return this very object."""

    def __init__(self) -> None:
        self._units: list[Unit] = []

    @property
    def experiment(self) -> Experiment:
        """The units in their order."""
        return Experiment(tuple(self._units))

    def add_pipeline(
        self,
        root: Pipeline | str,
        branch: Pipeline | str | None = None,
        *,
        dataset: Any = None,
        variables: Names = None,
        name: str | None = None,
        execute: Execute = 1,
        run: bool | None = None,
        import_from: str | None = None,
        **config: Any,
    ) -> Self:
        """Add a pipeline that knows its batch size (``run_later``); ``C('lr')`` in it is the trial's ``lr``.

        Each execution takes one batch. ``run=True`` runs it from beginning to end instead; by default that is
        so for a pipeline that executes at the last iteration only, such as a test. ``import_from``: the unit
        that ``C('import_from')`` stands for, as in ``import_model(name, C('import_from'))``. ``variables``:
        variables that go to the results after each execution. ``branch``: a second pipeline that takes the
        batches of the first, the ``root``; with ``run(branches=4)`` four trials at a time share them, so that
        what is slow, such as loading, is done once. ``dataset``: data for the pipeline, also an expression
        such as ``C('fold').attr('train')``. ``'model.train'`` is the pipeline of an instance
        (``add_instance``), known in a trial only. Further keywords go to the pipeline's config.
        """
        for part in (root, branch):
            if not isinstance(part, Pipeline | str | None) or root is None:
                raise TypeError(f"add_pipeline: a Pipeline is needed, got {part!r}")
        schedule = Schedule.of(execute, name or "add_pipeline")
        if isinstance(root, Pipeline) and root.dataset is None and dataset is None:
            raise ValueError(
                f"add_pipeline({name!r}): the pipeline has no dataset; give pipeline << dataset, or dataset="
            )
        found = [parse_part(part, self._units) if isinstance(part, str) else part for part in (root, branch)]
        name = self._free_name(name, root if isinstance(root, str) else "pipeline")
        whole = schedule.only_last if run is None else run
        kept = self._free_returns(_as_names(variables), name)
        known = [part if isinstance(part, Pipeline) else None for part in found]
        first = Pipeline() if known[0] is None else known[0]
        unit = PipelineUnit(name, first, known[1], dataset, import_from, whole, kept, config, schedule)
        if known != found:
            return self._add(InstancePipelineUnit(unit, found[0] or first, found[1]))
        unit.check_config()
        return self._add(unit)

    def add_instance(
        self, name: str, creator: Callable[..., Any] | Expr, *args: Any, root: bool = False, **kwargs: Any
    ) -> Self:
        """Add an object that is made in each trial before the first iteration, ``creator(*args, **kwargs)``.

        ``add_callable('name.method', ...)``, ``add_generator``, ``add_training`` and
        ``add_pipeline('name.attribute')`` use its parts, ``RO('name')`` is the object. ``root``: one object
        for all branches that run side by side (``run(branches=...)``). ``creator`` is a class, a function, or
        an expression such as ``C('class')``.
        """
        if not isinstance(name, str) or not name.isidentifier():
            raise ValueError(f"add_instance: a name without dots and spaces is needed, got {name!r}")
        if not isinstance(creator, Expr):
            if not callable(creator):
                raise TypeError(f"add_instance: a class or a function is needed, got {creator!r}")
            check_keywords(f"the creator of {name!r}", creator, tuple(kwargs))
        unit = InstanceUnit(self._free_name(name, name), creator, args, kwargs, bool(root))
        return self._add(unit)

    def add_callable(
        self,
        function: Callable[..., Any] | str,
        *args: Any,
        returns: Names = None,
        name: str | None = None,
        execute: Execute = 1,
        root: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Add a function; its arguments may be expressions: ``C('lr')``, ``RI()``, ``RP('train')``, ``RD()``.

        ``returns`` names what goes to the results: one name for the value, several for its items;
        ``RO(name)`` is the whole value. ``'model.train'`` is a method of an instance. ``root``: it is
        called once an iteration for all branches that run side by side, which share its value; so it can't
        know what differs between them.
        """
        return self._add_function(CallableUnit, function, args, kwargs, (returns, name, execute, root))

    def add_result(
        self, value: Any, returns: Names, *, name: str | None = None, execute: Execute = 1
    ) -> Self:
        """Add a value to the results on a schedule of its own: ``add_result(RO('f'), 'f', execute='last')``.

        ``value`` is an expression, or holds some; ``returns`` as in ``add_callable``.
        """
        kept = self._free_returns(_as_names(returns), "add_result")
        if not kept:
            raise ValueError("add_result: a name for the value is needed")
        name = self._free_name(name, f"result {', '.join(kept)}")
        return self._add(CallableUnit(name, _identity, (value,), {}, kept, Schedule.of(execute, name)))

    def add_dump(self, *only: str, name: str | None = None, execute: Execute = "last") -> Self:
        """Add that the rows so far are written into the trial's folder, on a schedule of their own.

        They are in the results of a trial that runs, or whose process died. ``only``: these results instead
        of all. Without it rows are written at the end of a trial.
        """
        name = self._free_name(name, "dump")
        return self._add(DumpUnit(name, only, Schedule.of(execute, name)))

    def add_generator(
        self,
        function: Callable[..., Iterator[Any]] | str,
        *args: Any,
        returns: Names = None,
        name: str | None = None,
        execute: Execute = 1,
        root: bool = False,
        **kwargs: Any,
    ) -> Self:
        """Add a generator function: each execution takes its next value; its end ends the iterations.

        ``root``: one generator for all branches that run side by side, see ``add_callable``.
        """
        return self._add_function(GeneratorUnit, function, args, kwargs, (returns, name, execute, root))

    def add_training(
        self,
        function: Callable[..., Training] | str,
        *args: Any,
        returns: Names = None,
        name: str | None = None,
        **kwargs: Any,
    ) -> Self:
        """Add a function that makes a ``Training``; its arguments may be expressions such as ``C('lr')``.

        An execution is an iteration, the end of the training is that of the trial. Its pipeline knows its
        batch size (``run_later``); its folder is the trial's. ``returns``: metrics that go to the results,
        each in the iteration in which it is measured. With ``Checkpoints`` among its events, a trial that was
        cut off goes on when it is tried again.
        """
        return self._add_function(TrainingUnit, function, args, kwargs, (returns, name, 1, False))

    def get_metrics(
        self,
        pipeline: str,
        metrics_var: str,
        metrics_name: str | Sequence[str],
        *args: Any,
        returns: Names = None,
        name: str | None = None,
        execute: Execute = 1,
        **kwargs: Any,
    ) -> Self:
        """Add metrics that a pipeline gathers in a variable; further arguments go to ``evaluate``.

        ``returns``: names in the results, those of the metrics by default.
        """
        metrics = _as_names(metrics_name)
        returned = _as_names(returns) or metrics
        if len(returned) != len(metrics):
            raise ValueError(f"get_metrics: returns has {len(returned)} names for {len(metrics)} metrics")
        schedule = Schedule.of(execute, "get_metrics")
        check_keywords("get_metrics", None, tuple(kwargs))
        name = self._free_name(name, f"metrics of {pipeline}")
        kept = self._free_returns(returned, name)
        return self._add(MetricsUnit(name, pipeline, metrics_var, metrics, args, kwargs, kept, schedule))

    def _add_function(
        self,
        kind: type[CallableUnit],
        function: Any,
        args: tuple[Any, ...],
        kwargs: Mapping[str, Any],
        options: tuple[Names, str | None, Execute, bool],
    ) -> Self:
        returns, name, execute, root = options
        if isinstance(function, str):
            text, function = function, parse_part(function, self._units)
            check_keywords(f"the method {text}", None, tuple(kwargs))
        elif callable(function):
            text = getattr(function, "__name__", "function")
            check_keywords(f"the function {text}", function, tuple(kwargs))
        else:
            raise TypeError(f"a function is needed, got {function!r}")
        name = self._free_name(name, text)
        kept = self._free_returns(_as_names(returns), name)
        return self._add(kind(name, function, args, kwargs, kept, Schedule.of(execute, name), bool(root)))

    def _add(self, unit: Unit) -> Self:
        self._units.append(unit)
        return self

    def _free_name(self, name: str | None, default: str) -> str:
        """Return the given name, or a free one; ``ValueError`` when another unit has it."""
        names = {unit.name for unit in self._units}
        if name is not None:
            if name in names:
                raise ValueError(f"there is a unit {name!r} already; name this one otherwise")
            return name
        free = (f"{default} {number}" for number in range(2, len(names) + 3))
        return default if default not in names else next(text for text in free if text not in names)

    def _free_returns(self, returns: tuple[str, ...], name: str) -> tuple[str, ...]:
        for unit in self._units:
            for twice in set(returns) & set(unit.returns):
                raise ValueError(f"{name}: unit {unit.name!r} returns {twice!r} already; name it otherwise")
        reserved = set(RESERVED) & set(returns)
        if reserved:
            raise ValueError(f"{name}: {sorted(reserved)[0]!r} is a column already; name it otherwise")
        return returns


def _as_names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _identity(value: Any) -> Any:
    """Return the value: what is kept was made by the argument."""
    return value
