"""Names and layouts of torch's arrays: which one each variable is, and how its axes are turned."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

Turn = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True, slots=True)
class Layout:
    """Turning of axes from torch's order to Keras's; ``axes`` of the torch array in Keras's order."""

    axes: tuple[int, ...] | None = None
    shape: Callable[[tuple[int, ...]], tuple[int, ...]] | None = None

    def to_keras(self, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
        """Return an array in Keras's order."""
        turned = array if self.axes is None else np.transpose(array, self.axes)
        return turned.reshape(shape)

    def to_torch(self, array: np.ndarray) -> np.ndarray:
        """Return an array in torch's order."""
        if self.shape is not None:
            return array.reshape(self.shape(array.shape))
        return array if self.axes is None else np.transpose(array, np.argsort(self.axes))

    def torch_shape(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Return the shape that the torch array of a variable has."""
        if self.shape is not None:
            return self.shape(shape)
        return shape if self.axes is None else tuple(shape[place] for place in np.argsort(self.axes))


SAME = Layout()
CONV = Layout((2, 3, 1, 0))
VOLUME = Layout((2, 3, 4, 1, 0))
DEPTHWISE = Layout((2, 3, 0, 1))
DENSE = Layout((1, 0))
SLOPES = Layout(shape=lambda shape: (shape[-1],))
CHANNELS = Layout(shape=lambda shape: (*shape, 1, 1))

#: By the class of a layer: (attribute of the layer, suffix of the torch name, layout).
_TABLE: dict[str, tuple[tuple[str, str, Layout], ...]] = {
    "Conv2D": (("kernel", ".weight", CONV), ("bias", ".bias", SAME)),
    # torch has the inputs of a transposed convolution first, Keras its filters: the same turn
    "Conv2DTranspose": (("kernel", ".weight", CONV), ("bias", ".bias", SAME)),
    "Conv3D": (("kernel", ".weight", VOLUME), ("bias", ".bias", SAME)),
    "Conv3DTranspose": (("kernel", ".weight", VOLUME), ("bias", ".bias", SAME)),
    "PReLU": (("alpha", ".weight", SLOPES),),
    "DepthwiseConv2D": (("kernel", ".weight", DEPTHWISE), ("bias", ".bias", SAME)),
    "Dense": (("kernel", ".weight", DENSE), ("bias", ".bias", SAME)),
    "BatchNorm": (
        ("gamma", ".weight", SAME),
        ("beta", ".bias", SAME),
        ("moving_mean", ".running_mean", SAME),
        ("moving_variance", ".running_var", SAME),
    ),
    "LayerNormalization": (("gamma", ".weight", SAME), ("beta", ".bias", SAME)),
    "SelfAttention": (
        ("in_kernel", ".in_proj_weight", DENSE),
        ("in_bias", ".in_proj_bias", SAME),
        ("out_kernel", ".out_proj.weight", DENSE),
        ("out_bias", ".out_proj.bias", SAME),
    ),
    "ClassToken": (("token", "", SAME),),
    "PositionEmbedding": (("places", "", SAME),),
    "LayerScale": (("factors", "", CHANNELS),),
}


@dataclass(frozen=True, slots=True)
class Entry:
    """One array of a model: its torch name, its variable and the layout between them."""

    name: str
    variable: Any
    layout: Layout

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of the torch array."""
        return self.layout.torch_shape(tuple(self.variable.shape))


def list_entries(network: Any) -> Iterator[Entry]:
    """Yield the arrays of a network in the order of its layers; TypeError for a layer without a layout."""
    for layer in network.layers:
        if not layer.weights:
            continue
        rows = _TABLE.get(type(layer).__name__)
        if rows is None:
            raise TypeError(
                f"convert: layer {layer.name!r} of the kind {type(layer).__name__} has weights "
                "and no torch layout"
            )
        for attribute, suffix, layout in rows:
            variable = getattr(layer, attribute, None)
            if variable is not None:
                yield Entry(layer.name + suffix, variable, layout)


#: Prefixes that wrappers of a network put before every name.
_WRAPPERS = ("module.", "model.", "state_dict.", "_orig_mod.")
#: Buffers that count batches, and branches that only help training.
_IGNORED = r"(^|\.)num_batches_tracked$|^(AuxLogits|aux1|aux2|aux_classifier)\."
_LAYER = "encoder.layers.encoder_layer_"


def _name_block(ours: str) -> Callable[[re.Match[str]], str]:
    """Name a layer of timm's ConvNeXt: torchvision counts the steps between stages too."""
    return lambda match: f"features.{2 * int(match[1]) + 1}.{match[2]}.{ours}"


# Patterns are compiled by the first file that needs them: it would double the time that importing this takes.
_RENAMED: tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...] = (
    # timm's legacy_seresnet: layer0 is the stem
    (r"^layer0\.(conv1|bn1)\.", r"\1."),
    (r"^last_linear\.(?=weight|bias)", "fc."),
    # timm's ViT
    (r"^cls_token$", "class_token"),
    (r"^pos_embed$", "encoder.pos_embedding"),
    (r"^patch_embed\.proj\.", "conv_proj."),
    (r"^blocks\.(\d+)\.norm([12])\.", rf"{_LAYER}\1.ln_\2."),
    (r"^blocks\.(\d+)\.attn\.qkv\.", rf"{_LAYER}\1.self_attention.in_proj_"),
    (r"^blocks\.(\d+)\.attn\.proj\.", rf"{_LAYER}\1.self_attention.out_proj."),
    (r"^blocks\.(\d+)\.mlp\.fc1\.", rf"{_LAYER}\1.mlp.0."),
    (r"^blocks\.(\d+)\.mlp\.fc2\.", rf"{_LAYER}\1.mlp.3."),
    (r"^norm\.", "encoder.ln."),
    (r"^head\.", "heads.head."),
    # timm's ConvNeXt
    (r"^stem\.([01])\.", r"features.0.\1."),
    (r"^stages\.(\d+)\.downsample\.([01])\.", lambda m: f"features.{2 * int(m[1])}.{m[2]}."),
    *(
        (rf"^stages\.(\d+)\.blocks\.(\d+)\.{theirs}", _name_block(ours))
        for theirs, ours in (
            (r"conv_dw\.", "block.0."),
            (r"norm\.", "block.2."),
            (r"mlp\.fc1\.", "block.3."),
            (r"mlp\.fc2\.", "block.5."),
            ("gamma$", "layer_scale"),
        )
    ),
    (r"^head\.norm\.", "classifier.0."),
    (r"^head\.fc\.", "classifier.2."),
)


def rename_arrays(arrays: Mapping[str, np.ndarray], known: set[str]) -> dict[str, np.ndarray]:
    """Return arrays by the names of our layers; wrappers and helpers of training are left out.

    A name that is known is never changed. ValueError when two names become one.
    """
    result: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if re.search(_IGNORED, name) and name not in known:
            continue
        new = _rename(name, known)
        if new in result:
            raise ValueError(f"convert: two arrays are named {new!r}, the other one was {name!r}")
        result[new] = array
    return result


def _rename(name: str, known: set[str]) -> str:
    while name not in known:
        wrapper = next((item for item in _WRAPPERS if name.startswith(item)), None)
        if wrapper is None:
            break
        name = name.removeprefix(wrapper)
    if name in known:
        return name
    renamed = (re.sub(pattern, replacement, name) for pattern, replacement in _RENAMED)
    return next((new for new in renamed if new in known), name)
