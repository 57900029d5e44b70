"""Research: the units of an experiment, a domain of configurations, and a run over all of them."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, Unpack, cast

from bf_index.errors import escape, unknown
from bf_research.domain.domain import Domain
from bf_research.domain.walk import When
from bf_research.report.markup import Markup, cut, element
from bf_research.research.loggers import Loggers, Target, check_target
from bf_research.research.parts import Parts
from bf_research.research.trial_files import profile_rows, remove, with_dumps
from bf_research.search.options import Search
from bf_research.stopping.rules import StoppingRule
from bf_research.sweep import journal
from bf_research.sweep.results import Results
from bf_research.sweep.trial import Trial

if TYPE_CHECKING:
    import pandas as pd

    from bf_research.research.detached import DetachedRun


class RunOptions(TypedDict, total=False):
    """Further options of ``Research.run``.

    ``retries``: how often a trial whose process died is tried again (1). ``timeout``: seconds a trial may
    take (no limit). ``on_failure``: ``'continue'``, or ``'stop'`` to begin no trial after the first failure.
    ``parallel``: False runs all trials in this process, for a debugger. ``preload``: modules that workers
    import once (TensorFlow when this program uses it). ``max_jobs_per_worker``: 1 is a fresh process a trial
    (0: no limit). ``tracking``: options of ``MLflowTracker`` such as ``{'experiment': 'digits'}``, trackers
    by name such as ``['mlflow', 'tensorboard']``, or by name with options, ``{'csv': {'folder': 'tables'}}``;
    None for none. ``test_run``: try one iteration of the first configuration before the sweep, which is not
    begun if that fails. ``branches``: so many trials run side by side in a process and share the batches of
    their roots, see ``add_pipeline`` (1). ``stop_grace``: seconds that running trials have to stop by
    themselves after Ctrl-C (4). ``profile``: measure the units, see ``Research.profile``. ``detach``: return
    at once and go on in the background, see ``is_finished``, ``wait`` and ``terminate``. ``stopping``: the
    rule that ends bad trials early, such as ``ASHA(metric='accuracy')``; a step is a value of that result,
    and the state of what it stops is PRUNED. ``search``: what proposes the configurations, such as
    ``Search('tpe', metric='accuracy')``, so many as the domain's ``set_iterator(n_iters=...)`` says.
    """

    retries: int
    timeout: float | None
    on_failure: Literal["continue", "stop"]
    parallel: bool
    preload: Sequence[str]
    max_jobs_per_worker: int
    tracking: str | Sequence[str] | Mapping[str, Any] | None
    test_run: bool
    branches: int
    stop_grace: float
    profile: bool
    detach: bool
    stopping: StoppingRule | Mapping[str, Any] | None
    search: Search | Mapping[str, Any] | None


class Research(Parts):
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
        super().__init__()
        self._domain = Domain()
        self._results = Results()
        self._loggers: list[Target] = []
        self._detached: DetachedRun | None = None
        #: Folder of the journal and of the trials' files, once it has run.
        self.folder: Path | None = None
        self.init_domain(domain)

    def __repr__(self) -> str:
        units = ", ".join(unit.name for unit in self._units) or "no units"
        return f"<Research of {units} over {self._domain!r}>"

    def _repr_html_(self) -> str:
        """Return what runs over which domain, and the results so far, for a notebook."""
        units = ", ".join(unit.name for unit in self._units) or "no units"
        where = [element("p", "in ", element("code", str(self.folder)))] if self.folder else []
        running = [] if self.is_finished else [element("p", element("b", "it runs"))]
        what = element("p", element("b", "Research"), f" of {cut(units)} over {cut(self._domain)}")
        return element("div", what, *where, *running, Markup(self.trials._repr_html_()))

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

    def update_domain(
        self,
        function: Callable[[Results], Domain | None],
        when: When = "last",
        n_updates: int | None = None,
        n_reps: int | None = None,
        n_configs: int | None = None,
        repeat_each: int | None = None,
    ) -> Self:
        """Let ``function(results)`` return the domain to go on with, at one moment or several.

        ``when``: ``'last'`` (all trials are finished), a number (after every so many finished trials),
        ``'#i'`` (after exactly i of them), or a list of these. The other numbers are those of the new domains
        alone; see ``Domain.set_update``, which does the same for a domain.
        """
        self._domain = Domain(self._domain).set_update(
            function, when, n_updates, n_reps, n_configs, repeat_each
        )
        return self

    def add_logger(self, target: Target) -> Self:
        """Tell the begin and the end of the sweep and its trials, and updates of the domain, a line each.

        ``target``: ``'file'`` (``research.log`` in the folder), ``'print'`` (the standard output), or a
        function of a text. One that raises is told nothing more, and costs the sweep nothing.
        """
        self._loggers.append(check_target(target))
        return self

    @property
    def domain(self) -> Domain:
        """The domain of configurations."""
        return self._domain

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

        ``n_iters``: iterations of each trial, None for as long as its data last. ``bar``: show a table of
        the sweep. ``workers`` and ``devices``: ``workers=2, devices=['gpu:0', 'gpu:1']``; fewer
        devices than workers are shared, without devices the processors are. ``name``: folder of the journal
        and the trials' files, a new one below ``research`` by default; one that holds a sweep is refused
        unless ``resume`` is ``'missing'`` (run what is not finished) or ``'failed'`` (and what failed). For
        ``options`` see ``RunOptions``. A trial that fails does not stop the others: its state and traceback
        are in the results, and a table of failures is logged.
        """
        from bf_research.research.run import prepare  # late: start-up time of what only trains

        if not self.is_finished:
            raise RuntimeError(
                f"this research runs already, in {escape(self.folder)}; wait() or terminate() it first"
            )
        folder = _choose_folder(name)
        further = {"bar": bar, "workers": workers, "devices": devices, **_check_options(options)}
        tell = Loggers(self._loggers, folder.absolute())
        prepared = prepare(self.experiment, self._domain, folder, n_iters, resume, further, tell)
        if further.get("detach", False):
            from bf_research.research.detached import DetachedRun  # late: start-up time

            self._detached = DetachedRun(prepared)
        else:
            self._detached = None
            self._results = prepared.run()
        self.folder = folder
        return self

    # A run in the background

    @property
    def is_finished(self) -> bool:
        """Whether nothing runs: a run that was detached has ended, or there was none."""
        return self._detached is None or self._detached.is_finished

    def wait(self, timeout: float | None = None) -> bool:
        """Wait for a detached run, seconds at most; return whether it has ended.

        An error of the run, such as one of the function of ``update_domain``, is raised here, once.
        """
        return self._detached is None or self._detached.wait(timeout)

    def terminate(self, kill: bool = False) -> Self:
        """Stop a detached run and wait for its end: no trial begins, those that run stop at an iteration.

        They have ``stop_grace`` seconds for that; with ``kill`` they are ended at once. Their state is
        KILLED, ``run(name=folder, resume='missing')`` runs what is left.
        """
        if self._detached is not None and not self._detached.is_finished:
            self._detached.stop(kill)
            self._detached.wait()
        return self

    def test(self, n_iters: int = 1) -> list[dict[str, Any]]:
        """Run an iteration of the first configuration in this process; return its rows, raise its errors."""
        self.check()
        with tempfile.TemporaryDirectory(prefix="bf-research-") as folder:
            return self.experiment.run(Trial(self._domain[0]), Path(folder), n_iters)

    # What came out

    @property
    def results(self) -> pd.DataFrame:
        """Table of results: configuration with real values, repetition, iteration, results, state.

        While a detached run goes on, it has the trials so far; with ``add_dump`` the rows of those that run.
        """
        return self.trials.df

    @property
    def trials(self) -> Results:
        """The results as a value that can be filtered, ranked, saved; ``trials.failures`` has tracebacks."""
        if self._detached is None:
            return self._results
        return with_dumps(self._detached.results(), self.folder)

    @property
    def profile(self) -> pd.DataFrame:
        """Table of where the time of trials went: id, unit, calls, total and mean seconds, share of it.

        ``RuntimeError`` when nothing ran with ``profile=True``.
        """
        import pandas as pd

        rows = [] if self.folder is None else profile_rows(self.folder)
        if not rows:
            raise RuntimeError("there is no profile; run(..., profile=True) measures the units")
        return pd.DataFrame(rows)

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
            research._results = with_dumps(Results.of(journal.read(path)), path)
            research.folder = path
        else:
            research._results = Results.load(path)
        return research

    @staticmethod
    def remove(folder: str | Path) -> None:
        """Remove what a research wrote into its folder, and the folder if nothing else is in it.

        Runs in MLflow stay. ``FileNotFoundError`` for a folder without a sweep, ``SweepLocked`` for one that
        runs.
        """
        remove(Path(folder))


def _check_options(options: Mapping[str, Any]) -> RunOptions:
    """Refuse unknown options: a ``TypeError`` with close matches."""
    known = RunOptions.__annotations__
    for name in options:
        if name not in known:
            names = ("n_iters", "bar", "workers", "devices", "name", "resume", *known)
            raise TypeError(unknown("argument", name, names, "Research.run"))
    return cast("RunOptions", dict(options))


def _choose_folder(name: str | Path | None) -> Path:
    """Return the folder of a name; without one, a new folder named after the day and time."""
    if name is not None:
        return Path(name)
    stamp = time.strftime("%Y-%m-%d_%H-%M-%S")
    folders = (
        Path("research") / (stamp if number == 1 else f"{stamp}-{number}") for number in range(1, 1000)
    )
    return next(folder for folder in folders if not folder.exists())
