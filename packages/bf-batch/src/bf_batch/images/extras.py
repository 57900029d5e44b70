"""The optional libraries of images, imported where they are used, with an error that says how to get them."""

from __future__ import annotations

import functools
import importlib
from types import ModuleType


class MissingExtraError(ImportError):
    """A library of the ``images`` extra is not installed."""


@functools.cache
def need(module: str, purpose: str = "images") -> ModuleType:
    """Import a module of an extra of bf-batch; an ImportError names the extra when its library is missing."""
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("bf_batch"):
            raise
        raise MissingExtraError(
            f"bf_batch.images needs {error.name!r}, which is not installed: pip install bf-batch[{purpose}]",
            name=error.name,
        ) from error
