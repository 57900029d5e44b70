"""Names in data that become objects: ``_target_`` of a configuration, a saved model, a checkpoint.

What is found decides, never the first word of a name: where the object is defined, whether the package offers
it to everybody, and whether it is of the kind that the place asks for. Who reads the data says which packages
of others may be named; nothing in the data does.
"""

from __future__ import annotations

import functools
import importlib
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from bf_index.errors import unknown

#: Packages whose objects may be named without being asked for, each where its kind has a home.
TRUSTED = ("bf_index", "bf_batch", "bf_pipeline", "bf_models", "bf_research", "keras")


class TargetError(PermissionError, ValueError):
    """A name in data that names nothing, or nothing that may stand there."""


@dataclass(frozen=True, slots=True)
class Kind:
    """What a place in data asks for.

    ``homes`` are the modules of trusted packages that offer all objects of the kind: by their ``__all__``,
    else by names without an underscore; ``pkg.*`` is every public module below. Of what these offer, ``fits``
    tells the kind. A package that the reader adds is taken at his word: what it defines and offers may be
    anything that can be called. ``advice`` tells how to add one, with ``{package}`` in it.
    """

    name: str
    homes: tuple[str, ...]
    fits: Callable[[Any], bool]
    advice: str


def resolve(path: Any, kind: Kind, allow: Sequence[str] = (), where: str = "") -> Any:
    """Return the object that a dotted name stands for; ``TargetError`` says why it may not stand there.

    ``allow`` names packages, or modules of them, beside the trusted ones. Nothing of any other is imported.
    ``where`` is the file and key of the name.
    """
    if isinstance(allow, str):
        raise TypeError(f"allow is a list of packages such as [{allow!r}], got a text")
    told = f"{where}: _target_ {path!r}" if where else f"_target_ {path!r}"
    if not _is_dotted(path):
        raise TargetError(f"{told} is refused: it is not a public dotted name such as 'bf_models.ResNet18'")
    trusted = (*TRUSTED, *(home.partition(".")[0] for home in kind.homes))
    roots = tuple(dict.fromkeys((*trusted, *allow)))
    package = path.partition(".")[0]
    advice, own = (kind.advice.format(package=name) for name in (package, "my_package"))
    if not any(_is_inside(path, root) for root in roots):
        raise TargetError(
            f"{told} is refused: its package is not one of {', '.join(roots)}; if you trust it, {advice}"
        )
    found, holder = _find(path, told, roots)
    home = _home_of(found)
    asked = f"{told} is refused: it is {_describe(found)}, and {kind.name} is asked for"
    if isinstance(found, ModuleType):
        raise TargetError(asked)
    if home is None or not any(_is_inside(home, root) for root in roots):
        raise TargetError(
            f"{told} is refused: it is {_describe(found)}, of another package than its name says"
        )
    if any(_is_inside(home, root) for root in trusted):
        if not _is_offered(found, kind) or not kind.fits(found):
            offered = f", such as are in {', '.join(kind.homes)}" if kind.homes else ""
            raise TargetError(f"{asked}{offered}; for one of your own package {own}")
    elif not callable(found):
        raise TargetError(asked)
    elif not _is_public(path, holder):
        raise TargetError(f"{asked}; __all__ of {holder.__name__} does not offer it: add it there")
    return found


def public_path(found: type) -> str:
    """Return the shortest dotted name that a class is found by: its package offers it above where it lies."""
    parts = found.__module__.split(".")
    for length in range(1, len(parts) + 1):
        module = sys.modules.get(".".join(parts[:length]))
        if getattr(module, found.__qualname__, None) is found:
            return ".".join([*parts[:length], found.__qualname__])
    return f"{found.__module__}.{found.__qualname__}"


def _is_dotted(path: Any) -> bool:
    """Whether a name has two parts or more, and no underscore in front of any."""
    parts = path.split(".") if isinstance(path, str) else []
    return len(parts) > 1 and all(part.isidentifier() and not part.startswith("_") for part in parts)


def _is_inside(name: str, root: str) -> bool:
    return name == root or name.startswith(f"{root}.")


def _find(path: str, told: str, roots: Sequence[str]) -> tuple[Any, Any]:
    """Return what a path leads to and what holds it; only modules of the roots and classes are entered."""
    parts = path.split(".")
    # an allowed module may lie below a package that is not: importing it imports that
    entry = max((root for root in roots if _is_inside(path, root)), key=len)
    found: Any = _import(entry, told, path)
    if found is None:
        raise TargetError(f"{told}: there is no package {entry!r} here; install it, or correct the name")
    holder: Any = None
    for place in range(entry.count(".") + 1, len(parts)):
        holder, part = found, parts[place]
        if isinstance(holder, ModuleType):
            if not any(_is_inside(holder.__name__, root) for root in roots):
                raise TargetError(f"{told} is refused: it leads through the module {holder.__name__}")
            found = _member(holder, part, told, path)
        elif isinstance(holder, type):
            if not hasattr(holder, part):
                raise TargetError(f"{told}: {unknown('name', part, _list_public(holder), holder.__name__)}")
            found = getattr(holder, part)
        else:
            raise TargetError(f"{told} is refused: it leads through {_describe(holder)}, which is no module")
    return found, holder


def _member(module: ModuleType, part: str, told: str, path: str) -> Any:
    """Return what a module has under a name, or its submodule of that name."""
    if hasattr(module, part):
        return getattr(module, part)
    found = _import(f"{module.__name__}.{part}", told, path) if hasattr(module, "__path__") else None
    if found is None:
        raise TargetError(f"{told}: {unknown('name', part, _list_public(module), module.__name__)}")
    return found


def _import(name: str, told: str, path: str) -> ModuleType | None:
    """Import a module; None where there is none of that name."""
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and _is_inside(name, error.name):
            return None
        error.add_note(f"while {told} was imported")
        raise


def _list_public(owner: Any) -> list[str]:
    return [name for name in getattr(owner, "__all__", dir(owner)) if not name.startswith("_")]


def _home_of(found: Any) -> str | None:
    """Return the module that an object is defined in; of a value the one of its class; None for a module."""
    while isinstance(found, functools.partial):
        found = found.func
    if isinstance(found, ModuleType):
        return None
    home = getattr(found, "__module__", None)
    return home if isinstance(home, str) else None


def _describe(found: Any) -> str:
    if isinstance(found, ModuleType):
        return f"the module {found.__name__}"
    name = getattr(found, "__qualname__", None) or f"a {type(found).__qualname__}"
    return f"{_home_of(found) or type(found).__module__}.{name}"


def _is_offered(found: Any, kind: Kind) -> bool:
    """Whether a home of the kind has an object, or the class of a value, among its public names."""
    if not isinstance(found, type):
        found = type(found)
    return any(
        found is vars(module).get(name) for module in _homes(found, kind) for name in _list_public(module)
    )


def _homes(found: type, kind: Kind) -> Iterator[ModuleType]:
    """Yield the modules of a kind's homes that may offer a class."""
    parts = found.__module__.split(".")
    above = [".".join(parts[: place + 1]) for place, part in enumerate(parts) if not part.startswith("_")]
    for home in kind.homes:
        if home.endswith(".*"):
            yield from (
                sys.modules[name] for name in above if _is_inside(name, home[:-2]) and name in sys.modules
            )
        else:
            yield importlib.import_module(home)


def _is_public(path: str, holder: Any) -> bool:
    """Whether a module of the reader's own offers what it holds: all, or what its ``__all__`` lists."""
    return not isinstance(holder, ModuleType) or path.rpartition(".")[2] in _list_public(holder)
