"""What the command line knows before any part is loaded: types of the settings, and the models there are."""

from __future__ import annotations

import inspect
import json
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from bf_command.standard import standard_folders

MODELS = "bf_models"
#: The line of a defaults list that chooses a model.
DEFAULT_MODEL = r"^ *- +(override +|optional +)*/?model(@[\w.]+)?:"


@dataclass
class TrainSchema:
    """Settings of ``python train.py``; the groups are checked by the parts they configure."""

    dataset: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: Any = None
    pipeline: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    task: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    test_batch_size: int = 250
    n_epochs: int | None = None
    n_iters: int | None = None
    prefetch: int = 2
    engine: str = "threads"
    seed: int = 0
    bar: bool = True
    monitors: list[str] = field(default_factory=list)
    loss: Any = "ce"
    class_weights: Any = None
    repetition: int = 0
    launch: dict[str, Any] = field(default_factory=dict)
    stopping: dict[str, Any] = field(default_factory=dict)
    search: dict[str, Any] = field(default_factory=dict)
    folds: int | None = None
    targets: list[str] = field(default_factory=list)
    name: str | None = None
    resume: str = "auto"
    strategy: str | None = None
    validation: Any = None
    checkpoint: Any = None
    early_stopping: Any = None
    max_time: Any = None
    events: dict[str, Any] = field(default_factory=dict)
    norms: Any = None
    pictures: Any = None
    pretrained: str | None = None
    freeze: Any = None
    unfreeze: Any = None
    learning_rates: Any = None
    layer_decay: float | None = None


@dataclass
class PredictSchema:
    """Settings of ``python predict.py``."""

    run: str
    dataset: Any = None
    pipeline: Any = None
    task: Any = None
    model: Any = None
    optimizer: Any = None
    out: str = "predictions.csv"
    export: str | None = None
    part: str | None = None
    classes: list[str] | None = None
    unfinished: bool = False
    batch_size: int | None = None
    prefetch: int = 2
    engine: str = "threads"
    bar: bool = True
    tracking: dict[str, Any] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)


def register(
    folder: Path, config_name: str = "train", more: str | None = None, overrides: Sequence[str] = ()
) -> None:
    """Store the types and the models where ``defaults: [train_schema, ...]`` and ``model=...`` find them.

    The arguments are those of ``offered_models``.
    """
    from hydra.core.config_store import ConfigStore
    from omegaconf import OmegaConf

    _register_resolver("run_folder", name_folder)
    store = ConfigStore.instance()
    store.store(name="train_schema", node=TrainSchema, provider="bf_research")
    # options of data sets and steps are added as they are, without a plus
    predict = OmegaConf.structured(PredictSchema(run="???"))
    for part in ("dataset", "pipeline", "task", "model", "optimizer"):
        predict[part] = OmegaConf.create({}, flags={"struct": False})
    store.store(name="predict_schema", node=predict, provider="bf_research")
    # what was offered to another application goes, and no empty group stays; the application's own stay
    stored = store.repo.pop("model", {})
    own = {name: node for name, node in stored.items() if getattr(node, "provider", None) != MODELS}
    if own:
        store.repo["model"] = own
    for name, config in offered_models(folder, config_name, more, overrides).items():
        if f"{name}.yaml" not in own:
            store.store(group="model", name=name, node=config, provider=MODELS)


def _register_resolver(name: str, function: Callable[..., Any]) -> None:
    """Have OmegaConf answer ``${name:...}``, as ``bf_pipeline.plain_config``, which loads slowly, does."""
    from omegaconf import OmegaConf

    known: Any = OmegaConf.register_resolver  # OmegaConf 2.3 has an older one under this name
    if "replace" not in inspect.signature(known).parameters:
        known = OmegaConf.register_new_resolver
    known(name, function, replace=True)


def name_folder(name: str | None, strategy: str | None = None) -> str:
    """Return the folder of a run below ``outputs``: its name, or the day and the time that it began.

    Of the workers of ``strategy=multiworker`` the first has that, each other one a folder beside it.
    ``ValueError`` for a name that is a path.
    """
    return _name_run(name) + _name_worker(strategy)


def _name_worker(strategy: str | None) -> str:
    """Return what the folder's name of a worker ends with: nothing for the first one, and for one alone."""
    if strategy != "multiworker":
        return ""
    try:
        config = json.loads(os.environ["TF_CONFIG"])
        before = 0 if config["task"]["type"] == "chief" else len(config["cluster"].get("chief", []))
        number = before + int(config["task"]["index"])
    except (KeyError, ValueError, TypeError, AttributeError, RecursionError):
        return ""  # the training refuses it with a message
    return "" if number == 0 else f".worker{number}"


def _name_run(name: str | None) -> str:
    if name is None:
        return time.strftime("%Y-%m-%d/%H-%M-%S")
    if not re.fullmatch(r"[\w][\w.=,+ -]*", name):
        raise ValueError(
            f"name={name!r}: a name of letters, numbers and any of _ . = , + - is a folder's name"
        )
    return name


def offered_models(
    folder: Path, config_name: str, more: str | None = None, overrides: Sequence[str] = ()
) -> dict[str, dict[str, str]]:
    """Return the models of bf_models that an application has no files of, for ``model=name``.

    ``folder`` is its own, ``more`` that of ``--config-dir``. Nothing is offered where ``model`` is no group
    of the application but a setting. One that has a file is left to it: Hydra would merge the two.
    """
    main = folder / f"{config_name.removesuffix('.yaml')}.yaml"
    text = main.read_text(encoding="utf-8") if main.is_file() else ""
    folders = [folder, *map(folder_of, [*([more] if more else ()), *search_path(text, overrides)])]
    groups = [found / "model" for found in (*folders, *standard_folders()) if found is not None]
    if not any(map(Path.is_dir, groups)) and not re.search(DEFAULT_MODEL, text, re.MULTILINE):
        return {}
    own = {path.stem for group in groups for path in group.glob("*.yaml")}
    return {name: config for name, config in _model_configs().items() if name not in own}


def folder_of(path: str, base: Path = Path()) -> Path | None:
    """Return the folder that Hydra takes for ``pkg://name``, ``file://...`` or a path; None without it."""
    if not path.startswith("pkg://"):
        return base / path.removeprefix("file://")
    try:
        found = find_spec(path.removeprefix("pkg://").strip("/").replace("/", "."))
    except ImportError:
        return None
    return next(map(Path, (found and found.submodule_search_locations) or ()), None)


def search_path(text: str, overrides: Sequence[str]) -> list[str]:
    """Return what ``hydra.searchpath`` names, on the command line or in the main configuration's text."""
    told = [item for item in overrides if item.startswith("hydra.searchpath=")]
    if not told and "searchpath" not in text:
        return []
    from omegaconf import OmegaConf

    config = OmegaConf.from_dotlist(told) if told else OmegaConf.create(text)
    return [str(item) for item in OmegaConf.select(config, "hydra.searchpath") or ()]


def _model_configs() -> dict[str, dict[str, str]]:
    """Return the configurations of all models of bf_models by name; none where it is not installed.

    They are read from its file: importing bf_models would take numpy along, and ``--help`` answers at once.
    """
    package = folder_of(f"pkg://{MODELS}")
    if package is None or not (path := package / "zoo" / "configs.json").is_file():
        return {}
    configs: dict[str, dict[str, str]] = json.loads(path.read_text(encoding="utf-8"))
    return configs
