"""Results of a sweep: one table with real values, saved and loaded without running any code."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np

from bf_batch.data.tables import check_parquet
from bf_index.errors import StateError, escape, unknown
from bf_index.sizes import read_json, reading
from bf_research.domain.config import Config
from bf_research.domain.domain import Domain
from bf_research.domain.option import canonical, plain, same_json
from bf_research.domain.walk import WalkOptions
from bf_research.masks import is_masked
from bf_research.report.markup import element
from bf_research.search.values import last_value, mean_and_deviation
from bf_research.stopping.directions import Ranking
from bf_research.sweep.html_table import draw_failures, draw_ranking, draw_states
from bf_research.sweep.journal import SCHEMA, to_json
from bf_research.sweep.records import History, Record, check_record
from bf_research.sweep.trial import FAILURES, TrialState

if TYPE_CHECKING:
    import pandas as pd

Mode = Literal["max", "min"]
#: Cells that a table may have, or so many times its values.
_FREE_CELLS, _MOST_TIMES = 1 << 24, 100


@dataclass(frozen=True)
class Results:
    """The results of a sweep's trials; ``df`` is the table.

    ``records`` has one record for each trial, in the order they began; ``values`` the real values of their
    options by trial id, of those that records don't have as they are, known in the process that ran the
    sweep; ``declared`` names results that have a column even when no trial gave any. Loaded results have
    aliases in place of classes.
    """

    records: tuple[Record, ...] = ()
    values: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    declared: tuple[str, ...] = ()
    #: how the sweep ranks its trials
    ranking: Ranking = field(default_factory=Ranking)

    @classmethod
    def of(cls, history: History, values: Mapping[str, Mapping[str, Any]] | None = None) -> Self:
        """Return the results of a journal."""
        head = history.head
        records, ranking = tuple(history.records.values()), Ranking.of(head.get("ranking"))
        return cls(records, values or {}, tuple(head.get("returns", ())), ranking)

    def __len__(self) -> int:
        return len(self.records)

    @property
    def options(self) -> tuple[str, ...]:
        """Names of all options."""
        return tuple(dict.fromkeys(name for record in self.records for name in record.config))

    @property
    def returns(self) -> tuple[str, ...]:
        """Names of all results."""
        names = (name for record in self.records for row in record.rows for name in row)
        found = (name for name in names if name != "iteration")
        return tuple(dict.fromkeys((*self.declared, *found)))

    @property
    def failures(self) -> tuple[Record, ...]:
        """Records of the trials that failed, crashed or took too long."""
        return tuple(record for record in self.records if record.state in FAILURES)

    @cached_property
    def df(self) -> pd.DataFrame:
        """Table with a row for each trial and iteration that gave results.

        Columns: id, the options with real values, repetition, iteration, the results, state. A trial without
        results has one row, so that failures are seen.
        """
        import pandas as pd

        # A result may have the name of an option; the option stays, as pandas can't hold both.
        columns = ["id", *self.options, "repetition", "iteration", *self.returns, "state"]
        names, rows = list(dict.fromkeys(columns)), list(self._rows())
        filled = sum(map(len, rows))
        if len(names) * len(rows) > max(_FREE_CELLS, _MOST_TIMES * filled):
            raise StateError(
                f"a table of {len(rows):,} rows and {len(names):,} columns would be nearly empty: there are "
                f"{filled:,} values; take what you need from the records"
            )
        return pd.DataFrame(rows, columns=names)

    def _repr_html_(self) -> str:
        """Return the states, the ranking by the metric that counts and the failures, for a notebook."""
        metric = self.ranking.choose(self.returns)
        parts = [draw_states(self.records)]
        if metric is not None and self.records:
            summary = self.summary(metric, self.ranking.order(metric))
            parts.append(draw_ranking(summary, self.options, metric))
        return element("div", *parts, draw_failures(self.records))

    def _rows(self) -> Iterable[dict[str, Any]]:
        for record in self.records:
            config = self.values.get(record.id, record.config)
            shared = {"id": record.id, **config, "repetition": record.repetition, "state": str(record.state)}
            for row in record.rows or ({},):
                yield {"iteration": math.nan, **row, **shared}

    def _describe_options(self, record: Record) -> dict[str, Any]:
        """Return a trial's options for people: real values but secrets, and names where ``KV`` has one."""
        config = self.values.get(record.id, record.config)
        named = config.values_by_name().items() if isinstance(config, Config) else ()
        masked = {name: value for name, value in record.config.items() if is_masked(value)}
        return {**config, **{name: kv.alias for name, kv in named if kv.alias is not None}, **masked}

    def filter(self, config: Mapping[str, Any] | Domain | None = None, /, **options: Any) -> Results:
        """Return the results of trials with these values (real or aliases); hints at unknown names.

        A domain stands for each of its configurations: ``filter(Option('lr', [.1, .01]))``; its repetitions
        do not matter. ``ValueError`` for a domain whose values are drawn, which has no list of them.
        """
        if isinstance(config, Domain):
            found = self._filter_domain(config)
            return found.filter(options) if options else found
        wanted = {**(config or {}), **options}
        self._check_names(wanted)
        return replace(self, records=tuple(r for r in self.records if self._matches(r, wanted)))

    def _filter_domain(self, domain: Domain) -> Results:
        self._check_names(domain.names)
        if domain.drawn:
            raise ValueError(f"filter: values of {domain!r} are drawn, so no trial can be looked up by them")
        keys: dict[tuple[str, ...], set[str]] = {}
        for config in Domain(domain).with_walk(**asdict(WalkOptions())):
            keys.setdefault(tuple(sorted(config)), set()).add(canonical(config.key))
        return replace(self, records=tuple(r for r in self.records if self._is_among(r, keys)))

    def _is_among(self, record: Record, keys: Mapping[tuple[str, ...], set[str]]) -> bool:
        """Whether a trial has one of the configurations: their canonical keys, by the options they have."""
        real = self.values.get(record.id)
        known = real.key if isinstance(real, Config) else record.config  # a journal has masks of secrets
        return any(
            all(name in known for name in names) and canonical({name: known[name] for name in names}) in some
            for names, some in keys.items()
        )

    def _check_names(self, names: Iterable[str]) -> None:
        for name in names:
            if name not in ("repetition", "state", *self.options):
                raise ValueError(unknown("option", name, ("repetition", "state", *self.options)))

    def _matches(self, record: Record, wanted: Mapping[str, Any]) -> bool:
        known = {**record.config, "repetition": record.repetition, "state": record.state}
        real = self.values.get(record.id, {})
        return all(
            name in known
            and (
                (name in real and real[name] is value)
                or _is_key_of(known[name], value)
                or (name in real and is_masked(known[name]) and _is_same(real[name], value))
            )
            for name, value in wanted.items()
        )

    def last(self, name: str, record: Record) -> float:
        """Return the last value of a result of a trial; NaN when it gave none, or something else."""
        return last_value(record.rows, name)

    def best(self, name: str, mode: Mode = "max") -> Record:
        """Return the finished trial with the best last value; NaN and infinity are never chosen.

        ``ValueError`` for an unknown result, or when no trial has a finite number.
        """
        if name not in self.returns:
            raise ValueError(unknown("result", name, self.returns))
        if mode not in ("max", "min"):
            raise ValueError(f"best: mode is 'max' or 'min', got {mode!r}")
        done = [
            (self.last(name, record), record) for record in self.records if record.state is TrialState.DONE
        ]
        numbers = [(value, record) for value, record in done if math.isfinite(value)]
        if not numbers:
            raise ValueError(f"best({name!r}): none of {len(done)} finished trials has a finite number")
        return (max if mode == "max" else min)(numbers, key=lambda pair: pair[0])[1]

    def summary(self, name: str, mode: Mode = "max", over: Sequence[str] = ()) -> list[dict[str, Any]]:
        """Return mean, std and count of the last value over repetitions, a row a configuration, best first.

        ``over`` names options that count as repetitions too, such as the fold of a cross-validation.

        Finished trials count. ``pruned`` is how many the stopping rule stopped, and ``step`` how far these
        came; others without a finite number count in ``missing``. Configurations come behind of which some
        repetitions were stopped, since those that were not are the lucky ones; last come those without a
        finished trial, those first that came farthest. ``ValueError`` for an unknown result.
        """
        return [row for row, _ in self.rank(name, mode, over)]

    def rank(
        self, name: str, mode: Mode = "max", over: Sequence[str] = ()
    ) -> list[tuple[dict[str, Any], tuple[Record, ...]]]:
        """Return the rows of ``summary``, each with the records of its configuration's trials."""
        if name not in self.returns:
            raise ValueError(unknown("result", name, self.returns))
        over = (over,) if isinstance(over, str) else over
        for option in over:
            if option not in self.options:
                raise ValueError(unknown("option", option, self.options, "over"))
        groups: dict[str, list[Record]] = {}
        for record in self.records:
            kept = {option: value for option, value in record.config.items() if option not in over}
            groups.setdefault(canonical(kept), []).append(record)
        rows = [(self._summarize(name, records, over), tuple(records)) for records in groups.values()]
        sign = -1 if mode == "max" else 1

        def place(found: tuple[Mapping[str, Any], Any]) -> tuple[int, float]:
            row = found[0]
            if math.isnan(row["mean"]):
                return 2, -row["step"]
            return 1 if row["pruned"] else 0, sign * row["mean"]

        return sorted(rows, key=place)

    def _summarize(self, name: str, records: Sequence[Record], over: Sequence[str]) -> dict[str, Any]:
        values = [self.last(name, record) for record in records if record.state is TrialState.DONE]
        numbers = [value for value in values if math.isfinite(value)]
        mean, std = mean_and_deviation(numbers)
        pruned = [record for record in records if record.state is TrialState.PRUNED]
        shown = self._describe_options(records[0])
        return {
            **{option: value for option, value in shown.items() if option not in over},
            "mean": mean,
            "std": std,
            "count": len(numbers),
            "missing": len(records) - len(numbers) - len(pruned),
            "pruned": len(pruned),
            "step": max((record.step for record in pruned), default=0),
        }

    def save(self, path: str | Path) -> None:
        """Write to ``.json`` or ``.parquet``; classes and functions are written by their aliases."""
        path = Path(path)
        _check_suffix(path)
        if path.suffix == ".json":
            trials = [asdict(record) for record in self.records]
            data = {"results": SCHEMA, "returns": list(self.returns), "trials": trials}
            path.write_text(json.dumps(data, default=to_json))
            return
        table = replace(self, values={}).df
        for column in table.columns[[dtype.kind == "O" for dtype in table.dtypes]]:
            kinds = {type(value) for value in table[column] if _is_there(value)}
            if len(kinds) > 1:  # parquet has one type a column
                table[column] = [json.dumps(value, default=to_json) for value in table[column]]
        trials = [{**asdict(record), "rows": []} for record in self.records]
        table.attrs = {"results": SCHEMA, "returns": list(self.returns), "trials": trials}
        table.to_parquet(path)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read what ``save`` wrote; nothing in the file is run. ``StateError`` for a newer version."""
        path = Path(path)
        _check_suffix(path)
        with reading(path, StateError):
            data = read_json(path) if path.suffix == ".json" else _from_parquet(path)
            version = data["results"]
            if version <= SCHEMA:
                records = [
                    check_record(Record(**{**trial, "state": TrialState(trial["state"])}))
                    for trial in data["trials"]
                ]
                declared = data.get("returns", [])
                if not isinstance(declared, list) or not all(isinstance(name, str) for name in declared):
                    raise TypeError(f"'returns' is {str(declared)[:80]!r}")
                return cls(tuple(records), declared=tuple(declared))
        raise StateError(
            f"{escape(path)} has version {version}, this bf-research reads up to {SCHEMA}; update it"
        )


def _is_same(real: Any, value: Any) -> bool:
    try:
        return _is_key_of(plain(real), value)
    except TypeError:
        return False


def _is_key_of(key: Any, value: Any) -> bool:
    try:
        return same_json(key, plain(value))
    except TypeError:  # a value without a name of its own is known by its alias alone
        return False


def _check_suffix(path: Path) -> None:
    if path.suffix not in (".json", ".parquet"):
        raise ValueError(f"results are saved as .json or .parquet, got {str(path)!r}")


def _from_parquet(path: Path) -> dict[str, Any]:
    """Return the trials of a table's attributes with their rows from the table."""
    import pandas as pd

    with path.open("rb") as file:
        check_parquet(file, str(path))
        table = pd.read_parquet(file)
    data = dict(table.attrs)
    trials = {trial["id"]: {**trial, "rows": []} for trial in data.get("trials", ())}
    names = [name for name in ("iteration", *data.get("returns", ())) if name in table.columns]
    for key, *values in table[["id", *names]].itertuples(index=False):
        row = {
            name: to_json(v) if isinstance(v, np.ndarray) else v
            for name, v in zip(names, values)
            if _is_there(v)
        }
        if row:
            trials[key]["rows"].append(row)
    return {**data, "trials": list(trials.values())}


def _is_there(value: Any) -> bool:
    """Whether a cell holds something: neither None nor NaN."""
    return value is not None and not (isinstance(value, float) and math.isnan(value))
