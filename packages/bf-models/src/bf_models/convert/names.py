"""Names that other libraries have for our layers."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Set

from bf_models.convert.timm import name_blocks

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
    # timm's VGG: its dense layers are convolutions
    (r"^pre_logits\.fc1\.", "classifier.0."),
    (r"^pre_logits\.fc2\.", "classifier.3."),
    (r"^head\.fc\.", "classifier.6."),
)


def find_names(theirs: Iterable[str], known: Set[str]) -> dict[str, str]:
    """Return names of a file by the names that our layers have; its own where there is none.

    Wrappers and helpers of training are left out. A name that is known is never changed. ValueError when two
    names become one.
    """
    short = {
        name: _unwrap(name, known) for name in theirs if name in known or re.search(_IGNORED, name) is None
    }
    blocks = name_blocks(set(short.values()), known)
    found: dict[str, str] = {}
    for name, inner in short.items():
        new = inner if inner in known else blocks.get(inner) or _rename(inner, known)
        if new in found:
            raise ValueError(f"convert: two arrays are named {new!r}: {found[new]!r} and {name!r}")
        found[new] = name
    return found


def find_root(name: str) -> str:
    """Return the first part of a name, behind wrappers."""
    return re.split(r"[./]", _unwrap(name, frozenset()))[0]


def _unwrap(name: str, known: Set[str]) -> str:
    while name not in known:
        wrapper = next((item for item in _WRAPPERS if name.startswith(item)), None)
        if wrapper is None:
            break
        name = name.removeprefix(wrapper)
    return name


def _rename(name: str, known: Set[str]) -> str:
    renamed = (re.sub(pattern, replacement, name) for pattern, replacement in _RENAMED)
    return next((new for new in renamed if new in known), name)
