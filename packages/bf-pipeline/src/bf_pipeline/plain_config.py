"""Configs as plain dicts and lists, and their merging."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class Settings(dict[str, Any]):
    """A config that was made plain already, so that pipelines can share it without another copy."""


def plain(config: Any) -> Any:
    """Give a config as plain dicts and lists, fresh ones: a run must not change the recorded config."""
    if hasattr(config, "_metadata") and type(config).__module__.startswith("omegaconf"):
        from omegaconf import OmegaConf

        return OmegaConf.to_container(config, resolve=True)
    if isinstance(config, Mapping):
        return {key: plain(value) for key, value in config.items()}
    if type(config) is list:
        return [plain(value) for value in config]
    return config


def merged(left: Mapping[str, Any], right: Mapping[str, Any]) -> dict[str, Any]:
    """Merge two configs, inner ones too; where both have a value the right one wins."""
    both = dict(left)
    for key, value in right.items():
        old = both.get(key)
        both[key] = merged(old, value) if isinstance(old, Mapping) and isinstance(value, Mapping) else value
    return both
