"""Where the trials of a research run: on warm workers with devices, or in this very process."""

from __future__ import annotations

import itertools
import sys
import time
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any

from bf_pipeline.errors import Terminated
from bf_research.domain.config import Config
from bf_research.domain.domain import Domain
from bf_research.domain.option import KV
from bf_research.launcher import channel
from bf_research.launcher.channel import OwnLink, connected, pruned, report, stopping, watched, where
from bf_research.launcher.devices import Slot, find_machine, plan
from bf_research.launcher.display.choice import choose_monitor, tell_nothing
from bf_research.launcher.errors import JobStopped, PassingError, TrialPruned
from bf_research.launcher.jobs import Done, Interrupts, Job, Policy
from bf_research.launcher.worker import make_portable, redirect_output
from bf_research.sweep.sweep import Ask
from bf_research.sweep.trial import Ended, Trial, TrialState, reason, traceback_text
from bf_research.tracking.choice import make_tracker
from bf_research.tracking.run_scope import FOLDER_TAG, record_run
from bf_research.tracking.tracker import NoTracker, Tracker, flatten
from bf_research.units.base import Iterations, Unit
from bf_research.units.dumps import read_rows
from bf_research.units.experiment import Experiment, finish
from bf_research.units.functions import find_imports
from bf_research.units.instances import InstanceUnit
from bf_research.units.shared_roots import ALONE, Branch, Roots

_STATES: Mapping[str, TrialState] = {
    "ok": TrialState.DONE,
    "failed": TrialState.FAILED,
    "crashed": TrialState.CRASHED,
    "timeout": TrialState.TIMEOUT,
    "killed": TrialState.KILLED,
    "pruned": TrialState.PRUNED,
}
OUTPUT, TRIALS = "output.txt", "trials"


@dataclass(frozen=True)
class TrialWork:
    """The work of one trial: the experiment runs in the trial's folder and is recorded.

    ``metric``: a result that the stopping rule of the sweep looks at; each value of it is a step.
    """

    experiment: Experiment
    folder: Path
    n_iters: int | None
    tracking: Mapping[str, Any] | None
    keep_output: bool
    metric: str | None = None

    def __call__(self, trial: Trial) -> list[dict[str, Any]]:
        """Run a trial and return its rows; ``TrialPruned`` when the stopping rule stopped it."""
        with self.output(trial), watched(None):
            try:
                return finish(self.iterations(trial))
            except KeyboardInterrupt as error:
                if (why := pruned()) is None:
                    raise
                raise TrialPruned(why, getattr(error, "bf_rows", ())) from error

    def output(self, trial: Trial) -> AbstractContextManager[None]:
        """Send what is printed to the trial's folder, if it is to be kept."""
        return redirect_output(self.place(trial) / OUTPUT) if self.keep_output else nullcontext()

    def place(self, trial: Trial) -> Path:
        """Return the folder of a trial."""
        return self.folder / TRIALS / trial.id

    def iterations(self, trial: Trial, branch: Branch = ALONE) -> Iterations:
        """Run a trial iteration by iteration, recorded."""
        folder = self.place(trial)
        folder.mkdir(parents=True, exist_ok=True)
        tracker = self._make_tracker()
        tags = {"bf.job": str(trial.number), "bf.device": where(), FOLDER_TAG: str(folder.absolute())}
        with record_run(tracker, trial.id, tags):
            tracker.ready()
            tracker.log_params(
                flatten({**trial.config.aliases, "repetition": trial.config.repetition}, trial.masks)
            )

            steps = itertools.count(1)

            def record(iteration: int, results: Mapping[str, Any]) -> None:
                numbers = {name: value for name, value in results.items() if _is_number(value)}
                for name, value in numbers.items():
                    tracker.log_metric(name, value, iteration)
                report(iteration + 1, self.n_iters, **numbers)
                if self.metric in numbers:
                    value = float(numbers[str(self.metric)])
                    channel.ask(next(steps), value, iteration + 1 == self.n_iters)

            return (
                yield from self.experiment.iterations(trial, folder, self.n_iters, record, stopping, branch)
            )

    def _make_tracker(self) -> Tracker:
        if self.tracking is None:
            return NoTracker()
        return make_tracker(self.tracking)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


@dataclass(frozen=True)
class SideBySide:
    """The work of several trials side by side, iteration by iteration: branches that share their roots."""

    work: TrialWork

    def __call__(self, trials: Sequence[Trial]) -> list[Any]:
        """Run trials; return for each its rows or the error that it ended with."""
        roots = Roots([trial.config for trial in trials])
        running = {
            place: self.work.iterations(trial, Branch(roots, place)) for place, trial in enumerate(trials)
        }
        ends: dict[int, Any] = {}
        while running:
            for place, iterations in list(running.items()):
                try:
                    with self.work.output(trials[place]):
                        next(iterations)
                    continue
                except StopIteration as end:
                    ends[place] = end.value
                except KeyboardInterrupt:
                    ends[place] = JobStopped("the trial stopped at an iteration, as the sweep asked")
                except Terminated:
                    raise
                except (Exception, SystemExit) as error:  # noqa: BLE001 - the edge of a trial: its end
                    ends[place] = make_portable(error)
                del running[place]
                roots.leave(place)
        return [ends[place] for place in range(len(trials))]


@dataclass(frozen=True)
class PackedTrial:
    """A trial on its way to a worker: shared values are sent as their place among these."""

    trial: Trial
    places: Mapping[str, int]


class SharedValues:
    """Values of a domain's options, sent to each worker once: they may be data sets or classes."""

    def __init__(self, domain: Domain) -> None:
        self._values = list(domain.values_by_id().values())
        self._places = {id(kv): place for place, kv in enumerate(self._values)}

    def pack(self, trial: Trial) -> PackedTrial:
        """Return a trial without the values that are shared."""
        values = trial.config.values_by_name()
        places = {name: self._places[id(kv)] for name, kv in values.items() if id(kv) in self._places}
        left = {name: None if name in places else kv for name, kv in values.items()}
        return PackedTrial(replace(trial, config=Config(left, trial.config.repetition)), places)

    def unpack(self, packed: PackedTrial) -> Trial:
        """Return the trial with its shared values."""
        trial = packed.trial
        values = trial.config.values_by_name() | {
            name: self._values[place] for name, place in packed.places.items()
        }
        return replace(trial, config=Config(values, trial.config.repetition))

    def __getstate__(self) -> list[KV]:
        return self._values

    def __setstate__(self, values: list[KV]) -> None:
        self._values, self._places = values, {}


@dataclass(frozen=True)
class PackedWork:
    """The work of a worker that has the shared values."""

    work: TrialWork
    shared: SharedValues

    def __call__(self, packed: Sequence[PackedTrial]) -> list[Any]:
        """Run a trial, or several side by side."""
        trials = [self.shared.unpack(one) for one in packed]
        return [self.work(trials[0])] if len(trials) == 1 else SideBySide(self.work)(trials)


def spread_workers(workers: int, devices: Sequence[str] | None) -> list[Slot]:
    """Spread workers over devices: fewer devices than workers are shared evenly, more go several to each.

    ``ValueError`` for a number of workers below 1 and for devices that are not there.
    """
    if isinstance(workers, bool) or not isinstance(workers, int) or workers < 1:
        raise ValueError(f"workers must be a whole number above 0, got {workers!r}")
    if isinstance(devices, str):
        raise TypeError(f"devices is a list such as ['gpu:0', 'gpu:1'], got {devices!r}")
    if devices is None:
        devices = [f"cpu:{number}" for number in range(workers)]
    count = max(len(devices), 1)
    return plan(
        list(devices),
        find_machine(),
        workers=workers,
        per_device=-(-workers // count),
        devices_per_job=max(count // workers, 1),
    )


@dataclass(frozen=True)
class Workers:
    """A place on warm workers, one a slot; crashed trials are tried again as the policy says."""

    work: TrialWork
    shared: SharedValues
    slots: Sequence[Slot]
    policy: Policy
    preload: tuple[str, ...] = ()
    bar: bool = False
    branches: int = 1
    best: Callable[[], str] = tell_nothing
    interrupts: Interrupts = field(default_factory=Interrupts)

    def start_early(self) -> None:
        """Have the workers' server start, which imports while this process still prepares."""
        from bf_research.launcher.pool import start_early  # late: start-up time

        start_early((__name__, *self.preload))

    def place(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None = None
    ) -> Generator[Ended, None, None]:
        """Run the trials; closing the iterator ends the workers' jobs."""
        from bf_research.launcher.pool import open_pool  # late: start-up time
        from bf_research.launcher.scheduler import Scheduler  # late: start-up time

        placed: dict[int, list[Trial]] = {}

        def jobs() -> Iterator[Job | None]:
            while (group := list(islice(trials, self.branches))) or placed:
                if not group:  # trials that still run may lead to an update of the domain
                    yield None
                    continue
                number = group[0].number
                placed[number] = group
                label = group[0].id + (f" and {len(group) - 1} more" if len(group) > 1 else "")
                yield Job(number, [self.shared.pack(trial) for trial in group], label)

        total = None if left is None else -(-left // self.branches)
        monitor = choose_monitor(total, [slot.name for slot in self.slots], self.bar, self.best)
        try:
            with open_pool((__name__, *self.preload), self.slots) as workers:
                answer = None if ask is None else lambda job, *told: ask(placed[job.number][0], *told)
                scheduler = Scheduler(workers, self.policy, monitor, self.interrupts, answer)
                with closing(scheduler.run(PackedWork(self.work, self.shared), jobs())) as ends:
                    for done in ends:
                        yield from translate_ends(placed.pop(done.job.number), done, self.work)
        finally:
            monitor.close()


def translate_ends(trials: Sequence[Trial], done: Done, work: TrialWork) -> Iterator[Ended]:
    """Yield how the trials of a job ended: each by itself, unless the job as a whole came to nothing."""
    values = done.value if done.kind == "ok" else [done.value] * len(trials)
    for trial, value in zip(trials, values, strict=True):
        state = _STATES[done.kind]
        if done.kind == "ok" and isinstance(value, Exception):
            state = _state_of(value)
        ended = _make_end(trial, state, value, done.seconds, done.job.attempt, done.slot)
        if not ended.rows and state is not TrialState.DONE:  # what it wrote before its process ended
            ended = replace(ended, rows=tuple(read_rows(work.place(trial))))
        yield ended


def _state_of(error: Exception) -> TrialState:
    """Return the state of a trial that ended with an error."""
    states = {JobStopped: TrialState.KILLED, TrialPruned: TrialState.PRUNED}
    return states.get(type(error), TrialState.FAILED)


def _make_end(trial: Trial, state: TrialState, value: Any, seconds: float, attempt: int, slot: str) -> Ended:
    """Return the end of a trial, from its rows or its error."""
    if state is TrialState.DONE:
        return Ended(trial, state, tuple(value), "", "", seconds, attempt, slot)
    if isinstance(value, TrialPruned):
        return Ended(trial, TrialState.PRUNED, value.rows, value.reason, "", seconds, attempt, slot)
    rows = tuple(getattr(value, "bf_rows", ()))
    passing = isinstance(value, PassingError)
    return Ended(trial, state, rows, reason(value), traceback_text(value), seconds, attempt, slot, passing)


@dataclass(frozen=True)
class InThisProcess:
    """A place in this process, one trial after another: for a debugger, and for what can't be pickled."""

    work: TrialWork
    branches: int = 1

    def place(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None = None
    ) -> Generator[Ended, None, None]:
        """Run the trials; an exception is the end of its trial only."""
        while group := list(islice(trials, self.branches)):
            began = time.monotonic()
            with nullcontext() if ask is None else connected(OwnLink(partial(ask, group[0]))):
                values = self._values(group)
            for trial, value in zip(group, values, strict=True):
                state = _state_of(value) if isinstance(value, Exception) else TrialState.DONE
                yield _make_end(trial, state, value, time.monotonic() - began, 1, "here")

    def _values(self, group: Sequence[Trial]) -> list[Any]:
        """Return for each trial its rows or the error that it ended with."""
        if len(group) > 1:
            return SideBySide(self.work)(group)
        try:
            return [self.work(group[0])]
        except Exception as error:  # noqa: BLE001 - the edge of a trial: recorded as its end
            return [error]
        except Terminated:
            raise
        except SystemExit as error:
            return [make_portable(error)]


def find_heavy_libraries(units: Sequence[Unit]) -> tuple[str, ...]:
    """Return the heavy modules that this program or a unit's function uses: workers import them only once."""
    used = set(sys.modules)
    for unit in units:
        function = unit.creator if isinstance(unit, InstanceUnit) else getattr(unit, "function", None)
        if callable(function):
            used |= {name.partition(".")[0] for name in find_imports(function)}
    if not used & {"bf_models", "keras", "tensorflow"}:
        return ()
    return ("tensorflow", "keras", *(["bf_models"] if "bf_models" in used else []))
