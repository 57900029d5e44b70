"""Which packages of a user a configuration may name: what he says himself, in his command or his main file.

``targets`` guards the groups and files that a configuration is put together from, so none of these sets it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from bf_index.names import TargetError
from bf_research.launcher import hydra_private

KEY = "targets"
#: Endings of options that say where runs are recorded.
_STORE = (".uri", ".folder", ".mode", ".entity", ".project")


def trusted_packages(config: Any, hydra: Any = None) -> tuple[str, ...]:
    """Return the packages in ``targets``; ``TargetError`` for one that neither command nor main file names.

    ``hydra`` is Hydra's part of the configuration. Without it a program has made ``config``, and is believed.
    """
    asked = tuple(str(package) for package in config.get(KEY) or ())
    if not asked or hydra is None:
        return asked
    refuse_swept(hydra.sweeper.get("params") or (), "hydra.sweeper.params")
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

    These are ``targets``, all of Hydra's own part, and where runs are recorded.
    """
    for name in names:
        key = str(name).lstrip("+~").partition("@")[0]
        if key.partition(".")[0] in (KEY, "hydra") or key.startswith("hydra/") or _says_where(key):
            raise TargetError(
                f"{where}: {name} is refused: a sweep does not say whom to trust; the command does"
            )


def _says_where(key: str) -> bool:
    return key == "tracking" or (key.startswith("tracking.") and key.endswith(_STORE))


def _said_in_command(hydra: Any) -> Iterator[str]:
    for key, value in hydra_private.read_overrides(hydra.overrides.task):
        if key.partition(".")[0] == KEY:
            yield from _texts(value)


def _said_in_main_file(hydra: Any) -> Iterator[str]:
    main = hydra_private.main_file(hydra.runtime.config_sources, hydra.job.config_name)
    yield from _texts(main.get(KEY))


def _texts(value: Any) -> Iterator[str]:
    yield from map(str, value if isinstance(value, list | tuple) else () if value is None else [value])
