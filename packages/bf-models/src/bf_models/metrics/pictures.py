"""Pictures of metrics, drawn by matplotlib without a screen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

#: More numbers in cells can't be read.
_MOST_NUMBERS = 25
#: More names beside the cells can't be read either.
_MOST_NAMES = 60


def draw_confusion(matrix: np.ndarray, classes: Sequence[Any] | None, normalize: bool) -> Any:
    """Return a ``matplotlib.figure.Figure`` of a confusion matrix: rows predicted, columns target classes.

    ``normalize`` shows shares of each target class. ValueError when there are not as many names as classes.
    """
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the picture needs matplotlib: pip install matplotlib") from error
    count = len(matrix)
    names = [str(name) for name in (range(count) if classes is None else classes)]
    if len(names) != count:
        raise ValueError(f"plot_confusion_matrix: {len(names)} names for {count} classes")
    totals = matrix.sum(0, keepdims=True)
    shares = np.divide(matrix, totals, out=np.zeros(matrix.shape), where=totals > 0)
    size = min(max(4.0, 0.45 * count + 2), 14.0)
    figure = Figure(figsize=(size, size), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    # colours are by shares in either case: else a large class hides all others
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    axes.set_xlabel("target")
    axes.set_ylabel("predicted")
    axes.set_title("shares of each target class" if normalize else "numbers of items")
    if count <= _MOST_NAMES:
        axes.set_xticks(range(count), _without_markup(names), rotation=90)
        axes.set_yticks(range(count), _without_markup(names))
    if count <= _MOST_NUMBERS:
        for (row, column), share in np.ndenumerate(shares):
            text = f"{share:.2f}".lstrip("0") if normalize else f"{matrix[row, column]:,}"
            if matrix[row, column]:
                colour = "white" if share > 0.5 else "black"
                axes.text(column, row, text, ha="center", va="center", color=colour, fontsize=7)
    return figure


def _without_markup(names: Sequence[str]) -> list[str]:
    """Return names as matplotlib draws them letter by letter: a dollar begins a formula."""
    return [name.replace("$", r"\$")[:40] for name in names]
