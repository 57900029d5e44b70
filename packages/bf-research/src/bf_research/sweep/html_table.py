"""Results as HTML, for the cell of a notebook: states, the ranking of configurations, why trials failed."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from bf_research.report.markup import Markup, cut, element
from bf_research.sweep.records import Record
from bf_research.sweep.trial import FAILURES

#: Rows that are shown at most; the others are counted.
_MOST_ROWS, _MOST_FAILURES = 20, 5


def draw_states(records: Sequence[Record]) -> Markup:
    """Return how many trials there are of each state."""
    counted = Counter(str(record.state) for record in records)
    states = ", ".join(f"{count} {state}" for state, count in sorted(counted.items()))
    return element("p", element("b", f"{len(records)} trials"), f": {states}" if states else "")


def draw_ranking(summary: Sequence[Mapping[str, Any]], options: Sequence[str], metric: str) -> Markup:
    """Return a table of the rows of ``Results.summary``, the best first."""
    pruned = any(row["pruned"] for row in summary)
    head = ["", *options, metric, "std", "n", *(["pruned"] if pruned else [])]
    rows = [element("tr", *(element("th", cut(text)) for text in head))]
    for place, row in enumerate(summary[:_MOST_ROWS], 1):
        cells = [place, *(row.get(option, "-") for option in options), row["mean"], row["std"], row["count"]]
        cells += [row["pruned"]] if pruned else []
        texts = [element("td", cut(_write(cell))) for cell in cells]
        rows.append(element("tr", *texts, style="font-weight: bold" if place == 1 else None))
    more = len(summary) - _MOST_ROWS
    told = [element("p", f"and {more} more configurations")] if more > 0 else []
    return element("div", element("table", *rows), *told)


def draw_failures(records: Sequence[Record]) -> Markup:
    """Return a line for each of the first trials that failed; empty where none has."""
    failed = [record for record in records if record.state in FAILURES]
    if not failed:
        return Markup()
    lines = [
        element("li", element("code", cut(record.id)), f" {record.state}: {cut(record.reason)}")
        for record in failed[:_MOST_FAILURES]
    ]
    more = len(failed) - _MOST_FAILURES
    lines += [element("li", f"and {more} more")] if more > 0 else []
    return element("ul", *lines)


def _write(cell: Any) -> str:
    if isinstance(cell, float):
        return "-" if math.isnan(cell) else f"{cell:.4g}"
    return getattr(cell, "__name__", None) or str(cell)
