"""What the ``hydra`` part of a configuration may name: Hydra makes callbacks, plugins and log handlers of it.

Hydra has a list of what it refuses; here is one of what is taken. Anything else must be said by the person,
on the command line or in the primary configuration, never in the file of a group.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import Any

#: Classes of plugins, and what they are told by: of launchers, sweepers and callbacks.
_PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.", "optuna.samplers.", "optuna.pruners.")
_CALLBACKS = ("bf_research.", "hydra.experimental.")
_FACTORIES = ("colorlog.ColoredFormatter",)
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
#: Libraries that workers may import before they have a job.
_PRELOADED = frozenset(
    (
        *("bf_batch", "bf_index", "bf_models", "bf_pipeline", "bf_research", "jax", "keras", "mlflow"),
        *("numba", "numpy", "pandas", "scipy", "sklearn", "tensorflow", "torch"),
    )
)


def guard_hydra(main: Path, arguments: Sequence[str]) -> None:
    """Have each configuration that Hydra loads checked, before it makes anything of its own part.

    ``main`` is the file of the primary configuration.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    load = ConfigLoaderImpl.load_configuration
    load = getattr(load, "__wrapped__", load)
    said = [*arguments, main.read_text(encoding="utf-8") if main.is_file() else ""]

    @wraps(load)
    def load_checked(*args: Any, **kwargs: Any) -> Any:
        config = load(*args, **kwargs)
        check(config.hydra, said)
        return config

    ConfigLoaderImpl.load_configuration = load_checked  # type: ignore[method-assign]


def check(hydra: Any, said: Sequence[str]) -> None:
    """Refuse what `hydra:` names and nobody has said: ``TargetError`` with the key and the way on."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(hydra, resolve=False)
    for key, name, fits in _list_names(plain):
        if not fits(name) and not any(_holds(text, name) for text in said):
            from bf_index.names import TargetError  # late: start-up time

            raise TargetError(
                f"hydra.{key}: {name!r} is refused: it comes from the file of a group, which does not say "
                "what may run; if you trust it, say it on the command line or in the primary configuration"
            )


def _list_names(hydra: Mapping[str, Any]) -> Iterator[tuple[str, str, Callable[[str], bool]]]:
    """Yield the key of each name, the name, and the test that it has to pass."""
    for key in ("launcher", "sweeper", "callbacks"):
        fits = _is_callback if key == "callbacks" else _is_plugin
        for place, name in _walk(hydra.get(key), key):
            if place.endswith("._target_"):
                yield place, name, fits
    for key in ("job_logging", "hydra_logging"):
        for place, name in _walk(hydra.get(key), key):
            if place.endswith(".()"):
                yield place, name, lambda name: name in _FACTORIES
            elif place.endswith(".class"):
                yield place, name, _is_logging
            elif name.startswith("ext://"):
                yield place, name, lambda name: name in _STREAMS
    for number, name in enumerate(_as_list((hydra.get("launcher") or {}).get("preload"))):
        yield f"launcher.preload.{number}", str(name), lambda name: name.partition(".")[0] in _PRELOADED


def _walk(value: Any, key: str) -> Iterator[tuple[str, str]]:
    """Yield the texts inside a part of the configuration with their keys."""
    if isinstance(value, str):
        yield key, value
    elif isinstance(value, Mapping):
        for name, part in value.items():
            yield from _walk(part, f"{key}.{name}")
    elif isinstance(value, list | tuple):
        for number, part in enumerate(value):
            yield from _walk(part, f"{key}.{number}")


def _as_list(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [] if value is None else [value]


def _is_plugin(name: str) -> bool:
    return name.startswith(_PLUGINS)


def _is_callback(name: str) -> bool:
    """Whether a name of ours or of Hydra's leads to a class of callbacks."""
    from hydra.experimental.callback import Callback

    if not name.startswith(_CALLBACKS):
        return False
    module, _, attribute = name.rpartition(".")
    try:
        found = getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return True  # Hydra says it better
    return isinstance(found, type) and issubclass(found, Callback)


def _is_logging(name: str) -> bool:
    """Whether a name leads to a class that Python's logging brings."""
    module, _, attribute = name.rpartition(".")
    if module not in ("logging", "logging.handlers"):
        return False
    found = getattr(import_module(module), attribute, None)
    return isinstance(found, type) and issubclass(found, logging.Handler | logging.Formatter | logging.Filter)


def _holds(text: str, name: str) -> bool:
    """Whether a text has a name as a word of its own."""
    return re.search(rf"(?<![\w.]){re.escape(name)}(?![\w.])", text) is not None
