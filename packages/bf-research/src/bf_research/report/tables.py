"""The tables of a report: the ranking, values of options, what changes from the best, what failed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

from bf_research.report.contents import Configuration, Contents, differences
from bf_research.report.importance import MISSING, Importance, spell
from bf_research.report.markup import Markup, cut, element, join, link, number, table
from bf_research.report.runs import Runs
from bf_research.sweep.records import Record
from bf_research.sweep.tables import describe

#: Rows in sight, rows at all, trials of a row with a link, rows of changes.
SHOWN_ROWS, MOST_ROWS, MOST_LINKS, MOST_CHANGES = 25, 1000, 10, 20
#: Failures that are told, letters of a traceback: its end matters most.
MOST_FAILURES, MOST_LETTERS = 50, 12_000
_CELL = 60


def rank_table(contents: Contents, runs: Runs) -> Markup:
    """Return the ranked configurations; those behind the first are folded."""
    rows = contents.ranked[:MOST_ROWS]
    head, row = _rank_columns(contents, runs)
    pieces = [table(head, [row(place, found) for place, found in enumerate(rows[:SHOWN_ROWS], 1)], "ranking")]
    if len(rows) > SHOWN_ROWS:
        more = [row(place, found) for place, found in enumerate(rows[SHOWN_ROWS:], SHOWN_ROWS + 1)]
        summary = element("summary", f"{len(more)} more configurations")
        pieces.append(element("details", summary, table(head, more, "ranking")))
    if left := len(contents.ranked) - len(rows):
        pieces.append(element("p", f"… and {left} more, which the journal has.", class_="note"))
    return join(pieces)


def _rank_columns(
    contents: Contents, runs: Runs
) -> tuple[list[object], Callable[[int, Configuration], list[object]]]:
    """Return the heads of the ranking's columns, and what makes a row."""
    best, options = contents.ranked[0], contents.shown_options
    links = any(found in runs.found for found in (record.id for record in contents.results.records))
    means = [found.mean for found in contents.ranked if math.isfinite(found.mean)]
    head = [
        "",
        *(cut(contents.names[name], 40) for name in options),
        cut(contents.metric, 40),
        "std",
        "n",
        "state",
    ]

    def value(name: str, found: Configuration) -> Markup:
        text = spell(found.config[name]) if name in found.config else MISSING
        same = found is not best and name in best.config and text == spell(best.config[name])
        return element("td", cut(text, _CELL), class_="same" if same else None)

    def row(place: int, found: Configuration) -> list[object]:
        cells: list[object] = [place, *(value(name, found) for name in options)]
        cells += [_metered(found.mean, means, contents.less), _deviation(found.std), found.count]
        cells.append(element("td", found.state, class_=None if found.count == len(found.records) else "soft"))
        return [*cells, _links(found.records, runs)] if links else cells

    return [*head, "runs"] if links else [*head], row


def _metered(mean: float, means: Sequence[float], less: bool) -> Markup:
    """Return a cell with a number, and a bar that is longest for the best one."""
    if not math.isfinite(mean):
        return element("td", MISSING, class_="number")
    least, most = min(means), max(means)
    span = most / 2 - least / 2
    share = (mean / 2 - least / 2) / span if span else 1.0
    share = 1 - share if less and span else share
    bar = element("span", element("span", style=f"width:{share:.0%}"), class_="meter")
    return element("td", bar, number(mean), class_="number")


def _deviation(value: float) -> Markup:
    return element("td", number(value, 2), class_="number")


def _links(records: Sequence[Record], runs: Runs) -> Markup:
    pages = [(record, runs.page(record.id)) for record in records[:MOST_LINKS]]
    found = [
        link(f"{record.repetition}" if len(records) > 1 else "run", page) for record, page in pages if page
    ]
    return join(piece for place, one in enumerate(found) for piece in ((" ", one) if place else (one,)))


def level_table(importances: Sequence[Importance], short: Mapping[str, str]) -> Markup:
    """Return what came out with each value of each option, over all that the other options had."""
    rows = [
        [
            cut(short[found.option], 40) if place == 0 else "",
            cut(level.label, _CELL),
            level.count,
            level.mean,
            _deviation(level.std),
            level.best,
        ]
        for found in importances
        for place, level in enumerate(found.levels[:30])
    ]
    return table(["option", "value", "trials", "mean", "std", "best"], rows)


def change_table(contents: Contents) -> Markup | None:
    """Return the configurations that are most like the best one; None where there is no other."""
    best, *others = contents.ranked
    options = contents.options[: 4 * len(contents.shown_options)]
    changed = [(differences(best, other, options), other) for other in others[:MOST_ROWS]]
    finite = [(change, other) for change, other in changed if change and math.isfinite(other.mean)]
    if not finite or not math.isfinite(best.mean):
        return None
    fewest = min(len(change) for change, _ in finite)
    nearest = [(change, other) for change, other in finite if len(change) == fewest][:MOST_CHANGES]
    nearest.sort(key=lambda pair: [options.index(name) for name in pair[0]])
    places = {id(found): place for place, found in enumerate(contents.ranked, 1)}
    rows = [
        [
            element(
                "td",
                *_tell_change(best, other, {name: contents.names[name] for name in change}),
                class_="text",
            ),
            other.mean,
            _tell_difference(best, other),
            places[id(other)],
        ]
        for change, other in nearest
    ]
    told = "one option" if fewest == 1 else f"{fewest} options"
    note = (
        f"Configurations that differ from the best one in {told}. The number behind ± is the standard error "
        "of the difference, where both were repeated."
    )
    head = ["changed", cut(contents.metric, 40), "difference", "place"]
    return join([element("p", note, class_="note"), table(head, rows)])


def _tell_change(best: Configuration, other: Configuration, names: Mapping[str, str]) -> list[object]:
    told: list[object] = []
    for name, short in names.items():
        before, after = (
            cut(spell(found.config[name]), _CELL) if name in found.config else MISSING
            for found in (best, other)
        )
        told += [element("br")] if told else []
        told += [f"{cut(short, 60)}: {before} → ", element("b", after)]
    return told


def _tell_difference(best: Configuration, other: Configuration) -> Markup:
    difference = other.mean - best.mean
    error = ""
    if best.count > 1 and other.count > 1 and math.isfinite(best.std) and math.isfinite(other.std):
        error = f" ± {number(math.hypot(best.std / best.count**0.5, other.std / other.count**0.5), 2)}"
    return element("td", f"{difference:+.4g}{error}", class_="number")


def failure_list(contents: Contents) -> Markup:
    """Return the trials that failed, each with its error in one line and its traceback folded below it."""
    failures = contents.failures
    pieces = []
    for record in failures[:MOST_FAILURES]:
        told = f"trial {record.number}, {str(record.state).lower()}: {cut(describe(record))}"
        summary = element("summary", element("b", told), element("br"), cut(record.reason), class_="bad")
        trace = cut(record.error, 20 * MOST_LETTERS).strip()
        shown = trace if len(trace) <= MOST_LETTERS else f"…{trace[-MOST_LETTERS:]}"
        tried = f"tried {record.attempts} times" if record.attempts > 1 else None
        body = element("pre", shown) if shown else element("p", "It left no traceback.", class_="note")
        pieces.append(
            element("details", summary, *([element("p", tried, class_="note")] if tried else []), body)
        )
    if left := len(failures) - len(pieces):
        pieces.append(element("p", f"… and {left} more, which the journal has.", class_="note"))
    return join(pieces)
