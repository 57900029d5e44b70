"""Receptive fields: which pixels of the input a place in a layer's output depends on (Araujo et al. 2019)."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

from bf_models._backend import as_functional, keras, list_calls
from bf_models.errors import unknown
from bf_models.inspection.networks import find_layer, sketch_network
from bf_models.inspection.windows import Whole, Window, find_windows

_MOST_PHASES = 1 << 14


@dataclass(frozen=True, slots=True)
class _Steps:
    """Pixels by the place: r on ``lows[r]`` to ``highs[r]``, ``n * len(lows)`` places on ``n * step`` on."""

    lows: tuple[int, ...]
    highs: tuple[int, ...]
    step: int

    @property
    def jump(self) -> Fraction:
        return Fraction(self.step, len(self.lows))

    @property
    def size(self) -> int:
        return max(high - low + 1 for low, high in zip(self.lows, self.highs))

    def low(self, place: int) -> int:
        turns, rest = divmod(place, len(self.lows))
        return self.lows[rest] + turns * self.step

    def high(self, place: int) -> int:
        turns, rest = divmod(place, len(self.lows))
        return self.highs[rest] + turns * self.step


@dataclass(frozen=True, slots=True)
class _Unknown:
    """A tensor of which nothing is known, since of a layer nothing is."""

    layer: str
    kind: str


#: Of a tensor: by the axis of the input; Whole, all of the input; None, nothing of it.
_Field = tuple[_Steps, ...] | type[Whole] | _Unknown | None


@dataclass(frozen=True, slots=True)
class ReceptiveField:
    """What a place in the output of a layer depends on, by the axis of the input.

    ``size`` is the number of pixels from the first to the last one, the largest where places differ; ``jump``
    how many pixels of the input lie between two places; ``offset`` the pixel in the middle of what place 0
    depends on, the first pixel being 0. All of them are None where every place depends on the whole input.
    """

    layer: str
    size: tuple[int | None, ...]
    jump: tuple[float | None, ...]
    offset: tuple[float | None, ...]
    _steps: tuple[_Steps, ...] | None = dataclasses.field(default=None, repr=False)

    def find_pixels(self, place: Sequence[int]) -> tuple[tuple[int, int], ...] | None:
        """Return the first and the last pixel along each axis for a place; None for the whole input.

        They may lie beyond the borders, where padding is read. ValueError for a place of other axes.
        """
        if len(place) != len(self.size):
            raise ValueError(
                f"layer {self.layer!r}: a place is a number for each of {len(self.size)} axes, got {place!r}"
            )
        if self._steps is None:
            return None
        return tuple((one.low(at), one.high(at)) for one, at in zip(self._steps, place))


def find_receptive_field(
    model: Any, layer: str | None = None, *, source: str | None = None, gates: bool = True
) -> ReceptiveField:
    """Return what a place in the output of a layer depends on, by default of the last one with maps.

    Pixels are those between the first and the last on the longest path, as if the input had no borders
    (Araujo et al. 2019); dilation leaves some out in between. ``source`` is the name of the input, by
    default the first. Without ``gates`` the branches that look at all of the input are left out where
    others do not, such as squeeze-and-excitation and the mean in ASPP. ``ValueError`` for an input without
    places, and where a layer of an unknown kind lies on the way: it says what it reads by a method
    ``find_windows`` (see ``bf_models.inspection.windows``).
    """
    network = sketch_network(model)
    axes, fields = trace_fields(network, source, gates)
    calls = list_calls(network)
    if layer is None:
        maps = [
            (one.name, returned)
            for one, _, returned in calls
            if len(returned[0].shape) == axes + 2 and set(returned[0].shape[1:-1]) != {1}
        ]
        maps = maps or [(calls[-1][0].name, calls[-1][2])]
        known = [one for one in maps if not _is_turned(fields[id(one[1][0])])]
        name, chosen = (known or maps)[-1]
    else:
        name = find_layer(network, layer).name
        chosen = next(returned for one, _, returned in calls if one.name == name)
    return _describe(name, fields[id(chosen[0])], axes, network.name)


def _is_turned(field: _Field) -> bool:
    """Whether axes were put in another order on the way, as before a dense layer."""
    return isinstance(field, _Unknown) and field.kind in ("Permute", "Reshape")


def _describe(name: str, field: _Field, axes: int, owner: str) -> ReceptiveField:
    if isinstance(field, _Unknown):
        raise ValueError(
            f"{owner}: layer {name!r} comes from {field.layer!r}, and nothing is known of what a "
            f"{field.kind} of such options and shapes reads; a layer of your own says it by a method "
            "find_windows, sizes that are not known by the config: 'inputs: {images: {shape: [224, 224, 3]}}'"
        )
    if field is None:
        raise ValueError(f"{owner}: layer {name!r} does not depend on this input")
    if not isinstance(field, tuple):
        return ReceptiveField(name, *((None,) * axes,) * 3)
    return ReceptiveField(
        name,
        tuple(one.size for one in field),
        tuple(float(one.jump) for one in field),
        tuple((one.lows[0] + one.highs[0]) / 2 for one in field),
        field,
    )


def list_sizes(network: Any) -> dict[str, tuple[int | None, ...] | None]:
    """Return the sizes of the receptive fields of all layers by name; None where that is not known.

    They are of the first input; of one without places they are ().
    """
    if not _count_axes(network, network.inputs[0]):
        return {layer.name: () for layer, _, _ in list_calls(network)}
    axes, fields = trace_fields(network)
    sizes: dict[str, tuple[int | None, ...] | None] = {}
    for layer, _, returned in list_calls(network):
        field = fields[id(returned[0])]
        if field is Whole:
            sizes[layer.name] = (None,) * axes
        else:
            sizes[layer.name] = tuple(one.size for one in field) if isinstance(field, tuple) else None
    return sizes


def trace_fields(
    network: Any, source: str | None = None, gates: bool = True
) -> tuple[int, Mapping[int, _Field]]:
    """Return the number of axes of an input, and by the id of each tensor what of it that depends on."""
    inputs = {tensor.name: tensor for tensor in network.inputs}
    if source is not None and source not in inputs:
        raise ValueError(unknown("input", source, inputs, network.name))
    tensor = network.inputs[0] if source is None else inputs[source]
    axes = _count_axes(network, tensor)
    if not axes:
        raise ValueError(
            f"{network.name}: input {tensor.name!r} has items of shape {tuple(tensor.shape[1:])}, which are "
            "no maps with places (..., C), and so there is no receptive field"
        )
    field = (_Steps((0,), (0,), 1),) * axes
    return axes, _trace(network, [field if one is tensor else None for one in network.inputs], gates)


def _count_axes(network: Any, tensor: Any) -> int:
    """Return the number of axes with places; an image to which a layer adds its channel has one more."""
    shape = tuple(tensor.shape)
    reshape = keras().layers.Reshape
    for layer, given, returned in list_calls(network):
        added = isinstance(layer, reshape) and tuple(returned[0].shape[1:]) == (*shape[1:], 1)
        if added and any(one is tensor for one in given):
            return len(shape) - 1
    return len(shape) - 2


def _trace(network: Any, begun: Sequence[_Field], gates: bool) -> dict[int, _Field]:
    fields: dict[int, _Field] = {id(tensor): field for tensor, field in zip(network.inputs, begun)}
    for layer, given, returned in list_calls(network):
        if not given:
            fields.setdefault(id(returned[0]), None)
            continue
        known = [fields[id(tensor)] for tensor in given]
        inner = as_functional(layer) if isinstance(layer, keras().Model) else None
        if inner is not None:
            inside = _trace(inner, known, gates)
            made = [inside[id(tensor)] for tensor in inner.outputs]
        else:
            made = [_pass_layer(layer, known, given, one, gates) for one in returned]
        fields.update({id(tensor): field for tensor, field in zip(returned, made)})
    return fields


def _pass_layer(
    layer: Any, known: Sequence[_Field], given: Sequence[Any], returned: Any, gates: bool
) -> _Field:
    """Return what a tensor depends on that a layer makes of others."""
    if all(field is None for field in known):
        return None
    windows = find_windows(layer, [tuple(one.shape) for one in given], tuple(returned.shape))
    if isinstance(windows, type):
        return Whole
    nothing = _Unknown(layer.name, type(layer).__name__)
    if windows is None:  # of all it may be some
        return Whole if all(field is Whole for field in known) else nothing
    read: list[_Field] = []
    for field, axes in zip(known, windows):
        if not isinstance(field, tuple):
            read += [] if field is None else [field]
            continue
        if len(field) != len(axes):
            return nothing
        read.append(tuple(_pass_window(steps, window) for steps, window in zip(field, axes)))
    return _join(read, nothing, gates)


def _join(read: Sequence[_Field], nothing: _Unknown, gates: bool) -> _Field:
    """Return what depends on several together: from the first to the last pixel of all."""
    if not gates and any(field is not Whole for field in read):
        read = [field for field in read if field is not Whole]
    for field in read:
        if field is Whole or isinstance(field, _Unknown):
            return Whole if any(one is Whole for one in read) else field
    joined = []
    for axis in zip(*(field for field in read if isinstance(field, tuple))):
        if len({one.jump for one in axis}) != 1:
            return nothing
        count = math.lcm(*(len(one.lows) for one in axis))
        lows = tuple(min(one.low(place) for one in axis) for place in range(count))
        highs = tuple(max(one.high(place) for one in axis) for place in range(count))
        joined.append(_Steps(lows, highs, int(axis[0].jump * count)))
    return tuple(joined)


def _pass_window(steps: _Steps, window: Window) -> _Steps:
    """Return what depends on places through a window.

    What places depend on grows with them, so the first and the last place of a window decide.
    """
    phases, before = len(window.firsts), len(steps.lows)
    turns = before // math.gcd(before, window.step)
    if turns * phases > _MOST_PHASES:
        raise ValueError(f"places of a layer differ in {turns * phases:,} ways, more than {_MOST_PHASES:,}")
    lows, highs = [], []
    for place in range(turns * phases):
        turn, rest = divmod(place, phases)
        lows.append(steps.low(window.firsts[rest] + turn * window.step))
        highs.append(steps.high(window.lasts[rest] + turn * window.step))
    return _Steps(tuple(lows), tuple(highs), int(steps.jump * turns * window.step))
