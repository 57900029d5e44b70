"""Secrets in settings: mappings and lists of values, configurations, and overrides of the command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from bf_pipeline.plain_config import register_resolver
from bf_pipeline.redaction.names import means_secret
from bf_pipeline.redaction.texts import MASK, Mask, redact_text

_FROM_ENVIRONMENT = re.compile(r"\$\{\s*oc\.env\s*:")
_HIDDEN = "bf.hidden"


def redact(value: Any, name: str = "", mask: Mask = lambda secret: MASK) -> Any:
    """Return settings with a mask in place of each secret; they are copied where something changes.

    A secret is what stands under a name that means one (also further down), looks like a key, is the password
    of an address, or is what ``${oc.env:...}`` falls back to. None, booleans and references say nothing.

    >>> redact({'user': 'me', 'api_key': 'x', 'uri': 'db://me:pw@host', 'headers': {'X-Id': 'y'}})
    {'user': 'me', 'api_key': '***', 'uri': 'db://me:***@host', 'headers': {'X-Id': '***'}}
    """
    if isinstance(value, Mapping):
        return {
            key: redact(item, name if _is_hidden(name) else str(key), mask) for key, item in value.items()
        }
    if isinstance(value, list | tuple):
        return [redact(item, name, mask) for item in value]
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return _redact_string(value, name, mask)
    return mask(str(value)) if _is_hidden(name) and not _is_count(value, name) else value


def redact_override(text: str, mask: Mask = lambda secret: MASK) -> str:
    """Return a word of the command line, mostly ``name=value``, without its secrets."""
    key, equals, value = text.partition("=")
    if equals and means_secret(key.lstrip("+~-")):
        return f"{key}={_redact_string(value, 'secret', mask)}"
    return redact_text(text, mask)


def redact_command(words: Iterable[str]) -> str:
    """Return a command line without its secrets."""
    return redact_text(" ".join(map(redact_override, words)))


def redact_config(config: Any, resolve: bool) -> Any:
    """Return a configuration of OmegaConf as plain data without its secrets.

    Resolved, what came by ``${oc.env:...}`` is masked wherever it went; else the reference is what is kept.
    """
    from omegaconf import OmegaConf

    raw = OmegaConf.to_container(config, resolve=False, enum_to_str=True)
    if not resolve:
        return redact(raw)
    if not _mentions_environment(raw):
        return redact(OmegaConf.to_container(config, resolve=True, enum_to_str=True))
    register_resolver(_HIDDEN, lambda *names: MASK)
    return redact(_resolve(OmegaConf.create(_hide_environment(raw))))


def _redact_string(value: str, name: str, mask: Mask) -> str:
    if not _is_hidden(name) or not value or value == "???" or value.startswith(MASK):
        return redact_text(value, mask)
    return redact_text(value, mask) if value.startswith("${") and value.endswith("}") else mask(value)


def _is_hidden(name: str) -> bool:
    return bool(name) and means_secret(name)


def _is_count(value: Any, name: str) -> bool:
    """Whether it is the number of something, as the line of a table that has the ``headers``."""
    return isinstance(value, int | float) and name.lower().endswith(("headers", "tokens"))


def _mentions_environment(value: Any) -> bool:
    if isinstance(value, Mapping):
        return any(map(_mentions_environment, value.values()))
    if isinstance(value, list):
        return any(map(_mentions_environment, value))
    return isinstance(value, str) and bool(_FROM_ENVIRONMENT.search(value))


def _hide_environment(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _hide_environment(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_hide_environment(item) for item in value]
    return _FROM_ENVIRONMENT.sub(f"${{{_HIDDEN}:", value) if isinstance(value, str) else value


def _resolve(config: Any) -> Any:
    """Resolve value by value: one that can't be computed from a mask is a mask."""
    from omegaconf import DictConfig, OmegaConf
    from omegaconf.errors import MissingMandatoryValue

    keys = list(config) if isinstance(config, DictConfig) else list(range(len(config)))
    found = {}
    for key in keys:
        try:
            value = config[key]
        except MissingMandatoryValue:
            value = "???"
        except Exception:  # noqa: BLE001 - a resolver of anybody's, given a mask
            value = MASK
        found[key] = _resolve(value) if OmegaConf.is_config(value) else value
    return found if isinstance(config, DictConfig) else list(found.values())
