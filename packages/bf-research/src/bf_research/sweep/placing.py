"""Where the trials of ``hydra/sweeper=domain`` run: behind whichever launcher Hydra has."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Generator, Iterator, Mapping
from contextlib import closing, contextmanager, nullcontext
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, filter_overrides

from bf_pipeline.redaction.values import redact_command
from bf_research.clusters import launchers
from bf_research.clusters.listener import Asked, Listener, pause_after
from bf_research.launcher.channel import OwnLink, connected
from bf_research.launcher.compose import Composer
from bf_research.launcher.display.choice import tell_nothing
from bf_research.launcher.errors import LauncherError
from bf_research.launcher.hydra_private import task_overrides
from bf_research.launcher.jobs import Job
from bf_research.stopping.rules import StoppingRule
from bf_research.sweep.hydra_trial import RecordedTask, translate_end
from bf_research.sweep.overrides import Keys, trial_overrides
from bf_research.sweep.sweep import Ask
from bf_research.sweep.trial import Ended, Trial


@dataclass(frozen=True)
class ThroughLauncher:
    """A place behind Hydra's launcher: trials go one by one where it can stream, as a list where it can't.

    Ray and submitit, whose launchers take lists, are given trials one by one by ourselves.
    """

    launcher: Any
    composer: Composer
    task: RecordedTask
    folder: Path
    fixed: list[str]
    keys: Keys
    repetitions: bool
    folds: int | None = None
    #: returns what is best so far, for people
    best: Callable[[], str] = tell_nothing

    def overrides(self, trial: Trial) -> list[str]:
        """Write a trial's overrides."""
        return trial_overrides(trial, self.fixed, self.keys, self.repetitions, self.folds)

    def place(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None = None
    ) -> Generator[Ended, None, None]:
        """Run the trials; a launcher without streams gets all of them at once."""
        taken: dict[int, Trial] = {}  # what runs, by the number of its job
        with closing(self._choose(trials, left, ask, taken)) as ends:
            for number, job in ends:
                yield translate_end(taken.pop(number), job)

    def _choose(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None, taken: dict[int, Trial]
    ) -> Generator[tuple[int, JobReturn], None, None]:
        if hasattr(self.launcher, "launch_stream"):
            yield from self._stream(trials, left, ask, taken)
        elif launchers.is_cluster(self.launcher):
            yield from self._through_cluster(trials, left, ask, taken)
        else:
            yield from self._all_at_once(trials, ask, taken)

    def _stream(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None, taken: dict[int, Trial]
    ) -> Iterator[tuple[int, JobReturn]]:
        """Run trials on our own launcher."""

        def overrides() -> Iterator[list[str]]:
            for number, trial in enumerate(trials):
                taken[number] = trial
                yield self.overrides(trial)

        options: dict[str, Any] = {} if ask is None else {"answer": _answer_of(ask, taken)}
        yield from self.launcher.launch_stream(
            overrides(), initial_job_idx=0, total=left, composer=self.composer, **options
        )

    def _through_cluster(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None, taken: dict[int, Trial]
    ) -> Iterator[tuple[int, JobReturn]]:
        """Run trials on the engine of a cluster's launcher."""
        first = next(trials, None)
        if first is None:  # nothing is left to run: no cluster is started or asked
            return
        given = frozenset(task_overrides(self.launcher.config.hydra))
        coming, numbers = [first], count()

        def take() -> tuple[str, Job] | None:
            trial = coming.pop() if coming else next(trials, None)
            if trial is None:
                return None
            number = next(numbers)
            taken[number] = trial
            overrides = self.overrides(trial)
            label = redact_command(text for text in filter_overrides(overrides) if text not in given)
            return trial.id, Job(number, (overrides, number), label)

        answer = None if ask is None else _answer_of(ask, taken)
        with self._listening() as listener:
            yield from launchers.stream(self.launcher, take, listener, self.composer, left, answer, self.best)

    def _all_at_once(
        self, trials: Iterator[Trial], ask: Ask | None, taken: dict[int, Trial]
    ) -> Iterator[tuple[int, JobReturn]]:
        """Hand a launcher the list of all trials, and hear them meanwhile if they may be stopped."""
        taken.update(enumerate(trials))
        everything = [self.overrides(trial) for trial in taken.values()]
        if not everything:
            return
        if ask is None:
            hearing: Any = nullcontext()
        elif type(self.launcher).__name__ == "BasicLauncher":
            hearing = connected(_own_link(taken, ask))
        else:
            hearing = self._hearing(dict(taken), ask)
        with hearing:
            found = self.launcher.launch(everything, initial_job_idx=0)
        yield from enumerate(found)

    @contextmanager
    def _listening(self) -> Iterator[Listener]:
        """Have the files by which trials that are far away are heard."""
        listener = Listener(self.folder, self.task.token)
        self.task.linked = True
        try:
            yield listener
        finally:
            self.task.linked = False
            listener.close()

    @contextmanager
    def _hearing(self, taken: Mapping[int, Trial], ask: Ask) -> Iterator[None]:
        """Hear and answer trials from a thread, while the launcher waits for all of them."""
        by_name = {trial.id: trial for trial in taken.values()}
        over, errors = threading.Event(), []

        with self._listening() as listener:
            for name in by_name:
                listener.open(name)

            def hear() -> None:
                try:
                    while not over.is_set():
                        began = time.monotonic()
                        heard = listener.hear()
                        pause = pause_after(time.monotonic() - began)
                        for said in heard:
                            if isinstance(said, Asked):
                                why = ask(by_name[said.trial], said.step, said.value, said.final)
                                listener.answer(said, why)
                        listener.beat()
                        over.wait(pause)
                except BaseException as error:  # noqa: BLE001 - raised where the sweep waits
                    errors.append(error)
                    listener.stop()

            thread = threading.Thread(target=hear, name="hearing trials", daemon=True)
            thread.start()
            try:
                yield
            except BaseException:
                listener.stop()
                raise
            finally:
                over.set()
                thread.join()
            if errors:
                raise errors[0]


def refuse_deaf(launcher: Any, rule: StoppingRule) -> None:
    """Raise ``LauncherError`` for a launcher whose trials can't ask whether to go on."""
    why = launchers.deaf_because(launcher)
    if why is not None:
        raise LauncherError(
            f"stopping={rule.name}: the trials of {type(launcher).__name__} can't ask the sweep whether to "
            f"go on: {why}; use launch=gpu (also for CPU places), launch=ray or launch=slurm, or "
            "stopping=null"
        )


def _answer_of(ask: Ask, taken: Mapping[int, Trial]) -> Callable[[Job, int, float, bool], str | None]:
    def answer(job: Job, step: int, value: float, final: bool) -> str | None:
        return ask(taken[job.number], step, value, final)

    return answer


def _own_link(taken: Mapping[int, Trial], ask: Ask) -> OwnLink:
    """Return the link of jobs in this process, which are known by the number that Hydra gives them."""

    def answer(step: int, value: float, final: bool) -> str | None:
        return ask(taken[int(HydraConfig.get().job.num)], step, value, final)

    return OwnLink(answer)
