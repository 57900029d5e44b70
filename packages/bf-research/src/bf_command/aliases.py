"""Configuration files that name one part again and again inside others: a few lines could fill the memory."""

from __future__ import annotations

import re
from functools import wraps
from typing import Any

MOST_PARTS = 100_000
"""Values, lists and mappings that a file with aliases may have, each counted where it stands."""
_ALIAS = re.compile(r"\*[^\s,\[\]{}]")


def bound_aliases() -> None:
    """Have OmegaConf, which copies what an alias stands for, refuse files that become too large by them."""
    from omegaconf import OmegaConf

    load = getattr(OmegaConf.load, "__wrapped__", OmegaConf.load)

    @wraps(load)
    def load_checked(file_: Any) -> Any:
        if hasattr(file_, "read"):
            text = file_.read()
            file_.seek(0)
        else:
            with open(file_, encoding="utf-8") as file:
                text = file.read()
        check_aliases(text, getattr(file_, "name", file_))
        return load(file_)

    OmegaConf.load = load_checked  # type: ignore[method-assign]


def check_aliases(text: str | bytes, where: object) -> None:
    """Raise ``ValueError`` for a text of YAML whose aliases make more than ``MOST_PARTS`` of it."""
    import yaml

    text = text.decode(errors="replace") if isinstance(text, bytes) else text
    if "&" not in text or not _ALIAS.search(text):
        return
    sizes: dict[int, int] = {}

    def count(node: Any) -> int:
        if id(node) not in sizes:
            sizes[id(node)] = MOST_PARTS + 1  # one inside itself has no end
            inner: list[Any] = [] if isinstance(node, yaml.ScalarNode) else list(node.value)
            if isinstance(node, yaml.MappingNode):
                inner = [part for pair in inner for part in pair]
            sizes[id(node)] = 1 + sum(map(count, inner))
        return sizes[id(node)]

    try:
        tree = yaml.compose(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
        parts = 0 if tree is None else count(tree)
    except yaml.YAMLError:
        return  # the one who reads it says where
    except RecursionError:
        parts = MOST_PARTS + 1
    if parts > MOST_PARTS:
        from bf_index.errors import escape  # late: start-up time

        raise ValueError(
            f"{escape(where)}: by its aliases (*name) it has more than {MOST_PARTS:,} parts, or one inside "
            "itself; write what they stand for once, and refer to it as ${name}"
        )
