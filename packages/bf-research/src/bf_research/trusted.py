"""Which packages of a user a configuration may name: what he says himself, in his command or his main file.

``targets`` guards the groups and files that a configuration is put together from, so none of these sets it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

from bf_index.names import TargetError
from bf_research.launcher import hydra_private

KEY = "targets"
#: Parts that no sweep in a file changes: whom to trust, all of Hydra's own, and where runs are recorded.
_OF_THE_COMMAND = frozenset((KEY, "hydra", "tracking"))


def trusted_packages(config: Any, hydra: Any = None) -> tuple[str, ...]:
    """Return the packages in ``targets``; ``TargetError`` for one that neither command nor main file names.

    ``hydra`` is Hydra's part of the configuration. Without it a program has made ``config``, and is believed.
    ``TargetError`` as well for what ``hydra.sweeper.params`` may not sweep over, whoever is trusted.
    """
    asked = tuple(str(package) for package in config.get(KEY) or ())
    if hydra is None:
        return asked
    refuse_swept(hydra.sweeper.get("params") or (), "hydra.sweeper.params")
    if not asked:
        return asked
    said = [*_said_in_command(hydra), *_said_in_main_file(hydra)]
    if any("${" in text for text in said):
        return asked
    for package in asked:
        if package not in said:
            raise TargetError(
                f"{KEY}: {package!r} is refused: it comes from the file of a group, which says not whom to "
                f"trust; if you do, say {KEY}=[{package}] on the command line, or list it in the main file, "
                f"{hydra.job.config_name}.yaml"
            )
    return asked


def refuse_swept(names: Iterable[str], where: str) -> None:
    """Raise ``TargetError`` for options that a sweep which is written down in a file does not have.

    These are ``targets``, all of Hydra's own part, and all of ``tracking``: where runs are recorded.
    """
    for name in names:
        if not _OF_THE_COMMAND.isdisjoint(_parts(str(name))):
            raise TargetError(
                f"{where}: {name} is refused: a sweep does not say whom to trust, nor where runs are "
                "recorded; the command does"
            )


def _parts(key: str) -> list[str]:
    """Return the parts of a configuration that a key may change: its own, and those of its packages."""
    group, *packages = re.split("[@:]", key)
    return [re.split(r"[./\[]", part.strip().lstrip("+~ "))[0] for part in (group, *packages)]


def _said_in_command(hydra: Any) -> Iterator[str]:
    for key, value in hydra_private.read_overrides(hydra.overrides.task):
        if key.partition(".")[0] == KEY:
            yield from _texts(value)


def _said_in_main_file(hydra: Any) -> Iterator[str]:
    main = hydra_private.main_file(hydra.runtime.config_sources, hydra.job.config_name)
    yield from _texts(main.get(KEY))


def _texts(value: Any) -> Iterator[str]:
    yield from map(str, value if isinstance(value, list | tuple) else () if value is None else [value])
