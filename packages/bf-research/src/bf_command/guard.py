"""What the ``hydra`` part of a configuration may say: Hydra makes callbacks, plugins and log handlers of it.

Hydra has a list of what it refuses; here is one of what is taken. Anything else must be said by the person,
on the command line or in the primary configuration, never in the file of a group. Where files are written,
which variables of the environment are set and read and where runs are recorded may be said in every file that
comes with the program, and by no file of another folder.
"""

from __future__ import annotations

import inspect
import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial, wraps
from importlib import import_module
from pathlib import Path
from typing import Any

from bf_command.leaves import Leaf, is_of_hydra, list_leaves, refuse, refuse_other
from bf_command.said import Said, walk

#: Classes of plugins, and what they are told by: of launchers, sweepers and callbacks.
_PLUGINS = ("hydra_plugins.", "hydra._internal.core_plugins.", "optuna.samplers.", "optuna.pruners.")
_CALLBACKS = ("bf_research.", "hydra.experimental.")
_FACTORIES = ("colorlog.ColoredFormatter",)
_STREAMS = ("ext://sys.stdout", "ext://sys.stderr")
#: Classes of Python's logging that write to the screen and to files; others send, or call by name.
_LOGGING = frozenset(
    (
        *("logging.StreamHandler", "logging.FileHandler", "logging.NullHandler", "logging.Formatter"),
        *("logging.BufferingFormatter", "logging.Filter", "logging.handlers.MemoryHandler"),
        *("logging.handlers.RotatingFileHandler", "logging.handlers.TimedRotatingFileHandler"),
        "logging.handlers.WatchedFileHandler",
    )
)
#: Options of log handlers and formatters that may come from anywhere in the configuration.
_HARMLESS = ("level", "format", "datefmt")
#: Options by which launchers and sweepers of others run commands, or trust another machine.
_COMMANDS = frozenset(
    (
        *("setup", "python", "srun_args", "additional_parameters", "runtime_env", "address", "host"),
        "custom_search_space",
    )
)
#: Libraries that workers may import before they have a job.
_PRELOADED = frozenset(
    (
        *("bf_batch", "bf_index", "bf_models", "bf_pipeline", "bf_research", "jax", "keras", "mlflow"),
        *("numba", "numpy", "pandas", "scipy", "sklearn", "tensorflow", "torch"),
    )
)
#: Resolvers that look at nothing but the configuration and the clock.
_RESOLVERS = frozenset(
    (*("now", "hydra", "oc.select", "oc.deprecated", "oc.dict.keys", "oc.dict.values", "python_version"),)
)
#: Steps of pipelines that write files.
_WRITES = frozenset(("dump", "save_model"))
_INNERMOST = re.compile(r"\$\{([^${}]*)\}")
_LATER = re.compile(r"\$\{(hydra[.:](job|run|sweep|runtime)\.[\w.]+|now:[\w%:-]*)\}")
#: Where Hydra notes what the command said.
_OF_THE_COMMAND = ("hydra.overrides.", "hydra.job.override_dirname")


def guard_hydra(main: Path, arguments: Sequence[str]) -> None:
    """Have each configuration that Hydra loads checked, before it makes anything of its own part.

    ``main`` is the file of the primary configuration. Jobs of sweeps, whose configurations are made without
    Hydra, in other processes too, find ``check_job`` as ``guard`` of what loads.
    """
    from hydra._internal.config_loader_impl import ConfigLoaderImpl

    # what all ways lead through: in Hydra 1.4 jobs of sweeps do not come by the public one
    name = "_load_configuration" if hasattr(ConfigLoaderImpl, "_load_configuration") else "load_configuration"
    load = getattr(ConfigLoaderImpl, name)
    load = getattr(load, "__wrapped__", load)
    takes = inspect.signature(load)
    said = Said(main, arguments)

    @wraps(load)
    def load_checked(*args: Any, **kwargs: Any) -> Any:
        config = load(*args, **kwargs)
        check(config, takes.bind(*args, **kwargs).arguments["overrides"], said)
        return config

    load_checked.guard = partial(check_job, said=said)  # type: ignore[attr-defined]
    setattr(ConfigLoaderImpl, name, load_checked)


def check(config: Any, overrides: Sequence[str], said: Said) -> None:
    """Refuse what nobody has said: ``TargetError`` with the key and the way on.

    ``overrides`` are those that the configuration was composed with.
    """
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config, resolve=False)
    _check_name(plain)
    _check_overrides(plain["hydra"], overrides)
    _check_all(config, plain, said)


def check_job(config: Any, whole: bool, said: Said) -> None:
    """Refuse what nobody has said in the configuration of a job, in which values of a sweep were set since.

    Not ``whole``: no more than where runs are recorded, in a tenth of the time.
    """
    from omegaconf import OmegaConf

    if whole:
        _check_all(config, OmegaConf.to_container(config, resolve=False), said)
    else:
        _check_stores(config, said)


def _check_all(config: Any, plain: Any, said: Said) -> None:
    _check_references(plain, said)
    for name in (plain["hydra"].get("sweeper") or {}).get("params") or ():
        if re.match(r"[+~]*hydra\b", name) and not said.names(name):
            refuse("sweeper.params", name)
    job = plain["hydra"]["job"]
    unknown = [name for name in ("num", "id") if job.get(name) == "???"]
    output = plain["hydra"]["runtime"].get("output_dir")
    try:  # numbers and folders of jobs are not known yet
        for name in unknown:
            config.hydra.job[name] = {"num": 0, "id": "0"}[name]
        if output == "???":
            config.hydra.runtime.output_dir = "."
        _check_values(config, said)
    finally:
        for name in unknown:
            config.hydra.job[name] = "???"
        if output == "???":
            config.hydra.runtime.output_dir = "???"


def _check_name(plain: Mapping[str, Any]) -> None:
    """Refuse a name of a run that is no folder's name, before its folder is looked at: ``ValueError``."""
    from bf_command.schema import name_folder  # late: start-up time

    name = plain.get("name")
    if isinstance(name, str) and "${" not in name and "${run_folder:" in str(plain["hydra"]["run"]["dir"]):
        name_folder(name)


def _check_values(config: Any, said: Said) -> None:
    parts = {
        part: list(list_leaves(config.hydra, part, part))
        for part in ("launcher", "sweeper", "callbacks", "job_logging", "hydra_logging")
    }
    for part, leaves in parts.items():
        for leaf in leaves:
            if not leaf.known and leaf.is_reference and not said.writes(leaf.raw):
                refuse(leaf.key, leaf.raw, "what it stands for is not known yet")
            for name, fits in _list_names(part, leaf):
                if not fits(name) and not said.names(name):
                    refuse(leaf.key, name)
    for leaf in (*parts["job_logging"], *parts["hydra_logging"]):
        if leaf.elsewhere and not leaf.key.endswith(_HARMLESS) and not said.writes(leaf.raw):
            refuse(leaf.key, leaf.raw, "a job may change what it stands for")
        if leaf.key.endswith(".filename"):
            _check_place(leaf, said)
    for leaf in (*parts["launcher"], *parts["sweeper"]):
        if _COMMANDS & {*leaf.key.split(".")[1:]} and leaf.value is not None and not said.has(leaf.value):
            refuse(leaf.key, leaf.value)
        if leaf.key.endswith(("_folder", "_dir")):
            _check_place(leaf, said)
    for part in ("run", "sweep", "output_subdir", "job"):
        for leaf in list_leaves(config.hydra, part, part):
            if leaf.key.startswith("job.env_"):
                _check_environment(leaf, said)
            elif not leaf.key.endswith(".override_dirname"):  # what the command said
                _check_place(leaf, said)
    _check_written(config, said)
    _check_stores(config, said)


def _check_stores(config: Any, said: Said) -> None:
    """Refuse to record runs elsewhere, or to send them."""
    for leaf in list_leaves(config, "tracking", "tracking"):
        if leaf.key.endswith((".uri", ".folder")):
            _check_store(leaf, said)
        elif leaf.key.endswith(".mode") and leaf.value == "online" and not _says_online(said):
            refuse_other(leaf.key, leaf.value, "runs would be sent to another machine")
        elif leaf.key.endswith(".entity") and leaf.value is not None and not said.has(leaf.value):
            refuse_other(leaf.key, leaf.value, "runs would be sent to somebody's account")


def _says_online(said: Said) -> bool:
    return said.writes("mode=online") or said.writes("mode: online")


def _check_written(config: Any, said: Said) -> None:
    """Refuse steps that write outside the working folder, or where an expression says."""
    for leaf in list_leaves(config, "pipeline", "pipeline"):
        if not _WRITES & {*leaf.key.split(".")} or not isinstance(leaf.value, str):
            continue
        if _stays(leaf.value) and not leaf.value.startswith("=") and "://" not in leaf.value:
            continue
        if not said.leads_to(leaf.value) and not said.writes(leaf.raw):
            refuse_other(leaf.key, leaf.value, "it is written outside of the working folder")


def _check_overrides(hydra: Mapping[str, Any], overrides: Sequence[str]) -> None:
    """Refuse a file that says what the command line said: others believe it."""
    given = {text.strip() for text in overrides}
    for part, texts in (hydra.get("overrides") or {}).items():
        for text in texts:
            if str(text).strip() not in given:
                refuse(f"overrides.{part}", text, "the command line did not say so")


def _check_references(plain: Mapping[str, Any], said: Said) -> None:
    """Refuse references by which files of others read the environment, or make texts into references."""
    known = _RESOLVERS | {*"BCDILMPRVW", "Where"}
    for key, text in walk(plain, ""):
        if "${" not in text or key.startswith(_OF_THE_COMMAND):
            continue
        left, before = text.replace("\\", ""), ""
        names = []
        while left != before:
            names += [inner.partition(":")[0].strip() for inner in _INNERMOST.findall(left) if ":" in inner]
            left, before = _INNERMOST.sub("\0", left), left
        if ("${" in left or not known.issuperset(names)) and not said.writes(text):
            refuse_other(key, text, "it reads the environment, or calls a function")


def _check_place(leaf: Leaf, said: Said) -> None:
    """Refuse to write outside the working folder."""
    told = leaf.value if leaf.known else _LATER.sub("x", leaf.raw)
    if not isinstance(told, str) or ("${" not in told and (_stays(told) or said.leads_to(told))):
        return
    if not (said.writes(leaf.raw) and is_of_hydra(leaf.raw)):
        refuse_other(f"hydra.{leaf.key}", told, "it leads out of the working folder")


def _check_environment(leaf: Leaf, said: Said) -> None:
    """Refuse variables that programs which this one starts would have."""
    kind, name = leaf.key.split(".")[1:3]
    told = [str(leaf.value)] if kind == "env_copy" else [name, str(leaf.value)]
    # Hydra has put the variables that it copies among those that it sets
    copied = kind == "env_set" and os.environ.get(name) == leaf.value
    if leaf.value is not None and not copied and not all(map(said.has, told)):
        refuse_other(f"hydra.{leaf.key}", leaf.value, "it changes the environment")


def _stays(path: str) -> bool:
    """Whether a path stays in the working folder."""
    return not path.startswith(("/", "~")) and os.path.normpath(path).split(os.sep)[0] != os.pardir


def _check_store(leaf: Leaf, said: Said) -> None:
    """Refuse another machine, or a place outside the working folder, as the store of runs."""
    uri = leaf.value
    if not isinstance(uri, str) or uri == os.environ.get("MLFLOW_TRACKING_URI"):
        return
    path = re.sub(r"^(sqlite:///|file:(//)?)", "", uri)
    if ("://" in path or not _stays(path)) and not said.has(uri) and not said.leads_to(path):
        refuse_other(leaf.key, uri, "runs would be recorded there")


def _list_names(part: str, leaf: Leaf) -> Iterator[tuple[str, Callable[[str], bool]]]:
    """Yield the name that a value is, if it is one, and the test that it has to pass."""
    name = leaf.value
    if leaf.key.startswith("launcher.preload"):
        yield str(name), lambda name: name.partition(".")[0] in _PRELOADED
    if not isinstance(name, str):
        return
    if part.endswith("logging"):
        if leaf.key.endswith(".()"):
            yield name, lambda name: name in _FACTORIES
        elif leaf.key.endswith(".class"):
            yield name, _LOGGING.__contains__
        elif name.startswith("ext://"):
            yield name, lambda name: name in _STREAMS
    elif leaf.key.endswith("._target_"):
        # a reference may stand for another name later
        own = leaf.key == f"{part}._target_"  # Hydra takes a plugin here and nothing else
        yield leaf.raw, _is_callback if part == "callbacks" else _is_plugin if own else _is_part


def _is_plugin(name: str) -> bool:
    return name.startswith(_PLUGINS)


def _is_part(name: str) -> bool:
    """Whether a name leads to a class that a plugin brings, or Optuna: a part of a launcher or sweeper."""
    found = _find(name) if _is_plugin(name) else None
    return isinstance(found, type) and found.__module__.startswith(("hydra_plugins.", "optuna."))


def _find(name: str) -> Any:
    """Return what a module has under a name; None without it."""
    module, _, attribute = name.rpartition(".")
    try:
        return getattr(import_module(module), attribute)
    except (ImportError, AttributeError, ValueError):
        return None


def _is_callback(name: str) -> bool:
    """Whether a name of ours or of Hydra's leads to a class of callbacks."""
    from hydra.experimental.callback import Callback

    found = _find(name) if name.startswith(_CALLBACKS) else None
    return isinstance(found, type) and issubclass(found, Callback)
