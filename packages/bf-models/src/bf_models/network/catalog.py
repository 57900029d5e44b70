"""The catalogue of ready-to-use models, filled by the zoo, and the parts that a config chooses of them.

``CATALOG`` maps the lower-case name of a model to its class: ``CATALOG["resnet18"] is bf_models.ResNet18``.
It is full as soon as ``bf_models`` is imported, in the order of the zoo, and nothing in it loads TensorFlow.
A class has all that a config needs: ``f"bf_models.{model.__name__}"`` is its ``_target_``, the first line of
``model.__doc__`` describes it, and ``model.defaults`` holds the config keys that it sets itself.

Rooms below the zoo read the catalogue instead of importing the zoo: a config takes a part of another model by
name (``body: resnet50``), and ``KerasModel.load`` finds the class that a file names.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bf_index.names import resolve
from bf_models.config.nested import amend
from bf_models.config.targets import PART, build_target
from bf_models.errors import unknown
from bf_models.nn import Part

PART_NAMES = ("initial_block", "body", "head")
#: Models by their names in lower case; only ``add_models`` writes to it.
CATALOG: dict[str, type[Any]] = {}


def add_models(models: Iterable[type[Any]]) -> None:
    """Put models into the catalogue; ValueError when a name is taken by another class."""
    for model in models:
        name = model.__name__.lower()
        if CATALOG.setdefault(name, model) is not model:
            raise ValueError(f"the catalogue has a model {name!r} already: {CATALOG[name].__module__}")


def choose_part(default: Part, option: Any, name: str, allow: Sequence[str], owner: str) -> Part:
    """Return the part that the config asks for.

    None is the class's own; a mapping changes its fields, or with ``_target_`` makes another; a name is that
    of a zoo model, whose part is taken, or a dotted one; a callable (x, net) -> x is taken as it is.
    """
    where = f"{owner}.{name}"
    if option is None:
        return default
    if isinstance(option, Mapping):
        if "_target_" in option:
            return _check_callable(build_target(option, PART, allow, where), where)
        if not dataclasses.is_dataclass(default):
            raise TypeError(f"{where} is a function and has no keys to change; replace it by '_target_'")
        return amend(default, option, where)
    if isinstance(option, str):
        part = resolve(option, PART, allow, where) if "." in option else _find_part(option, name, where)
        return _check_callable(part, where)
    return _check_callable(option, where)


def _find_part(model: str, name: str, where: str) -> Part:
    if model.lower() not in CATALOG:
        raise ValueError(unknown("model", model, CATALOG, where))
    part: Part = getattr(CATALOG[model.lower()], name)
    return part


def _check_callable(part: Any, where: str) -> Part:
    made = part() if isinstance(part, type) else part
    if not callable(made):
        raise TypeError(f"{where}: a part is a callable (x, net) -> x, got {made!r}")
    return made  # type: ignore[no-any-return]
