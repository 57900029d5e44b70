"""How a network is put together: its parts chosen, and a keras.Model built of them and of shapes."""

from __future__ import annotations

import contextlib
import dataclasses
import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras, tensorflow
from bf_models.config.nested import amend
from bf_models.config.targets import build_target, resolve
from bf_models.errors import unknown
from bf_models.network.catalog import CATALOG
from bf_models.nn import Net, Part, Tensor

PART_NAMES = ("initial_block", "body", "head")


def choose_part(default: Part, option: Any, name: str, allow: Sequence[str], owner: str) -> Part:
    """Return the part that the config asks for.

    None is the class's own; a mapping changes its fields, or with ``_target_`` makes another; a name is that
    of a zoo model, whose part is taken, or a dotted one; a callable (x, net) -> x is taken as it is.
    """
    where = f"{owner}.{name}"
    if option is None:
        return default
    if isinstance(option, Mapping):
        if "_target_" in option:
            return _check_callable(build_target(option, allow, where), where)
        if not dataclasses.is_dataclass(default):
            raise TypeError(f"{where} is a function and has no keys to change; replace it by '_target_'")
        return amend(default, option, where)
    if isinstance(option, str):
        part = resolve(option, allow) if "." in option else _find_part(option, name, where)
        return _check_callable(part, where)
    return _check_callable(option, where)


def _find_part(model: str, name: str, where: str) -> Part:
    if model.lower() not in CATALOG:
        raise ValueError(unknown("model", model, CATALOG, where))
    part: Part = getattr(CATALOG[model.lower()], name)
    return part


def _check_callable(part: Any, where: str) -> Part:
    made = part() if isinstance(part, type) else part
    if not callable(made):
        raise TypeError(f"{where}: a part is a callable (x, net) -> x, got {made!r}")
    return made  # type: ignore[no-any-return]


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


def build_network(blueprint: Blueprint, boundaries: dict[str, Tensor] | None = None) -> Any:
    """Build the keras.Model: inputs by name, one output of logits in float32.

    ``boundaries`` takes the output of each part.
    """
    k = keras()
    policy = k.config.dtype_policy()
    k.config.set_dtype_policy(blueprint.precision)
    try:
        with seeded(blueprint.seed), on_device(blueprint.device):
            shapes = blueprint.shapes.items()
            inputs = {name: k.Input(shape, name=name, dtype="float32") for name, shape in shapes}
            x: Tensor = {name: _add_channel(item, name) for name, item in inputs.items()}
            if len(x) == 1:
                (x,) = x.values()
            for name in PART_NAMES:
                x = _call_part(getattr(blueprint, name), x, blueprint.net, name)
                if boundaries is not None:
                    boundaries[name] = x
            return k.Model(list(inputs.values()), x, name=blueprint.net.name.lower())
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
