"""Pictures of what was found in a network, drawn by matplotlib without a screen."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from bf_models.inspection.activations import read_activations, read_filters
from bf_models.inspection.cam import grad_cam
from bf_models.inspection.layers import LayerTable
from bf_models.inspection.networks import find_layer, sketch_network
from bf_models.inspection.receptive import find_receptive_field

_MOST_LAYERS = 80


def make_figure(width: float, height: float) -> Any:
    """Return an empty ``matplotlib.figure.Figure`` of a size in inches; ImportError says what to install."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError("the picture needs matplotlib: pip install matplotlib") from error
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def draw_layers(table: LayerTable) -> Any:
    """Return a figure of the parameters and the operations of each layer that has some."""
    rows = [row for row in table.rows if row.trainable or row.operations][:_MOST_LAYERS]
    figure = make_figure(8, max(2.0, 0.18 * len(rows) + 1))
    left, right = figure.subplots(1, 2, sharey=True)
    places = range(len(rows))
    left.barh(places, [row.trainable for row in rows], color="tab:blue")
    right.barh(places, [row.operations or 0 for row in rows], color="tab:orange")
    left.set_yticks(places, [row.name for row in rows], fontsize=6)
    left.invert_yaxis()
    left.set_title(f"parameters: {table.trainable:,}", fontsize=8)
    right.set_title(f"multiply-adds: {table.operations:,}", fontsize=8)
    return figure


def draw_receptive_fields(
    model: Any, image: Any, layers: Sequence[str], *, gates: bool = True, source: str | None = None
) -> Any:
    """Return a figure of an image (H, W[, C]) with what the middle place of each layer depends on.

    ``gates`` and ``source`` are those of ``find_receptive_field``; what goes beyond the borders is padding.
    ValueError for an image, or a layer, that has no two axes, and for layers whose size is not known.
    """
    shown = as_picture(image)
    height, width = shown.shape[:2]
    network = sketch_network(model)
    figure = make_figure(5, 4)
    axes = figure.add_subplot()
    axes.imshow(shown, cmap="gray", extent=(0, width, height, 0))
    for number, layer in enumerate(layers):
        field = find_receptive_field(network, layer, source=source, gates=gates)
        sides = find_layer(network, layer).output.shape[1:-1]
        if len(field.size) != 2 or None in sides:
            raise ValueError(
                f"layer {layer!r} gives {tuple(sides)} places, which are none of a picture of a known size"
            )
        pixels = field.find_pixels([side // 2 for side in sides] or [0, 0])
        (top, bottom), (left, right) = pixels or ((0, height - 1), (0, width - 1))
        corners = [left, right + 1, right + 1, left, left], [top, top, bottom + 1, bottom + 1, top]
        size = "all" if pixels is None else f"{field.size[0]}x{field.size[1]}"
        axes.plot(*corners, color=f"C{number}", label=f"{layer}: {size}")
    axes.set_aspect("equal")
    figure.legend(loc="outside right upper", fontsize=7)
    return figure


def draw_grad_cam(
    model: Any, images: Any, classes: Any = None, layer: str | None = None, **options: Any
) -> Any:
    """Return a figure of images (N, H, W[, C]), each beside itself with the map of ``grad_cam`` laid over it.

    The arguments are those of ``grad_cam``; each map goes from nothing to its own maximum.
    """
    images = np.asarray(images)
    maps = grad_cam(model, images, classes, layer, **options)
    figure = make_figure(4, 2 * len(images))
    for row, image, found in zip(figure.subplots(len(images), 2, squeeze=False), images, maps):
        shown, (height, width) = as_picture(image), image.shape[:2]
        for axes in row:
            axes.imshow(shown, cmap="gray", extent=(0, width, height, 0))
            axes.set_axis_off()
        row[1].imshow(
            found,
            cmap="jet",
            alpha=0.5,
            interpolation="bilinear",
            extent=(0, width, height, 0),
            vmin=0,
            vmax=found.max() or 1,
        )
    return figure


def draw_activations(model: Any, image: Any, layer: str, most: int = 64) -> Any:
    """Return a figure of the first channels of what a layer gives for an image (H, W[, C])."""
    found = read_activations(model, np.asarray(image)[None], layer)[layer][0]
    if found.ndim != 3:
        raise ValueError(
            f"layer {layer!r} gives {found.shape} for an image, which are no maps (H, W, C) to draw"
        )
    return draw_grid(np.moveaxis(found, -1, 0)[:most], "viridis")


def draw_filters(model: Any, layer: str | None = None, most: int = 64) -> Any:
    """Return a figure of the first filters of a convolution, by default of the first one.

    Those of three channels are in colour; of any other number each filter is the mean over its channels.
    """
    filters = read_filters(model, layer)[:most]
    reach = np.abs(filters).max(axis=(1, 2, 3), keepdims=True)
    scaled = 0.5 + 0.5 * filters / np.where(reach > 0, reach, 1)
    if scaled.shape[-1] != 3:
        scaled = scaled.mean(-1)
    return draw_grid(scaled, "gray")


def draw_grid(pictures: Iterable[np.ndarray], colours: str = "gray", titles: Sequence[str] = ()) -> Any:
    """Return a figure of pictures side by side, in rows as long as there are rows."""
    shown = list(pictures)
    columns = math.ceil(math.sqrt(len(shown)))
    figure = make_figure(columns * 1.1, math.ceil(len(shown) / columns) * 1.1)
    grid = figure.subplots(math.ceil(len(shown) / columns), columns, squeeze=False)
    for number, axes in enumerate(grid.flat):
        axes.set_axis_off()
        if number < len(shown):
            axes.imshow(shown[number], cmap=colours)
        if number < len(titles):
            axes.set_title(titles[number], fontsize=7)
    return figure


def as_picture(image: np.ndarray) -> np.ndarray:
    """Return an image as matplotlib takes it, bytes or floats of any range: from its least to its largest."""
    flat = np.asarray(image, "float32")
    if flat.ndim == 3 and flat.shape[-1] != 3:
        flat = flat.mean(-1)
    least, most = float(flat.min()), float(flat.max())
    return (flat - least) / (most - least if most > least else 1.0)
