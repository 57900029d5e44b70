"""Settings that a command line adds with a plus: refused where no part would read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from omegaconf import DictConfig, OmegaConf

from bf_index.errors import unknown, unknown_setting
from bf_research.launcher.hydra_private import task_overrides

PIPELINE_KEYS = ("load", "augment", "prepare", "train", "test", "metrics")
"""What a training reads of its pipeline."""

_ADDED = re.compile(r"\+{1,2}([^=@]+)(?:@[^=]*)?=")


def refuse_additions(config: DictConfig, hydra: DictConfig) -> None:
    """Raise ValueError for ``+key=...`` at the top of a typed configuration, unless something reads it.

    That is a part (an option of a group), or a value that an interpolation names. What is added inside a part
    is checked by the part itself; ``pipeline`` is checked here.
    """
    kind = OmegaConf.get_type(config)
    if not is_dataclass(kind):  # a program of somebody else's, which may look for whatever it likes
        return
    known = {field.name for field in fields(kind)} | {"hydra"}
    for text in task_overrides(hydra):
        found = _ADDED.match(text)
        if found is None or found[1] in hydra.runtime.choices or _is_named(config, found[1]):
            continue
        head, *inner = found[1].split(".")
        if head not in known:
            raise ValueError(unknown_setting(found[1], _as_tree(config, known - {"hydra"})))
        if head == "pipeline" and inner and inner[0] not in PIPELINE_KEYS:
            raise ValueError(unknown("config key", inner[0], PIPELINE_KEYS, "pipeline"))


def _is_named(config: DictConfig, key: str) -> bool:
    """Whether an interpolation of the configuration names a key."""
    return re.search(rf"\$\{{(?:[\w.]+:)?{re.escape(key)}\b", OmegaConf.to_yaml(config)) is not None


def _as_tree(config: DictConfig, known: set[str]) -> Mapping[str, Any]:
    tree: Any = OmegaConf.to_container(config, resolve=False)
    return {name: value for name, value in tree.items() if name in known}
