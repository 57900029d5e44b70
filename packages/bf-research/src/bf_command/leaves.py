"""The values of a configuration with what their references lead to, and how one is refused."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, NamedTuple, NoReturn

_IN_PLACES = re.compile(r"\$\{(hydra[.:]|now:|oc\.env:)[^${}]*\}")
_MOST_LEVELS = 50


class Leaf(NamedTuple):
    """A value of a configuration: its key, as it is written, and what that stands for if it is ``known``.

    ``elsewhere``: a reference to the task's part of the configuration leads to it.
    """

    key: str
    raw: Any
    value: Any
    known: bool = True
    elsewhere: bool = False

    @property
    def is_reference(self) -> bool:
        """Whether the whole value is a reference, which may stand for more than a text."""
        return str(self.raw).startswith("${") and str(self.raw).endswith("}")


def list_leaves(owner: Any, name: Any, key: str, refers: str = "", level: int = 0) -> Iterator[Leaf]:
    """Yield the values inside one part of a configuration; references are followed."""
    from omegaconf import OmegaConf

    # a reference to what is missing is "not in" its owner, and there all the same
    if OmegaConf.is_missing(owner, name) or (OmegaConf.is_dict(owner) and name not in list(owner)):
        return
    elsewhere = refers
    if OmegaConf.is_interpolation(owner, name):
        plain: Any = OmegaConf.to_container(owner, resolve=False)
        raw = plain[name]
        elsewhere = refers or ("" if is_of_hydra(raw) else raw)
        try:
            found = owner[name]
        except Exception:  # noqa: BLE001 - a resolver may raise anything; what uses the value will too
            yield Leaf(key, raw, raw, False, bool(elsewhere))
            return
    else:
        raw = found = owner[name]
    if not OmegaConf.is_config(found):
        yield Leaf(key, elsewhere or raw, found, True, bool(elsewhere))
        return
    if level == _MOST_LEVELS:
        refuse(key, raw, "it leads into itself")
    names = range(len(found)) if OmegaConf.is_list(found) else list(found)
    for inner in names:
        yield from list_leaves(found, inner, f"{key}.{inner}", elsewhere, level + 1)


def is_of_hydra(raw: str) -> bool:
    """Whether all references of a text are to Hydra's part, the clock and the environment."""
    return "${" not in _IN_PLACES.sub("", raw)


def refuse(key: str, value: Any, why: str = "", owner: str = "hydra.") -> NoReturn:
    """Raise ``TargetError`` for a value of Hydra's part that the file of a group may not have."""
    from bf_index.names import TargetError  # late: start-up time

    raise TargetError(
        f"{owner}{key}: {value!r:.200} is refused: it comes from the file of a group, which does not say "
        f"what may run{f' ({why})' if why else ''}; if you trust it, say it on the command line or in the "
        "primary configuration"
    )


def refuse_other(key: str, value: Any, what: str) -> NoReturn:
    """Raise ``TargetError`` for a value that only files which come with the program may have."""
    from bf_index.names import TargetError  # late: start-up time

    raise TargetError(
        f"{key}: {value!r:.200} is refused: {what}, and no file that comes with the program says it; if you "
        "trust it, say it on the command line, or copy its file into the folder of the primary configuration"
    )
