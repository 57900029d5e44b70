"""A table of the layers of a network: shapes, parameters and operations of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import as_functional, keras, list_calls, producing_layer
from bf_models.inspection.networks import sketch_network
from bf_models.inspection.receptive import list_sizes

_Shape = tuple[int | None, ...]


@dataclass(frozen=True, slots=True)
class LayerRow:
    """A layer: from which layers, its output's shape without the batch, numbers that it has and does.

    ``operations`` are multiply-adds of one item on the way forward in convolutions, products and attention,
    as published counts are; biases, norms, activations and pooling count as none. ``field`` are the sizes of
    the receptive field (see ``find_receptive_field``) in the first input, None for all of an axis. In place
    of either None stands for a layer of which nothing is known.
    """

    name: str
    kind: str
    given: tuple[str, ...]
    shape: _Shape
    parameters: int
    trainable: int
    operations: int | None
    field: tuple[int | None, ...] | None = ()


@dataclass(frozen=True, slots=True)
class LayerTable:
    """The layers of a network in their order.

    ``str(table)`` is for people, ``pandas.DataFrame(table.rows)`` for programs.
    """

    name: str
    rows: tuple[LayerRow, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters, moving averages of norms among them."""
        return sum(row.parameters for row in self.rows)

    @property
    def trainable(self) -> int:
        """Number of the parameters that learn."""
        return sum(row.trainable for row in self.rows)

    @property
    def operations(self) -> int:
        """Multiply-adds of one item, of the layers that are counted."""
        return sum(row.operations or 0 for row in self.rows)

    @property
    def uncounted(self) -> tuple[str, ...]:
        """Names of layers whose operations are not known; one with a method ``count_operations`` is."""
        return tuple(row.name for row in self.rows if row.operations is None)

    def __str__(self) -> str:
        lines = [("layer", "kind", "shape", "field", "parameters", "multiply-adds")]
        for row in self.rows:
            done = "?" if row.operations is None else f"{row.operations:,}"
            shown = show_shape(row.shape), show_field(row.field)
            lines.append((row.name, row.kind, *shown, f"{row.parameters:,}", done))
        numbers = f"{self.parameters:,}", f"{self.operations:,}"
        lines.append((self.name, f"{len(self.rows)} layers", "", "", *numbers))
        widths = [max(map(len, column)) for column in zip(*lines)]
        texts = []
        for number, line in enumerate(lines):
            left = [cell.ljust(width) for cell, width in zip(line[:4], widths)]
            right = [cell.rjust(width) for cell, width in zip(line[4:], widths[4:])]
            texts.append("  ".join([*left, *right]))
            if number in (0, len(lines) - 2):
                texts.append("-" * len(texts[0]))
        if self.uncounted:
            texts.append(f"without the operations of {', '.join(self.uncounted)}")
        return "\n".join(texts)


def show_shape(shape: _Shape) -> str:
    """Return a shape as ``28x28x64``, with ``?`` for a size that is not known."""
    return "x".join("?" if side is None else str(side) for side in shape)


def show_field(field: tuple[int | None, ...] | None) -> str:
    """Return a receptive field as ``35x35``: ``all`` for the whole input, ``?`` where it is not known."""
    if field is None:
        return "?"
    if field and all(side is None for side in field):
        return "all"
    return "x".join("all" if side is None else str(side) for side in field)


def tabulate_layers(model: Any) -> LayerTable:
    """Return the table of the layers of a KerasModel, built or not, or of a functional keras.Model.

    MissingShape when neither a config nor a batch said shapes; ValueError for a network of any size of
    images, whose operations are as many as its pixels: give the config a shape.
    """
    network = sketch_network(model)
    calls: dict[str, list[tuple[Any, list[Any], list[Any]]]] = {}
    for call in list_calls(network):
        calls.setdefault(call[0].name, []).append(call)
    fields = list_sizes(network)
    rows = (_make_row(network.name, one, fields[name]) for name, one in calls.items())
    return LayerTable(network.name, tuple(rows))


def _make_row(
    owner: str, calls: Sequence[tuple[Any, list[Any], list[Any]]], field: tuple[int | None, ...] | None
) -> LayerRow:
    layer, given, returned = calls[0]
    parameters = getattr(layer, "weights", [])
    trainable = getattr(layer, "trainable_weights", [])
    counts = [
        count_operations(layer, _shapes(given), _shapes(returned), owner) for layer, given, returned in calls
    ]
    return LayerRow(
        layer.name,
        type(layer).__name__,
        tuple(producing_layer(tensor).name for tensor in given),
        _shapes(returned)[0][1:],
        # states of random numbers are none
        sum(math.prod(item.shape) for item in parameters if "seed" not in item.name),
        sum(math.prod(item.shape) for item in trainable),
        None if None in counts else sum(count or 0 for count in counts),
        field,
    )


def _shapes(tensors: Sequence[Any]) -> list[_Shape]:
    return [tuple(tensor.shape) for tensor in tensors]


def count_operations(layer: Any, given: list[_Shape], returned: list[_Shape], owner: str) -> int | None:
    """Count the multiply-adds of a layer for one item; None when its kind is not known.

    A layer of your own says it by a method ``count_operations(given, returned)`` of shapes (N, ...).
    """
    if hasattr(layer, "count_operations"):
        return int(layer.count_operations(given, returned))
    layers = keras().layers
    if isinstance(layer, keras().Model):
        inner = as_functional(layer)
        calls = None if inner is None else list_calls(inner)
        counts = [count_operations(one, _shapes(a), _shapes(b), owner) for one, a, b in calls or ()]
        return None if calls is None or None in counts else sum(count or 0 for count in counts)
    if isinstance(layer, layers.Dot):
        axes = [layer.axes] * 2 if isinstance(layer.axes, int) else layer.axes
        return _places(returned[0][1:], layer, owner) * (given[0][axes[0]] or 1)
    kernels = _find_kernels(layer)
    if kernels is None:
        plain = all(len(item.shape) < 2 for item in getattr(layer, "weights", []))
        return 0 if plain or isinstance(layer, layers.Embedding) else None
    transposed = isinstance(layer, layers.Conv1DTranspose | layers.Conv2DTranspose | layers.Conv3DTranspose)
    shape = given[0] if transposed else returned[0]
    first = getattr(layer, "data_format", None) == "channels_first"
    return _places(shape[2:] if first else shape[1:-1], layer, owner) * sum(map(math.prod, kernels))


def _find_kernels(layer: Any) -> list[tuple[int, ...]] | None:
    """Return the shapes of the kernels that are multiplied with each place; None for other layers."""
    layers = keras().layers
    if isinstance(layer, layers.SeparableConv1D | layers.SeparableConv2D):
        return [tuple(layer.depthwise_kernel.shape), tuple(layer.pointwise_kernel.shape)]
    known = (
        *(layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D),
        *(layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose, layers.Dense),
    )
    return [tuple(layer.kernel.shape)] if isinstance(layer, known) else None


def _places(shape: Sequence[int | None], layer: Any, owner: str) -> int:
    if None in shape:
        raise ValueError(
            f"{owner}: the layer {layer.name!r} has maps of {show_shape(tuple(shape))} pixels, so its "
            "operations can't be counted; give the config a shape: 'inputs: {images: {shape: [224, 224, 3]}}'"
        )
    return math.prod(side for side in shape if side is not None)
