"""What a search is asked for: the sampler, the metrics that it makes better, what it begins with."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

from bf_index.errors import unknown
from bf_research.stopping.directions import Mode, check_direction, less_is_better
from bf_research.stopping.optuna_library import load_optuna

#: Optuna's classes by our names.
SAMPLERS: Mapping[str, str] = MappingProxyType(
    {
        "tpe": "TPESampler",
        "cmaes": "CmaEsSampler",
        "gp": "GPSampler",
        "nsga2": "NSGAIISampler",
        "random": "RandomSampler",
    }
)


@dataclass(frozen=True)
class Search:
    """A search by Optuna, with one metric or several that all count.

    ``sampler`` is one of ``tpe``, ``cmaes``, ``gp``, ``nsga2``, ``random``; ``options`` go to its class. The
    objective is the mean of the last value over repetitions. ``warm_start``: the folder of an earlier sweep,
    whose results the sampler knows from the beginning.
    """

    sampler: str = "tpe"
    metric: str | Sequence[str] | None = None
    mode: Mode | Sequence[Mode] = "auto"
    warm_start: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.sampler not in SAMPLERS:
            raise ValueError(unknown("sampler", self.sampler, SAMPLERS, "search.sampler"))
        if "seed" in self.options:
            raise ValueError("search.options.seed: the seed is that of the sweep, hydra.sweeper.seed=0")
        modes = self.modes
        if not isinstance(self.mode, str) and len(modes) != len(self.metrics):
            raise ValueError(f"search.mode has {len(modes)} directions for {len(self.metrics)} metrics")
        for metric, mode in zip(self.metrics, modes):
            check_direction(metric, mode, "search")
        if len(self.metrics) > 1 and self.sampler in ("cmaes",):
            raise ValueError(
                f"search.sampler={self.sampler} makes one metric better; tpe and nsga2 take several"
            )

    @property
    def metrics(self) -> list[str]:
        """The metrics by name; empty when none is given."""
        if self.metric is None:
            return []
        return [self.metric] if isinstance(self.metric, str) else [str(one) for one in self.metric]

    @property
    def modes(self) -> list[Mode]:
        """A direction for each metric."""
        return [self.mode] * len(self.metrics) if isinstance(self.mode, str) else list(self.mode)  # type: ignore[list-item]

    @property
    def directions(self) -> list[str]:
        """The directions as Optuna names them."""
        pairs = zip(self.metrics, self.modes)
        return ["minimize" if less_is_better(metric, mode) else "maximize" for metric, mode in pairs]

    def make_sampler(self, seed: int) -> Any:
        """Return Optuna's sampler; ``ValueError`` for an option that it has not, or a library that lacks."""
        optuna = load_optuna("search")
        kind = getattr(optuna.samplers, SAMPLERS[self.sampler])
        known = inspect.signature(kind).parameters
        for name in self.options:
            if name not in known:
                raise ValueError(unknown("option", str(name), known, f"search.options of {kind.__name__}"))
        try:
            return kind(seed=seed, **self.options)
        except ImportError as error:
            raise ImportError(_lacking(self.sampler, error)) from error


def read_search(given: Any) -> Search | None:
    """Return the search of ``search``: an object, a mapping such as ``{sampler: tpe}``, None for none."""
    if given is None or isinstance(given, Search):
        return given
    if not isinstance(given, Mapping):
        raise TypeError(f"search: a Search() or a mapping such as {{sampler: tpe}} is needed, got {given!r}")
    known = list(inspect.signature(Search).parameters)
    for name in given:
        if name not in known:
            raise ValueError(unknown("option", str(name), known, "search"))
    said = {str(name): value for name, value in given.items() if (name, value) != ("options", None)}
    return Search(**said) if said else None


def _lacking(sampler: str, error: ImportError) -> str:
    name = getattr(error, "name", None) or {"gp": "torch", "cmaes": "cmaes"}.get(sampler, "a library")
    return f"search.sampler={sampler} needs {name}: pip install {name}; tpe needs nothing more"
