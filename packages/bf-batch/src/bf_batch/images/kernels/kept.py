"""Import this in a process that others are forked from: they all have the loops that earlier runs compiled.

To load them takes most of a second, most of it numba's own beginning. Nothing is compiled here: a loop that
was never used yet is compiled by the process that needs it.
"""

from __future__ import annotations

from typing import Any

from numba.core.caching import FunctionCache
from numba.core.dispatcher import Dispatcher

from bf_batch.images.kernels import axes, colour, interpolate, maps, packed_bytes


def load_kept_code() -> None:
    """Load the machine code that is kept of all loops, for all kinds of arguments that they have had."""
    for module in (maps, axes, colour, interpolate, packed_bytes):
        for loop in vars(module).values():
            if isinstance(loop, Dispatcher):
                for signature in _list_kept(loop):
                    loop.compile(signature)


def _list_kept(loop: Any) -> list[Any]:
    """Return the signatures that are kept for this very loop and this processor."""
    cache = loop._cache
    if not isinstance(cache, FunctionCache):
        return []
    codegen = loop.targetctx.codegen()
    return [key[0] for key in cache._cache_file._load_index() if key == cache._index_key(key[0], codegen)]


load_kept_code()
