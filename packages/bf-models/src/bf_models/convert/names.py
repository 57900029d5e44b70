"""Names that other publishers of torch weights use for the same arrays."""

from __future__ import annotations

import re
from collections.abc import Mapping

import numpy as np

#: Prefixes that wrappers of a network put before every name.
_WRAPPERS = ("module.", "model.", "state_dict.", "_orig_mod.")
#: Buffers that count batches, and branches that only help training.
_IGNORED = re.compile(r"(^|\.)num_batches_tracked$|^(AuxLogits|aux1|aux2)\.")
_RENAMED = (
    # timm's legacy_seresnet: layer0 is the stem
    (re.compile(r"^layer0\.(conv1|bn1)\."), r"\1."),
    (re.compile(r"^last_linear\.(?=weight|bias)"), "fc."),
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
    for pattern, replacement in _RENAMED:
        if name not in known:
            name = pattern.sub(replacement, name)
    return name
