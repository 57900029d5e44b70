"""Between Hydra's override grammar and domains: sweeps on the command line, and a trial's overrides."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import reduce
from typing import Any

from hydra.core.override_parser.types import (
    ChoiceSweep,
    IntervalSweep,
    Override,
    Quote,
    QuotedString,
    RangeSweep,
)

from bf_index.errors import unknown
from bf_research.domain.domain import Domain, Option
from bf_research.domain.option import Interval
from bf_research.launcher import hydra_private
from bf_research.sweep.trial import Trial

_ELSEWHERE = "put each value into a file of a group and sweep over their names, or use Research in Python"
_TAGS = ("zip1", "zip2", "...", "log", "int")
_PREFIX = re.compile(r"(\+\+|\+|~)?(.+)", re.DOTALL)
# Words that need no quotes: they are neither numbers nor constants of the grammar.
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_./-]*")
_CONSTANTS = frozenset({"null", "true", "false", "nan", "inf"})
# Keys of mappings: the grammar takes no quotes there, and reads what looks like a number as one.
_KEY_SIGNS = re.compile(r"[A-Za-z0-9_/\-\\+.$%*@?|()\[\]{}:=, \t]+")
_KEY_NUMBER = re.compile(
    r"[+-]?(\d[\d_]*(\.[\d_]*)?|\.\d[\d_]*)(e[+-]?\d[\d_]*)?|[+-]?(nan|inf)|null|true|false", re.I
)
_KEY_EDGES = re.compile(r"^[ \t]+|[ \t]+$")


@dataclass
class Keys:
    """Names of options without the grammar's prefixes, which are kept for the way back.

    ``+model.lr`` adds a key that the config does not have; the trial's id has ``model.lr`` either way.
    """

    prefixes: dict[str, str] = field(default_factory=dict)

    def clean(self, name: str) -> str:
        """Return the name of an option without its prefix."""
        found = _PREFIX.fullmatch(name)
        if found is None or found[1] == "~":
            raise ValueError(f"option {name!r}: a key can be changed or added in a sweep, not deleted")
        if found[1]:
            self.prefixes[found[2]] = found[1]
        return found[2]

    def override(self, name: str, value: Any) -> str:
        """Write the override that sets an option."""
        return f"{self.prefixes.get(name, '')}{name}={spell_value(value)}"


def spell_value(value: Any) -> str:
    """Write a value so that the grammar reads the same value; ``TypeError`` for what it can't hold."""
    return hydra_private.write_value(_quote(value))


def _quote(value: Any) -> Any:
    if isinstance(value, str):
        if "\n" in value or "\r" in value:
            raise TypeError(f"an override can't hold a text of several lines: {value[:80]!r}; {_ELSEWHERE}")
        plain = _WORD.fullmatch(value) and value.lower() not in _CONSTANTS
        return value if plain else QuotedString(value, Quote.single)
    if isinstance(value, Mapping):
        return {_check_key(key, value): _quote(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_quote(item) for item in value]
    if value is None or isinstance(value, bool | int | float):
        return value
    raise TypeError(
        f"an override can't hold {value!r}; use numbers, text, lists and dicts, or Research in Python"
    )


def _check_key(key: Any, owner: Mapping[Any, Any]) -> Any:
    """Return the key of a mapping, which is read back with its type; ``TypeError`` where it would not be."""
    if key is None or isinstance(key, bool | int | float):
        return key
    written = isinstance(key, str) and _KEY_SIGNS.fullmatch(key) and not _KEY_EDGES.search(key)
    if not written or _KEY_NUMBER.fullmatch(key):
        raise TypeError(
            f"an override can't hold the key {key!r} of {dict(owner)!r}: keys are numbers, or text of "
            "letters from a to z, digits and _ / - + . $ % * @ ? | ( ) [ ] { } : = , that is no number; "
            f"{_ELSEWHERE}"
        )
    return key


def split_overrides(overrides: Sequence[Override], keys: Keys) -> tuple[Domain, list[str]]:
    """Split overrides into the domain of those that sweep, in their order, and the others as text.

    ``model=a,b`` is an option; options tagged alike, ``tag(zip1,choice(1,2))``, are walked side by side;
    ``interval(a,b)`` is a distribution: ``tag(log,...)`` even in the logarithm, ``tag(int,...)`` of whole
    numbers.
    """
    fixed: list[str] = []
    groups: dict[str, list[Domain]] = {}
    for override in overrides:
        if not override.is_sweep_override():
            fixed.append(
                override.input_line or f"{override.get_key_element()}={override.get_value_element_as_str()}"
            )
            continue
        key = override.get_key_element()
        group, option = _read_option(override, keys.clean(key))
        groups.setdefault(group or key, []).append(option)
    zipped = [reduce(lambda left, right: left @ right, options) for options in groups.values()]
    return reduce(lambda left, right: left * right, zipped, Domain()), fixed


def _read_option(override: Override, name: str) -> tuple[str | None, Option]:
    sweep = override.value()
    tags = set(getattr(sweep, "tags", ()))
    zips = sorted(tag for tag in tags if re.fullmatch(r"zip\d*", tag))
    wrong = sorted(tags - set(zips) - ({"log", "int"} if isinstance(sweep, IntervalSweep) else set()))
    if wrong or len(zips) > 1:
        raise ValueError(f"{override.input_line}: {unknown('tag', (wrong or zips)[0], _TAGS)}")
    if getattr(sweep, "shuffle", False):
        raise ValueError(
            f"{override.input_line}: shuffle would give another order at each start; "
            "say hydra.sweeper.brute_force=false hydra.sweeper.n_iters=... for random draws"
        )
    if isinstance(sweep, IntervalSweep):
        if zips:
            raise ValueError(f"{override.input_line}: an interval has no length, so it can't be zipped")
        assert sweep.start is not None
        assert sweep.end is not None
        return None, Option(name, Interval(sweep.start, sweep.end, "log" in tags, "int" in tags))
    values = hydra_private.swept_values(override)
    if not values and not isinstance(sweep, ChoiceSweep | RangeSweep):
        raise ValueError(f"{override.input_line}: nothing matches")
    return (zips[0] if zips else None), Option(name, values)


def trial_overrides(
    trial: Trial, fixed: Sequence[str], keys: Keys, repetitions: bool, folds: int | None = None
) -> list[str]:
    """Write the overrides of a trial: what is fixed, its configuration, its folder.

    With ``folds`` so many repetitions in a row are one, on each fold of the data.
    """
    chosen = [keys.override(name, value) for name, value in trial.config.items()]
    number, fold = divmod(trial.config.repetition, folds or 1)
    again = [f"++repetition={number}"] if repetitions else []
    again += [f"++dataset.fold={fold}", f"++dataset.folds={folds}"] if folds else []
    return [*fixed, *chosen, *again, f"hydra.sweep.subdir={trial.id}"]
