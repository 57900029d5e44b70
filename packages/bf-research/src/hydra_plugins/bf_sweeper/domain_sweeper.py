"""The Hydra plugin ``hydra/sweeper=domain``; ``bf_research.sweep.hydra_sweep`` is loaded when it is used."""

# No postponed annotations here: Hydra runs plugin modules that it has not registered, and dataclass could
# not look such annotations up.
from dataclasses import dataclass
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.plugins.sweeper import Sweeper
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class DomainSweeperConf:
    """Options of the sweeper; docs/research.md explains each."""

    _target_: str = "hydra_plugins.bf_sweeper.domain_sweeper.DomainSweeper"
    _recursive_: bool = False
    #: a mapping (product), a list of them (sum) or text; options on the command line are multiplied to it
    domain: Any = None
    #: all combinations in order, or independent random draws
    brute_force: bool = True
    n_reps: int = 1
    #: run each configuration on each of so many folds of the data, which are ranked like repetitions
    folds: Any = "${oc.select:folds,null}"
    #: number of configurations before repetitions; needed where the domain has no end
    n_iters: int | None = None
    repeat_each: int | None = None
    #: of samplers, weights and random draws; drawn and noted in the journal when not given
    seed: int | None = None
    #: the dotted name of a function that returns the next domain from the results
    update: str | None = None
    #: "last", a number (after every so many finished trials), "#8" (after exactly 8), or a list of these
    update_when: Any = "last"
    #: at most; by default once for each entry of update_when
    n_updates: int | None = None
    #: repetitions of the domains that the function returns
    update_n_reps: int | None = None
    #: "missing" goes on with the sweep of the folder, "failed" also tries again what failed, "never" refuses
    resume: str = "missing"
    #: "continue", or "stop" to begin no trial after the first failure
    on_failure: str = "continue"
    #: the result that the table at the end is ranked by
    metric: str | None = None
    #: whether less of it is better; by itself so of a loss or an error
    minimize: bool | None = None
    #: the rule that stops bad trials early, {rule: asha, metric: loss}; docs/search.md explains it
    stopping: Any = None
    #: what proposes configurations, {sampler: tpe, metric: loss}; docs/search.md explains it
    search: Any = None
    #: overrides as in Hydra's basic sweeper
    params: dict[str, Any] | None = None


ConfigStore.instance().store(
    group="hydra/sweeper", name="domain", node=DomainSweeperConf, provider="bf_research"
)


class DomainSweeper(Sweeper):
    """A sweeper over a domain: it goes on where it was cut off, and lists all failures at the end."""

    def __init__(self, **options: Any) -> None:
        from bf_research.sweep.hydra_sweep import DomainSweep

        self._sweep = DomainSweep(options)

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra composed."""
        self._sweep.setup(hydra_context, task_function, config)

    def sweep(self, arguments: list[str]) -> Any:
        """Run the sweep and return its results."""
        return self._sweep.run(arguments)
