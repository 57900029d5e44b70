"""A study in the folder of a sweep: proposals in their order, whose results it hears."""

from __future__ import annotations

import math
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
from bf_research.search.values import last_value, mean_and_deviation
from bf_research.stopping.optuna_library import load_optuna

FILE = "optuna.jsonl"
_NAME = "sweep"
#: Marks of trials in a study that are no proposals: results of an earlier sweep, and those that came later.
_WARM, _AGAIN = "bf.warm", "bf.again"
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

    @property
    def passing(self) -> bool:
        """Whether it failed by what was around it, so that the next start runs it again."""


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
        self._told_again: set[int | None] = set()
        search.make_sampler(0)

    def begin(self, seed: int) -> Iterator[Config]:
        """Yield the configurations of a sweep with a seed, those of an earlier start first."""
        self._seed = seed
        study = self._open()
        trials = study.get_trials(deepcopy=False)
        waiting = [trial for trial in trials if trial.user_attrs.keys().isdisjoint((_WARM, _AGAIN))]
        self._told_again = {trial.user_attrs.get(_AGAIN) for trial in trials}
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
        """Hear how a trial ended; the study is told when all repetitions of its proposal have.

        A failure that the next start tries again is none yet.
        """
        proposal = self._of.get(record.id)
        if proposal is None or record.passing:
            return
        proposal.ended[record.id] = record
        if len(proposal.ended) == self.n_reps:
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
            self._add(params, distributions, values, {_WARM: True})

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
        """Tell the study what became of a proposal, also of one that came to nothing when tried first."""
        known, number = proposal.trial.state, proposal.trial.number
        records = list(proposal.ended.values())
        values = objectives(records, self.search.metrics)
        if any(record.state == "PRUNED" for record in records) and len(self.search.metrics) == 1:
            state, values = known.PRUNED, None  # what was not stopped are the lucky repetitions
        else:
            state = known.FAIL if values is None else known.COMPLETE
        if not known.is_finished():
            self._study.tell(number, values, state=state)
            proposal.trial = self._study.get_trials(deepcopy=False)[number]
        elif known != known.COMPLETE and values is not None and number not in self._told_again:
            self._add(proposal.trial.params, proposal.trial.distributions, values, {_AGAIN: number})
            self._told_again.add(number)

    def _add(
        self,
        params: Mapping[str, Any],
        distributions: Mapping[str, Any],
        values: Sequence[float],
        marks: Mapping[str, Any],
    ) -> None:
        """Add a trial that is no proposal, so that the sampler knows its values."""
        create = load_optuna("search").trial.create_trial
        self._study.add_trial(
            create(params=params, distributions=distributions, values=values, user_attrs=marks)
        )

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
        values = [last_value(record.rows, metric) for record in records if record.state == "DONE"]
        finite = [value for value in values if math.isfinite(value)]
        if not finite:
            return None
        means.append(mean_and_deviation(finite)[0])
    return means
