"""The loop of a sweep: which trials are left, what became of each, when the domain is updated."""

from __future__ import annotations

import signal
import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from types import FrameType
from typing import Any, Literal, Protocol

from bf_index.errors import escape, unknown
from bf_pipeline.errors import Terminated
from bf_research.domain.config import Config
from bf_research.domain.domain import Domain
from bf_research.masks import Masks
from bf_research.search.study import Proposals
from bf_research.stopping.directions import Ranking
from bf_research.stopping.rules import StoppingRule
from bf_research.sweep import journal as journals
from bf_research.sweep.journal import Journal
from bf_research.sweep.records import History, Record, Told
from bf_research.sweep.results import Results
from bf_research.sweep.standing import Standing
from bf_research.sweep.trial import FAILURES, Ended, Trial, TrialState

Resume = Literal["never", "missing", "failed"]
OnFailure = Literal["continue", "stop"]
Rows = Sequence[Mapping[str, Any]]
# Returns the results of a trial that was finished although the journal does not say so; None when it was not.
Recover = Callable[[str], Rows | None]
# Hears a trial's step, value, and whether it ends there; returns why it should stop, None to go on.
Ask = Callable[[Trial, int, float, bool], str | None]


class SweepFailed(RuntimeError):
    """Trials of the sweep failed; the message is the table of failures. The others are recorded."""


class Placer(Protocol):
    """A place where trials run: it takes the next when it has room and yields each that has ended.

    They end in any order. A trial is taken only when it can start. Closing the iterator stops what runs and
    leaves no process. ``trials`` may have more after its end, once trials have ended and the domain was
    updated: a placer asks again, or ends and is called again.
    """

    def place(
        self, trials: Iterator[Trial], left: int | None, ask: Ask | None = None
    ) -> Generator[Ended, None, None]:
        """Run the trials, of which so many are left (None: not known); ``ask`` is for those that may stop."""


@dataclass(frozen=True)
class Rules:
    """Rules for finished and failed trials.

    ``resume``: 'never' refuses a folder with a journal; 'missing' runs what is not finished and what failed
    by something around it (``PassingError``: a store that did not answer); 'failed' runs all that failed.
    ``on_failure``: 'continue', or 'stop' to start no more trials after the first failure.
    """

    resume: Resume = "never"
    on_failure: OnFailure = "continue"
    #: what stops bad trials early, with its metric
    stopping: StoppingRule | None = None

    def __post_init__(self) -> None:
        for name, value, known in (
            ("resume", self.resume, ("never", "missing", "failed")),
            ("on_failure", self.on_failure, ("continue", "stop")),
        ):
            if value not in known:
                raise ValueError(unknown(name, value, known))


def check_countable(domain: Domain, advice: str) -> None:
    """Raise ``ValueError`` for a domain without end or without any configuration."""
    if domain.endless:
        raise ValueError(f"{domain.endless_text}; {advice} says how many to run")
    if len(domain) == 0:
        raise ValueError(f"{domain!r} has no configuration: its conditions leave all of them out")


@dataclass(frozen=True)
class Trials(Iterator[Trial]):
    """The trials that are left; unlike a generator it may be asked again after its end."""

    take: Callable[[], Trial | None]

    def __next__(self) -> Trial:
        trial = self.take()
        if trial is None:
            raise StopIteration
        return trial


class Sweep:
    """One run over the trials of a domain, recorded in the journal of a folder."""

    def __init__(
        self,
        domain: Domain,
        folder: Path,
        rules: Rules | None = None,
        returns: Sequence[str] = (),
        recover: Recover = lambda trial_id: None,
        tell: Callable[[str], None] = lambda text: None,
        search: Proposals | None = None,
    ) -> None:
        self.rules = rules or Rules()
        if self.rules.resume == "never" and journals.exists(folder):
            raise ValueError(
                f"{escape(folder)} holds a sweep already; give this one another name, or go on "
                "with that one: "
                "resume='missing' (or 'failed' to try again what failed)"
            )
        self.domain, self.folder, self._recover, self._tell = domain, folder, recover, tell
        self._search, stopping = search, self.rules.stopping
        self._metric = None if stopping is None else stopping.metric
        self._judge = None if stopping is None else stopping.judge()
        self._journal: Journal | None = None
        self._values_told: dict[str, float] = {}
        #: Hears what the folder holds when the sweep goes on, before the first trial.
        self.begun: Callable[[History], None] = lambda history: None
        #: Hears of each trial that is finished, now or in a run before.
        self.standing = Standing()
        #: What the journal begins with.
        self.head: dict[str, Any] = {"domain": repr(domain), "returns": list(returns)}
        self.masks = Masks(folder)
        #: Configurations that the journal does not tell as they are: the others are in its records.
        self._values: dict[str, Config] = {}
        #: Trials of the folder that this sweep has not asked for.
        self.strangers: set[str] = set()
        self._seen: Counter[str] = Counter()
        self._number = self._finished = self._updates = 0
        self._stopped = False
        self._source: Iterator[Config] = iter(())
        self._history: History | None = None
        #: How many updates there had been when a placer found no trial left; None while it has not.
        self._ended_at: int | None = None

    def rank_by(self, ranking: Ranking, repeats: bool = True) -> None:
        """Rank trials so, also for who reads the folder; ``repeats``: a configuration may come twice."""
        self.standing = Standing(ranking.metric, ranking.mode, ranking.by_fold, repeats)
        self.head["ranking"] = asdict(ranking)

    def run(self, placer: Placer) -> Results:
        """Run what is left and return all results; failures are in them, not raised.

        ``SweepLocked`` when another process runs this sweep. Ctrl-C and SIGTERM stop the workers, mark the
        running trials KILLED and go on as KeyboardInterrupt or SystemExit.
        """
        with Journal(self.folder, {**self.head, "seed": self.domain.seed}) as journal:
            self._history, self._journal = journal.history, journal
            self.strangers = set(journal.history.records)
            self.begun(journal.history)
            self._prepare(journal)
            self._tell(f"the sweep over {self.head['domain']} begins in {escape(self.folder)}")
            try:
                with _terminate_as_exit():
                    self._run(journal, placer)
            finally:
                self._settle_unfinished(journal, "the sweep was stopped")
                counted = Counter(str(record.state) for record in journal.history.records.values())
                states = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
                self._tell(f"the sweep ends: {states or 'no trial'}")
            return self._results(journal)

    def results(self) -> Results:
        """Return the results so far, from any thread."""
        if self._history is None:
            return Results(declared=tuple(self.head["returns"]))
        records = {record.id: replace(record) for record in tuple(self._history.records.values())}
        return Results.of(History(self._history.head, records), dict(self._values))

    def _prepare(self, journal: Journal) -> None:
        """Take over the seed of a sweep that goes on, and the trials that an earlier start left."""
        seed = journal.history.head.get("seed")
        if seed is not None and self.domain.plan.seed is None:
            self.domain = self.domain.with_seed(int(seed))
        self._hear_again(journal)
        self._settle_unfinished(journal, "its driver died")
        search, seed = self._search, self.domain.seed
        self._source = iter(self.domain) if search is None else search.begin(seed)

    def _hear_again(self, journal: Journal) -> None:
        """Tell the stopping rule again what it heard before."""
        if self._judge is None:
            return
        for told in journal.history.told:
            if told.metric == self._metric:
                record = journal.history.records.get(told.trial)
                repetition = 0 if record is None else record.repetition
                self._judge.tell(told.trial, told.step, told.value, told.final, repetition)
                self._values_told[told.trial] = told.value

    def _settle_unfinished(self, journal: Journal, why: str) -> None:
        """Note how trials ended that nobody runs any more.

        One that finished may have left its results although its end was not noted, as when a launcher that
        hands back all of them at once is interrupted; one may have been told to stop. All else is KILLED.
        """
        stopped = {} if self._judge is None else self._judge.stopped
        for record in list(journal.history.records.values()):
            if record.state not in (TrialState.RUNNING, TrialState.KILLED):
                continue
            rows = self._recover(record.id)
            if rows is not None:
                journal.recover(record.id, rows)
            elif record.id in stopped:
                journal.prune(record.id, stopped[record.id], [self._last_told(record.id)])
            elif record.state is TrialState.RUNNING:
                journal.mark(record.id, TrialState.KILLED, why)

    def _last_told(self, trial_id: str) -> dict[str, float]:
        """Return the results of a trial that was stopped: at least the value that it was stopped by."""
        return {str(self._metric): self._values_told[trial_id]}

    def ask(self, trial: Trial, step: int, value: float, final: bool) -> str | None:
        """Return why the stopping rule stops a trial at a step, None to go on; the journal has both."""
        assert self._judge is not None
        assert self._journal is not None
        is_new = step > self._judge.told.get(trial.id, 0)
        why = self._judge.tell(trial.id, step, value, final, trial.config.repetition)
        self._values_told[trial.id] = value
        if is_new:
            self._journal.tell(Told(trial.id, str(self._metric), step, value, final), why)
        return why

    def _run(self, journal: Journal, placer: Placer) -> None:
        while True:
            self._ended_at = None
            ask = None if self._judge is None else self.ask
            endings = placer.place(Trials(lambda: self._take_next(journal)), self._count_left(journal), ask)
            with closing(endings):
                for ended in map(self._with_results, endings):
                    journal.end(ended)
                    why = f": {ended.reason}" if ended.reason else ""
                    self._tell(f"trial {ended.trial.id} {ended.state} after {ended.seconds:.1f} s{why}")
                    if ended.state in FAILURES and self.rules.on_failure == "stop":
                        self._stopped = True
                    if ended.state.finished:
                        self._hear(journal.history.records[ended.trial.id])
                        self._count_finished(journal)
            unseen = self._ended_at is not None and self._ended_at < self._updates
            if self._stopped or not (unseen or self._ask_for_update(journal, last=True)):
                return

    def _with_results(self, ended: Ended) -> Ended:
        """Return the end of a trial; one that was stopped has results in any case."""
        if ended.state is not TrialState.PRUNED or ended.rows:
            return ended
        return replace(ended, rows=(self._last_told(ended.trial.id),))

    def _take_next(self, journal: Journal) -> Trial | None:
        """Return the next trial that is left, noted as running; None when there is none now."""
        with journals.no_collections():  # a sweep that goes on passes all that is finished at once
            return self._find_next(journal)

    def _find_next(self, journal: Journal) -> Trial | None:
        while not self._stopped and (config := next(self._source, None)) is not None:
            trial = Trial(config, self._number, self._updates, masks=self.masks)
            plain = trial.id
            if again := self._seen[plain]:
                trial = Trial(config, self._number, self._updates, again, self.masks)
            self._seen[plain] += 1
            self._number += 1
            if not config.is_told_by(trial.recorded):
                self._values[trial.id] = config
            self.strangers.discard(trial.id)
            if self._search is not None:
                self._search.note(trial.id)
            record = journal.history.records.get(trial.id)
            if record is not None and self._leaves_alone(record):
                self._hear(record)
                self._count_finished(journal)
                continue
            journal.begin(trial)
            self._tell(f"trial {trial.id} begins")
            return trial
        self._ended_at = self._updates
        return None

    def _hear(self, record: Record) -> None:
        """Let the standing and the search know how a trial ended."""
        self.standing.hear(record)
        if self._search is not None:
            self._search.hear(record)

    def _leaves_alone(self, record: Record) -> bool:
        if record.state is TrialState.PRUNED:  # taken up again from its checkpoint when nothing stops it
            return self._judge is not None
        tried_again = record.passing or self.rules.resume == "failed"
        return record.state.finished and not (tried_again and record.state in FAILURES)

    def _count_finished(self, journal: Journal) -> None:
        self._finished += 1
        update = self.domain.update
        if update is not None and update.is_due(self._finished):
            self._ask_for_update(journal, last=False)

    def _ask_for_update(self, journal: Journal, last: bool) -> bool:
        """Ask for the next domain when it is time; return whether there is one."""
        update = self.domain.update
        if update is None or self._updates >= update.most or (last and not update.at_end):
            return False
        try:
            domain = update.function(self._results(journal))
        except Exception as error:
            raise RuntimeError(
                "in the function of set_update, which returns the next domain from the results: "
                f"{type(error).__name__}: {error}; the trials that ended are kept, repair it and go on with "
                "resume='missing'"
            ) from error
        if domain is None:
            return False
        if not isinstance(domain, Domain):
            raise TypeError(f"set_update: the function must return a Domain or None, got {domain!r}")
        if update.walk:
            domain = domain.with_walk(**update.walk)
        if domain.endless:
            raise ValueError(f"set_update: {domain.endless_text}; set_update(..., n_iters=...) says how many")
        self._updates += 1
        self._seen.clear()
        self._source = iter(domain)
        journal.update(self._updates, repr(domain))
        self._tell(f"update {self._updates}: the domain is {domain!r}")
        return True

    def _results(self, journal: Journal) -> Results:
        return Results.of(journal.history, self._values)

    def _count_left(self, journal: Journal) -> int | None:
        """Return how many trials are left; None when it is not known."""
        if self._updates or self.domain.endless:
            return None
        finished = sum(self._leaves_alone(record) for record in journal.history.records.values())
        return max(len(self.domain) - finished, 0)


@contextmanager
def _terminate_as_exit() -> Iterator[None]:
    """Let SIGTERM run the ``finally`` blocks on its way out; only the main thread may set handlers."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def leave(number: int, frame: FrameType | None) -> None:
        raise Terminated

    before = signal.signal(signal.SIGTERM, leave)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
