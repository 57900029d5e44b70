"""Configs as plain dicts and lists, their merging, and values in them by path."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any


class _Unset(Enum):
    """An enumeration of one: it stays the same object through pickling and copying."""

    UNSET = "not given"

    def __repr__(self) -> str:
        return "<not given>"


#: The mark of an argument or a config value that is not there, where None is a value like any other.
UNSET: Any = _Unset.UNSET


class PlainConfig(dict[str, Any]):
    """A config that was made plain already, so that pipelines can share it without another copy."""

    @classmethod
    def of(cls, config: Any) -> PlainConfig:
        """Return a mapping as a plain config; it stays the same object if it is one."""
        if isinstance(config, PlainConfig):
            return config
        made = make_plain(config)
        if not isinstance(made, dict):
            raise TypeError(f"Pipeline: config must be a mapping, got {config!r}")
        return cls(made)


def is_omegaconf(config: Any) -> bool:
    """Whether a config is one of OmegaConf, which is not loaded to know it."""
    return type(config).__module__.startswith("omegaconf")


def make_plain(config: Any) -> Any:
    """Return a config as plain dicts and lists, fresh ones: a run must not change the recorded config."""
    if is_omegaconf(config):
        from omegaconf import OmegaConf

        return OmegaConf.to_container(config, resolve=True)
    if isinstance(config, Mapping):
        return {key: make_plain(value) for key, value in config.items()}
    if type(config) is list:
        return [make_plain(value) for value in config]
    return config


def merge_configs(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two configs, inner ones too; where both have a value the right one wins."""
    both = dict(left)
    for key, value in right.items():
        old = both.get(key)
        both[key] = (
            merge_configs(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
        )
    return both


def find_value(config: Any, path: str | None) -> Any:
    """Return the value at a path with slashes, UNSET if there is none; a key may itself hold slashes."""
    if path is None or not isinstance(config, Mapping):
        return UNSET
    if path in config:
        return config[path]
    head, slash, rest = path.partition("/")
    while slash:
        if head in config and (found := find_value(config[head], rest)) is not UNSET:
            return found
        more, slash, rest = rest.partition("/")
        head = f"{head}/{more}"
    return UNSET


def list_paths(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return all paths of a config, inner ones too."""
    found = []
    for key, value in config.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found.extend(list_paths(value, f"{prefix}{key}/"))
    return found
