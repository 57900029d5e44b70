"""timm's EfficientNets and MobileNets: names of their blocks, and what arrays do not tell of a network."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from bf_models.convert.layouts import Entry

_BLOCK = re.compile(r"blocks\.(\d+)\.(\d+)\.(conv|conv_pw|conv_dw|conv_pwl|bn[123]|se\.conv_\w+)\.\w+$")
#: Families by a name that a model of each has: of the first convolution behind the stem.
_FAMILIES = {
    "features.1.0.block.0.0.weight": "EfficientNet",
    "features.1.block.0.0.weight": "MobileNetV3",
    "features.1.conv.0.0.weight": "MobileNetV2",
    "features.1.depthwise.0.weight": "MobileNet",
}
_CALLED = {
    "EfficientNet": "efficientnet",
    "MobileNetV3": "mobilenetv3",
    "MobileNetV2": "mobilenetv2",
    "MobileNet": "mobilenetv1",
}


@dataclass(frozen=True, slots=True)
class Arithmetic:
    """What a network computes beside its weights: the epsilon of its norms, where strides begin."""

    epsilon: float
    padding: str | None
    """That of ``Common``; None where no convolution has strides."""

    def is_like(self, other: Arithmetic) -> bool:
        """Whether networks with the same weights give the same."""
        return math.isclose(self.epsilon, other.epsilon, rel_tol=1e-3) and (
            None in (self.padding, other.padding) or self.padding == other.padding
        )

    def tell_changes(self, other: Arithmetic) -> str:
        """Return the options that make a network of this kind one of the other."""
        options = []
        if not math.isclose(self.epsilon, other.epsilon, rel_tol=1e-3):
            options.append(f"epsilon: {other.epsilon:.1e}")
        if self.padding != other.padding:
            options.append(f"padding: {other.padding}")
        return f"common: {{{', '.join(options)}}}"

    def __str__(self) -> str:
        return f"epsilon {self.epsilon:g}" + (f" and padding {self.padding!r}" if self.padding else "")


#: Paths of timm's networks that were ported from TensorFlow: a file, its folder, one of the hub.
_PORTED = re.compile(r"models--timm--tf_|(^|/)tf_(efficientnet|mobilenet)[^/]*(/[^/]*)?$")
PLAIN, TF = Arithmetic(1e-5, "torch"), Arithmetic(1e-3, "same")


def find_family(known: Set[str]) -> str | None:
    """Return the family of networks that has such names of arrays, one of ours; None for another one."""
    return next((family for name, family in _FAMILIES.items() if name in known), None)


def name_blocks(theirs: Set[str], known: Set[str]) -> dict[str, str]:
    """Return our names by timm's, those that are known; empty for files and models of other families.

    timm names the convolutions of a block by what they do, we by their place, so that all names of a block
    are needed to name one.
    """
    family = find_family(known)
    if family is None or "conv_stem.weight" not in theirs:
        return {}
    parts: dict[tuple[int, int], set[str]] = {}
    for name in theirs:
        match = _BLOCK.match(name)
        if match is not None:
            parts.setdefault((int(match[1]), int(match[2])), set()).add(match[3])
    layers = {"conv_stem": "features.0.0", "bn1": "features.0.1"}
    end = 0
    for number, (stage, place) in enumerate(sorted(parts), 1):
        end = stage + 1 if family == "EfficientNet" else number
        ours = f"features.{end}.{place}" if family == "EfficientNet" else f"features.{end}"
        for part, layer in _name_parts(parts[stage, place], family):
            layers[f"blocks.{stage}.{place}.{part}"] = f"{ours}.{layer}"
    if family == "MobileNetV3":
        layers |= {"conv_head": "classifier.0", "classifier": "classifier.3"}
    else:
        layers |= {"conv_head": f"features.{end + 1}.0", "bn2": f"features.{end + 1}.1"}
        layers["classifier"] = "classifier.1"
    named = {}
    for name in theirs:
        layer, _, suffix = name.rpartition(".")
        ours = f"{layers.get(layer)}.{suffix}"
        if ours in known:
            named[name] = ours
    return named


def _name_parts(parts: Set[str], family: str) -> Iterator[tuple[str, str]]:
    """Yield timm's and our names of the layers of a block; the norm of a convolution has its number."""
    if "conv" in parts:
        yield from (("conv", "0"), ("bn1", "1"))
        return
    convs = ("conv_pw", "conv_dw", "conv_pwl") if "conv_pwl" in parts else ("conv_dw", "conv_pw")
    last = len(convs) - 1
    inside = {"MobileNetV2": "conv.", "MobileNet": ""}.get(family, "block.")
    excites = any(part.startswith("se.") for part in parts)
    for number, conv in enumerate(convs):
        place = str(number + (excites and number == last))
        names = f"{inside}{place}.0", f"{inside}{place}.1"
        if family == "MobileNet":
            name = "depthwise" if conv == "conv_dw" else "pointwise"
            names = f"{name}.0", f"{name}.1"
        elif family == "MobileNetV2" and number == last:
            names = f"conv.{last}", f"conv.{last + 1}"
        yield conv, names[0]
        yield f"bn{number + 1}", names[1]
    if excites and inside == "block.":
        yield from (("se.conv_reduce", f"block.{last}.fc1"), ("se.conv_expand", f"block.{last}.fc2"))


def find_arithmetic(network: Any, entries: Iterable[Entry]) -> Arithmetic:
    """Find what the layers of arrays of a network compute; at least one of them is a norm."""
    layers = {name: network.get_layer(name) for name in (entry.name.rpartition(".")[0] for entry in entries)}
    epsilon = next(layer.epsilon for layer in layers.values() if hasattr(layer, "moving_mean"))
    strided = (
        layer
        for layer in layers.values()
        if max(getattr(layer, "strides", (1,))) > 1 and max(layer.kernel_size) > 1
    )
    padding = next(("same" if layer.padding == "same" else "torch" for layer in strided), None)
    return Arithmetic(epsilon, padding)


def compare_arithmetic(
    network: Any, wanted: Mapping[str, Entry], named: Mapping[str, str], where: str, source: str = ""
) -> tuple[bool, str]:
    """Return whether a network computes what timm's does, and what to tell: the weights do not show it.

    ``named`` are the file's names by ours, ``source`` is where they are from, which may name the network, and
    ``where`` is whose options are to be changed. Nothing is told of weights without timm's names of blocks.
    """
    family = find_family(wanted.keys())
    if family is None or not any(_BLOCK.search(name) for new, name in named.items() if new in wanted):
        return True, ""
    mine, called = find_arithmetic(network, wanted.values()), _CALLED[family]
    kinds = {f"timm's {called}_*": PLAIN, f"timm's tf_{called}_*": TF}
    if family in ("MobileNet", "MobileNetV2"):
        kinds.popitem()
    elif _PORTED.search(source):
        kinds = {f"timm's tf_{called}_*, as the path has it,": TF}
    others = {name: kind for name, kind in kinds.items() if not mine.is_like(kind)}
    changes = [f"{name} with {mine.tell_changes(kind)}" for name, kind in others.items()]
    if len(others) == len(kinds):
        theirs = ", ".join(f"{name} have {kind}" for name, kind in kinds.items())
        return False, (
            f"the names are timm's, and the same weights would give other outputs here: {theirs}, "
            f"this one has {mine}; build it for {' or for '.join(changes)}{where}"
        )
    return True, f"names of timm: build it for {changes[0]}{where}" if changes else ""


def explain_refusal(wanted: Iterable[str], given: Iterable[str]) -> str:
    """Return why weights of timm are of another network though it has the same name; "" when they are not."""
    if any(".se_module.fc1." in name for name in wanted) and any(".se.fc1." in name for name in given):
        return (
            "the names are those of timm's seresnet and seresnext, which pool and stride differently: "
            "this network is timm's legacy_seresnet and legacy_seresnext, whose weights load"
        )
    return ""
