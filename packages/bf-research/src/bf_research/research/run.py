"""A run of a research: its options are checked first, then the sweep runs with its place and tracker."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from bf_index.errors import StateError, escape, unknown
from bf_research import targets
from bf_research.domain.domain import Domain
from bf_research.launcher.errors import LauncherError, SweepRefused
from bf_research.launcher.jobs import Policy
from bf_research.launcher.options import check_folder
from bf_research.research.place import (
    InThisProcess,
    SharedValues,
    TrialWork,
    Workers,
    find_heavy_libraries,
    spread_workers,
)
from bf_research.search.options import read_search
from bf_research.search.study import Proposals
from bf_research.stopping.directions import Ranking, choose_metric
from bf_research.stopping.rules import StoppingRule, read_stopping
from bf_research.sweep import journal
from bf_research.sweep.results import Results
from bf_research.sweep.sweep import Resume, Rules, Sweep, check_countable
from bf_research.sweep.tables import failure_table
from bf_research.sweep.trial import Trial, TrialState
from bf_research.tracking.choice import make_tracker, read_tracking
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.store import TrackingError
from bf_research.units.experiment import Experiment, config_for_units, names_own_results

log = logging.getLogger(__name__)


@dataclass(frozen=True, eq=False)
class PreparedRun:
    """A run whose options were checked, and which has not begun."""

    sweep: Sweep
    placer: InThisProcess | Workers
    tracking: Mapping[str, Any] | None

    def run(self) -> Results:
        """Run the trials that are left and return all results."""
        sweep = self.sweep
        with _record_sweep(self.tracking, sweep.folder, sweep.head["returns"]):
            results = sweep.run(self.placer)
        if results.failures:
            log.error("%s", failure_table(results, sweep.folder))
        return results

    def stop(self) -> None:
        """Have it stop as after Ctrl-C, from any thread; a second call ends running trials at once."""
        if isinstance(self.placer, Workers):
            self.placer.interrupts.ask()


def prepare(
    experiment: Experiment,
    domain: Domain,
    folder: Path,
    n_iters: int | None,
    resume: Resume,
    options: Mapping[str, Any],
    tell: Callable[[str], None] = lambda text: None,
) -> PreparedRun:
    """Prepare a run over the trials of a domain that are left; what is wrong is an error here.

    ``options``: the other arguments of ``Research.run``, by their names. ``tell`` is called with a line
    about each thing that happens.
    """
    if n_iters is not None and (isinstance(n_iters, bool) or not isinstance(n_iters, int) or n_iters < 1):
        raise ValueError(f"n_iters must be a whole number above 0 or None, got {n_iters!r}")
    places = spread_workers(options.get("workers", 1), options.get("devices"))
    policy = Policy(
        retries=options.get("retries", 1),
        timeout=options.get("timeout"),
        max_jobs_per_worker=options.get("max_jobs_per_worker", 0),
        stop_grace=options.get("stop_grace", 4.0),
    )
    experiment.check(domain.examples())
    experiment = replace(experiment, profile=options.get("profile", False))
    branches = _check_branches(experiment, domain, options.get("branches", 1))
    rule = _check_stopping(experiment, options.get("stopping"), branches)
    rules = Rules(resume, options.get("on_failure", "continue"), rule)
    search = _make_search(experiment, domain, folder.absolute(), options.get("search"))
    if search is None:
        check_countable(domain, "domain.set_iterator(n_iters=...)")
    returns = [name for unit in experiment.units for name in unit.returns]
    sweep = Sweep(domain, folder.absolute(), rules, returns=returns, tell=tell, search=search)
    units = [unit.name for unit in experiment.units]
    sweep.rank_by(_choose_ranking(returns, rule, search))
    sweep.head["research"] = {"n_iters": n_iters, "units": units, "returns": returns}
    _refuse_other_research(folder, sweep.head["research"])
    parallel = options.get("parallel", True)
    for name, given in (("timeout", policy.timeout is not None), ("detach", options.get("detach", False))):
        if not parallel and given:
            raise ValueError(
                f"{name}={options[name]} with parallel=False: only a trial in a process of its own can be "
                f"ended; leave out parallel=False or {name}"
            )
    tracking = _check_tracking(options.get("tracking"))
    metric = None if rule is None else rule.metric
    work = TrialWork(experiment, folder.absolute(), n_iters, tracking, parallel, metric)
    placer: InThisProcess | Workers = InThisProcess(work, branches)
    if parallel:
        named = options.get("preload", find_heavy_libraries(experiment.units))
        preload = (*named, *(("mlflow",) if targets.find_part(tracking, "MLflowTracker") else ()))
        bar = options.get("bar", False)
        best = sweep.standing.describe
        placer = Workers(work, SharedValues(domain), places, policy, preload, bar, branches, best)
    if options.get("test_run", False):
        _try_out(placer, domain)
    _check_folder(folder)
    if isinstance(placer, Workers):
        placer.start_early()
    return PreparedRun(sweep, placer, tracking)


def _choose_ranking(returns: Sequence[str], rule: StoppingRule | None, search: Proposals | None) -> Ranking:
    """Return how trials are ranked: by the metric of the search, of the rule, or by the results there are."""
    if search is not None:
        return Ranking(search.search.metrics[0], search.search.modes[0])
    if rule is not None:
        return Ranking(rule.metric, rule.mode)
    return Ranking(choose_metric(returns))


def _check_tracking(given: Any) -> dict[str, Any] | None:
    """Return the options of trackers; make them once: wrong ones are an error before anything starts."""
    tracking = read_tracking(given)
    if tracking is not None:
        make_tracker(tracking)
    return tracking


def _check_stopping(experiment: Experiment, given: Any, branches: int) -> StoppingRule | None:
    """Return the stopping rule with its metric, which must be a result of the units: else ``ValueError``."""
    rule = read_stopping(given)
    if rule is None:
        return None
    if branches > 1:
        raise ValueError(
            f"stopping with branches={branches}: trials that share their batches can't end one by one; leave "
            "one of the two out"
        )
    returns = [name for unit in experiment.units for name in unit.returns]
    if rule.metric is None and len(returns) != 1:
        raise ValueError(
            f"stopping: the rule needs the metric that it looks at, one of the results {returns}: "
            f"{type(rule).__name__}(metric=...)"
        )
    rule = rule if rule.metric is not None else replace(rule, metric=returns[0])
    if rule.metric not in returns and not names_own_results(experiment.units):
        raise ValueError(unknown("result", str(rule.metric), returns, "stopping: metric"))
    return rule


def _make_search(experiment: Experiment, domain: Domain, folder: Path, given: Any) -> Proposals | None:
    """Return what proposes the configurations; its metrics must be results of the units: ``ValueError``."""
    search = read_search(given)
    if search is None:
        return None
    returns = [name for unit in experiment.units for name in unit.returns]
    if not search.metrics:
        raise ValueError(f"search: name the result that is to become better, Search(metric=...): {returns}")
    for metric in search.metrics:
        if metric not in returns and not names_own_results(experiment.units):
            raise ValueError(unknown("result", metric, returns, "search: metric"))
    return Proposals(search, domain, folder, journal.read_earlier(search.warm_start))


def _check_folder(folder: Path) -> None:
    """Refuse a folder that can't be made or written: ``LauncherError``, a ``ValueError``."""
    try:
        check_folder(str(folder.resolve()))
    except LauncherError as error:
        raise LauncherError(str(error).replace("hydra.sweep.dir=", "name=")) from None


def _refuse_other_research(folder: Path, now: Mapping[str, Any]) -> None:
    """Raise ``StateError`` for a folder that began with another research: results could not be compared.

    The domain may be another: only its new trials run. Journals of earlier versions do not hold this.
    """
    before = journal.read(folder).head.get("research") if journal.exists(folder) else None
    for name, value in now.items():
        if before is not None and before.get(name, value) != value:
            raise StateError(
                f"{escape(folder)} holds a sweep that began with {name}={before[name]!r}, got {value!r}; "
                "give the same again, or this research another name"
            )


def _check_branches(experiment: Experiment, domain: Domain, branches: int) -> int:
    """Return the number of branches; ``ValueError`` when nothing shares a root or the roots differ."""
    if isinstance(branches, bool) or not isinstance(branches, int) or branches < 1:
        raise ValueError(f"branches must be a whole number above 0, got {branches!r}")
    if branches == 1:
        return branches
    if not any(getattr(unit, "root", False) or getattr(unit, "branch", None) for unit in experiment.units):
        raise ValueError(
            f"branches={branches}: nothing has a root to share; add_pipeline(root=..., branch=...), or "
            "root=True for a function or an instance"
        )
    differing = {"repetition", *domain.names}
    config = config_for_units(domain[0])
    for unit in experiment.units:
        for fault in getattr(unit, "root_faults", _no_faults)(config, differing):
            raise ValueError(f"branches={branches}: unit {unit.name!r}: {fault}")
    return branches


def _no_faults(config: Mapping[str, Any], differing: set[str]) -> tuple[str, ...]:
    return ()


def _try_out(placer: InThisProcess | Workers, domain: Domain) -> None:
    """Run one iteration of the first configuration; ``RuntimeError`` with its traceback when it fails."""
    with tempfile.TemporaryDirectory(prefix="bf-research-") as folder:
        once = replace(
            placer,
            branches=1,
            work=replace(placer.work, folder=Path(folder), n_iters=1, tracking=None, metric=None),
        )
        for ended in once.place(iter([Trial(domain[0])]), 1):
            if ended.state is not TrialState.DONE:
                raise RuntimeError(
                    f"the test run failed, so no trial was begun: {ended.reason}\n{ended.error}"
                )


@contextmanager
def _record_sweep(tracking: Mapping[str, Any] | None, folder: Path, returns: Sequence[str]) -> Iterator[None]:
    """Record the sweep as the parent run of its trials, as ``hydra`` multiruns are."""
    if tracking is None:
        yield
        return
    from omegaconf import OmegaConf

    from bf_research.tracking.callback import SweepTracking, abandon  # late: hydra, needed by nothing else

    config = OmegaConf.create(
        {"tracking": dict(tracking), "hydra": {"sweep": {"dir": str(folder.absolute())}}}
    )
    callback = SweepTracking(choose_metric(returns) or "value")
    try:
        callback.on_multirun_start(config)
    except SweepRefused as error:
        raise TrackingError(str(error.__cause__)) from error.__cause__
    context = SweepContext.current()
    try:
        yield
    except BaseException:
        if context is not None:
            abandon(context.run_id)
        raise
    try:
        callback.on_multirun_end(config)
    except Exception as error:  # noqa: BLE001 - the trials are done: a store that is away must not cost them
        log.warning("all trials are done, but the sweep's summary is not in MLflow: %s", error)
        SweepContext.withdraw()
