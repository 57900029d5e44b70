"""Instances as units of an experiment: an object a trial, whose methods and attributes other units use."""

from __future__ import annotations

import dis
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import FunctionType
from typing import Any

from bf_index.errors import unknown
from bf_pipeline.expressions.base import Expr
from bf_research.units.base import RunningTrial, Schedule, Unit
from bf_research.units.expressions import differing_faults


@dataclass(frozen=True)
class InstanceUnit:
    """A unit that makes an object before the first iteration; ``'name.method'`` elsewhere is a part of it.

    With ``root`` the branches that run side by side share one object.
    """

    name: str
    creator: Any
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]
    root: bool = False

    schedule = Schedule(exact=frozenset({0}))
    returns = ()
    has_output = True

    @property
    def arguments(self) -> Any:
        """Arguments of the creator, and itself where it is an expression."""
        return (self.creator if isinstance(self.creator, Expr) else None, self.args, dict(self.kwargs))

    def execute(self, running: RunningTrial) -> Mapping[str, Any]:
        """Make the object."""
        running.note_output(self.name, self.make(running))
        return {}

    def make(self, running: RunningTrial) -> Any:
        """Return the object, made at the first call."""

        def create() -> Any:
            creator = running.evaluate(self.creator) if isinstance(self.creator, Expr) else self.creator
            return creator(*running.evaluate(self.args), **running.evaluate(dict(self.kwargs)))

        return running.branch.make(self.name, create, running.instances, self.root)

    def faults(self, before: Sequence[Unit], config: Mapping[str, Any]) -> Iterator[str]:
        """Yield nothing: its arguments are looked at with those of all units."""
        yield from ()

    def root_faults(self, config: Mapping[str, Any], differing: Collection[str]) -> Iterator[str]:
        """Yield what a shared object asks for that differs between its trials."""
        yield from differing_faults(self.arguments, differing) if self.root else ()


@dataclass(frozen=True)
class Part:
    """A method or an attribute of an instance: ``'model.train'``."""

    owner: str
    path: str

    def __str__(self) -> str:
        return f"{self.owner}.{self.path}"

    def find(self, running: RunningTrial) -> Any:
        """Return it in this trial; ``AttributeError`` when the object has no such part."""
        found = running.instance_of(self.owner)
        for name in self.path.split("."):
            found = getattr(found, name)
        return found


def parse_part(text: str, units: Sequence[Unit]) -> Part:
    """Read ``'model.train'``; ``ValueError`` for an instance or attribute that is not there."""
    owner, _, path = text.partition(".")
    if not all(part.isidentifier() for part in (owner, *path.split("."))):
        raise TypeError(f"a function or 'instance.method' of add_instance is needed, got {text!r}")
    instances = {unit.name: unit for unit in units if isinstance(unit, InstanceUnit)}
    if owner not in instances:
        told = unknown("instance", owner, instances)
        raise ValueError(f"{told}; add_instance({owner!r}, ...) comes before {text!r}")
    first = path.partition(".")[0]
    known = _attributes(instances[owner].creator)
    if known is not None and first not in known:
        shown = sorted(name for name in known if not name.startswith("__"))
        raise ValueError(unknown("attribute", first, shown, f"instance {owner!r}"))
    return Part(owner, path)


def _attributes(creator: Any) -> set[str] | None:
    """Return the names that objects of a class have, as far as its code tells; None where nobody can know."""
    if not isinstance(creator, type) or hasattr(creator, "__getattr__"):
        return None
    names = set(dir(creator))
    for cls in creator.__mro__:
        for method in vars(cls).values():
            if isinstance(method, FunctionType):
                steps = dis.get_instructions(method)
                names |= {str(step.argval) for step in steps if step.opname == "STORE_ATTR"}
    return names


def find_function(function: Callable[..., Any] | Part, running: RunningTrial) -> Callable[..., Any]:
    """Return the function of a unit: itself, or the method of an instance of this trial."""
    if not isinstance(function, Part):
        return function
    found = function.find(running)
    if not callable(found):
        raise TypeError(f"{function}: a method is needed, got {found!r}")
    return found  # type: ignore[no-any-return]
