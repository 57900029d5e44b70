"""All private names of Hydra and OmegaConf that BatchFlow uses, so that an upgrade fails in one place.

``tests/research/launcher/test_hydra_private.py`` holds each of them against the installed versions.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

import cloudpickle
import yaml
from hydra import version
from hydra._internal import config_loader_impl
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra._internal.config_repository import ConfigRepository
from hydra._internal.config_search_path_impl import ConfigSearchPathImpl
from hydra._internal.logging_config import configure_logging
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, OverrideType, ValueType
from hydra.core.plugins import Plugins
from hydra.core.utils import JobReturn, _flush_loggers
from omegaconf import DictConfig, OmegaConf
from omegaconf._utils import get_omega_conf_dumper

from bf_batch.engines.pickling import dumps_quickly

#: What raises for a configuration that says what nobody who is trusted has said: all of it, or where runs go.
Guard = Callable[[DictConfig, bool], None]

#: Where Hydra's plugins lie: it runs their modules twice, which makes twins of their classes.
_TWINS = ("hydra_plugins.", "hydra._internal.core_plugins.")

#: Overrides whose meaning is plain: a key with dots, and a whole number, a decimal or a word.
_SIMPLE = re.compile(
    r"(?P<key>[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)="
    r"(?:(?P<whole>0|[1-9]\d{0,15})|(?P<decimal>(?:0|[1-9]\d{0,15})\.\d{1,15})|(?P<word>[A-Za-z_][\w./-]*))",
    re.ASCII,
)
_CONSTANTS = frozenset({"null", "true", "false", "nan", "inf"})

#: Set up logging from plain data, with Hydra's guard of what it may build.
set_up_logging = configure_logging
#: Flush all handlers of the ``logging`` module.
flush_loggers = _flush_loggers


def dumps(value: Any) -> bytes:
    """Return the pickle of a value that may hold classes of Hydra's plugins, which plain pickle refuses."""
    return dumps_quickly(value, _TWINS)


# Composing ------------------------------------------------------------------------------------------------


def is_hydras_own(loader: Any) -> bool:
    """Whether a loader of configurations is Hydra's own, which the functions below know."""
    return isinstance(loader, ConfigLoaderImpl)


def guard_of(loader: Any) -> Guard | None:
    """Return what the program checks each configuration with that this loader loads; None without it."""
    loads = getattr(type(loader), "_load_configuration", type(loader).load_configuration)  # Hydra 1.4, 1.3
    guard: Guard | None = getattr(loads, "guard", None)
    return guard


def group_exists(loader: Any, name: str) -> bool:
    """Whether there is a group of configurations of this name, as ``model``."""
    return bool(loader.repository.group_exists(name))


def apply_overrides(values: list[Override], config: DictConfig) -> None:
    """Set the values of overrides in a configuration, with Hydra's own errors."""
    ConfigLoaderImpl._apply_overrides_to_config(values, config)


def set_override_dirname(config: DictConfig, task: list[Override]) -> None:
    """Set ``hydra.job.override_dirname`` for these overrides of the task; Hydra 1.4 does so itself."""
    name = getattr(config_loader_impl, "get_overrides_dirname", None)
    if name is not None:
        naming = config.hydra.job.config.override_dirname
        config.hydra.job.override_dirname = name(
            overrides=task, kv_sep=naming.kv_sep, item_sep=naming.item_sep, exclude_keys=naming.exclude_keys
        )


def main_file(sources: Any, name: str | None) -> dict[str, Any]:
    """Return what the main configuration file itself says, as it is written; nothing when there is none.

    ``sources`` are those of ``hydra.runtime.config_sources``.
    """
    found = None if name is None else _open_repository(sources).load_config(name)
    return {} if found is None else _as_written(found.config)


def group_files(sources: Any, group: str) -> dict[str, dict[str, Any]]:
    """Return what the files of a group say, as they are written, by the name of the option."""
    repository = _open_repository(sources)
    found = {
        option: repository.load_config(f"{group}/{option}")
        for option in repository.get_group_options(group, ObjectType.CONFIG)
    }
    return {option: _as_written(one.config) for option, one in found.items() if one is not None}


def _open_repository(sources: Any) -> ConfigRepository:
    Plugins.instance()  # registers the kinds of sources, in a worker's process too
    path = ConfigSearchPathImpl()
    for source in sources:
        path.append(source.provider, f"{source.schema}://{source.path}")
    return ConfigRepository(path)


def _as_written(config: Any) -> dict[str, Any]:
    if not OmegaConf.is_dict(config):
        return {}
    written: Any = OmegaConf.to_container(config, resolve=False)
    return {str(key): value for key, value in written.items()}


def read_override(parser: OverridesParser, text: str) -> Override:
    """Read an override; one of a plain word or number is read without the grammar, in a tenth of the time."""
    found = _SIMPLE.fullmatch(text)
    if found is None or (found["word"] or "").lower() in _CONSTANTS:
        return parser.parse_overrides([text])[0]
    whole, decimal, word = found["whole"], found["decimal"], found["word"]
    value = int(whole) if whole else float(decimal) if decimal else word
    return Override(
        type=OverrideType.CHANGE,
        key_or_group=found["key"],
        value_type=ValueType.ELEMENT,
        _value=value,
        input_line=text,
        config_loader=parser.config_loader,
    )


def read_overrides(texts: Iterable[str]) -> list[tuple[str, Any]]:
    """Return keys and values of overrides; those that delete have the value None."""
    parsed = OverridesParser.create().parse_overrides([str(text) for text in texts])
    return [(item.key_or_group, item.value()) for item in parsed]


# Values of overrides --------------------------------------------------------------------------------------


def swept_values(override: Override) -> list[Any]:
    """Return the values that an override sweeps over, without quotes."""
    return [Override._convert_value(value) for value in override.sweep_iterator()]


def write_value(value: Any) -> str:
    """Write a value in the grammar of overrides; texts that need quotes come as ``QuotedString``."""
    return str(Override._get_value_element_as_str(value))


def task_overrides(hydra: DictConfig) -> list[str]:
    """Return what was said for the task as it was written: one by one, references would be looked up."""
    task: Any = OmegaConf.select(hydra, "overrides.task")
    return [] if task is None else [str(text) for text in OmegaConf.to_container(task, resolve=False) or ()]


# Jobs -----------------------------------------------------------------------------------------------------


def changes_folder(job: DictConfig) -> bool:
    """Whether a job changes to its folder: as told, and untold where a program asks for Hydra 1.1's ways."""
    asks_since = getattr(version, "base_at_least", None)  # not in Hydra 1.4, which has one way
    return bool(job.chdir) or (job.chdir is None and asks_since is not None and not asks_since("1.2"))


def value_of(job: JobReturn) -> Any:
    """Return the result of a job, or the error of one that failed, which ``return_value`` would raise."""
    return job._return_value


def split_config(config: DictConfig) -> tuple[DictConfig, DictConfig]:
    """Return a copy of the task's own part, with all flags and types, and Hydra's part as it is.

    Hydra's goes on to look up values in ``config``, as ``HydraConfig.set_config`` has it.
    """
    whole = config.__dict__["_content"]  # setting and deleting keys would copy all of it
    config.__dict__["_content"] = {name: node for name, node in whole.items() if name != "hydra"}
    try:
        own: DictConfig = cloudpickle.loads(dumps(config))  # a fifth of the time of a deepcopy
    finally:
        config.__dict__["_content"] = whole
    part = OmegaConf.create({})
    part.__dict__["_content"]["hydra"] = whole["hydra"]
    return own, part


def names_of(config: DictConfig, section: str = "") -> list[Any]:
    """Return the keys of a configuration, or of a section of it, in their order."""
    inner = config.__dict__["_content"][section] if section else config
    return list(inner.__dict__["_content"])


def pick(config: DictConfig, names: Iterable[Any], section: str = "") -> DictConfig:
    """Return keys of a configuration, or of a section of it, with the nodes themselves, not to be changed.

    References in it can't be looked up.
    """
    inner = config.__dict__["_content"][section] if section else config
    part = OmegaConf.create({})
    part.__dict__["_content"].update((name, inner.__dict__["_content"][name]) for name in names)
    if not section:
        return part
    whole = OmegaConf.create({})
    whole.__dict__["_content"][section] = part
    return whole


class _Dumper(getattr(yaml, "CDumper", yaml.Dumper)):  # type: ignore[misc]
    """A dumper that writes as OmegaConf does, with the compiled library where PyYAML has it."""

    yaml_representers = get_omega_conf_dumper().yaml_representers


def to_yaml(part: object) -> str:
    """Write a configuration, or its plain data, as ``OmegaConf.to_yaml`` does, three times as fast."""
    plain = (
        OmegaConf.to_container(part, resolve=False, enum_to_str=True) if OmegaConf.is_config(part) else part
    )
    text = yaml.dump(plain, default_flow_style=False, allow_unicode=True, sort_keys=False, Dumper=_Dumper)
    return str(text)
