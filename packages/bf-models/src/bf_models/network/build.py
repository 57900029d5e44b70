"""From parts and shapes to a keras.Model."""

from __future__ import annotations

import contextlib
import math
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bf_index.errors import escape
from bf_models._backend import initial_shape, keras, tensorflow
from bf_models.errors import ModelStateError
from bf_models.network.catalog import PART_NAMES
from bf_models.nn import Net, Part, Tensor

SMALL_IMAGE = 64
"""Images of so many pixels a side, or fewer, get the small stem where the config leaves it to us."""


@dataclass(frozen=True, slots=True)
class Blueprint:
    """All that a network is built of."""

    net: Net
    initial_block: Part
    body: Part
    head: Part
    shapes: Mapping[str, tuple[int | None, ...]]
    precision: str = "float32"
    seed: int | None = None
    device: str | None = None


def choose_stem(
    shapes: Mapping[str, tuple[int | None, ...]], for_published_weights: bool, dims: int | None = None
) -> tuple[Literal["imagenet", "small"], str]:
    """Return the stem of a network whose config leaves the choice to us, and the reason for it.

    ``shapes`` are those of the inputs: (H, W) or (H, W, C) of images, (C,) of features; with ``dims`` 1 those
    of signals, (L,) or (L, C).
    """
    if dims is not None:
        return _choose_signals_stem([shape[0] for shape in shapes.values()], for_published_weights)
    sizes = [shape[:-1] if len(shape) > 2 else shape for shape in shapes.values() if len(shape) > 1]
    sides = [side for size in sizes for side in size if side is not None]
    if for_published_weights:
        return "imagenet", "it gets weights of the published network"
    if not sides or any(None in size for size in sizes):
        return "imagenet", "the size of its images is not known"
    if max(sides) > SMALL_IMAGE:
        return "imagenet", f"its images have more than {SMALL_IMAGE} pixels a side ({max(sides)})"
    return "small", f"its images have at most {SMALL_IMAGE} pixels a side ({max(sides)})"


def _choose_signals_stem(
    lengths: list[int | None], for_published_weights: bool
) -> tuple[Literal["imagenet", "small"], str]:
    if for_published_weights:
        return "imagenet", "it gets weights of a published network"
    known = [length for length in lengths if length is not None]
    if len(known) < len(lengths):
        return "imagenet", "the length of its signals is not known"
    kind: Literal["imagenet", "small"] = "imagenet" if max(known) > SMALL_IMAGE else "small"
    most = "more than" if kind == "imagenet" else "at most"
    return kind, f"its signals have {most} {SMALL_IMAGE} values of a channel ({max(known)})"


@contextlib.contextmanager
def seeded(seed: int | None) -> Iterator[None]:
    """Make Keras draw the seeds of new layers from ours, and leave Python's own generator as it was."""
    if seed is None:
        yield
        return
    state = random.getstate()
    random.seed(seed)
    try:
        yield
    finally:
        random.setstate(state)


@contextlib.contextmanager
def on_device(name: str | None) -> Iterator[None]:
    """Place on a device such as ``gpu:0``; ValueError lists the devices there are."""
    if name is None:
        yield
        return
    tf = tensorflow()
    known = [":".join(device.name.rsplit(":", 2)[-2:]).lower() for device in tf.config.list_logical_devices()]
    wanted = name.lower().removeprefix("/")
    wanted = wanted if ":" in wanted else f"{wanted}:0"
    if wanted not in known:
        raise ValueError(f"device {name!r} is not here; there are: {', '.join(known)}")
    with tf.device(f"/{wanted}"):
        yield


_MORE_VARIABLES, _MORE_NUMBERS = 16, 1024
"""What Keras may make beside the weights: states of its random numbers."""
_FREE_NUMBERS, _MOST_TIMES = 1 << 26, 1_000
"""Numbers that a layer may make of an item, or so many times those of the item."""
_SIDE = 128
"""Pixels a side of a picture whose size is not known."""


@contextlib.contextmanager
def bounded_by(arrays: Mapping[str, np.ndarray], where: object, classes: int = 0) -> Iterator[None]:
    """Refuse, before it is made, a variable that goes beyond what some arrays hold: ModelStateError.

    A configuration of somebody else may ask for any number of weights of any size. ``classes`` are those of a
    head that the caller asked for instead of the one in the arrays.
    """
    tf = tensorflow()
    held = sum(array.size for array in arrays.values())
    widest = max((size for array in arrays.values() for size in array.shape), default=0)
    variables, numbers = len(arrays) + _MORE_VARIABLES, held + _MORE_NUMBERS + classes * (widest + 1)
    sketches = tf.Graph()

    def create(make: Any, **options: Any) -> Any:
        nonlocal variables, numbers
        shape = _find_shape(sketches, options.get("initial_value"))
        variables, numbers = variables - 1, numbers - math.prod(shape)
        if variables < 0 or numbers < 0:
            raise ModelStateError(
                f"{escape(where)}: its config asks for more than the {len(arrays)} arrays of "
                f"{held:,} numbers that "
                f"it holds, at one of shape {shape}"
            )
        return make(**options)

    with tf.variable_creator_scope(create):
        yield


def check_outputs(network: Any, where: object) -> None:
    """Refuse a network whose layers make far more numbers of an item than it has: ModelStateError.

    Layers without weights, such as those that enlarge pictures, are bounded by no array of a file. A size
    that is not known is taken for ``_SIDE``.
    """
    flatten = keras().tree.flatten
    inputs = {item.name for item in network.inputs}
    made = [
        (layer.name, item)
        for layer in network.operations
        for item in flatten(layer.output)
        if layer.name not in inputs
    ]
    items = [item for _, item in made]
    shapes = [tuple(item.shape[1:]) for item in network.inputs]
    if made and any(None in shape for shape in shapes):
        shapes = [tuple(size or _SIDE for size in shape) for shape in shapes]
        like = [keras().KerasTensor((1, *shape), item.dtype) for shape, item in zip(shapes, network.inputs)]
        items = flatten(keras().Model(network.inputs, items).compute_output_spec(like))
    given = sum(math.prod(shape) for shape in shapes)
    most = max(_FREE_NUMBERS, _MOST_TIMES * given)
    for (name, _), item in zip(made, items, strict=True):
        if math.prod(size or 1 for size in item.shape[1:]) > most:
            raise ModelStateError(
                f"{escape(where)}: its layer {name!r:.80} makes {tuple(item.shape)} of an item of {given:,} "
                f"numbers, more than {most:,}"
            )


def _find_shape(sketches: Any, value: Any) -> tuple[int, ...]:
    """Return the shape of the first value of a variable; a function is called without making the value."""
    if callable(value):
        shape = initial_shape(value)
        if shape is not None:
            return shape
        with sketches.as_default():
            value = value()
    return tuple(value.shape)


def build_network(blueprint: Blueprint, boundaries: dict[str, Tensor] | None = None) -> Any:
    """Build the keras.Model: inputs by name, one output of logits in float32.

    ``boundaries`` takes the output of each part.
    """
    k = keras()
    policy = k.config.dtype_policy()
    k.config.set_dtype_policy(blueprint.precision)
    try:
        with seeded(blueprint.seed), on_device(blueprint.device):
            blueprint.net.taken.clear()
            blueprint.net.borrowed.clear()
            blueprint.net.kept.clear()
            shapes = blueprint.shapes.items()
            inputs = {name: k.Input(shape, name=name, dtype="float32") for name, shape in shapes}
            shape_input = _add_channel if blueprint.net.dims is None else _lay_signals
            x: Tensor = {name: shape_input(item, name) for name, item in inputs.items()}
            if len(x) == 1:
                (x,) = x.values()
            for name in PART_NAMES:
                x = _call_part(getattr(blueprint, name), x, blueprint.net, name)
                if boundaries is not None:
                    boundaries[name] = x
            try:
                made = k.Model(list(inputs.values()), x, name=blueprint.net.name.lower())
            except ValueError as error:
                error.add_note(
                    f"{blueprint.net.name}: layers and blocks of your own take other names by name="
                )
                raise
            if blueprint.net.dims is not None:
                _refuse_images(made, blueprint.net)
            return made
    finally:
        k.config.set_dtype_policy(policy)


def _call_part(part: Part, x: Tensor, net: Net, name: str) -> Tensor:
    """Add a part to the network; an error in it notes which part of which model it was."""
    try:
        return part(x, net)
    except Exception as error:
        error.add_note(f"while {net.name} built its {name}: {part!r}")
        raise


def _add_channel(x: Tensor, name: str) -> Tensor:
    """Add the axis of one channel to images without: (N, H, W) -> (N, H, W, 1)."""
    if len(x.shape) != 3:
        return x
    return keras().layers.Reshape((*x.shape[1:], 1), name=f"{name}.channel")(x)


def _lay_signals(x: Tensor, name: str) -> Tensor:
    """Lay signals (N, L, C) or (N, L) as maps (N, L, 1, C) that are one pixel wide."""
    shape = tuple(x.shape[1:])
    if len(shape) not in (1, 2):
        raise ValueError(
            f"{name}: with dims: 1 an item is a signal, (length, channels) or (length,), got {shape}; "
            "leave dims out for images and volumes"
        )
    length, channels = shape[0], shape[1] if len(shape) == 2 else 1
    return keras().layers.Reshape((-1 if length is None else length, 1, channels), name=f"{name}.map")(x)


def _refuse_images(network: Any, net: Net) -> None:
    """Refuse layers that look across a map of signals, where there is nothing, and outputs that are maps."""
    for layer in network.layers:
        for key in ("kernel_size", "pool_size"):
            sizes = getattr(layer, key, None)
            if isinstance(sizes, tuple) and len(sizes) == 2 and sizes[1] != 1:
                raise ValueError(
                    f"{net.name}: layer {layer.name!r} is for images ({key} {sizes}), and items are signals "
                    f"(dims: 1); of layers of your own it is ({sizes[0]}, 1)"
                )
    if len(network.output_shape) > 3:
        raise ValueError(
            f"{net.name}: its predictions for signals (dims: 1) are maps {tuple(network.output_shape)}; end "
            "it with a head that tells something of an item, such as that of resnet18"
        )
