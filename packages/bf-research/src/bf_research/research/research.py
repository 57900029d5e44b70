"""Research: the units of an experiment, a domain of configurations, and a run over all of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack, cast

from bf_index.errors import Suggests, escape, unknown
from bf_pipeline import Pipeline
from bf_research.domain.domain import Domain
from bf_research.sweep import journal
from bf_research.sweep.results import Results
from bf_research.sweep.trial import Trial
from bf_research.units.base import Execute, Schedule, Unit
from bf_research.units.experiment import Experiment
from bf_research.units.expressions import check_keywords
from bf_research.units.functions import CallableUnit, GeneratorUnit, MetricsUnit
from bf_research.units.pipeline import PipelineUnit
from bf_research.units.training import TrainingUnit

if TYPE_CHECKING:
    import pandas as pd

    from bf_research.training.training import Training


Names = str | Sequence[str] | None


class RunOptions(TypedDict, total=False):
    """Further options of ``Research.run``.

    ``retries``: how often a trial whose process died is tried again (1). ``timeout``: seconds a trial may
    take (no limit). ``on_failure``: ``'continue'``, or ``'stop'`` to begin no trial after the first failure.
    ``parallel``: False runs all trials in this process, for a debugger. ``preload``: modules that workers
    import once (TensorFlow when this program uses it). ``max_jobs_per_worker``: 1 is a fresh process a trial
    (0: no limit). ``tracking``: options of ``MLflowTracker`` such as ``{'experiment': 'digits'}``, None for
    no MLflow. ``test_run``: try one iteration of the first configuration before the sweep, which is not begun
    if that fails. ``branches``: so many trials run side by side in a process and share the batches of
    their roots, see ``add_pipeline`` (1). ``stop_grace``: seconds that running trials have to stop by
    themselves after Ctrl-C (4).
    """

    retries: int
    timeout: float | None
    on_failure: Literal["continue", "stop"]
    parallel: bool
    preload: Sequence[str]
    max_jobs_per_worker: int
    tracking: Mapping[str, Any] | None
    test_run: bool
    branches: int
    stop_grace: float


class Research(Suggests):
    """An experiment over a domain, run on several workers at once, resumed when it was cut off.

    The methods that add something change this research and return it, so that calls can be chained or not.

    >>> def power(a, b):
    ...     return a ** b
    >>> from bf_pipeline import C
    >>> from bf_research import Option
    >>> research = Research().init_domain(Option('a', [2, 3]) * Option('b', [1, 2]))
    >>> research = research.add_callable(power, C('a'), C('b'), returns='power')
    >>> table = research.run(name=getfixture('tmp_path') / 'powers', parallel=False).results
    >>> list(table['power'])
    [2, 4, 3, 9]
    """

    def __init__(self, domain: Domain | None = None) -> None:
        self._domain = Domain()
        self._units: list[Unit] = []
        self._results = Results()
        #: Folder of the journal and of the trials' files, once it has run.
        self.folder: Path | None = None
        self.init_domain(domain)

    def __repr__(self) -> str:
        units = ", ".join(unit.name for unit in self._units) or "no units"
        return f"<Research of {units} over {self._domain!r}>"

    # What a trial does

    def init_domain(
        self,
        domain: Domain | Mapping[str, Any] | None = None,
        n_configs: int | None = None,
        n_reps: int | None = None,
        repeat_each: int | None = None,
    ) -> Self:
        """Set the domain of configurations; None is one empty configuration.

        The numbers override those of the domain's own ``set_iterator``, in a copy of it.
        """
        self._domain = domain if isinstance(domain, Domain) else Domain(domain)
        given = {"n_iters": n_configs, "n_reps": n_reps, "repeat_each": repeat_each}
        changed = {name: value for name, value in given.items() if value is not None}
        if changed:
            self._domain = Domain(self._domain)
            self._domain.set_iterator(**{**asdict(self._domain.plan), **changed})
        return self

    @property
    def domain(self) -> Domain:
        """The domain of configurations."""
        return self._domain

    @property
    def experiment(self) -> Experiment:
        """The units in their order."""
        return Experiment(tuple(self._units))

    def add_pipeline(
        self,
        root: Pipeline,
        branch: Pipeline | None = None,
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
        such as ``C('fold').attr('train')``. Further keywords go to the pipeline's config.
        """
        for part in (root, branch):
            if not isinstance(part, Pipeline | None) or root is None:
                raise TypeError(f"add_pipeline: a Pipeline is needed, got {part!r}")
        schedule = Schedule.of(execute, name or "add_pipeline")
        if root.dataset is None and dataset is None:
            raise ValueError(
                f"add_pipeline({name!r}): the pipeline has no dataset; give pipeline << dataset, or dataset="
            )
        name = self._free_name(name, "pipeline")
        whole = schedule.only_last if run is None else run
        kept = self._free_returns(_as_names(variables), name)
        unit = PipelineUnit(name, root, branch, dataset, import_from, whole, kept, config, schedule)
        unit.check_config()
        return self._add(unit)

    def add_callable(
        self,
        function: Callable[..., Any],
        *args: Any,
        returns: Names = None,
        name: str | None = None,
        execute: Execute = 1,
        **kwargs: Any,
    ) -> Self:
        """Add a function; its arguments may be expressions: ``C('lr')``, ``RI()``, ``RP('train')``, ``RD()``.

        ``returns`` names what goes to the results: one name for the value, several for its items.
        """
        return self._add_function(CallableUnit, function, args, kwargs, (returns, name, execute))

    def add_generator(
        self,
        function: Callable[..., Iterator[Any]],
        *args: Any,
        returns: Names = None,
        name: str | None = None,
        execute: Execute = 1,
        **kwargs: Any,
    ) -> Self:
        """Add a generator function: each execution takes its next value; its end ends the iterations."""
        return self._add_function(GeneratorUnit, function, args, kwargs, (returns, name, execute))

    def add_training(
        self,
        function: Callable[..., Training],
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
        return self._add_function(TrainingUnit, function, args, kwargs, (returns, name, 1))

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
        options: tuple[Names, str | None, Execute],
    ) -> Self:
        returns, name, execute = options
        if not callable(function):
            raise TypeError(f"a function is needed, got {function!r}")
        text = getattr(function, "__name__", "function")
        check_keywords(f"the function {text}", function, tuple(kwargs))
        name = self._free_name(name, text)
        kept = self._free_returns(_as_names(returns), name)
        return self._add(kind(name, function, args, kwargs, kept, Schedule.of(execute, name)))

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
        reserved = {"id", "iteration", "repetition", "state"} & set(returns)
        if reserved:
            raise ValueError(f"{name}: {sorted(reserved)[0]!r} is a column already; name it otherwise")
        return returns

    # Running it

    def check(self) -> None:
        """Check all units against the domain: ``ValueError`` lists what does not fit."""
        self.experiment.check(self._domain.examples())

    def run(
        self,
        n_iters: int | None = None,
        bar: bool = False,
        workers: int = 1,
        devices: Sequence[str] | None = None,
        name: str | Path | None = None,
        resume: Literal["never", "missing", "failed"] = "never",
        **options: Unpack[RunOptions],
    ) -> Self:
        """Run all trials that are left; return this research, with ``results``.

        ``n_iters``: iterations of each trial, None for as long as its data last. ``bar``: show a bar for the
        sweep and one a worker. ``workers`` and ``devices``: ``workers=2, devices=['gpu:0', 'gpu:1']``; fewer
        devices than workers are shared, without devices the processors are. ``name``: folder of the journal
        and the trials' files, a new one below ``research`` by default; one that holds a sweep is refused
        unless ``resume`` is ``'missing'`` (run what is not finished) or ``'failed'`` (and what failed). For
        ``options`` see ``RunOptions``. A trial that fails does not stop the others: its state and traceback
        are in the results, and a table of failures is logged.
        """
        from bf_research.research.run import run  # late: start-up time of what only trains

        folder = _choose_folder(name)
        further = {"bar": bar, "workers": workers, "devices": devices, **_check_options(options)}
        self._results = run(self.experiment, self._domain, folder, n_iters, resume, further)
        self.folder = folder
        return self

    def test(self, n_iters: int = 1) -> list[dict[str, Any]]:
        """Run an iteration of the first configuration in this process; return its rows, raise its errors."""
        self.check()
        with tempfile.TemporaryDirectory(prefix="bf-research-") as folder:
            return self.experiment.run(Trial(self._domain[0]), Path(folder), n_iters)

    # What came out

    @property
    def results(self) -> pd.DataFrame:
        """Table of results: configuration with real values, repetition, iteration, results, state."""
        return self._results.df

    @property
    def trials(self) -> Results:
        """The results as a value that can be filtered, ranked, saved; ``trials.failures`` has tracebacks."""
        return self._results

    def save(self, path: str | Path) -> None:
        """Write the results to a ``.json`` or ``.parquet`` file; ``Research.load`` reads it."""
        self._results.save(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read the results of a folder or of a file that ``save`` wrote; nothing in it is run.

        To go on with a sweep, build the same research and ``run(name=folder, resume='missing')``.
        """
        path = Path(path)
        research = cls()
        if not path.exists():
            raise FileNotFoundError(
                f"Research.load: there is no folder or file {str(path)!r} in {Path.cwd()}"
            )
        if path.is_dir():
            if not journal.exists(path):
                raise FileNotFoundError(f"{escape(path)} holds no sweep: there is no {journal.JOURNAL} in it")
            research._results = Results.of(journal.read(path))
            research.folder = path
        else:
            research._results = Results.load(path)
        return research


def _check_options(options: Mapping[str, Any]) -> RunOptions:
    """Refuse unknown options: a ``TypeError`` with close matches."""
    known = RunOptions.__annotations__
    for name in options:
        if name not in known:
            names = ("n_iters", "bar", "workers", "devices", "name", "resume", *known)
            raise TypeError(unknown("argument", name, names, "Research.run"))
    return cast("RunOptions", dict(options))


def _as_names(names: Names) -> tuple[str, ...]:
    return (names,) if isinstance(names, str) else tuple(names or ())


def _choose_folder(name: str | Path | None) -> Path:
    """Return the folder of a name; without one, a new folder named after the day and time."""
    if name is not None:
        return Path(name)
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folders = (
        Path("research") / (stamp if number == 1 else f"{stamp}-{number}") for number in range(1, 1000)
    )
    return next(folder for folder in folders if not folder.exists())
