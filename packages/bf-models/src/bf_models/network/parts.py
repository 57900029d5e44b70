"""Choice of the parts of a network: those of its class, amended or replaced by the config."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

from bf_models.config.nested import amend, build_target, resolve
from bf_models.errors import unknown
from bf_models.network.catalog import CATALOG
from bf_models.nn import Part

PART_NAMES = ("initial_block", "body", "head")


def choose_part(default: Part, option: Any, name: str, allow: Sequence[str], owner: str) -> Part:
    """Part that the config asks for.

    None is the class's own; a mapping changes its fields, or with ``_target_`` makes another; a name is that
    of a zoo model, whose part is taken, or a dotted one; a callable (x, net) -> x is taken as it is.
    """
    where = f"{owner}.{name}"
    if option is None:
        return default
    if isinstance(option, Mapping):
        if "_target_" in option:
            return _callable(build_target(option, allow, where), where)
        if not dataclasses.is_dataclass(default):
            raise TypeError(f"{where} is a function and has no keys to change; replace it by '_target_'")
        return amend(default, option, where)
    if isinstance(option, str):
        return _callable(resolve(option, allow) if "." in option else _zoo_part(option, name, where), where)
    return _callable(option, where)


def _zoo_part(model: str, name: str, where: str) -> Part:
    if model.lower() not in CATALOG:
        raise ValueError(unknown("model", model, CATALOG, where))
    part: Part = getattr(CATALOG[model.lower()], name)
    return part


def _callable(part: Any, where: str) -> Part:
    made = part() if isinstance(part, type) else part
    if not callable(made):
        raise TypeError(f"{where}: a part is a callable (x, net) -> x, got {made!r}")
    return made  # type: ignore[no-any-return]
