"""What the person has said: the command, the primary configuration, and the files beside it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from bf_command.schema import folder_of, search_path
from bf_command.standard import standard_folders

#: Arguments that say something of Hydra's own part, or of where jobs run.
_HYDRAS = re.compile(r"[+~]*(hydra|launch)\.")
_VARIABLE = re.compile(r"oc\.env:\s*([A-Za-z_]\w*)")


class Said:
    """Texts of the person, by which a value in a configuration is known as his or her own.

    ``main`` is the file of the primary configuration. Files of other folders, as of ``--config-dir``, are
    of others; those beside ``main`` and on its search path come with the program.
    """

    def __init__(self, main: Path, arguments: Sequence[str]) -> None:
        self._main = main.absolute()
        self._arguments = [text.replace("\\", "") for text in arguments]

    def __getstate__(self) -> dict[str, Any]:
        # other processes read the files themselves: a pickle lies on disks, and variables may be secrets
        return {"_main": self._main, "_arguments": self._arguments}

    def names(self, name: str) -> bool:
        """Whether the command or the primary configuration names something of Hydra's part."""
        return any(_holds(text, name) for text in self._of_hydra)

    def has(self, value: object) -> bool:
        """Whether the command or a file of the program has a value as a word of its own."""
        return any(_holds(text, str(value)) for text in self._texts)

    def writes(self, text: str) -> bool:
        """Whether the command or a file of the program has a text, as it is written."""
        return any(text in own for own in self._texts)

    def leads_to(self, path: str) -> bool:
        """Whether the command or a file of the program has a path, or a folder above it."""
        path = os.path.normpath(path)
        above = [path, *map(str, Path(path).parents)]
        wanted = [re.escape(folder) for folder in above if folder not in ("/", ".", "..")]
        # what goes on after a slash is another folder, unless it is a reference
        pattern = re.compile(rf"(?<![\w./~-])({'|'.join(wanted)})(?![\w.-]|/[^$\s'\"])") if wanted else None
        return pattern is not None and any(pattern.search(text) for text in self._texts)

    @cached_property
    def _of_hydra(self) -> list[str]:
        import yaml

        told = yaml.safe_load(self._main_text) if self._main_text else None
        hydra = told.get("hydra") if isinstance(told, Mapping) else None
        return [*filter(_HYDRAS.match, self._arguments), *_list_texts(hydra)]

    @cached_property
    def _main_text(self) -> str:
        return self._main.read_text(encoding="utf-8") if self._main.is_file() else ""

    @cached_property
    def _texts(self) -> list[str]:
        folders = [self._main.parent, *map(folder_of, search_path(self._main_text, ()))]
        found = [folder for folder in (*folders, *standard_folders()) if folder is not None]
        files = [path for folder in found for path in sorted(folder.rglob("*.yaml"))]
        written = [path.read_text(encoding="utf-8", errors="replace") for path in files if path.is_file()]
        texts = [*self._arguments, self._main_text, *written, *_list_stored()]
        named = {name for text in texts for name in _VARIABLE.findall(text)}
        return [*texts, *(os.environ[name] for name in sorted(named) if os.environ.get(name))]


def _list_stored() -> Iterator[str]:
    """Yield the texts that the program itself has stored with Hydra."""
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    waiting: list[Any] = [ConfigStore.instance().repo]
    while waiting:
        for part in waiting.pop().values():
            if isinstance(part, Mapping):
                waiting.append(part)
            elif OmegaConf.is_config(part.node):
                yield from _list_texts(OmegaConf.to_container(part.node, resolve=False))


def _list_texts(value: Any) -> Iterator[str]:
    return (text for _, text in walk(value, ""))


def walk(
    value: Any, key: str, look_up: Callable[[str, str], Any] = lambda key, text: text
) -> Iterator[tuple[str, str]]:
    """Yield the texts inside plain data with their keys.

    ``look_up(key, text)`` returns what a text stands for, which is walked in its place.
    """
    if isinstance(value, str):
        found = look_up(key, value)
        if isinstance(found, str):
            yield key, found
        else:
            yield from walk(found, key, look_up)
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from walk(part, f"{key}.{name}" if key else str(name), look_up)
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from walk(part, f"{key}.{number}" if key else str(number), look_up)


def _holds(text: str, word: str) -> bool:
    """Whether a text has a word of its own."""
    return re.search(rf"(?<![\w.]){re.escape(word)}(?![\w.])", text) is not None
