"""Curves of variables that grow in a notebook while a pipeline runs."""

from __future__ import annotations

import io
import math
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from typing import Any

import numpy as np

#: A picture has this many points at most; older ones are thinned out.
MOST_POINTS = 2000
#: Drawing takes this share of the time at most.
_SHARE = 0.05
_AT_LEAST_SECONDS = 1.0

Show = Callable[[bytes], None]


class Curve:
    """Values by the number of the batch, at most ``MOST_POINTS`` of them, evenly spread."""

    def __init__(self) -> None:
        self.places: list[int] = []
        self.values: list[float] = []
        self._step = 1

    def add(self, place: int, value: float) -> None:
        """Add the value of a batch."""
        if place % self._step or not math.isfinite(value):
            return
        self.places.append(place)
        self.values.append(value)
        if len(self.values) >= MOST_POINTS:
            self._step *= 2
            kept = [number for number, one in enumerate(self.places) if one % self._step == 0]
            self.places = [self.places[number] for number in kept]
            self.values = [self.values[number] for number in kept]


def last_number(value: Any) -> float:
    """Return the latest number of a variable: of a list or an array the last; NaN for none."""
    while isinstance(value, list | tuple):
        if not value:
            return math.nan
        value = value[-1]
    if isinstance(value, np.ndarray):
        value = value.reshape(-1)[-1] if value.size else math.nan
    return float(value) if isinstance(value, int | float | np.number) else math.nan


def draw_curves(
    source: Generator[Any, None, None], variables: Mapping[str, Any], names: Sequence[str], show: Show
) -> Generator[Any, None, None]:
    """Pass batches on, and show a PNG of the curves now and then, and at the end."""
    curves = {name: Curve() for name in names}
    due, number = time.monotonic() + _AT_LEAST_SECONDS, 0
    with closing(source):
        try:
            for batch in source:
                for name, curve in curves.items():
                    curve.add(number, last_number(variables[name]))
                number += 1
                if time.monotonic() >= due:
                    began = time.monotonic()
                    show(paint(curves))
                    took = time.monotonic() - began
                    due = began + max(took / _SHARE, _AT_LEAST_SECONDS)
                yield batch
        finally:
            if any(curve.values for curve in curves.values()):
                show(paint(curves))


def paint(curves: Mapping[str, Curve]) -> bytes:
    """Return a PNG with a picture for each curve, side by side."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(5 * len(curves), 3), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (name, curve) in enumerate(curves.items(), 1):
        axes = figure.add_subplot(1, len(curves), place)
        axes.plot(curve.places, curve.values, linewidth=1)
        axes.set_xlabel("batch")
        axes.set_title(f"{name} {curve.values[-1]:.4g}" if curve.values else name)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def open_display() -> Show:
    """Return a function that shows a PNG in the notebook's cell, in the place of the one before.

    ``RuntimeError`` where no notebook runs; ``ImportError`` without matplotlib.
    """
    try:
        import matplotlib as _  # noqa: F401
    except ImportError as error:
        raise ImportError("graphs need matplotlib: pip install matplotlib") from error
    try:
        from IPython.core.getipython import get_ipython
        from IPython.display import Image, display
    except ImportError:
        shell = None
    else:
        shell = get_ipython()
    if shell is None or "IPKernelApp" not in shell.config:
        raise RuntimeError(
            "graphs are shown in notebooks, and this is none; bar=True, bar_variables=[...] shows the latest "
            "values, tracking=mlflow of train.py draws curves"
        )
    shown: list[Any] = []

    def show(png: bytes) -> None:
        if shown:
            shown[0].update(Image(png))
        else:
            shown.append(display(Image(png), display_id=True))

    return show
