"""A study in the folder of a sweep: proposals in their order, whose results it hears."""

from __future__ import annotations

import math
import statistics
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from bf_index.seeding import rng_at
from bf_research.domain.config import Config
from bf_research.domain.domain import Domain
from bf_research.domain.option import canonical
from bf_research.search.options import Search
from bf_research.search.space import PART, Space
from bf_research.stopping.optuna_library import load_optuna

FILE = "optuna.jsonl"
_NAME, _WARM = "sweep", "bf.warm"
#: The address of the random numbers that samplers get, apart from all others.
_SEARCH = 23


class Finished(Protocol):
    """A trial as a journal has it."""

    @property
    def id(self) -> str:
        """Its name."""

    @property
    def config(self) -> Mapping[str, Any]:
        """Its configuration as JSON data."""

    @property
    def state(self) -> str:
        """How it ended."""

    @property
    def rows(self) -> Sequence[Mapping[str, Any]]:
        """Its results row by row."""


@dataclass
class _Proposal:
    """One proposal of the sampler: its trial in the study, and the trials of the sweep that it has become."""

    trial: Any
    config: Config
    ended: dict[str, Finished] = field(default_factory=dict)


class Proposals:
    """Configurations that a sampler proposes, ``n_reps`` times each; a sweep takes them in order.

    Each proposal has a sampler with a seed of its own, so that it depends on seed, number and the results
    until then alone: a sweep that was killed goes on with the same proposals.
    """

    def __init__(
        self, search: Search, domain: Domain, folder: Path, earlier: Sequence[Finished] = ()
    ) -> None:
        if domain.plan.n_iters is None:
            raise ValueError(
                f"search: say how many configurations {search.sampler} proposes: hydra.sweeper.n_iters=30, "
                "or domain.set_iterator(n_iters=30)"
            )
        if domain.update is not None:
            raise ValueError(
                "search: a domain with set_update has a search of its own; leave one of them out"
            )
        self.search, self.space, self._folder = search, Space(domain), folder
        self.count, self.n_reps = domain.plan.n_iters, domain.plan.n_reps
        self._seed = 0
        self._earlier = earlier
        self._of: dict[str, _Proposal] = {}
        self._last: _Proposal | None = None
        search.make_sampler(0)

    def begin(self, seed: int) -> Iterator[Config]:
        """Yield the configurations of a sweep with a seed, those of an earlier start first."""
        self._seed = seed
        study = self._open()
        waiting = [trial for trial in study.get_trials(deepcopy=False) if _WARM not in trial.user_attrs]
        number = 0
        for frozen in waiting:
            proposal = self._again(study, frozen)
            if proposal is not None and number < self.count:
                number += 1
                yield from self._repeat(proposal)
        for place in range(number, self.count):
            yield from self._repeat(self._ask(study, place))

    def note(self, trial_id: str) -> None:
        """Note the trial that the configuration yielded last has become."""
        assert self._last is not None
        self._of[trial_id] = self._last

    def hear(self, record: Finished) -> None:
        """Hear how a trial ended; the study is told when all repetitions of its proposal have."""
        proposal = self._of.get(record.id)
        if proposal is None:
            return
        proposal.ended[record.id] = record
        if len(proposal.ended) == self.n_reps and not proposal.trial.state.is_finished():
            self._tell(proposal)

    def _open(self) -> Any:
        """Open the study of the folder; a new one knows the results of the earlier sweep, if one is named."""
        optuna = load_optuna("search")
        backend = optuna.storages.journal.JournalFileBackend(str(self._folder / FILE))
        self._study = optuna.create_study(
            storage=optuna.storages.JournalStorage(backend),
            study_name=_NAME,
            directions=self.search.directions,
            load_if_exists=True,
        )
        if not self._study.get_trials(deepcopy=False):
            self._begin_warm(optuna)
        return self._study

    def _begin_warm(self, optuna: Any) -> None:
        groups: dict[str, list[Finished]] = {}
        for record in self._earlier:
            groups.setdefault(canonical(record.config), []).append(record)
        for records in groups.values():
            found, values = self.space.find(records[0].config), objectives(records, self.search.metrics)
            if found is None or values is None:
                continue
            part, params = found
            distributions = self._distributions(optuna, part)
            if self.space.parts:
                params = {PART: self.space.parts[part], **params}
                distributions = {PART: self._parts(optuna), **distributions}
            self._study.add_trial(
                optuna.trial.create_trial(
                    params=params, distributions=distributions, values=values, user_attrs={_WARM: True}
                )
            )

    def _again(self, study: Any, frozen: Any) -> _Proposal | None:
        """Return an earlier proposal; one that was cut off while it was made is given up."""
        try:
            params = frozen.params
            part = self.space.parts.index(params[PART]) if self.space.parts else 0
            config = self.space.config(part, params)
        except (KeyError, ValueError):
            if not frozen.state.is_finished():
                study.tell(frozen.number, state=type(frozen.state).FAIL)
            return None
        return _Proposal(frozen, config)

    def _ask(self, study: Any, number: int) -> _Proposal:
        optuna = load_optuna("search")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
            study.sampler = self.search.make_sampler(int(rng_at(self._seed, _SEARCH, number).integers(2**31)))
            trial = study.ask()
            part = 0
            if self.space.parts:
                part = self.space.parts.index(trial.suggest_categorical(PART, self.space.parts))
            for name, values in self.space.parameters(part).items():
                _suggest(trial, name, values)
        frozen = study.get_trials(deepcopy=False)[trial.number]
        return _Proposal(frozen, self.space.config(part, trial.params))

    def _repeat(self, proposal: _Proposal) -> Iterator[Config]:
        for repetition in range(self.n_reps):
            self._last = proposal
            yield proposal.config.with_repetition(repetition)

    def _tell(self, proposal: _Proposal) -> None:
        state = type(proposal.trial.state)
        records = list(proposal.ended.values())
        values = objectives(records, self.search.metrics)
        number = proposal.trial.number
        stopped = any(record.state == "PRUNED" for record in records)
        if stopped and len(self.search.metrics) == 1:  # what was not stopped are the lucky repetitions
            self._study.tell(number, state=state.PRUNED)
        elif values is not None:
            self._study.tell(number, values)
        else:
            self._study.tell(number, state=state.FAIL)
        proposal.trial = self._study.get_trials(deepcopy=False)[number]

    def _parts(self, optuna: Any) -> Any:
        return optuna.distributions.CategoricalDistribution(self.space.parts)

    def _distributions(self, optuna: Any, part: int) -> dict[str, Any]:
        made, kinds = {}, optuna.distributions
        for name, values in self.space.parameters(part).items():
            if isinstance(values, list):
                made[name] = kinds.CategoricalDistribution(values)
            else:
                kind: Callable[..., Any] = kinds.IntDistribution if values.whole else kinds.FloatDistribution
                number: Callable[[float], float] = int if values.whole else float
                made[name] = kind(number(values.low), number(values.high), log=values.log)
        return made


def _suggest(trial: Any, name: str, values: Any) -> None:
    """Have the sampler choose a parameter."""
    if isinstance(values, list):
        trial.suggest_categorical(name, values)
    elif values.whole:
        trial.suggest_int(name, int(values.low), int(values.high), log=values.log)
    else:
        trial.suggest_float(name, float(values.low), float(values.high), log=values.log)


def objectives(records: Sequence[Finished], metrics: Sequence[str]) -> list[float] | None:
    """Return the mean of the last value of each metric over the finished ones; None where there is none."""
    means = []
    for metric in metrics:
        values = [_last(record, metric) for record in records if record.state == "DONE"]
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return None
        means.append(statistics.fmean(finite))
    return means


def _last(record: Finished, metric: str) -> float:
    values = [row[metric] for row in record.rows if row.get(metric) is not None]
    try:
        return float(values[-1]) if values else math.nan
    except (TypeError, ValueError, OverflowError):  # a text, a list, a whole number that no float holds
        return math.nan
