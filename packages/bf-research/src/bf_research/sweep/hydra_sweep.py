"""The sweep of ``hydra/sweeper=domain``: overrides and a domain become trials, any launcher runs them."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import hydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf

from bf_index.errors import StateError, escape, unknown
from bf_pipeline.redaction.values import redact_command, redact_config, redact_override
from bf_research import targets
from bf_research.domain.domain import Domain
from bf_research.domain.notation import domain_from_data
from bf_research.domain.walk import WalkOptions
from bf_research.launcher.compose import Composer
from bf_research.launcher.hydra_private import to_yaml
from bf_research.launcher.options import check_folder
from bf_research.masks import Masks
from bf_research.own_files import open_plain
from bf_research.search.options import read_search
from bf_research.search.study import Proposals
from bf_research.stopping.directions import Ranking, read_mode
from bf_research.stopping.measured import check_ranking, complete_metrics, complete_rule
from bf_research.stopping.rules import StoppingRule, read_stopping
from bf_research.sweep import journal
from bf_research.sweep.hydra_trial import RecordedTask, recover_result
from bf_research.sweep.overrides import Keys, split_overrides
from bf_research.sweep.placing import ThroughLauncher, refuse_deaf
from bf_research.sweep.records import History
from bf_research.sweep.results import Results
from bf_research.sweep.settings import keep_decisive, keep_own
from bf_research.sweep.sweep import Rules, Sweep, SweepFailed, check_countable
from bf_research.sweep.tables import failure_table, ranking
from bf_research.sweep.trial import FAILURES, Trial, TrialState
from bf_research.trusted import refuse_swept, trusted_packages

log = logging.getLogger(__name__)

#: More of a domain than this is not shown; the journal has it whole.
_LONGEST_DOMAIN = 1000


class DomainSweep:
    """A sweep over a domain, set up and run as Hydra's sweepers are."""

    def __init__(self, options: Mapping[str, Any]) -> None:
        self.options = options
        self.rules = Rules(options["resume"], options["on_failure"])
        self.ranking = Ranking(options["metric"], read_mode(options["minimize"]), bool(options["folds"]))

    def setup(self, context: HydraContext, task: TaskFunction, config: DictConfig) -> None:
        """Remember what Hydra composed, and make the launcher."""
        self.context, self.config = context, config
        self.composer = Composer(context.config_loader, config)
        self.rule = read_stopping(_plain(self.options["stopping"]))
        self.task = RecordedTask(task, None if self.rule is None else self.rule.metric)
        self.launcher = Plugins.instance().instantiate_launcher(
            hydra_context=context, task_function=self.task, config=config
        )

    def run(self, arguments: Sequence[str]) -> Results:
        """Run what is left of the sweep; ``SweepFailed`` at the end when trials failed."""
        keys = Keys()
        refuse_swept(self.options["params"] or (), "hydra.sweeper.params")
        parser = OverridesParser.create(config_loader=self.context.config_loader)
        params = [f"{key}={value}" for key, value in (self.options["params"] or {}).items()]
        swept, fixed = split_overrides(parser.parse_overrides([*params, *arguments]), keys)
        domain = self._domain(keys) * swept
        domain.set_iterator(**self._walk_options())
        self._set_update(domain, keys)
        if not self.options["search"]:
            check_countable(domain, "hydra.sweeper.n_iters=20 (or, with Optuna, search=tpe as well)")
        folder = Path(str(self.config.hydra.sweep.dir)).absolute()
        check_folder(str(self.config.hydra.sweep.dir))
        self._refuse_other_settings(folder, fixed)
        folds = self._read_folds(domain, fixed)
        repeated = self.options["n_reps"] > 1 or domain.plan.n_iters is not None
        placer = ThroughLauncher(
            self.launcher, self.composer, self.task, folder, fixed, keys, repeated, folds
        )
        rule = self._complete_rule(domain, placer)
        search = self._make_search(domain, folder, placer)
        self._check(placer.overrides(Trial(config)) for config in domain.edges())
        sweep = Sweep(
            domain,
            folder,
            replace(self.rules, stopping=rule),
            recover=lambda trial_id: recover_result(folder / trial_id),
            search=search,
        )
        repeats = repeated or search is not None or domain.update is not None
        sweep.rank_by(self.ranking, repeats)
        if hasattr(self.launcher, "best"):
            self.launcher.best = sweep.standing.describe
        sweep.head["fixed"] = _mask_own(fixed, sweep.masks)
        what = _describe_domain(domain, fixed)

        def begin(history: History) -> None:  # nobody else runs a sweep of this folder from here on
            with open(folder / "multirun.yaml", "w", encoding="utf-8", opener=open_plain) as file:
                file.write(to_yaml(redact_config(self.config, resolve=False)))
            log.info("%s in %s%s", what, folder, _describe_earlier(history))

        sweep.begun = begin
        try:
            results = sweep.run(replace(placer, best=sweep.standing.describe))
        except KeyboardInterrupt as error:
            again = (
                f"the same command with hydra.sweep.dir={self.config.hydra.sweep.dir} runs what is left of it"
            )
            error.add_note(f"before the end of the sweep; {again}")
            raise
        return self._conclude(results, folder, sweep.strangers)

    def _domain(self, keys: Keys) -> Domain:
        plain = _plain(self.options["domain"])

        def name(text: str) -> str:
            refuse_swept([text], "hydra.sweeper.domain")
            return keys.clean(text)

        return domain_from_data(plain, name)

    def _complete_rule(self, domain: Domain, placer: ThroughLauncher) -> StoppingRule | None:
        """Return the rule that stops trials, once it is known that it can: metric, launcher, ranking."""
        swept = [name for name in domain.names if re.match(r"(stopping|search)(\.|$)", name)]
        if swept:
            raise ValueError(f"{swept[0]} is swept: a sweep has one, which looks at all of its trials")
        if self.rule is None:
            return None
        config = self.composer.compose(placer.overrides(Trial(domain.examples()[0])))
        owner = "stopping" if "stopping" in self.config else "hydra.sweeper.stopping"
        rule = complete_rule(self.rule, config, owner)
        check_ranking(rule, self.options["metric"], self.options["minimize"], owner)
        refuse_deaf(self.launcher, rule)
        self.rule = rule
        return rule

    def _make_search(self, domain: Domain, folder: Path, placer: ThroughLauncher) -> Proposals | None:
        """Return what proposes the configurations, if a search is set; its metrics will be measured."""
        search = read_search(_plain(self.options["search"]))
        if search is None:
            return None
        owner = "search" if "search" in self.config else "hydra.sweeper.search"
        config = self.composer.compose(placer.overrides(Trial(domain.examples()[0])))
        search = replace(search, metric=complete_metrics(search.metrics, config, owner))
        return Proposals(search, domain, folder, journal.read_earlier(search.warm_start))

    def _walk_options(self) -> dict[str, Any]:
        """Return how the domain is walked; a fold of the data is a repetition on other items."""
        options = {name: self.options[name] for name in WalkOptions.__dataclass_fields__}
        folds = self.options["folds"]
        if folds is not None and (isinstance(folds, bool) or not isinstance(folds, int) or folds < 2):
            raise ValueError(f"folds must be a whole number above 1, or null for none, got {folds!r}")
        return options | {"n_reps": options["n_reps"] * (folds or 1)}

    def _read_folds(self, domain: Domain, fixed: Sequence[str]) -> int | None:
        """Return the number of folds; ``ValueError`` beside what chooses folds by itself."""
        folds: int | None = self.options["folds"]
        if folds is None:
            return None
        given = [text for text in fixed if re.match(r"\+{0,2}dataset\.folds?=", text)]
        given += [name for name in domain.names if name in ("dataset.fold", "dataset.folds", "folds")]
        if given:
            raise ValueError(
                f"folds={folds} runs each fold of so many, and {given[0]} says otherwise; leave it out"
            )
        if self.options["update"] is not None:
            raise ValueError(f"folds={folds} with hydra.sweeper.update: give the folds up, or the update")
        return folds

    def _set_update(self, domain: Domain, keys: Keys) -> None:
        """Let the function that the options name return the next domain, as a Domain or as data."""
        path = self.options["update"]
        if path is None:
            return
        allow = trusted_packages(self.config, self.config.hydra)
        function = targets.resolve(path, "update", allow, "hydra.sweeper.update")

        def update(results: Results) -> Domain | None:
            found = function(results)
            return (
                found if found is None or isinstance(found, Domain) else domain_from_data(found, keys.clean)
            )

        options = self.options
        when = options["update_when"]
        when = list(when) if OmegaConf.is_list(when) else when
        domain.set_update(update, when, options["n_updates"], options["update_n_reps"])

    def _check(self, jobs: Iterable[list[str]]) -> None:
        """Compose jobs with every value of the domain: a wrong name or type is an error before any runs."""
        for overrides in jobs:
            self.composer.check(overrides)

    def _refuse_other_settings(self, folder: Path, fixed: list[str]) -> None:
        """Raise ``StateError`` for a folder that began with other settings: results could not be compared."""
        before = journal.read_head(folder).get("fixed")
        if before is None:
            return
        now = _mask_own(fixed, Masks(folder))
        before, fixed = (keep_decisive(settings, self.config) for settings in (before, now))
        if sorted(before) != sorted(fixed):
            raise StateError(
                f"{escape(folder)} holds a sweep that began with "
                f"{' '.join(before) or 'no settings of its own'}, got "
                f"{' '.join(fixed) or 'none'}; give the same settings (model=mlp is one, model=mlp,lenet is "
                "an option), or another hydra.sweep.dir"
            )

    def _conclude(self, results: Results, folder: Path, strangers: set[str]) -> Results:
        """Log the ranking; raise when trials failed, after the callbacks had their turn."""
        asked, names = self.ranking.metric, results.returns
        if asked is not None and names and asked not in names:
            log.warning("the table at the end: %s", unknown("result", asked, names, "hydra.sweeper.metric"))
        elif (metric := self.ranking.choose(names)) is not None:
            log.info("\n%s", ranking(results, metric, self.ranking.order(metric)))
        if self.rule is not None and results.records and not any(record.step for record in results.records):
            log.warning(
                "stopping=%s stopped nothing: no trial reported %s, whose results are %s",
                self.rule.name,
                self.rule.metric,
                ", ".join(names) or "none",
            )
        # failures that an earlier domain left in the folder are not failures of this one
        own = replace(results, records=tuple(r for r in results.records if r.id not in strangers))
        if own.failures:
            if hydra.__version__.startswith("1.3"):  # it does not call the callbacks of a sweep that raises
                self.context.callbacks.on_multirun_end(config=self.config, config_name=None)
            raise SweepFailed(failure_table(own, folder))
        return results


def _plain(data: Any) -> Any:
    return OmegaConf.to_container(data, resolve=True) if OmegaConf.is_config(data) else data


def _mask_own(fixed: Sequence[str], masks: Masks) -> list[str]:
    return [redact_override(text, masks) for text in keep_own(fixed)]


def _describe_domain(domain: Domain, fixed: Sequence[str]) -> str:
    """Return how many trials of what there are."""
    count = len(domain)
    said = repr(domain)
    what = redact_command(fixed) if said == repr(Domain()) else said
    if len(what) > _LONGEST_DOMAIN:
        what = f"{what[:_LONGEST_DOMAIN]}..."
    return f"{count} {'trial' if count == 1 else 'trials'} of {what or 'the configuration as it is'}"


def _describe_earlier(history: History) -> str:
    """Return what earlier starts of a sweep that goes on have finished, as text."""
    records = history.records.values()
    finished = [record for record in records if record.state.finished and not record.passing]
    failed = sum(record.state in FAILURES for record in finished)
    stopped = sum(record.state is TrialState.PRUNED for record in finished)
    again = f", {failed} of them failed: hydra.sweeper.resume=failed tries these again" if failed else ""
    again += f", {stopped} of them were stopped early: without stopping these go on" if stopped else ""
    return f"; the folder holds {len(finished)} that are finished already{again}" if finished else ""
