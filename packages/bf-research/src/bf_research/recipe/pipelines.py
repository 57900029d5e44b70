"""What a configuration of a training makes: the pipelines, the options of the run, the model's config."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from inspect import signature
from typing import TYPE_CHECKING, Any

from bf_index.errors import unknown
from bf_index.names import TargetError
from bf_research import targets
from bf_research.launcher.channel import where
from bf_research.recipe.source import Source, tuning_settings
from bf_research.trained import tells_numbers
from bf_research.training.workers import read_workers

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from bf_pipeline import Pipeline

log = logging.getLogger(__name__)

MODEL = "net"
LOSS = "loss"
VALIDATION = "validation"
#: Keys under which steps name classes; they are looked up among the allowed packages.
_CLASS_KEYS = ("metrics_class", "model_class")
#: Lists of steps; what is used later on new data is ``load`` and ``prepare``.
SECTIONS = ("load", "augment", "prepare", "train", "test")


@dataclass(frozen=True)
class Parts:
    """The pipelines of a training: what trains, what validates, what tests."""

    training: Pipeline
    validating: Pipeline | None
    testing: Pipeline


def complete(config: DictConfig, training_data: Any) -> DictConfig:
    """Return the configuration with what follows from its parts: one length, and the schedule's steps."""
    from omegaconf import OmegaConf

    known: dict[str, Any] = {} if config.n_iters is None else {"n_epochs": None}
    workers = read_workers(config.get("strategy"))
    items = len(training_data) * workers.count
    if 0 < items < config.batch_size:
        log.info(
            "batch_size=%d is more than the %d items to train on: all of them are one batch",
            config.batch_size,
            items,
        )
        known["batch_size"] = items
        config = OmegaConf.merge(config, known)  # type: ignore[assignment]
    total = training_data.index.gen_batch(**make_batch_options(config)).total
    if total == 0:
        raise ValueError(f"n_iters={config.n_iters}: nothing is trained; give 1 or more, or n_epochs")
    if config.schedule is not None and OmegaConf.is_missing(config.schedule, "steps"):
        known["schedule"] = {"steps": total}
    merged: DictConfig = OmegaConf.merge(config, known)  # type: ignore[assignment]
    return merged


def pipelines(
    config: DictConfig,
    dataset: Any,
    training_data: Any,
    validation_data: Any,
    allow: Sequence[str],
    source: Source | None = None,
) -> Parts:
    """Build the pipelines that train, validate and test, bound to their data and checked.

    ``source`` has the weights that the network begins with.
    """
    from bf_pipeline import Pipeline, build
    from bf_pipeline.bind.bind import bind

    steps = config.pipeline
    _check_sections(as_plain(steps))
    names = _find_classes(as_plain(steps), allow)

    def part(*keys: str) -> Pipeline:
        made = Pipeline()
        for key in keys:
            made = made + build(
                {"steps": as_plain(steps.get(key) or [])}, names=names, where=f"pipeline.{key}"
            )
        return made

    path, options = targets.split(as_plain(config.model), "model")
    model_class = targets.resolve(path, "model", allow)
    # KerasModel and SklearnModel read names in their config; a class of the user's own need not know the key
    settings = _make_model_config(config, dataset, options, allow if _takes_allow(model_class) else ())
    settings = _with_tuning(settings, tuning_settings(config, source, dataset))
    model = Pipeline().init_model("static", model_class, MODEL, settings)
    augmented = part("load", "augment") + _switched(config, dataset, ("rand_augment",))
    prepared = augmented + part("prepare") + _switched(config, dataset, ("mixup", "cutmix"))
    shown = (
        Pipeline() if validation_data is None else Pipeline().init_variable(VALIDATION, "-")
    )  # for the bar
    training = (shown + model + prepared + part("train")) << training_data
    measuring = Pipeline().import_model(MODEL, training) + part("load", "prepare", "test")
    validating = None if validation_data is None else measuring << validation_data
    parts = Parts(training, validating, measuring << dataset.test)
    for pipeline in (parts.training, parts.testing):
        bind(pipeline)  # what does not fit is told here, with the other mistakes of the configuration
    return parts


def _switched(config: DictConfig, dataset: Any, names: Sequence[str]) -> Pipeline:
    """Return the steps of augmentation that the pipeline has a switch for and that are on.

    Mistakes in their arguments are told by the name of the switch, as ``pipeline.mixup``.
    """
    from bf_pipeline import Pipeline, build
    from bf_pipeline.errors import Location

    switches = {name: as_plain(config.pipeline.get(name)) for name in names}
    on = {name: value for name, value in switches.items() if value is not None and value is not False}
    if len(on) > 1:
        raise ValueError(f"pipeline: {' and '.join(on)} are two ways to mix pictures; switch one of them off")
    made = Pipeline()
    for name, options in on.items():
        if not isinstance(options, Mapping):
            raise ValueError(f"pipeline.{name} must be null or a mapping of arguments, got {options!r}")
        classes = {} if name == "rand_augment" else {"classes": getattr(dataset, "num_classes", None)}
        if None in classes.values():
            raise ValueError(
                f"pipeline.{name} mixes labels of classes, and there are none here; switch it off"
            )
        (step,) = build({"steps": [{name: {**classes, **options}}]}, where="pipeline").steps
        made = made.record(replace(step, where=Location(f"pipeline.{name}", 0)))
    return made


def _check_sections(steps: Mapping[str, Any]) -> None:
    """Refuse a list of steps that no part of a training takes, as a misspelt ``agument``."""
    for key, value in steps.items():
        is_steps = isinstance(value, list) and any(isinstance(step, Mapping) for step in value)
        if is_steps and key not in SECTIONS:
            raise ValueError(unknown("list of steps", str(key), SECTIONS, "pipeline"))


def start_options(config: DictConfig) -> dict[str, Any]:
    """Return the options of the run that trains."""
    is_chief = read_workers(config.get("strategy")).is_chief
    bar = config.bar and not where() and is_chief
    return {
        "allow_other_data": not is_chief,  # a checkpoint is the chief's, whose shard is another
        **make_batch_options(config),
        "seed": seed_of(config),
        "prefetch": config.prefetch,
        "engine": config.engine,
        "bar": bar,
        "monitors": list(config.get("monitors") or ()) if bar else [],
        "bar_variables": [LOSS] if config.validation is None else [LOSS, VALIDATION],
    }


def make_batch_options(config: DictConfig) -> dict[str, Any]:
    """Return how batches are made of the training data: ``n_iters`` if set, else ``n_epochs``."""
    return {
        "batch_size": read_workers(config.get("strategy")).deal(config.batch_size),
        "shuffle": True,
        "drop_last": True,
        "n_iters": config.n_iters,
        "n_epochs": None if config.n_iters is not None else config.n_epochs,
    }


def _takes_allow(model_class: Any) -> bool:
    load = getattr(model_class, "load", None)
    return callable(load) and "allow" in signature(load).parameters


def _make_model_config(
    config: DictConfig, dataset: Any, options: Mapping[str, Any], allow: Sequence[str]
) -> dict[str, Any]:
    """Return the model's options completed by what other parts know: classes, optimizer, length, packages."""
    for key in options:
        if str(key).partition("/")[0] != "allow":
            continue
        raise TargetError(
            f"model.{key}: {options[key]!r} is refused: the file of a model does not say whom to trust; "
            "if you do, say targets=[...] on the command line, or list it under targets in the main file"
        )
    known = {
        "num_classes": None if tells_numbers(config.task) else getattr(dataset, "num_classes", None),
        "loss": config.loss,
        "optimizer": as_plain(config.optimizer),
        "schedule": None if is_plateau(config.schedule) else as_plain(config.schedule),
        "seed": seed_of(config),
    }
    if config.pipeline.get("dims") is not None:  # of signals
        known["dims"] = config.pipeline.dims
    if config.get("strategy") is not None:
        known["strategy"] = config.strategy
    if config.get("class_weights") is not None:
        known["class_weights"] = as_plain(config.class_weights)
    return {**known, **options, **({"allow": tuple(allow)} if allow else {})}


def _with_tuning(settings: Mapping[str, Any], tuning: Mapping[str, Any]) -> dict[str, Any]:
    """Return a model's config with what it begins with; other settings of the model itself win."""
    made = {**tuning, **settings}
    if "pretrained" in tuning:  # the file that the model's own key, or the command's, stands for
        made["pretrained"] = tuning["pretrained"]
    return made


def is_plateau(schedule: Any) -> bool:
    """Whether the schedule is an event, which follows what is measured, and none of the model."""
    return isinstance(schedule, Mapping) and schedule.get("name") == "plateau"


def _find_classes(steps: Any, allow: Sequence[str]) -> dict[str, Any]:
    """Return the classes that steps name by ``metrics_class`` and the like."""
    found: dict[str, Any] = {}
    for value in steps.values() if isinstance(steps, Mapping) else steps:
        if isinstance(value, Mapping | list):
            found |= _find_classes(value, allow)
    if isinstance(steps, Mapping):
        for key in _CLASS_KEYS:
            name = steps.get(key)
            if key == "metrics_class" and isinstance(name, str) and "." not in name:
                continue  # a short name, which the step itself looks up
            if isinstance(name, str):
                found[steps[key]] = targets.resolve(steps[key], key, allow, f"pipeline.{key}")
    return found


def as_plain(config: Any) -> Any:
    """Return plain dicts and lists of a part of the configuration, resolved; a missing value is an error."""
    from omegaconf import OmegaConf

    if not OmegaConf.is_config(config):
        return config
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def seed_of(config: DictConfig) -> int:
    """Return the seed of a repetition: the first has that of the settings, each other one of its own."""
    from bf_index.seeding import rng_at

    if not config.repetition:
        return int(config.seed)
    return int(rng_at(config.seed, config.repetition).integers(2**31))
