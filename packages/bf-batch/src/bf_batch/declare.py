"""What a class of batches declares: components, actions and attributes, checked when the class is defined."""

from __future__ import annotations

import inspect
from types import MappingProxyType
from typing import Any, TypeVar

from bf_batch.actions import ActionSpec
from bf_batch.components import Component, Holder, check_names
from bf_index.errors import unknown

BatchT = TypeVar("BatchT", bound="Holder")


def refuse_attribute(batch: Holder, name: str) -> None:
    """Raise the AttributeError for an attribute that the class of a batch does not declare."""
    known = [*batch.components, *(n for n in sorted(batch._bf_settable) if not n.startswith("_"))]
    raise AttributeError(
        f"{unknown('attribute', name, known, batch._bf_owner())}. A new one is declared in the class "
        f"(`{name}: type`, or in `components`), added by add_components or add_attributes, or named `_{name}`"
    )


def declare(cls: type[Holder]) -> None:
    """Check what a new class of batches declares, and make descriptors for its components."""
    if "components" in cls.__dict__:
        known = {name for name in dir(cls) if isinstance(getattr(cls, name, None), Component)}
        annotated_only = inspect.get_annotations(cls).keys() - cls.__dict__.keys()
        taken = set(dir(cls)) - known - annotated_only
        cls.components = check_names(cls.__name__, cls.__dict__["components"], taken)
        for name in cls.components:
            if name not in known:
                setattr(cls, name, Component(name))
    actions: dict[str, ActionSpec] = {}
    declared: set[str] = set(dir(cls))
    for base in reversed(cls.__mro__):
        declared.update(inspect.get_annotations(base))
        for name, value in base.__dict__.items():
            if (spec := getattr(value, "__bf_action__", None)) is not None:
                actions[name] = spec
            elif name in actions and callable(value):  # an override of an action is an action
                actions[name] = ActionSpec(name, hasattr(value, "__bf_parallel__"))
    cls.actions = MappingProxyType(actions)
    cls._bf_settable = frozenset(declared)
    for name, value in cls.__dict__.items():
        if (plan := getattr(value, "__bf_parallel__", None)) is not None:
            plan.check(cls, name)


_EXTENDED: dict[tuple[Any, tuple[str, ...]], Any] = {}


def extended(cls: type[BatchT], components: tuple[str, ...]) -> type[BatchT]:
    """Return a class like ``cls`` with more components, for batches that were given some; made once."""
    made: type[BatchT] | None = _EXTENDED.get((cls, components))
    if made is None:
        body = {
            "components": components,
            "_bf_plain_class": cls,
            "__module__": cls.__module__,
            "__doc__": cls.__doc__,
        }
        made = _EXTENDED[cls, components] = type(cls.__name__, (cls,), body)
    return made
