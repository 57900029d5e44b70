"""Axes of charts: from values to places on the page, and the round numbers that are written beside them."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from bf_research.report.markup import Markup, element


@dataclass(frozen=True)
class Scale:
    """A map from values to places between ``start`` and ``end``; ``log`` by the logarithm."""

    least: float
    most: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        """Return the place of a value, rounded to a tenth of a pixel."""
        share = self.share(value)
        return round(self.start + share * (self.end - self.start), 1)

    def share(self, value: float) -> float:
        """Return where a value lies: 0 for the least, 1 for the most, a half where these are equal."""
        least, most = self.least, self.most
        if self.log:
            value, least, most = math.log10(value), math.log10(least), math.log10(most)
        span = most / 2 - least / 2  # of halves, which no number is too large for
        return (value / 2 - least / 2) / span if span else 0.5

    def ticks(self, about: int = 5) -> list[float]:
        """Return round numbers inside the scale."""
        if self.least == self.most:
            return [self.least]
        return (
            _decades(self.least, self.most, about)
            if self.log
            else round_numbers(self.least, self.most, about)
        )


def round_numbers(least: float, most: float, about: int = 5) -> list[float]:
    """Return multiples of 1, 2 or 5 times a power of ten between two numbers.

    >>> round_numbers(0.12, 0.93)
    [0.2, 0.4, 0.6, 0.8]
    """
    raw = (most / about) - (least / about)
    if not raw > 0 or math.isinf(raw):
        return [least, most]
    power = 10.0 ** math.floor(math.log10(raw))
    step = next((power * times for times in (1, 2, 5) if power * times >= raw), power * 10)
    if not step > 0:
        return [least, most]
    first, last = math.ceil(least / step - 1e-9), math.floor(most / step + 1e-9)
    return [float(f"{number * step:.12g}") for number in range(first, last + 1)][: 4 * about]


def _decades(least: float, most: float, about: int) -> list[float]:
    low, high = math.floor(math.log10(least)), min(math.ceil(math.log10(most)), 307)
    every = max(1, -(-(high - low) // about))
    factors = (1, 2, 5) if high - low <= 2 else (1,)
    numbers = [factor * 10.0**power for power in range(low, high + 1, every) for factor in factors]
    inside = [float(f"{number:.12g}") for number in numbers if least <= number <= most]
    return inside if len(inside) > 1 else [least, most]


def choose_scale(values: Sequence[float], start: float, end: float, padded: bool = True) -> Scale:
    """Return a scale for finite values; by the logarithm where they are positive and span two decades."""
    least, most = min(values), max(values)
    if least > 0 and most / least > 100:
        return Scale(least, most, start, end, log=True)
    room = 0.03 * (most / 2 - least / 2) * 2 if padded else 0.0
    bounded = math.isfinite(least - room) and math.isfinite(most + room)
    return Scale(least - room, most + room, start, end) if bounded else Scale(least, most, start, end)


def write(text: object, x: float, y: float, anchor: str = "start", class_: str | None = None) -> Markup:
    """Return a text on a picture."""
    return element("text", text, x=x, y=y, text_anchor=anchor, class_=class_)


def line(x1: float, y1: float, x2: float, y2: float, class_: str) -> Markup:
    """Return a straight line."""
    return element("line", x1=x1, y1=y1, x2=x2, y2=y2, class_=class_)


def path(points: Sequence[tuple[float, float]], closed: bool = False) -> str:
    """Return the ``d`` of a path through points."""
    return "M" + "L".join(f"{x:g},{y:g}" for x, y in points) + ("Z" if closed else "")


def picture(width: float, height: float, *children: Markup, label: str) -> Markup:
    """Return a picture that is as wide as there is room, with a label for those who can't see it."""
    box = f"0 0 {width:g} {height:g}"
    # viewBox is the one attribute of SVG that is spelled so
    drawn = element("svg", *children, viewBox=box, role="img", aria_label=label, width=f"{width:g}")
    return element("div", drawn, class_="picture")
