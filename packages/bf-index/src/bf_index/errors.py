"""Errors that bf-index raises, and the one helper behind every "did you mean"."""

from __future__ import annotations

import difflib
import unicodedata
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

_MOST_KNOWN = 12
"""How many known names a message lists at most: more would hide the hint."""


class StateError(ValueError):
    """A saved state does not fit what it is restored into: other data, another plan or a newer version."""


class FileChangedError(OSError):
    """A file is not the one that was indexed: its size or modification time has changed since."""


def escape(text: object, keep: str = "") -> str:
    """Return a text of somebody else, such as the name of a file, as messages, bars and logs show it.

    Signs that write to a terminal, begin a line or turn the direction of writing are shown as in ``repr``;
    those in ``keep`` stay.

    >>> escape('a\\nERROR: b\\x1b[2J.npy')
    'a\\\\nERROR: b\\\\x1b[2J.npy'
    """
    told = str(text)
    if told.isprintable():
        return told
    return "".join(sign if sign.isprintable() or sign in keep else repr(sign)[1:-1] for sign in told)


def close_matches(name: object, known: Iterable[object], most: int = 3) -> list[str]:
    """Return up to ``most`` known names that look like ``name``, the closest first."""
    by_lower = {str(word).lower(): str(word) for word in known}
    found = difflib.get_close_matches(str(name).lower(), list(by_lower), n=most, cutoff=0.6)
    return [by_lower[word] for word in found]


def find_alike(name: str, known: Iterable[object]) -> str | None:
    """Return a known name that looks like ``name`` and differs in its Unicode form only, if there is one."""
    form = unicodedata.normalize("NFC", name)
    return next(
        (word for word in known if isinstance(word, str) and unicodedata.normalize("NFC", word) == form), None
    )


def suggest(name: object, known: Sequence[object]) -> str:
    r"""Return the end of a message about an unknown name: "; did you mean ...?", empty without close matches.

    >>> suggest("Zo\u00eb", ["Zoe\u0308"])
    "; did you mean 'Zoe\\u0308'? It differs from 'Zo\\xeb' in its Unicode form only"
    """
    if isinstance(name, str) and (alike := find_alike(name, known)) is not None:
        return f"; did you mean {alike!a}? It differs from {name!a} in its Unicode form only"
    close = close_matches(name, known)
    return f"; did you mean {' or '.join(map(repr, close))}?" if close else ""


def unknown(kind: str, name: object, known: Iterable[object], owner: str = "") -> str:
    """Return the message that ``name`` is no ``kind`` of ``owner``, with close matches and what is known.

    >>> unknown("component", "imagse", ["images", "masks"], owner="SatelliteBatch")
    "unknown component 'imagse' of SatelliteBatch; did you mean 'images'? known: images, masks"
    """
    names = list(dict.fromkeys(escape(word) for word in known))
    message = f"unknown {kind} {name!r}" + (f" of {owner}" if owner else "")
    message += suggest(name, names) or ";"
    if not names:
        return f"{message} none is known"
    more = f", ... ({len(names)} in all)" if len(names) > _MOST_KNOWN else ""
    return f"{message} known: {', '.join(names[:_MOST_KNOWN])}{more}"


def unknown_setting(name: str, settings: Mapping[str, Any]) -> str:
    """Return the message that there is no such name at the top of nested settings, with names inside it.

    >>> unknown_setting("lerning_rate", {"seed": 0, "optimizer": {"learning_rate": 0.1}})
    "unknown config key 'lerning_rate'; known: seed, optimizer\\na part has it: optimizer.learning_rate=..."
    """
    message = unknown("config key", name, settings)
    inner = list(_list_inner(settings))
    close = close_matches(name, [path.rpartition(".")[2] for path in inner])
    paths = [path for path in inner if path.rpartition(".")[2] in close]
    if paths and _likeness(name, close) > _likeness(name, settings):
        return f"{message}\na part has it: {', '.join(f'{path}=...' for path in paths[:3])}"
    return f"{message}\nwhat a part is given is written part.name=..., as model.name=..."


def _likeness(name: str, known: Iterable[str]) -> float:
    """Return how like the closest of the known names is, from 0 to 1."""
    return max((difflib.SequenceMatcher(None, name, word).ratio() for word in known), default=0.0)


def _list_inner(settings: Mapping[str, Any], start: str = "") -> Iterator[str]:
    """Yield the dotted paths of settings inside the parts."""
    for name, value in settings.items():
        if start:
            yield f"{start}{name}"
        if isinstance(value, Mapping):
            yield from _list_inner(value, f"{start}{name}.")


class Suggests:
    """Mixin: a missing attribute is an AttributeError that names the class and the close matches.

    Python calls ``__getattr__`` only when the usual look-up has failed, so it costs nothing otherwise.
    Private names get the plain error: libraries probe for them.
    """

    __slots__ = ()

    def __getattr__(self, name: str) -> NoReturn:
        owner = type(self).__name__
        if name.startswith("_"):
            raise AttributeError(f"{owner!r} object has no attribute {name!r}", name=name, obj=self)
        if hasattr(type(self), name):  # a property or descriptor raised: its own message says more
            object.__getattribute__(self, name)
        public = [word for word in dir(self) if not word.startswith("_")]
        raise AttributeError(unknown("attribute", name, public, owner), name=name, obj=self)
