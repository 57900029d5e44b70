"""The experiment of a trial: its units run iteration by iteration."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Generator, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bf_pipeline.expressions.base import walk
from bf_research.domain.config import Config
from bf_research.sweep.journal import to_json
from bf_research.sweep.trial import Trial
from bf_research.units.base import Iterations, Report, RunningTrial, Unit
from bf_research.units.dumps import DumpUnit, forget_rows, write_times
from bf_research.units.expressions import RO, S, expression_faults, own_faults
from bf_research.units.functions import GeneratorUnit
from bf_research.units.shared_roots import ALONE, Branch


@dataclass(frozen=True)
class Experiment:
    """The units of a trial in their order, as they are sent to workers."""

    units: tuple[Unit, ...]
    #: Whether each trial writes down how long its units took.
    profile: bool = False

    def check(self, configs: Iterable[Config]) -> None:
        """Check all units against these configurations: ``ValueError`` lists what does not fit."""
        if not self.units:
            raise ValueError("this research has no units; add_pipeline, add_callable or add_generator first")
        faults: dict[str, None] = {}
        for config in configs:
            faults |= dict.fromkeys(self.faults(config))
        if faults:
            raise ValueError("the research does not fit together:\n" + "\n".join(faults))

    def faults(self, config: Config) -> list[str]:
        """Return what is wrong, so that it is known before any worker starts."""
        found: list[str] = []
        known = config_for_units(config)
        results = [name for unit in self.units for name in unit.returns]
        if names_own_results(self.units):
            results = []  # nobody can know them all
        for number, unit in enumerate(self.units):
            before = self.units[:number]
            taken = [name for name in unit.returns if name in config]
            faults = [
                *(f"{name!r} is an option, no result can have its name; name it otherwise" for name in taken),
                *unit.faults(before, known),
                *expression_faults(unit.arguments, before, results, known),
                *(own_faults(unit.arguments, before) if getattr(unit, "root", False) else ()),
            ]
            found += [f"unit {unit.name!r}: {text}" for text in faults]
        return found

    def run(
        self,
        trial: Trial,
        folder: Path,
        n_iters: int | None,
        report: Report = lambda iteration, results: None,
        stopping: Callable[[], bool] = lambda: False,
    ) -> list[dict[str, Any]]:
        """Run a trial to its end and return its rows: ``iteration`` and the results of that iteration.

        Without ``n_iters`` it goes on until a generator or a pipeline ends, or for one iteration when there
        is nothing that ends; an iteration in which the data end is not recorded. Units of the last iteration
        run at its number. KeyboardInterrupt when ``stopping()`` says so before an iteration.
        """
        return finish(self.iterations(trial, folder, n_iters, report, stopping))

    def iterations(
        self,
        trial: Trial,
        folder: Path,
        n_iters: int | None,
        report: Report,
        stopping: Callable[[], bool],
        branch: Branch = ALONE,
    ) -> Iterations:
        """Run as ``run`` does, iteration by iteration, so that trials may run side by side."""
        units = {unit.name: unit for unit in self.units}
        running = RunningTrial(trial, folder, config_for_units(trial.config), units, n_iters, branch=branch)
        running.wanted = frozenset(
            expr.unit for unit in self.units for expr in walk(unit.arguments) if isinstance(expr, RO)
        )
        if any(isinstance(unit, DumpUnit) for unit in self.units):
            forget_rows(folder)
        try:
            ended_early = yield from self._iterate(running, report, stopping)
            if ended_early or n_iters is None:
                running.iteration = max(running.iteration - 1, 0)
                self._take(running, report, [unit for unit in self.units if unit.schedule.last])
        except KeyboardInterrupt as error:
            error.bf_rows = list(running.rows)  # type: ignore[attr-defined]
            raise
        finally:
            running.close()
            if self.profile:
                write_times(folder, running.times)
        return running.rows

    def _iterate(
        self,
        running: RunningTrial,
        report: Report,
        stopping: Callable[[], bool],
    ) -> Generator[None, None, bool]:
        """Run iterations up to ``n_iters`` or to the end of the data; return whether the data ended."""
        halts = any(getattr(unit, "halts", False) for unit in self.units)
        limit = running.n_iters if running.n_iters is not None or self._ends() else 1
        while limit is None or running.iteration < limit:
            if stopping() and not halts:
                raise KeyboardInterrupt
            due = [unit for unit in self.units if unit.schedule.at(running.iteration, running.n_iters)]
            try:
                self._take(running, report, due)
            except EndOfData:
                return True
            running.iteration += 1
            yield
        return False

    def _ends(self) -> bool:
        """Whether some unit's data end by themselves."""
        return any(getattr(unit, "ends", isinstance(unit, GeneratorUnit)) for unit in self.units)

    def _take(self, running: RunningTrial, report: Report, units: Sequence[Unit]) -> None:
        """Run units in one iteration, add their results to its row, and write down what is to be written."""
        found: dict[str, Any] = {}
        rows = running.rows
        for unit in units:
            began = time.perf_counter()
            try:
                found |= unit.execute(running)
            except StopIteration:
                if unit.schedule.only_last:
                    continue
                raise EndOfData from None
            except Exception as error:
                error.bf_rows = [*rows, {"iteration": running.iteration, **found}]  # type: ignore[attr-defined]
                error.add_note(
                    f"in unit {unit.name!r}, iteration {running.iteration}, of trial {running.trial.id}"
                )
                raise
            finally:
                running.note_time(unit.name, time.perf_counter() - began)
                found |= running.named
                running.named.clear()
                running.latest |= found
        if found:
            self._add_row(running, report, found)
        for unit in units:
            if isinstance(unit, DumpUnit):
                unit.write(running)

    @staticmethod
    def _add_row(running: RunningTrial, report: Report, found: Mapping[str, Any]) -> None:
        found, rows = json.loads(json.dumps(found, default=to_json)), running.rows
        if rows and rows[-1]["iteration"] == running.iteration:
            rows[-1] |= found
        else:
            rows.append({"iteration": running.iteration, **found})
        report(running.iteration, found)


def finish(iterations: Iterations) -> list[dict[str, Any]]:
    """Go on to the end and return the rows."""
    while True:
        try:
            next(iterations)
        except StopIteration as end:
            rows: list[dict[str, Any]] = end.value
            return rows


class EndOfData(Exception):
    """A unit has no more data: the trial's iterations are over."""


def names_own_results(units: Sequence[Unit]) -> bool:
    """Whether some unit names results itself, so that nobody can know them all."""
    return any(isinstance(expr, S) for unit in units for expr in walk(unit.arguments))


def config_for_units(config: Config) -> dict[str, Any]:
    """Return the config for units: flat names, sections where they do not clash, the repetition.

    ``ValueError`` for options ``a`` and ``a/b``: what pipelines read at ``a`` holds what is at ``a/b``.
    """
    for name in config:
        path = name.split("/")
        for end in range(1, len(path)):
            if (above := "/".join(path[:end])) in config:
                raise ValueError(
                    f"option {name!r} lies inside option {above!r}, which has values of its own: "
                    "give the values of the inner ones only, or rename one"
                )
    try:
        sections = config.nested()
    except ValueError:  # 'model' and 'model.lr' at once: only the flat names are there
        sections = {}
    return {"repetition": config.repetition, **sections, **config}
