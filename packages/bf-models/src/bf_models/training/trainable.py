"""Which variables learn, and how fast: freezing and learning rates of parts, layers, patterns and depths."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fnmatch import fnmatchcase
from itertools import takewhile
from typing import Any

from bf_models._backend import keras
from bf_models.errors import unknown
from bf_models.network.catalog import PART_NAMES
from bf_models.optim import OptimizerSpec, Progress
from bf_models.training.update import Group

Boundaries = Mapping[str, Any]


def find_layers(pattern: str, network: Any, boundaries: Boundaries, owner: str) -> list[Any]:
    """Find the layers of a part, of a layer's name or of a pattern like ``layer1.*``; ValueError for none."""
    names = {layer.name: layer for layer in network.layers}
    if pattern in PART_NAMES:
        return _find_layers_of_part(pattern, network, boundaries)
    found = [layer for name, layer in names.items() if fnmatchcase(name, pattern)]
    if not found:
        raise ValueError(unknown("part or layer", pattern, (*PART_NAMES, *names), owner))
    return found


def _find_layers_of_part(part: str, network: Any, boundaries: Boundaries) -> list[Any]:
    model = keras().Model
    inside = [layer.name for layer in model(network.inputs, boundaries[part]).layers]
    number = PART_NAMES.index(part)
    before = set()
    if number:
        before = {layer.name for layer in model(network.inputs, boundaries[PART_NAMES[number - 1]]).layers}
    return [layer for layer in network.layers if layer.name in inside and layer.name not in before]


def freeze(patterns: Sequence[str], network: Any, boundaries: Boundaries, owner: str) -> None:
    """Stop layers from learning; their norms use moving statistics from then on."""
    for pattern in patterns:
        for layer in find_layers(pattern, network, boundaries, owner):
            layer.trainable = False


def list_frozen(patterns: Sequence[str], network: Any, boundaries: Boundaries, owner: str) -> list[str]:
    """Return the names of the layers with weights that some patterns stand for, in the network's order."""
    chosen = {layer.name for one in patterns for layer in find_layers(one, network, boundaries, owner)}
    return [layer.name for layer in network.layers if layer.name in chosen and layer.weights]


def decay_by_depth(decay: float, network: Any, boundaries: Boundaries) -> dict[int, float]:
    """Return a factor of the learning rate for each weight, by its id: 1 in the head, less below it.

    Each block of the body has ``decay`` times the rate of the block above it, the initial block that of one
    more. A block is what shares the beginning of a name up to its first component with a number, and numbers
    that follow it: ``layer1.0``, ``features.1.0``, ``encoder.layers.encoder_layer_3``. What has no
    kernel, as a norm by itself, belongs to the block before it. For ViT these are the rates of Bao et al.,
    BEiT, 2021.
    """
    body = [layer for layer in _find_layers_of_part("body", network, boundaries) if layer.weights]
    kernels = {_name_block(x.name) for x in body if any(len(item.shape) > 1 for item in x.weights)}
    blocks: dict[str, int] = {}
    depths: dict[str, int] = {}
    for layer in body:
        block = _name_block(layer.name)
        if block in kernels:
            blocks.setdefault(block, len(blocks) + 1)
        depths[layer.name] = blocks.get(block, len(blocks))
    depths |= {layer.name: len(blocks) + 1 for layer in _find_layers_of_part("head", network, boundaries)}
    top = len(blocks) + 1
    return {
        id(item): decay ** (top - depths.get(layer.name, 0))
        for layer in network.layers
        for item in layer.weights
    }


def _name_block(name: str) -> str:
    """Return the name of the block that a layer belongs to, by the layer's name."""
    parts = name.split(".")
    first = next((place for place, part in enumerate(parts) if any(map(str.isdigit, part))), len(parts))
    numbers = list(takewhile(str.isdigit, parts[first + 1 :]))
    return ".".join(parts[: first + 1 + len(numbers)])


def group_variables(
    rates: Mapping[str, float],
    decay: float | None,
    optimizer: OptimizerSpec,
    network: Any,
    boundaries: Boundaries,
    owner: str,
    ages: Mapping[int, int],
    progress: Progress | None,
) -> list[Group]:
    """Make an optimizer for each factor of the learning rate, with its variables; later patterns win.

    ``decay`` is the factor from block to block, by which those of ``rates`` are multiplied.
    ``ages`` are the updates that variables have had, by their ids: those that begin to learn later get an
    optimizer of their own, which knows that its moments are new. ``progress`` is what a schedule looks at.
    ValueError when nothing is left to learn.
    """
    if not network.trainable_variables:
        raise ValueError(
            f"{owner}: 'freeze' leaves nothing that could learn; leave a part or a layer out of it"
        )
    factors = {id(item): 1.0 for item in network.trainable_variables}
    for pattern, factor in rates.items():
        for layer in find_layers(pattern, network, boundaries, owner):
            factors.update((id(item), float(factor)) for item in layer.trainable_variables)
    depths = {} if decay is None else decay_by_depth(decay, network, boundaries)
    kinds = {key: (factor * depths.get(key, 1.0), ages.get(key, 0)) for key, factor in factors.items()}
    made = []
    for kind in dict.fromkeys(kinds.values()):
        variables = [item for item in network.trainable_variables if kinds[id(item)] == kind]
        one = optimizer.make(kind[0], progress)
        if hasattr(one, "inner_optimizer"):
            raise ValueError(
                f"{owner}: {type(one).__name__} scales the loss; 'precision: float16' does that here"
            )
        made.append(Group(_exclude_vectors_from_decay(one, variables), variables))
    return made


def _exclude_vectors_from_decay(optimizer: Any, variables: Iterable[Any]) -> Any:
    """Keep weight decay to kernels: pulled to 0, a norm's scale would switch its channel off."""
    vectors = [item for item in variables if len(item.shape) < 2]
    if optimizer.weight_decay and vectors:
        optimizer.exclude_from_weight_decay(vectors)
    return optimizer
