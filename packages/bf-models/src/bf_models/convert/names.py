"""Names that other publishers of torch weights use for the same arrays."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

import numpy as np

#: Prefixes that wrappers of a network put before every name.
_WRAPPERS = ("module.", "model.", "state_dict.", "_orig_mod.")
#: Buffers that count batches, and branches that only help training.
_IGNORED = re.compile(r"(^|\.)num_batches_tracked$|^(AuxLogits|aux1|aux2)\.")
_LAYER = "encoder.layers.encoder_layer_"


def _block(ours: str) -> Callable[[re.Match[str]], str]:
    """Name a layer of timm's ConvNeXt: torchvision counts the steps between stages too."""
    return lambda match: f"features.{2 * int(match[1]) + 1}.{match[2]}.{ours}"


_RENAMED: tuple[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]], ...] = (
    # timm's legacy_seresnet: layer0 is the stem
    (re.compile(r"^layer0\.(conv1|bn1)\."), r"\1."),
    (re.compile(r"^last_linear\.(?=weight|bias)"), "fc."),
    # timm's ViT
    (re.compile(r"^cls_token$"), "class_token"),
    (re.compile(r"^pos_embed$"), "encoder.pos_embedding"),
    (re.compile(r"^patch_embed\.proj\."), "conv_proj."),
    (re.compile(r"^blocks\.(\d+)\.norm([12])\."), rf"{_LAYER}\1.ln_\2."),
    (re.compile(r"^blocks\.(\d+)\.attn\.qkv\."), rf"{_LAYER}\1.self_attention.in_proj_"),
    (re.compile(r"^blocks\.(\d+)\.attn\.proj\."), rf"{_LAYER}\1.self_attention.out_proj."),
    (re.compile(r"^blocks\.(\d+)\.mlp\.fc1\."), rf"{_LAYER}\1.mlp.0."),
    (re.compile(r"^blocks\.(\d+)\.mlp\.fc2\."), rf"{_LAYER}\1.mlp.3."),
    (re.compile(r"^norm\."), "encoder.ln."),
    (re.compile(r"^head\."), "heads.head."),
    # timm's ConvNeXt
    (re.compile(r"^stem\.([01])\."), r"features.0.\1."),
    (re.compile(r"^stages\.(\d+)\.downsample\.([01])\."), lambda m: f"features.{2 * int(m[1])}.{m[2]}."),
    *(
        (re.compile(rf"^stages\.(\d+)\.blocks\.(\d+)\.{theirs}"), _block(ours))
        for theirs, ours in (
            (r"conv_dw\.", "block.0."),
            (r"norm\.", "block.2."),
            (r"mlp\.fc1\.", "block.3."),
            (r"mlp\.fc2\.", "block.5."),
            ("gamma$", "layer_scale"),
        )
    ),
    (re.compile(r"^head\.norm\."), "classifier.0."),
    (re.compile(r"^head\.fc\."), "classifier.2."),
)


def canonical(arrays: Mapping[str, np.ndarray], known: set[str]) -> dict[str, np.ndarray]:
    """Arrays by the names of our layers, wrappers and helpers of training left out.

    A name that is known is never changed. ValueError when two names become one.
    """
    result: dict[str, np.ndarray] = {}
    for name, array in arrays.items():
        if _IGNORED.search(name) and name not in known:
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
    renamed = (pattern.sub(replacement, name) for pattern, replacement in _RENAMED)
    return next((new for new in renamed if new in known), name)
