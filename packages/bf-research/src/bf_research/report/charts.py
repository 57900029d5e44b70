"""The charts of a report, drawn as SVG: curves with bands, parallel coordinates, bars of importance."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from bf_research.report.axes import Scale, choose_scale, line, path, picture, write
from bf_research.report.contents import Configuration
from bf_research.report.histories import Curve
from bf_research.report.importance import MISSING, Importance, is_number, order_of, spell
from bf_research.report.markup import Markup, cut, element, join, number

#: From the worst to the best value, told apart on white and on black.
_WORST_TO_BEST = ((91, 110, 225), (194, 86, 155), (242, 150, 40))
#: Labels of an axis, and letters of one.
_MOST_LABELS, _LETTERS = 12, 16
#: Room beside curves, for half a label.
_RIGHT = 24
#: Axes of the parallel coordinates, and lines on them.
MOST_AXES, MOST_LINES = 7, 1000


def draw_curves(metric: str, curves: Sequence[Curve], labels: Sequence[str]) -> Markup:
    """Draw means of configurations by iteration, each with a band from the least to the most repetition."""
    width, height, left, bottom = 560, 300, 62, 36
    steps = [step for curve in curves for step in (curve.steps[0], curve.steps[-1])]
    values = [value for curve in curves for value in (*curve.least, *curve.most)]
    across = Scale(min(steps), max(steps), left, width - _RIGHT)
    up = choose_scale(values, height - bottom, 14)
    parts = [_grid(across, up, width)]
    for curve in reversed(curves):  # the best on top
        colour = f"c{curve.place % 8}"
        if curve.trials > 1:
            band = [(across(step), up(value)) for step, value in zip(curve.steps, curve.most)]
            band += [(across(step), up(value)) for step, value in zip(curve.steps, curve.least)][::-1]
            parts.append(element("path", d=path(band, closed=True), class_=f"band {colour}"))
        points = [(across(step), up(value)) for step, value in zip(curve.steps, curve.mean)]
        title = element(
            "title", f"{curve.place + 1}. {labels[curve.place]}: {number(curve.mean[-1])} at the end"
        )
        parts.append(element("path", title, d=path(points), class_=f"curve {colour}"))
        if len(points) == 1:
            (x, y) = points[0]
            parts.append(element("circle", cx=x, cy=y, r=3, class_=f"dot {colour}"))
    parts.append(write("iteration", width - _RIGHT, height - 4, "end", "axis-name"))
    drawn = picture(width, height, *parts, label=f"{metric} by iteration")
    caption = element("figcaption", element("strong", cut(metric, 60)), " by iteration")
    return element("figure", caption, drawn)


def _grid(across: Scale, up: Scale, width: float) -> Markup:
    parts = []
    for value in up.ticks():
        parts += [line(across.start, up(value), width - _RIGHT, up(value), "grid")]
        parts += [write(f"{value:g}", across.start - 8, up(value) + 4, "end")]
    for value in across.ticks(6):
        parts += [write(f"{value:g}", across(value), up.start + 18, "middle")]
    parts.append(line(across.start, up.start, width - _RIGHT, up.start, "axis"))
    return join(parts)


def draw_legend(labels: Mapping[int, str]) -> Markup:
    """Return the names of curves, each with its colour, by their places."""
    entries = [
        element("li", element("span", class_=f"swatch c{place % 8}"), f"{place + 1}. {label}")
        for place, label in labels.items()
    ]
    return element("ul", *entries, class_="legend")


def draw_parallel(
    ranked: Sequence[Configuration], options: Sequence[str], short: Mapping[str, str], metric: str, less: bool
) -> Markup | None:
    """Draw a line for each configuration through its options to its mean; None for fewer than two of them."""
    drawn = [found for found in ranked if math.isfinite(found.mean)][:MOST_LINES]
    names = list(options[:MOST_AXES])
    if len(drawn) < 2 or not names:
        return None
    width, height, top, bottom = 1080, 380, 46, 16
    places = [80 + index * (width - 170) / len(names) for index in range(len(names) + 1)]
    means = [found.mean for found in drawn]
    # the better end is above
    ends = (top, height - bottom) if less else (height - bottom, top)
    up = Scale(min(means), max(means), *ends)
    columns = [
        _Column([found.config.get(name, MISSING) for found in drawn], height - bottom, top) for name in names
    ]
    # many lines are a cloud, in which the one of the best configuration is seen
    opacity = round(max(0.15, min(0.7, 12 / len(drawn) ** 0.7)), 2)
    parts = []
    for index in reversed(range(len(drawn))):
        found = drawn[index]
        heights = [*(column.heights[index] for column in columns), up(found.mean)]
        share = up.share(found.mean)
        title = element("title", f"{index + 1}. {describe(found.config, short)}: {number(found.mean)}")
        parts.append(
            element(
                "path",
                title,
                d=path(list(zip(places, heights, strict=True))),
                class_="line best" if index == 0 else "line",
                stroke_opacity=None if index == 0 else opacity,
                stroke=colour(1 - share if less else share),
            )
        )
    for place, name, column in zip(places, names, columns, strict=False):
        parts += [line(place, top, place, height - bottom, "axis"), _axis_name(short[name], place)]
        parts += [_label(text, place, at) for text, at in column.labels]
    parts += [line(places[-1], top, places[-1], height - bottom, "axis"), _axis_name(metric, places[-1])]
    parts += [_label(f"{value:g}", places[-1], up(value)) for value in up.ticks()]
    return picture(width, height, *parts, label=f"options against {metric}")


def _axis_name(name: str, place: float) -> Markup:
    shown = _shorten(name, 24)
    text = element("text", element("title", name), shown, x=round(place, 1), y=20, text_anchor="middle")
    return element("g", text, class_="axis-name")


def _shorten(name: str, most: int) -> str:
    """Return the end of a long name, which tells it from others."""
    return name if len(name) <= most else f"…{name[1 - most :]}"


def _label(text: str, x: float, y: float) -> Markup:
    return element("text", cut(text, _LETTERS), x=round(x + 6, 1), y=round(y + 4, 1), class_="label")


class _Column:
    """An axis of an option: ``heights`` of its values, one for each line, and ``labels`` with theirs."""

    def __init__(self, values: Sequence[Any], bottom: float, top: float) -> None:
        distinct = {spell(value): value for value in values}
        texts = sorted(distinct, key=lambda text: order_of(distinct[text]))
        if len(texts) > _MOST_LABELS and all(is_number(value) for value in distinct.values()):
            scale = choose_scale([float(value) for value in distinct.values()], bottom, top, padded=False)
            self.heights = [scale(float(value)) for value in values]
            self.labels = [(f"{tick:g}", scale(tick)) for tick in scale.ticks()]
            return
        even = Scale(0, max(len(texts) - 1, 0), bottom, top)
        at = {text: even(place) for place, text in enumerate(texts)}
        self.heights = [at[spell(value)] for value in values]
        every = -(-len(texts) // _MOST_LABELS)
        self.labels = [(text, at[text]) for text in texts[::every]]


def colour(share: float) -> str:
    """Return the colour of a value, from 0 for the worst to 1 for the best."""
    place = min(max(share, 0.0), 1.0) * (len(_WORST_TO_BEST) - 1)
    index = min(int(place), len(_WORST_TO_BEST) - 2)
    pairs = zip(_WORST_TO_BEST[index], _WORST_TO_BEST[index + 1], strict=True)
    return "#" + "".join(f"{round(low + (high - low) * (place - index)):02x}" for low, high in pairs)


def draw_bars(importances: Sequence[Importance], short: Mapping[str, str]) -> Markup:
    """Draw a bar for each option, as long as the share of variance that it explains."""
    left, width, row = 230, 760, 26
    parts = []
    for index, found in enumerate(importances):
        y = index * row
        name = _shorten(short[found.option], 32)
        known = not math.isnan(found.share)
        length = round((width - left - 70) * found.share, 1) if known else 0
        parts += [write(name, left - 10, y + 17, "end")]
        parts += [element("rect", x=left, y=y + 4, width=max(length, 1), height=row - 9, rx=3, class_="bar")]
        parts += [write(f"{found.share:.0%}" if known else MISSING, left + length + 8, y + 17)]
    return picture(width, row * len(importances) + 4, *parts, label="importance of options")


def describe(config: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """Return the options of a configuration as people write them: those that have a name for people."""
    pairs = [f"{short}={cut(spell(config[name]), 60)}" for name, short in names.items() if name in config]
    return cut(", ".join(pairs)) or "the one configuration"
