"""Whether what a component holds are pictures; if not: which item is wrong, and why."""

from __future__ import annotations

import reprlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bf_batch.core import BatchCore
from bf_batch.data.lazy_rows import LazyRows
from bf_batch.errors import ItemError
from bf_batch.images.arguments import id_of, owner_of, require_component, role_of
from bf_index.errors import escape

_NUMBERS = frozenset("biuf")  # kinds of dtypes: bool, integers, floats
_PALETTES = ("P", "PA")  # modes of Pillow
_POINTS = ("boxes", "keypoints")
_HINTS = {
    "O": "; give them a dtype of numbers, as by astype('uint8')",
    "c": "; take their abs(), or real and imag as two channels",
    "V": "; take the fields as channels",
}


def require_pictures(batch: BatchCore, name: str, what: str) -> Any:
    """Return a component of pictures: an array (n, h, w) or (n, h, w, c), or a sequence of n arrays.

    ``what`` is the action. An ItemError names the item that is no picture; a ValueError the component, when
    it was not loaded, none of its items is, or its role says that it holds boxes or keypoints.
    """
    value = getattr(batch, name)
    if value is None:
        require_component(batch, name, owner_of(batch, what))  # tells what to do
    return check_pictures(batch, name, value, what)


def check_pictures(batch: BatchCore, name: str, pictures: Any, what: str) -> Any:
    """Return what a component holds as ``require_pictures`` does; rows that are not read yet stay unread."""
    if role_of(batch, name) in _POINTS:
        raise ValueError(
            f"{owner_of(batch, what)}: {name!r} are {role_of(batch, name)}, not pictures; leave them out of "
            "src, they follow geometry alone"
        )
    if type(pictures) is LazyRows or (isinstance(pictures, np.ndarray) and pictures.dtype != object):
        if pictures.ndim in (3, 4) and pictures.dtype.kind in _NUMBERS and 0 not in pictures.shape[1:]:
            return pictures
        raise ValueError(
            f"{owner_of(batch, what)}: component {name!r} is an array of shape {pictures.shape} and dtype "
            f"{pictures.dtype}; pictures are arrays of numbers, (items, height, width) or (items, height, "
            f"width, channels), of at least one pixel{_HINTS.get(pictures.dtype.kind, '')}"
        )
    if _are_all_arrays(pictures):
        return pictures
    return [check_picture(batch, name, picture, position, what) for position, picture in enumerate(pictures)]


def _are_all_arrays(pictures: Any) -> bool:
    """Whether all items are pictures as they are: the usual case, told without a call for each."""
    last = None
    for picture in pictures:
        if type(picture) is not np.ndarray or not 1 < picture.ndim < 4 or not picture.size:
            return False
        kind = picture.dtype
        if kind is not last:
            if kind.kind not in _NUMBERS:
                return False
            last = kind
    return True


def check_picture(batch: BatchCore, name: str, picture: Any, position: int, what: str) -> NDArray[Any]:
    """Return one item of a component as an array of pixels; an ItemError when it is no picture."""
    reason, hint = "", ""
    array: NDArray[Any] = picture
    if not isinstance(picture, np.ndarray):
        if getattr(picture, "mode", None) in _PALETTES and hasattr(picture, "palette"):
            reason, hint = "a Pillow image of places in a palette", "; convert('RGB') gives its colours"
        else:
            try:
                array = np.asarray(picture)
            except (ArithmeticError, AttributeError, OSError, RuntimeError, TypeError, ValueError) as error:
                reason = f"a {type(picture).__name__} ({type(error).__name__}: {escape(error)})"
    if not reason:
        if array.ndim in (2, 3) and array.dtype.kind in _NUMBERS and array.size:
            return array
        if isinstance(picture, np.ndarray):
            reason = f"an array of shape {array.shape} and dtype {array.dtype}"
            hint = _HINTS.get(array.dtype.kind, "")
        else:
            reason, hint = _describe(picture)
    raise ItemError(
        id_of(batch, position),
        owner_of(batch, what),
        position,
        f"{name!r} holds {reason}; pictures are arrays of numbers, (height, width) or (height, width, "
        f"channels), of at least one pixel{hint}",
    )


def _describe(item: Any) -> tuple[str, str]:
    """Return what an object is that is no array, and what to do about it."""
    if item is None:
        return "None", "; load it first"
    if isinstance(item, (str, bytes)) or hasattr(item, "__fspath__"):
        hint = "; load_images() reads files, and load(fmt='image') them too"
    else:
        hint = ""
    return f"a {type(item).__name__}, {escape(reprlib.repr(item))}", hint
