"""The files and the logging of jobs: what no override of a job changes is worked out once a sweep."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

from hydra.core.utils import configure_log
from omegaconf import DictConfig, OmegaConf

from bf_pipeline.redaction.values import redact_config, redact_override
from bf_research.launcher import hydra_private
from bf_research.launcher.compose import Origin
from bf_research.launcher.hydra_private import to_yaml
from bf_research.own_files import open_plain

#: Parts of Hydra's configuration that each job has for itself.
_OWN_PARTS = frozenset({"job", "overrides", "runtime"})


class JobFiles:
    """The writer of the configurations of jobs into their folders, without secrets.

    Most of a configuration is the same in all jobs with the same choices of groups. Converting, redacting
    and writing it takes most of the time of a short job, so the text of each part that a job leaves as it was
    is kept.
    """

    def __init__(self) -> None:
        self._texts: dict[tuple[tuple[str, ...], str], str] = {}
        self._logging: dict[tuple[str, ...], Any] = {}

    def write(
        self, folder: Path, own: DictConfig, hydra: DictConfig, overrides: list[str], origin: Origin | None
    ) -> None:
        """Write the task's configuration, Hydra's, and the overrides; any part without an ``origin``."""
        folder.mkdir(parents=True, exist_ok=True)
        texts = {
            "config": self._spell(own, "", origin),
            "hydra": self._spell(hydra, "hydra", origin),
            "overrides": to_yaml([redact_override(text) for text in overrides]),
        }
        for name, text in texts.items():
            with open(folder / f"{name}.yaml", "w", encoding="utf-8", opener=open_plain) as file:
                file.write(text)

    def _spell(self, config: DictConfig, section: str, origin: Origin | None) -> str:
        """Return a configuration, or the only section of it, as text put together from its parts."""
        names = hydra_private.names_of(config, section)
        if origin is None or not names:
            return to_yaml(redact_config(config, resolve=False))
        own = [name for name in names if _is_changed(name, section, origin)]
        keys = {name: (origin.groups, f"{section}.{name}") for name in names}
        new = [name for name in names if name not in own and keys[name] not in self._texts]
        plain = redact_config(hydra_private.pick(config, [*own, *new], section), resolve=False)
        parts = plain[section] if section else plain
        head = f"{section}:\n" if section else ""

        def spell(some: list[Any]) -> str:
            wanted = {name: parts[name] for name in some}
            return to_yaml({section: wanted} if section else wanted).removeprefix(head)

        self._texts |= {keys[name]: spell([name]) for name in new}
        texts = [head]
        for is_own, run in groupby(names, own.__contains__):  # parts in a row are written at once
            some = list(run)
            texts += [spell(some)] if is_own else [self._texts[keys[name]] for name in some]
        return "".join(texts)

    def set_up_logging(self, config: DictConfig, folder: Path, origin: Origin | None) -> None:
        """Set the logging of a job up, as Hydra's ``configure_log`` does, with its file in the folder."""
        hydra = config.hydra
        if origin is None or "hydra.job_logging" in origin.changed or hydra.verbose is not False:
            configure_log(hydra.job_logging, hydra.verbose)
            return
        if origin.groups not in self._logging:
            self._logging[origin.groups] = OmegaConf.to_container(hydra.job_logging, resolve=False)
        known = {"${hydra.runtime.output_dir}": str(folder), "${hydra.job.name}": str(hydra.job.name)}
        filled, whole = _fill(self._logging[origin.groups], known)
        if whole:
            hydra_private.set_up_logging(filled)
        else:
            configure_log(hydra.job_logging, False)


def _is_changed(name: str, section: str, origin: Origin) -> bool:
    if section:
        return name in _OWN_PARTS or f"{section}.{name}" in origin.changed
    return name in origin.changed


def _fill(value: Any, known: dict[str, str]) -> tuple[Any, bool]:
    """Return plain data with references replaced, and whether none is left."""
    if isinstance(value, dict):
        filled = {name: _fill(item, known) for name, item in value.items()}
        return {name: item for name, (item, _) in filled.items()}, all(good for _, good in filled.values())
    if isinstance(value, list):
        items = [_fill(item, known) for item in value]
        return [item for item, _ in items], all(good for _, good in items)
    if not isinstance(value, str):
        return value, True
    for reference, text in known.items():
        value = value.replace(reference, text)
    return value, "${" not in value
