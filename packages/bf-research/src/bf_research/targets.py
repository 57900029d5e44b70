"""Names in a configuration that become Python objects: from allowed packages only."""

from __future__ import annotations

import importlib
import inspect
import re
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import Any

from bf_index.errors import unknown

ALLOWED = ("bf_index", "bf_batch", "bf_pipeline", "bf_models", "bf_research", "keras")
_DOTTED = re.compile(r"[A-Za-z_]\w*(\.[A-Za-z_]\w*)+")


class TargetError(ValueError):
    """A ``_target_`` that is not allowed, or that names nothing."""


def resolve(path: str, allow: Sequence[str] = ()) -> Any:
    """Return the object that a dotted name stands for; ``TargetError`` if its package is not allowed.

    ``allow`` adds the user's own packages (``targets: [my_package]`` in the configuration). A name that an
    allowed package merely imported from another one, as in ``bf_x.module.os.system``, is refused too.
    """
    roots = (*ALLOWED, *allow)
    if not isinstance(path, str) or not _DOTTED.fullmatch(path):
        raise TargetError(f"_target_ must be a dotted name such as 'bf_models.ResNet18', got {path!r}")
    if path.partition(".")[0] not in roots:
        raise TargetError(
            f"_target_ {path!r} is refused: its package is not one of {', '.join(roots)}; "
            "add your own package to the list 'targets' of the configuration"
        )
    found = _find(path)
    home = found.__name__ if isinstance(found, ModuleType) else getattr(found, "__module__", "")
    if isinstance(found, ModuleType) or (home or "").partition(".")[0] not in roots:
        raise TargetError(
            f"_target_ {path!r} is refused: it is {home or type(found).__name__}, of another package"
        )
    return found


def _find(path: str) -> Any:
    """Import the longest part of the name that is a module, then follow attributes."""
    parts = path.split(".")
    for length in range(len(parts) - 1, 0, -1):
        name = ".".join(parts[:length])
        try:
            found: Any = importlib.import_module(name)
        except ModuleNotFoundError as error:
            if error.name != name and not name.startswith(f"{error.name}."):
                raise
            if length == 1:
                raise TargetError(f"_target_ {path!r}: there is no package {name!r}") from error
            continue
        for part in parts[length:]:
            if not hasattr(found, part):
                known = [word for word in dir(found) if not word.startswith("_")]
                raise TargetError(f"_target_ {path!r}: {unknown('name', part, known, name)}")
            found = getattr(found, part)
        return found
    raise TargetError(f"_target_ {path!r}: nothing of that name")


def split(config: Mapping[str, Any], what: str) -> tuple[str, dict[str, Any]]:
    """Split ``{'_target_': name, **options}`` into name and options; ``TargetError`` without a name."""
    options = dict(config)
    path = options.pop("_target_", None)
    if path is None:
        raise TargetError(f"{what} needs a '_target_', got the keys {sorted(map(str, options))}")
    return path, options


def build(config: Mapping[str, Any], what: str, allow: Sequence[str] = ()) -> Any:
    """Call what ``_target_`` names with the other keys as arguments; an error names ``what`` was built.

    ``TypeError`` with close matches for an argument that is not taken.
    """
    path, options = split(config, what)
    maker = resolve(path, allow)
    parameters = _parameters(maker)
    for name in options:
        if parameters is not None and name not in parameters:
            raise TypeError(unknown("argument", name, parameters, f"{what} {path}"))
    try:
        return maker(**options)
    except TypeError as error:
        error.add_note(f"in {what}: {path} with {', '.join(options) or 'no arguments'}")
        raise


def _parameters(maker: Any) -> list[str] | None:
    """Return the names of a callable's arguments; None if it takes any or they are unknown."""
    try:
        parameters = inspect.signature(maker).parameters.values()
    except (TypeError, ValueError):
        return None
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return None
    return [parameter.name for parameter in parameters if parameter.kind is not parameter.POSITIONAL_ONLY]
