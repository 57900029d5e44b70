"""Configs as plain dicts and lists, their merging, and values in them by path."""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable, Mapping
from enum import Enum
from typing import Any, NoReturn


class _Unset(Enum):
    """An enumeration of one: it stays the same object through pickling and copying."""

    UNSET = "not given"

    def __repr__(self) -> str:
        return "<not given>"


#: The mark of an argument or a config value that is not there, where None is a value like any other.
UNSET: Any = _Unset.UNSET


class FrozenList(list[Any]):
    """A list that cannot be changed in place."""

    __slots__ = ()

    def _refuse(self, *args: Any, **kwargs: Any) -> NoReturn:
        kind = "dict" if isinstance(self, dict) else "list"
        raise TypeError(f"a config can't be changed in place: change a copy, {kind}(config)")

    append = clear = extend = insert = pop = remove = reverse = sort = _refuse
    __delitem__ = __iadd__ = __imul__ = __setitem__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (list(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> list[Any]:
        return [copy.deepcopy(value, memo) for value in self]


class FrozenDict(dict[Any, Any]):
    """A dictionary that cannot be changed in place; ``|``, ``copy()`` and deep copies give plain ones."""

    __slots__ = ()

    _refuse = FrozenList._refuse
    clear = pop = popitem = setdefault = update = _refuse
    __delitem__ = __ior__ = __setitem__ = _refuse

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (dict(self),)

    def __deepcopy__(self, memo: dict[int, Any]) -> dict[Any, Any]:
        return {key: copy.deepcopy(value, memo) for key, value in self.items()}


class PlainConfig(FrozenDict):
    """A config that was made plain already: nothing can change it, so that pipelines share it uncopied."""

    __slots__ = ()

    @classmethod
    def of(cls, config: Any) -> PlainConfig:
        """Return a mapping as a plain config; it stays the same object if it is one.

        ``ValueError`` where two values are set for one path, as by ``a`` and ``a/b``.
        """
        if isinstance(config, PlainConfig):
            return config
        made = make_plain(config)
        if not isinstance(made, dict):
            raise TypeError(f"Pipeline: config must be a mapping, got {config!r}")
        return cls(_freeze(_unite(made)))


def _freeze(value: Any) -> Any:
    if isinstance(value, dict):
        return FrozenDict({key: _freeze(part) for key, part in value.items()})
    return FrozenList(map(_freeze, value)) if isinstance(value, list) else value


def is_omegaconf(config: Any) -> bool:
    """Whether a config is one of OmegaConf, which is not loaded to know it."""
    return type(config).__module__.startswith("omegaconf")


def register_resolver(name: str, function: Callable[..., Any]) -> None:
    """Have OmegaConf answer ``${name:...}`` by a function; calling it again does no harm."""
    from omegaconf import OmegaConf

    known: Any = OmegaConf.register_resolver  # OmegaConf 2.3 has an older one under this name
    if "replace" not in inspect.signature(known).parameters:
        known = OmegaConf.register_new_resolver
    known(name, function, replace=True)


def make_plain(config: Any) -> Any:
    """Return a config as plain dicts and lists, fresh ones: a run must not change the recorded config."""
    if is_omegaconf(config):
        from omegaconf import OmegaConf

        return OmegaConf.to_container(config, resolve=True)
    if isinstance(config, Mapping):
        return {key: make_plain(value) for key, value in config.items()}
    if isinstance(config, FrozenList) or type(config) is list:
        return [make_plain(value) for value in config]
    return config


def merge_configs(
    left: Mapping[str, Any], right: Mapping[str, Any], strict: str | None = None
) -> dict[str, Any]:
    """Merge two configs, inner ones too; where both have a value the right one wins.

    ``a/b`` on one side and ``b`` inside ``a`` on the other are one place. With ``strict``, the path of the
    configs in the whole, none wins: ``ValueError`` where both have a value.
    """
    both = dict(left)
    paths = any(isinstance(key, str) and "/" in key for part in (left, right) for key in part)
    for key, given in right.items():
        place, value = _find_place(both, key, given) if paths and isinstance(key, str) else (key, given)
        old = both.get(place, UNSET)
        where = f"{strict or ''}{place}"
        both[place] = value if old is UNSET else _merge_values(old, value, strict, where)
    return both


def _merge_values(old: Any, value: Any, strict: str | None, where: str) -> Any:
    if isinstance(old, Mapping) and isinstance(value, Mapping):
        return merge_configs(old, value, None if strict is None else f"{where}/")
    if strict is not None:
        raise ValueError(f"config: {where} is set to {old!r} and to {value!r}; which one is meant?")
    return value


def _find_place(config: dict[str, Any], key: str, value: Any) -> tuple[str, Any]:
    """Return the key under which a config has the place of a path, and the value as it stands there.

    Keys that lie below the path are taken out of the config, into a mapping at the path.
    """
    if key in config:
        return key, value
    names = key.split("/")
    for number in range(1, len(names)):
        head = "/".join(names[:number])
        if head in config:
            return head, {"/".join(names[number:]): value}
    below = [name for name in config if isinstance(name, str) and name.startswith(f"{key}/")]
    if below:
        config[key] = {name[len(key) + 1 :]: config.pop(name) for name in below}
    return key, value


def _unite(config: dict[str, Any], where: str = "") -> dict[str, Any]:
    """Return one config with each value in one place; ``ValueError`` where two are set for one path."""
    inner = {
        key: _unite(value, f"{where}{key}/") if isinstance(value, dict) else value
        for key, value in config.items()
    }
    return merge_configs({}, inner, where)


def find_value(config: Any, path: str | None) -> Any:
    """Return the value at a path with slashes, UNSET if there is none; a key may itself hold slashes."""
    # read for every batch: whether something is a dict is answered much faster than whether it is a mapping
    if path is None or not (isinstance(config, dict) or isinstance(config, Mapping)):  # noqa: SIM101
        return UNSET
    if path in config:
        return config[path]
    head, slash, rest = path.partition("/")
    while slash:
        if head in config and (found := find_value(config[head], rest)) is not UNSET:
            return found
        more, slash, rest = rest.partition("/")
        head = f"{head}/{more}"
    start = f"{path}/"
    below = {
        name[len(start) :]: value
        for name, value in config.items()
        if isinstance(name, str) and name.startswith(start)
    }
    return below or UNSET


def overlaps(path: str | None, other: str | None) -> bool:
    """Whether two paths lead to one value, or one into what is at the other; None is the whole config."""
    if path is None or other is None:
        return True
    return f"{path}/".startswith(f"{other}/") or f"{other}/".startswith(f"{path}/")


def replace_value(config: Mapping[str, Any], path: str, value: Any) -> dict[str, Any]:
    """Return a config with another value at a path, in place of what was there and below it."""
    without = merge_configs(config, {path: None})
    return merge_configs(without, {path: value})


def list_paths(config: Mapping[str, Any], prefix: str = "") -> list[str]:
    """Return all paths of a config, inner ones too."""
    found = []
    for key, value in config.items():
        found.append(f"{prefix}{key}")
        if isinstance(value, Mapping):
            found.extend(list_paths(value, f"{prefix}{key}/"))
    return found
