"""Networks of the catalogue as encoders: their maps at each size, to be enlarged again by a decoder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from bf_models._backend import (
    given_tensors,
    keras,
    made_tensors,
    only_layers,
    producing_layer,
    rename_layer,
    without_values,
)
from bf_models.config.nested import amend
from bf_models.errors import unknown
from bf_models.network.catalog import CATALOG, choose_part
from bf_models.nn import Net, Tensor
from bf_models.zoo.segmentation.segmenter import pad_to_multiple

#: Images of that size show the reductions of a network whose images have no size of their own.
_SKETCH = 256


@dataclass(frozen=True, slots=True)
class Level:
    """A map and by how much it is smaller than the image, a power of two."""

    reduction: int
    map: Tensor


@dataclass(frozen=True, slots=True)
class Encoder:
    """A network of the catalogue up to its head.

    Its maps are, for each size, the last one that all later layers go through. ``stages`` are the reductions
    that are asked for, such as (4, 8, 16, 32); all that there are by default. ``initial_block`` and ``body``
    change fields of the network's parts, ``common`` those of what its parts share. Layers keep the names that
    they have in the network, behind ``prefix``, and its weights can be loaded.
    """

    network: str = "resnet18"
    stages: tuple[int, ...] | None = None
    initial_block: Mapping[str, Any] | None = None
    body: Mapping[str, Any] | None = None
    common: Mapping[str, Any] | None = None
    prefix: tuple[str, str] = ("", "")

    def __post_init__(self) -> None:
        # the zoo names encoders before its catalogue is filled
        if not isinstance(self.network, str) or (CATALOG and self.network.lower() not in CATALOG):
            raise ValueError(unknown("network of an encoder", str(self.network), CATALOG))
        if self.stages is not None and (
            not self.stages
            or any(not isinstance(item, int) or item < 1 or item & (item - 1) for item in self.stages)
            or list(self.stages) != sorted(set(self.stages))
        ):
            raise ValueError(
                f"encoder {self.network}: stages are powers of two that grow, such as [2, 4, 8, 16, 32], got "
                f"{list(self.stages)}"
            )

    @property
    def multiple(self) -> int:
        """What the sides of an image should divide by."""
        return 32 if self.stages is None else self.stages[-1]

    def encode(self, x: Tensor, net: Net, first: bool = False) -> list[Level]:
        """Return the maps of an image (N, H, W, C), the largest first; ValueError for stages it has not.

        ``first`` takes the first map of each size but the smallest, in place of the last.
        """
        if self.stages is not None:
            return self._encode_some(x, net, first)
        last = self._run(x, net)
        chosen = _find_levels(x, last, first)
        if not chosen:
            names, _ = self._sketch(x, net, first)
            found = {producing_layer(item).name: item for item in _list_tensors(x, last)}
            chosen = {reduction: found[name] for reduction, name in names.items()}
        self._lend(x, last, net)
        return [Level(item, chosen[item]) for item in self._choose(chosen, net)]

    def _encode_some(self, x: Tensor, net: Net, first: bool) -> list[Level]:
        """Return the maps that are asked for; layers behind the smallest of them get no weights."""
        names, behind = self._sketch(x, net, first)
        asked = self._choose(names, net)
        with only_layers(behind[asked[-1]]):
            self._run(x, net)
        found: dict[str, Tensor] = {}
        waiting = [x]
        while waiting:
            for item in made_tensors(waiting.pop()):
                if found.setdefault(producing_layer(item).name, item) is item:
                    waiting.append(item)
        self._lend(x, found[names[asked[-1]]], net)
        return [Level(item, found[names[item]]) for item in asked]

    def run(self, x: Tensor, net: Net) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the last map of an image, and all maps by the names of their layers in the network."""
        last = self._run(x, net)
        maps = {producing_layer(item).name: item for item in _list_tensors(x, last)}
        self._lend(x, last, net)
        return last, maps

    def _run(self, x: Tensor, net: Net) -> Tensor:
        cls = CATALOG[self.network.lower()]
        inner = replace(net, common=amend(cls.common, self.common or {}, f"encoder {self.network}: common"))
        for name, changes in (("initial_block", self.initial_block), ("body", self.body)):
            part = choose_part(getattr(cls, name), changes, name, (), f"encoder {self.network}")
            x = part(x, inner)
        return x

    def _sketch(self, x: Tensor, net: Net, first: bool) -> tuple[dict[int, str], dict[int, set[str]]]:
        """Return the layer of the map of each reduction, and those that it is made by.

        They are those of a network for images of a known size; nothing is allocated.
        """
        with without_values():
            image = keras().Input((x.shape[1] or _SKETCH, x.shape[2] or _SKETCH, x.shape[-1]))
            last = self._run(image, replace(net, taken=set(), borrowed={}))
            levels = _find_levels(image, last, first)
        names = {reduction: producing_layer(item).name for reduction, item in levels.items()}
        behind = {
            reduction: {producing_layer(one).name for one in _list_tensors(image, item)}
            for reduction, item in levels.items()
        }
        return names, behind

    def _choose(self, levels: Mapping[int, Any], net: Net) -> Sequence[int]:
        there = sorted(levels)
        asked = there if self.stages is None else list(self.stages)
        if not set(asked) <= set(there) or len(asked) < 2:
            stem = f" with stem {net.stem!r}" if net.small or net.stem != "imagenet" else ""
            raise ValueError(
                f"{net.name}: its encoder {CATALOG[self.network.lower()].__name__}{stem} has maps of the "
                f"reductions {there}, and {asked if self.stages else 'two of them'} are asked for; set "
                "'stages' of the encoder to some that it has, or take another network"
            )
        return asked

    def _lend(self, x: Tensor, last: Tensor, net: Net) -> None:
        """Tell the net which layers are those of another network, and rename them by the prefix."""
        names = {}
        for layer in {id(item): item for item in map(producing_layer, _list_tensors(x, last))}.values():
            theirs = layer.name
            if any(self.prefix):
                rename_layer(layer, self.prefix[1] + theirs.removeprefix(self.prefix[0]))
            names[layer.name] = theirs
        net.borrowed[CATALOG[self.network.lower()].__name__] = names


def _list_tensors(first: Tensor, last: Tensor) -> list[Tensor]:
    """Return the tensors after one up to another, each behind those that it is made of."""
    ordered: list[Tensor] = []
    state: dict[int, bool] = {id(first): True}
    waiting = [last]
    while waiting:
        tensor = waiting[-1]
        if state.get(id(tensor)):
            waiting.pop()
        elif id(tensor) in state:
            state[id(tensor)] = True
            ordered.append(waiting.pop())
        else:
            state[id(tensor)] = False
            waiting.extend(item for item in given_tensors(tensor) if id(item) not in state)
    return ordered


def _find_levels(image: Tensor, last: Tensor, first: bool) -> dict[int, Tensor]:
    """Return by reductions the last map that all later ones are made of; none where sizes are not known."""
    if None in image.shape[1:3]:
        return {}
    tensors = [image, *_list_tensors(image, last)]
    places = {id(item): place for place, item in enumerate(tensors)}
    reach, levels = 0, {}
    furthest = [0] * len(tensors)
    for place, tensor in enumerate(tensors[1:], 1):
        for item in given_tensors(tensor):
            before = places[id(item)]
            furthest[before] = max(furthest[before], place)
    for place, tensor in enumerate(tensors):
        # no branch that began before this tensor ends behind it
        padded = place and type(producing_layer(tensor)).__name__ == "ZeroPadding2D"
        if reach <= place and place and not padded and len(tensor.shape) == 4:
            reduction = _find_reduction(image, tensor)
            if not first or reduction not in levels:
                levels[reduction] = tensor
        reach = max(reach, furthest[place])
    if levels:
        levels[max(levels)] = last
    return levels


def _find_reduction(image: Tensor, x: Tensor) -> int:
    """Return the power of two by which a map is smaller than an image, its borders left aside."""
    ratio = min(whole / max(1, part) for whole, part in zip(image.shape[1:3], x.shape[1:3]))
    return int(2 ** round(math.log2(max(1.0, ratio))))


@dataclass(frozen=True, slots=True)
class EncoderBody:
    """Base of bodies that begin with an encoder: a network's name, a mapping of fields, or an ``Encoder``."""

    encoder: Encoder | str = "resnet50"

    def __post_init__(self) -> None:
        object.__setattr__(self, "encoder", read_encoder(self.encoder))

    def encode(self, x: Tensor, net: Net, first: bool = False) -> list[Level]:
        """Return the encoder's maps of an image padded to whole steps; both stay in ``net.kept``."""
        assert isinstance(self.encoder, Encoder), "a name was read"
        net.kept["images"] = x
        net.kept["padded"] = x = pad_to_multiple(x, self.encoder.multiple)
        return self.encoder.encode(x, net, first)


def read_encoder(option: Any) -> Encoder:
    """Return the encoder that a config names by its network, or by a mapping of fields."""
    if isinstance(option, Encoder):
        return option
    if isinstance(option, Mapping):
        fields: dict[str, Any] = {
            name: tuple(item) if isinstance(item, list) else item for name, item in option.items()
        }
        known = Encoder.__dataclass_fields__
        for name in fields:
            if name not in known:
                raise TypeError(unknown("key of an encoder", name, known))
        return Encoder(**fields)
    return Encoder(option)
