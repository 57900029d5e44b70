"""Names and texts as MLflow takes them: what it would refuse is written otherwise, and kept apart."""

from __future__ import annotations

import hashlib
import os
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from typing import Any

#: What MLflow takes: characters of a name, of the value of a parameter, of a tag.
LONGEST_NAME, LONGEST_VALUE, LONGEST_TAG = 250, 6000, 8000
#: A step of a metric is a whole number of 64 bits.
LEAST_STEP, LARGEST_STEP = -(2**63), 2**63 - 1
_FORBIDDEN = re.compile(r"[^\w\-./ :]")
#: What no path holds: zero bytes, and halves of characters, which are no text.
_NO_PATH = re.compile("[\x00\ud800-\udfff]")
#: A file system takes names of 255 bytes.
_LONGEST_FILE = 200
_DIGITS = 8


def clean_name(name: str) -> str:
    """Return the name of a metric, parameter or tag with signs that MLflow takes.

    >>> clean_name('loss (mean) %'), clean_name('bad//name'), clean_name('../up')
    ('loss _mean_ _', 'bad/name', '__/up')
    """
    return _as_path(_FORBIDDEN.sub("_", name)[:LONGEST_NAME])


def clean_path(path: str) -> str:
    """Return the path of a file of a run that stays inside it, each part short enough for a file system."""
    return _as_path("/".join(map(_shorten, _NO_PATH.sub("_", path).split("/"))))


def _shorten(part: str) -> str:
    if len(os.fsencode(part)) <= _LONGEST_FILE:
        return part
    stem, ending = os.path.splitext(part)
    ending = ending[:20]
    return os.fsencode(stem)[: _LONGEST_FILE - len(os.fsencode(ending))].decode("utf-8", "ignore") + ending


def _as_path(text: str) -> str:
    """Return a text that as a path leads where it says: MLflow refuses any other, since it may be a file."""
    parts = [{".": "_", "..": "__"}.get(part, part) for part in text.split("/") if part]
    if parts and parts[0].startswith(".."):
        parts[0] = "__" + parts[0][2:]
    return "/".join(parts) or "_"


class Names:
    """The names of one kind in one run: each has one that MLflow takes, and no two have the same.

    A name that needs no change keeps it; of several that would become one, the later get digits of their
    own, the same in every run.
    """

    def __init__(
        self, clean: Callable[[str], str] = clean_name, given: Mapping[str, str] | None = None
    ) -> None:
        self._clean, self._lock = clean, threading.Lock()
        #: The names as they were wanted, and as they are written.
        self.given: dict[str, str] = dict(given or {})
        self._taken = set(self.given.values())

    def fit(self, wanted: Iterable[str]) -> dict[str, str]:
        """Return new names that had to be changed, as they are written; ``given`` has all."""
        with self._lock:
            new = [name for name in dict.fromkeys(wanted) if name not in self.given]
            new.sort(key=lambda name: self._clean(name) != name)
            for name in new:
                self.given[name] = self._choose(name)
                self._taken.add(self.given[name])
            return {name: self.given[name] for name in new if self.given[name] != name}

    def _choose(self, name: str) -> str:
        clean = self._clean(name)
        if clean not in self._taken:
            return clean
        mark = hashlib.sha256(name.encode("utf-8", "surrogatepass")).hexdigest()[:_DIGITS]
        if self._clean is clean_path:
            stem, ending = os.path.splitext(clean)
            return f"{stem}_{mark}{ending}"
        return f"{clean[: LONGEST_NAME - len(mark) - 1]}_{mark}"


def number_repeats(names: Iterable[str]) -> list[str]:
    """Return names of which each that came before has a number: they name different things.

    >>> number_repeats(['a.b', 'c', 'a.b'])
    ['a.b', 'c', 'a.b#2']
    """
    seen: Counter[str] = Counter()
    numbered = []
    for name in names:
        seen[name] += 1
        numbered.append(name if seen[name] == 1 else f"{name}#{seen[name]}")
    return numbered


def as_texts(values: Mapping[Any, Any]) -> dict[str, str]:
    """Return names and values as texts, none lost where two names are written alike (1 and '1')."""
    return dict(zip(number_repeats(map(str, values)), map(str, values.values()), strict=True))


def clean_text(text: str) -> str:
    """Return a text that every store can hold: a zero byte and half a character are written as escapes."""
    return text.replace("\0", "\\x00").encode("utf-8", "backslashreplace").decode("utf-8")


def is_sure(name: str, value: str) -> bool:
    """Whether MLflow takes a tag as it is."""
    return clean_name(name) == name and clean_text(value) == value and len(value) <= LONGEST_TAG


def plain_step(step: Any) -> float:
    """Return a step as an int where it is a whole number, else as what it is, NaN for no number at all."""
    try:
        number = float(step)
        return int(step) if number.is_integer() else number
    except (TypeError, ValueError, OverflowError):
        return float("nan")
