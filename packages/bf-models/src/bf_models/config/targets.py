"""What a ``_target_`` of a config may name, and the object that it becomes."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from typing import Any

from bf_models.errors import unknown

#: Packages whose names a ``_target_`` may hold without being asked for.
TRUSTED = ("bf_models", "keras")


def resolve(target: str, allow: Sequence[str] = ()) -> Any:
    """Import what a dotted name stands for, from trusted packages and those in ``allow`` only.

    PermissionError names a package that is not allowed, before anything of it is imported.
    """
    package = target.partition(".")[0]
    if package not in (*TRUSTED, *allow):
        raise PermissionError(
            f"_target_ {target!r} is outside the trusted packages {', '.join((*TRUSTED, *allow))}; "
            f"if you trust it, add 'allow': [{package!r}] to the config, or pass allow=({package!r},) to load"
        )
    parts = [part for part in target.split(".") if part]
    if ".".join(parts) != target or any(part.startswith("_") for part in parts):
        raise PermissionError(f"_target_ {target!r} is not a public dotted name")
    return _import(parts, target)


def _import(parts: list[str], target: str) -> Any:
    for cut in range(len(parts), 0, -1):
        try:
            found: Any = importlib.import_module(".".join(parts[:cut]))
        except ModuleNotFoundError as error:
            if error.name is None or not target.startswith(error.name):
                raise
            continue
        for part in parts[cut:]:
            if not hasattr(found, part):
                raise AttributeError(unknown("name", part, _list_public(found), f"_target_ {target!r}"))
            found = getattr(found, part)
        return found
    raise ModuleNotFoundError(f"_target_ {target!r}: there is no package {parts[0]!r} here")


def _list_public(owner: Any) -> list[str]:
    return [name for name in dir(owner) if not name.startswith("_")]


def build_target(options: Mapping[str, Any], allow: Sequence[str], owner: str) -> Any:
    """Call what ``_target_`` names with the other keys as arguments; the error notes who asked for it."""
    arguments = {name: value for name, value in options.items() if name != "_target_"}
    target = resolve(str(options["_target_"]), allow)
    try:
        return target(**arguments)
    except TypeError as error:
        error.add_note(f"while {owner} called {options['_target_']} with {sorted(arguments)}")
        raise
