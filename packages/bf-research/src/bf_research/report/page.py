"""The page of a report: all that was found out of a sweep, in one HTML file without a program in it."""

from __future__ import annotations

import math
import shlex
import time
from collections.abc import Mapping, Sequence

from bf_research.report.charts import (
    MOST_AXES,
    MOST_LINES,
    describe,
    draw_bars,
    draw_curves,
    draw_legend,
    draw_parallel,
)
from bf_research.report.contents import MOST_OPTIONS, Contents
from bf_research.report.histories import Curve
from bf_research.report.importance import METHOD
from bf_research.report.markup import Markup, cut, element, link, number
from bf_research.report.runs import Runs
from bf_research.report.style import STYLE
from bf_research.report.tables import change_table, failure_list, level_table, rank_table
from bf_research.sweep.trial import TrialState
from bf_research.tracking.summaries.places import sync_command

#: The order in which states are counted; they are declared with those of a running sweep first.
_ORDER = sorted(TrialState, key=lambda state: (state is not TrialState.DONE, state is not TrialState.PRUNED))
_PLACES = {"csv": "Tables of points", "tensorboard": "In TensorBoard", "wandb": "In files of W&B"}
#: The browser runs no program and asks nobody for anything, whatever stands in the texts.
POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"


def write_page(contents: Contents, curves: Mapping[str, Sequence[Curve]], runs: Runs) -> str:
    """Return the HTML of a report."""
    # a day and a time of day, as sweeps are filed; no more of the machine that it was read on
    title = f"Sweep {cut('/'.join(contents.folder.parts[-2:]))}"
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", http_equiv="Content-Security-Policy", content=POLICY),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="referrer", content="no-referrer"),
        element("title", title),
        element("style", Markup(STYLE)),
    )
    sections = [
        _head(contents, title),
        _ranking(contents, runs),
        _curves(contents, curves),
        _parallel(contents),
        _importance(contents),
        _changes(contents),
        _failures(contents),
        _origin(contents, runs),
    ]
    body = element("body", *(section for section in sections if section is not None))
    return f"<!DOCTYPE html>\n{element('html', head, body, lang='en')}\n"


def _section(name: str, title: str, *children: object) -> Markup:
    return element("section", element("h2", title), *children, id=name)


def _head(contents: Contents, title: str) -> Markup:
    better = "less" if contents.less else "more"
    records, best = contents.results.records, contents.ranked[0]
    states = [str(record.state).lower() for record in records]
    known = [str(state).lower() for state in _ORDER]
    counts = ", ".join(f"{states.count(state)} {state}" for state in known if state in states)
    how = f"Ranked by the mean of {cut(contents.metric)} over repetitions; {better} is better. Written "
    value = number(best.mean) + (f" ± {number(best.std, 2)}" if math.isfinite(best.std) else "")
    seconds = math.fsum(record.seconds for record in records)
    tiles = [
        _tile(f"best {cut(contents.metric, 40)}", value),
        _tile("best configuration", describe(best.config, contents.names), "tile broad"),
        _tile(f"trials: {counts}", f"{len(records):,}"),
    ]
    if seconds > 0:  # not every launcher tells
        tiles.append(_tile("of computing, in all trials", tell_time(seconds)))
    return element(
        "header",
        element("h1", title),
        element("p", how + time.strftime("%Y-%m-%d %H:%M."), class_="soft"),
        element("div", *tiles, class_="tiles"),
    )


def _tile(name: str, value: str, class_: str = "tile") -> Markup:
    return element("div", element("b", value), element("span", name, class_="soft"), class_=class_)


def tell_time(seconds: float) -> str:
    """Return a time in its two largest units.

    >>> tell_time(3.21), tell_time(75), tell_time(3 * 3600 + 120)
    ('3.2 s', '1 min 15 s', '3 h 2 min')
    """
    if not 0 <= seconds < 1e12:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def _ranking(contents: Contents, runs: Runs) -> Markup:
    note = "Values that are those of the best configuration are grey. n is how many trials came to their end."
    if len(contents.options) > MOST_OPTIONS:
        note += f" Of {len(contents.options)} options that vary, {MOST_OPTIONS} are shown."
    return _section("ranking", "Ranking", element("p", note, class_="note"), rank_table(contents, runs))


def _curves(contents: Contents, curves: Mapping[str, Sequence[Curve]]) -> Markup | None:
    if not curves:
        return None
    labels = [describe(found.config, contents.names) for found in contents.ranked[:20]]
    places = sorted({curve.place for found in curves.values() for curve in found})
    which = (
        f"The {len(places)} best configurations"
        if len(contents.ranked) > len(places)
        else "All configurations"
    )
    note = f"{which}: the mean over repetitions, and a band from the least to the most of them."
    figures = [draw_curves(metric, found, labels) for metric, found in curves.items()]
    return _section(
        "curves",
        "Curves",
        element("p", note, class_="note"),
        element("div", *figures, class_="figures"),
        draw_legend({place: labels[place] for place in places}),
    )


def _parallel(contents: Contents) -> Markup | None:
    drawn = draw_parallel(
        contents.ranked, contents.shown_options, contents.names, contents.metric, contents.less
    )
    if drawn is None:
        return None
    note = "A line is a configuration; the better it is, the higher it ends and the warmer its colour."
    if len(contents.options) > MOST_AXES:
        note += f" The {MOST_AXES} most important of {len(contents.options)} options."
    if len(contents.ranked) > MOST_LINES:
        note += f" The best {MOST_LINES} of {len(contents.ranked)} configurations."
    return _section("parallel", "Options against the metric", element("p", note, class_="note"), drawn)


def _importance(contents: Contents) -> Markup | None:
    found = contents.importances[:MOST_OPTIONS]
    if not found:
        return None
    levels = element(
        "details", element("summary", "What came out with each value"), level_table(found, contents.names)
    )
    if all(math.isnan(rated.share) for rated in found):
        told_why = "Nothing can be said yet: no value of an option was tried twice, or all came to the same."
        return _section("importance", "Importance of options", element("p", told_why, class_="note"), levels)
    note = element("p", METHOD, class_="note")
    return _section("importance", "Importance of options", note, draw_bars(found, contents.names), levels)


def _changes(contents: Contents) -> Markup | None:
    found = change_table(contents) if len(contents.ranked) > 1 else None
    return None if found is None else _section("changes", "What a change does to the best", found)


def _failures(contents: Contents) -> Markup | None:
    count = len(contents.failures)
    if not count:
        return None
    title = f"Failures: {count} of {len(contents.results)} trials"
    return _section("failures", title, failure_list(contents))


def _command(kind: str, place: str) -> str:
    """Return what is typed to see the trials, or the folder that they are in."""
    if kind == "wandb":
        return sync_command(place)
    begin = {"tensorboard": "tensorboard --logdir "}.get(kind, "")
    return begin + shlex.quote(place)


def _origin(contents: Contents, runs: Runs) -> Markup | None:
    pieces = []
    if contents.fixed:
        told = cut(" ".join(contents.fixed), 2000)
        pieces.append(element("p", "Settings of all trials: ", element("code", told)))
    if runs.sweep_page is not None:
        page = link("the run of the sweep", runs.sweep_page)
        opened = (
            []
            if runs.command == runs.site
            else ["; its pages are open while ", element("code", runs.command), " runs"]
        )
        pieces.append(element("p", "In MLflow: ", page, *opened, "."))
    for kind, place in runs.places.items():
        pieces.append(element("p", f"{_PLACES[kind]}: ", element("code", _command(kind, place)), "."))
    return _section("origin", "Where it comes from", *pieces) if pieces else None
