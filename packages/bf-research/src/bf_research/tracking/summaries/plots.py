"""Pictures of a sweep as artifacts of its run: learning curves, parallel coordinates, boxes by option."""

from __future__ import annotations

import logging
import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bf_research.tracking.store import Row

log = logging.getLogger(__name__)

#: Of more curves than these the best are drawn, the others are a band.
MOST_CURVES = 12
#: Curves beside a band.
BEST_CURVES = 3
#: Histories are read one by one, so a picture has no more trials than these.
MOST_HISTORIES = 60
#: An option with more values is a cloud of points, no longer a row of boxes with a label each.
MOST_BOXES = 12


def draw(client: Any, folder: Path, rows: Sequence[Row], varied: Sequence[str], metric: str) -> None:
    """Draw the pictures that the results allow into a folder; needs two trials with the metric at least.

    A picture that can't be drawn is told, and costs no other.
    """
    good = [row for row in rows if math.isfinite(row.metrics.get(metric, math.nan))]
    if len(good) < 2:
        return
    options = [name for name in varied if name not in ("repetition", "seed")]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def picture(name: str, title: str, fill: Callable[[Any], None], layout: Any = "none") -> None:
        try:
            paint(name, title, fill, layout)
        except Exception as error:  # noqa: BLE001 - matplotlib raises many things
            log.warning(
                "the picture %s of the sweep can't be drawn: %s: %s", name, type(error).__name__, error
            )

    def paint(name: str, title: str, fill: Callable[[Any], None], layout: Any) -> None:
        figure = Figure(figsize=(9, 5), layout=layout)
        if layout == "none":
            figure.subplots_adjust(0.1, 0.12, 0.97, 0.91)
        canvas = FigureCanvasAgg(figure)
        figure.suptitle(_literal(title))
        fill(figure)
        if figure.axes:
            # savefig would draw twice, and the best compression takes a quarter of the time
            canvas.print_png(folder / f"{name}.png", pil_kwargs={"compress_level": 1})

    best = f" of the {MOST_HISTORIES} best trials" if len(good) > MOST_HISTORIES else ""
    title = f"train/loss{best}: mean of the repetitions, band from least to most"
    picture("learning_curves", title, lambda figure: _learning_curves(client, figure, good, options, metric))
    if options:
        lines = f"each line a trial, colour {metric}"
        picture("parallel_coordinates", lines, lambda figure: _parallel(figure, good, options, metric))
        # labels of any length
        boxes = f"{metric} by option"
        picture("by_option", boxes, lambda figure: _boxes(figure, good, options, metric), "constrained")


def _literal(text: str) -> str:
    """Return a text in which dollars do not begin a formula."""
    return text.replace("$", r"\$")


def _label(row: Row, options: Sequence[str]) -> str:
    return ", ".join(f"{name}={row.params.get(name, '')}" for name in options) or row.name


def _learning_curves(
    client: Any, figure: Any, rows: Sequence[Row], options: Sequence[str], metric: str
) -> None:
    groups: dict[str, list[dict[int, float]]] = {}
    for row in rows[:MOST_HISTORIES]:
        history = client.get_metric_history(row.run_id, "train/loss")
        # the largest number there is stands for infinity
        curve = {m.step: m.value for m in history if abs(m.value) < sys.float_info.max}
        if curve:
            groups.setdefault(_label(row, options), []).append(curve)
    if not groups:
        return
    axes = figure.subplots()
    drawn = len(groups) if len(groups) <= MOST_CURVES else BEST_CURVES
    if others := [run for runs in list(groups.values())[drawn:] for run in runs]:
        steps, columns = _columns(others, len(others) // 2)
        label = f"middle half and median of {len(groups) - drawn} others"
        quarters = [np.quantile(column, (0.25, 0.5, 0.75)) for column in columns]
        low, middle, high = zip(*quarters, strict=True)
        axes.fill_between(steps, low, high, color="0.85", label=label)
        axes.plot(steps, middle, color="0.6", linewidth=1)
    for label, runs in list(groups.items())[:drawn]:
        steps, columns = _columns(runs, len(runs))
        if not steps:
            continue
        (line,) = axes.plot(
            steps, [np.mean(column) for column in columns], label=_literal(label), linewidth=1
        )
        if len(runs) > 1:
            least, most = [min(column) for column in columns], [max(column) for column in columns]
            axes.fill_between(steps, least, most, alpha=0.2, color=line.get_color())
    axes.set(xlabel="iteration", ylabel=f"loss (best {metric} first)", yscale="log")
    _number_decades(axes.yaxis)
    axes.legend(fontsize="small")


def _columns(runs: Sequence[dict[int, float]], least: int) -> tuple[list[int], list[list[float]]]:
    """Return the steps that so many runs have, and the values of all runs at each."""
    columns: dict[int, list[float]] = {}
    for run in runs:
        for step, value in run.items():
            columns.setdefault(step, []).append(value)
    steps = sorted(step for step, column in columns.items() if len(column) >= least)
    return steps, [columns[step] for step in steps]


def _number_decades(axis: Any) -> None:
    """Write plain numbers at 1, 2 and 5 of each decade."""
    from matplotlib.ticker import FuncFormatter, LogLocator, NullLocator

    axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_locator(NullLocator())


def _colours(figure: Any, axes: Any, rows: Sequence[Row], metric: str) -> Any:
    """Draw a bar of the metric's values; return the function from a value to its colour."""
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize
    from matplotlib.ticker import MaxNLocator

    values = [row.metrics[metric] for row in rows]
    scale = Normalize(min(values), max(values) if max(values) > min(values) else min(values) + 1e-9)
    mapped = ScalarMappable(scale, "viridis")
    figure.colorbar(mapped, ax=axes, label=_literal(metric), ticks=MaxNLocator(5))
    return mapped.to_rgba


def _parallel(figure: Any, rows: Sequence[Row], options: Sequence[str], metric: str) -> None:
    from matplotlib.collections import LineCollection

    axes = figure.subplots()
    values = [row.metrics[metric] for row in rows]
    colours, least, most = _colours(figure, axes, rows, metric), min(values), max(values)
    positions = {name: _positions([row.params.get(name, "") for row in rows]) for name in options}
    lines = []
    for row, value in zip(rows, values, strict=True):
        heights = [positions[name][row.params.get(name, "")] for name in options]
        lines.append(list(enumerate([*heights, (value - least) / (most - least or 1.0)])))
    axes.add_collection(LineCollection(lines, colors=colours(values), alpha=0.8))
    axes.set(xlim=(-0.15, len(options) + 0.25), ylim=(-0.06, 1.06))
    white = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 1}

    def write(text: str, place: int, height: float) -> None:
        axes.annotate(
            _literal(text),
            (place, height),
            (4, 0),
            textcoords="offset points",
            va="center",
            fontsize="small",
            bbox=white,
        )

    for place, name in enumerate(options):
        labels = list(positions[name].items())
        for text, height in labels if len(labels) <= MOST_BOXES else (labels[0], labels[-1]):
            write(text, place, height)
    for share in (0.0, 0.25, 0.5, 0.75, 1.0) if most > least else (0.0,):
        write(f"{least + share * (most - least):.4g}", len(options), share)
    for place in range(len(options) + 1):
        axes.axvline(place, color="0.6", linewidth=0.8, zorder=0)
    axes.set_xticks(range(len(options) + 1), [_literal(text) for text in (*options, metric)])
    axes.set_yticks([])


def _positions(texts: Sequence[str]) -> dict[str, float]:
    """Return the values of an option spread from 0 to 1, numbers in their order."""

    def order(text: str) -> tuple[int, float, str]:
        try:
            return (0, float(text), text)
        except ValueError:
            return (1, 0.0, text)

    distinct = sorted(set(texts), key=order)
    return {text: place / max(len(distinct) - 1, 1) for place, text in enumerate(distinct)}


def _boxes(figure: Any, rows: Sequence[Row], options: Sequence[str], metric: str) -> None:
    panels = figure.subplots(1, len(options), sharey=True, squeeze=False)[0]
    for axes, name in zip(panels, options, strict=True):
        axes.set(xlabel=_literal(name))
        labels = list(_positions([row.params.get(name, "") for row in rows]))
        if len(labels) > MOST_BOXES:
            _cloud(axes, [row.params.get(name, "") for row in rows], [row.metrics[metric] for row in rows])
            continue
        groups = [
            [row.metrics[metric] for row in rows if row.params.get(name, "") == text] for text in labels
        ]
        axes.boxplot(groups, tick_labels=[_literal(text) for text in labels])
        axes.tick_params(axis="x", rotation=30)
    panels[0].set_ylabel(_literal(metric))


def _cloud(axes: Any, texts: Sequence[str], values: Sequence[float]) -> None:
    """Draw one point a trial: over the numbers that an option had, or over the places of its texts."""
    try:
        places = [float(text) for text in texts]
    except ValueError:
        order = {text: place for place, text in enumerate(_positions(texts))}
        places = [float(order[text]) for text in texts]
    axes.plot(places, values, "o", alpha=0.6)
    if min(places) > 0 and max(places) > 100 * min(places):
        axes.set_xscale("log")
