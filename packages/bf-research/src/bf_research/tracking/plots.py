"""Pictures of a sweep as artifacts of its run: learning curves, parallel coordinates, boxes by option."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from bf_research.tracking.summary import Row

log = logging.getLogger(__name__)

#: More curves than these make no picture anyone reads.
MOST_CURVES = 30
#: An option with more values is a cloud of points, no longer a row of boxes with a label each.
MOST_BOXES = 12
FOLDER = "sweep"


def draw(client: Any, run_id: str, rows: Sequence[Row], varied: Sequence[str], metric: str) -> None:
    """Log the pictures that the results allow; needs two trials with the metric at least."""
    good = [row for row in rows if math.isfinite(row.metrics.get(metric, math.nan))]
    if len(good) < 2:
        return
    options = [name for name in varied if name not in ("repetition", "seed")]
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    def figure(name: str) -> Any:
        made = Figure(figsize=(9, 5), layout="constrained")
        FigureCanvasAgg(made)
        made.suptitle(name)
        return made

    curves = figure("train/loss: mean of the repetitions, band from least to most")
    if _learning_curves(client, curves, good, options):
        client.log_figure(run_id, curves, f"{FOLDER}/learning_curves.png")
    if options:
        lines = figure(f"each line a trial, colour {metric}")
        _parallel(lines, good, options, metric)
        client.log_figure(run_id, lines, f"{FOLDER}/parallel_coordinates.png")
        boxes = figure(f"{metric} by option")
        _boxes(boxes, good, options, metric)
        client.log_figure(run_id, boxes, f"{FOLDER}/by_option.png")


def _label(row: Row, options: Sequence[str]) -> str:
    return ", ".join(f"{name}={row.params.get(name, '')}" for name in options) or row.name


def _learning_curves(client: Any, figure: Any, rows: Sequence[Row], options: Sequence[str]) -> bool:
    groups: dict[str, list[dict[int, float]]] = {}
    for row in rows[:MOST_CURVES]:
        history = client.get_metric_history(row.run_id, "train/loss")
        if history:
            groups.setdefault(_label(row, options), []).append({m.step: m.value for m in history})
    if not groups:
        return False
    axes = figure.subplots()
    for label, runs in groups.items():
        steps = sorted(set.intersection(*(set(run) for run in runs)))
        columns = [[run[step] for run in runs] for step in steps]
        (line,) = axes.plot(
            steps, [sum(column) / len(column) for column in columns], label=label, linewidth=1
        )
        if len(runs) > 1:
            low, high = [min(c) for c in columns], [max(c) for c in columns]
            axes.fill_between(steps, low, high, alpha=0.2, color=line.get_color())
    axes.set(xlabel="iteration", ylabel="loss", yscale="log")
    axes.legend(fontsize="small")
    return True


def _parallel(figure: Any, rows: Sequence[Row], options: Sequence[str], metric: str) -> None:
    from matplotlib import colormaps
    from matplotlib.cm import ScalarMappable
    from matplotlib.colors import Normalize

    axes = figure.subplots()
    values = [row.metrics[metric] for row in rows]
    scale = Normalize(min(values), max(values) if max(values) > min(values) else min(values) + 1e-9)
    positions = {name: _positions([row.params.get(name, "") for row in rows]) for name in options}
    for row, value in zip(rows, values, strict=True):
        heights = [positions[name][row.params.get(name, "")] for name in options] + [scale(value)]
        axes.plot(range(len(heights)), heights, color=colormaps["viridis"](scale(value)), alpha=0.8)
    for place, name in enumerate(options):
        told = list(positions[name].items())
        for text, height in told if len(told) <= MOST_BOXES else (told[0], told[-1]):
            axes.annotate(text, (place, height), fontsize="small")
    axes.set_xticks(range(len(options) + 1), [*options, metric])
    axes.set_yticks([])
    figure.colorbar(ScalarMappable(scale, "viridis"), ax=axes, label=metric)


def _positions(texts: Sequence[str]) -> dict[str, float]:
    """Spread the values of an option from 0 to 1, numbers in their order."""

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
        axes.set(xlabel=name)
        labels = list(_positions([row.params.get(name, "") for row in rows]))
        if len(labels) > MOST_BOXES:
            _cloud(axes, [row.params.get(name, "") for row in rows], [row.metrics[metric] for row in rows])
            continue
        groups = [
            [row.metrics[metric] for row in rows if row.params.get(name, "") == text] for text in labels
        ]
        axes.boxplot(groups, tick_labels=labels)
        axes.tick_params(axis="x", rotation=30)
    panels[0].set_ylabel(metric)


def _cloud(axes: Any, texts: Sequence[str], values: Sequence[float]) -> None:
    """Draw a point a trial: over the numbers that an option had, or over the places of its texts."""
    try:
        places = [float(text) for text in texts]
    except ValueError:
        order = {text: place for place, text in enumerate(_positions(texts))}
        places = [float(order[text]) for text in texts]
    axes.plot(places, values, "o", alpha=0.6)
    if min(places) > 0 and max(places) > 100 * min(places):
        axes.set_xscale("log")
