"""What a report tells of a sweep, as data: configurations in their order, options that vary, what failed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bf_index.errors import StateError, escape
from bf_research.domain.option import canonical
from bf_research.report.importance import Importance, rate_options
from bf_research.sweep import journal
from bf_research.sweep.records import Record, Told
from bf_research.sweep.results import Results
from bf_research.sweep.trial import FAILURES, TrialState

#: Options that a page has room for; a file of somebody else may have a name for each trial.
MOST_OPTIONS = 24


@dataclass(frozen=True)
class Configuration:
    """The trials of one configuration, its mean and deviation over them (NaN without a number)."""

    config: Mapping[str, Any]
    mean: float
    std: float
    count: int
    records: tuple[Record, ...]

    @property
    def state(self) -> str:
        """The states of the trials in words, one of a kind without its number."""
        states = [str(record.state).lower() for record in self.records]
        kinds = list(dict.fromkeys(states))
        told = kinds if len(states) == 1 else [f"{states.count(kind)} {kind}" for kind in kinds]
        text = kinds[0] if len(kinds) == 1 else ", ".join(told)
        steps = [record.step for record in self.records if record.state is TrialState.PRUNED and record.step]
        return f"{text} at step {max(steps)}" if steps else text


@dataclass(frozen=True)
class Contents:
    """A sweep as its report tells it: ``ranked`` has the best configuration first."""

    folder: Path
    results: Results
    metric: str
    less: bool
    ranked: tuple[Configuration, ...]
    options: tuple[str, ...]
    importances: tuple[Importance, ...]
    fixed: tuple[str, ...]
    told: tuple[Told, ...] = ()

    @property
    def failures(self) -> tuple[Record, ...]:
        """The trials that failed, crashed or took too long."""
        return tuple(record for record in self.results.records if record.state in FAILURES)

    @property
    def names(self) -> dict[str, str]:
        """The names of the options for people: the last part of a dotted one, where no other ends so."""
        return shorten(self.options)

    @property
    def shown_options(self) -> tuple[str, ...]:
        """The options that vary, those that explain most first, as many as a page has room for."""
        return tuple(found.option for found in self.importances)[:MOST_OPTIONS]


def read_contents(folder: Path, metric: str | None = None, minimize: bool | None = None) -> Contents:
    """Read the journal of a sweep; ``StateError`` for a folder without a trial that gave a number."""
    if not journal.exists(folder):
        raise FileNotFoundError(f"{escape(folder)} holds no sweep: there is no {journal.JOURNAL} in it")
    history = journal.read(folder)
    results = Results.of(history)
    chosen = results.ranking.choose(results.returns, metric)
    if chosen is None:
        raise StateError(f"{escape(folder)}: no trial has a result yet, so there is nothing to report")
    order = results.ranking.order(chosen, minimize)
    rows = results.rank(chosen, order)
    ranked = tuple(
        Configuration(records[0].config, row["mean"], row["std"], row["count"], records)
        for row, records in rows
    )
    options = find_varied([found.config for found in ranked])
    fixed = history.head.get("fixed")
    return Contents(
        folder,
        results,
        chosen,
        order == "min",
        ranked,
        options,
        _rate(results, chosen, options, order == "min"),
        tuple(text for text in fixed if isinstance(text, str)) if isinstance(fixed, list) else (),
        tuple(history.told),
    )


def find_varied(configs: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """Return the options that have several values, or that some configurations have, in their order."""
    values: dict[str, set[str]] = {}
    counts: dict[str, int] = {}
    for config in configs:
        for name, value in config.items():
            counts[name] = counts.get(name, 0) + 1
            if len(seen := values.setdefault(name, set())) < 2:
                seen.add(canonical(value))
    return tuple(name for name, seen in values.items() if len(seen) > 1 or counts[name] < len(configs))


def _rate(results: Results, metric: str, options: Sequence[str], less: bool) -> tuple[Importance, ...]:
    """Rate the options by the trials that came to their end with a finite number."""
    done = [record for record in results.records if record.state is TrialState.DONE]
    pairs = [(record.config, results.last(metric, record)) for record in done]
    finite = [(config, value) for config, value in pairs if math.isfinite(value)]
    configs, values = [config for config, _ in finite], [value for _, value in finite]
    return tuple(rate_options(configs, values, options[: 4 * MOST_OPTIONS], less))


def shorten(names: Sequence[str]) -> dict[str, str]:
    """Return the last part of each dotted name, the whole name where several end in the same part.

    >>> shorten(['model', 'optimizer.learning_rate', 'a.x', 'b.x'])
    {'model': 'model', 'optimizer.learning_rate': 'learning_rate', 'a.x': 'a.x', 'b.x': 'b.x'}
    """
    ends = [name.rpartition(".")[2] or name for name in names]
    counts = Counter(ends)
    return {name: end if counts[end] == 1 else name for name, end in zip(names, ends, strict=True)}


def differences(best: Configuration, other: Configuration, options: Sequence[str]) -> dict[str, Any]:
    """Return the options in which a configuration is not like the best one: the names and its values."""
    return {
        name: other.config.get(name)
        for name in options
        if (name in best.config) != (name in other.config)
        or canonical(best.config.get(name)) != canonical(other.config.get(name))
    }
