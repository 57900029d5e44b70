"""Train one model as a configuration says, record it, and test it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any

from bf_index.names import TargetError
from bf_pipeline.redaction.values import redact_config
from bf_research import targets
from bf_research.launcher.additions import refuse_additions
from bf_research.launcher.channel import report, stopping, where
from bf_research.launcher.hydra_private import to_yaml
from bf_research.tracking.run_scope import SweepContext, record_run
from bf_research.tracking.tracker import Location, Tracker
from bf_research.train_names import hydra_part, own_settings, parameters, run_name
from bf_research.trusted import trusted_packages

if TYPE_CHECKING:
    from omegaconf import DictConfig

    from bf_pipeline import Batches, Pipeline

log = logging.getLogger(__name__)

MODEL = "net"
LOSS = "loss"
#: Keys under which steps name classes; they are looked up among the allowed packages.
_CLASS_KEYS = ("metrics_class", "model_class")


@dataclass(frozen=True)
class Outcome:
    """The end of one training: its last metrics, how long it took, where it is recorded."""

    name: str
    metrics: Mapping[str, float]
    iterations: int
    seconds: float
    location: Location | None = None

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        lines = [f"{self.name}: {numbers} ({self.iterations} iterations in {self.seconds:.0f} s)"]
        if self.location is not None:
            lines.append(str(self.location))
        return "\n".join(lines)


def train(config: DictConfig) -> Outcome:
    """Train and test the model of a configuration (see ``conf/train.yaml``); return the last metrics.

    An unknown class, action, component or option is an error that names it, before anything is trained. A
    thread opens MLflow while TensorFlow is loaded. Asked to stop by the launcher of a sweep, it raises
    KeyboardInterrupt at the next iteration.
    """

    from bf_pipeline import register_resolvers

    register_resolvers()
    if (hydra := hydra_part()) is not None:
        refuse_additions(config, hydra)
    allow = trusted_packages(config, hydra)
    tracker: Tracker = targets.build(_as_plain(config.tracking), "tracking", allow)
    name = str(config.model.get("_target_", "model")).rpartition(".")[2]
    run = run_name(name)
    tags = {"bf.model": name, "bf.device": where(), "bf.overrides": json.dumps(own_settings())}
    began = time.monotonic()
    with _record_failure(tracker, run, tags, config):
        dataset = targets.build(_as_plain(config.dataset), "dataset", allow)
        config = _complete(config, dataset)
        training, testing = pipelines(config, dataset, allow)
        batches = start(config, training)
        if batches.run.total == 0:
            raise ValueError(f"n_iters={config.n_iters}: nothing is trained; give 1 or more, or n_epochs")
        testing.bind()
    with record_run(tracker, run, tags):
        tracker.log_params(parameters(config))
        tracker.log_text(to_yaml(redact_config(config, resolve=True)), "config.yaml")
        log.info(
            "%s: %s iterations on %d items; the first one loads TensorFlow and builds the network",
            name,
            batches.run.total,
            len(training.dataset),
        )
        for part, index in (("train", training.dataset.index), ("test", testing.dataset.index)):
            tracker.log_data(type(dataset).__name__, index.content_hash(), len(index), part)
        iterations, loss = fit(batches, tracker)
        metrics = {"train/loss": loss, **test(config, testing)}
        if (network := getattr(training.m(MODEL), "network", None)) is not None:
            tracker.log_model(network)
        for metric, value in metrics.items():
            if metric != "train/loss":
                tracker.log_metric(metric, value, iterations)
    location = None if SweepContext.current() else tracker.end()
    return Outcome(name, metrics, iterations, time.monotonic() - began, location)


@contextmanager
def _record_failure(
    tracker: Tracker, name: str, tags: Mapping[str, str], config: DictConfig
) -> Iterator[None]:
    """Record a failure before the training begins, if this is a trial of a sweep."""
    try:
        yield
    except Exception:
        if SweepContext.current() is None:
            raise
        with record_run(tracker, name, tags):
            tracker.log_params(parameters(config))
            raise


def _complete(config: DictConfig, dataset: Any) -> DictConfig:
    """Return the configuration with what follows from its parts: one length, and the schedule's steps."""
    from omegaconf import OmegaConf

    known: dict[str, Any] = {} if config.n_iters is None else {"n_epochs": None}
    if config.schedule is not None and OmegaConf.is_missing(config.schedule, "steps"):
        known["schedule"] = {"steps": dataset.train.index.gen_batch(**_make_batch_options(config)).total}
    merged: DictConfig = OmegaConf.merge(config, known)  # type: ignore[assignment]
    return merged


def pipelines(config: DictConfig, dataset: Any, allow: Sequence[str]) -> tuple[Pipeline, Pipeline]:
    """Build the pipeline that trains and the one that tests, bound to their data and checked.

    The test uses the model of the training pipeline, so it is bound once that has begun.
    """
    from bf_pipeline import Pipeline, build

    steps = config.pipeline
    names = _find_classes(_as_plain(steps), allow)

    def part(*keys: str) -> Pipeline:
        listed = [step for key in keys for step in _as_plain(steps.get(key) or [])]
        return build({"steps": listed}, names=names)

    path, options = targets.split(_as_plain(config.model), "model")
    model_class = targets.resolve(path, "model", allow)
    # KerasModel and SklearnModel read names in their config; a class of the user's own need not know the key
    settings = _make_model_config(config, dataset, options, allow if _takes_allow(model_class) else ())
    model = Pipeline().init_model("static", model_class, MODEL, settings)
    training = (model + part("augment", "prepare", "train")) << dataset.train
    testing = (Pipeline().import_model(MODEL, training) + part("prepare", "test")) << dataset.test
    return training, testing


def start(config: DictConfig, pipeline: Pipeline) -> Batches:
    """Begin the run that trains: every name and option is checked here, nothing is trained yet."""
    return pipeline.gen_batch(
        **_make_batch_options(config),
        seed=_seed(config),
        prefetch=config.prefetch,
        engine=config.engine,
        bar=config.bar and not where(),
        bar_variables=[LOSS],
    )


def fit(batches: Batches, tracker: Tracker) -> tuple[int, float]:
    """Train to the end, log each loss; return the number of iterations and the last loss.

    A store that is required and can't be used is an error right after the first iteration: until then
    TensorFlow and MLflow are loaded side by side.
    """
    iteration, loss = 0, float("nan")
    try:
        for iteration in _count(batches):
            if iteration == 1:
                tracker.ready()
            loss = float(batches.v(LOSS))
            tracker.log_metric("train/loss", loss, iteration)
            report(iteration, batches.run.total, loss=loss)
            if stopping():
                raise KeyboardInterrupt
    except KeyboardInterrupt as error:
        planned = f" of {batches.run.total}" if batches.run.total is not None else ""
        error.add_note(f"after {iteration}{planned} iterations")
        raise
    return iteration, loss


def test(config: DictConfig, pipeline: Pipeline) -> dict[str, float]:
    """Run the test pipeline over its data once; return ``test/NAME`` for every metric asked for."""
    done = pipeline.run(config.test_batch_size, bar=False)
    return {f"test/{name}": float(done.v("metrics").evaluate(name)) for name in config.pipeline.metrics}


def _count(batches: Batches) -> Iterator[int]:
    """Yield the numbers of the batches from 1, and close the run however the loop ends."""
    try:
        for number, _ in enumerate(batches, 1):
            yield number
    finally:
        batches.close()


def _make_batch_options(config: DictConfig) -> dict[str, Any]:
    """Return how batches are made of the training data: ``n_iters`` if set, else ``n_epochs``."""
    return {
        "batch_size": config.batch_size,
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
        "num_classes": getattr(dataset, "num_classes", None),
        "loss": config.loss,
        "optimizer": _as_plain(config.optimizer),
        "schedule": _as_plain(config.schedule),
        "seed": _seed(config),
    }
    return {**known, **options, **({"allow": tuple(allow)} if allow else {})}


def _find_classes(steps: Any, allow: Sequence[str]) -> dict[str, Any]:
    """Return the classes that steps name by ``metrics_class`` and the like."""
    found: dict[str, Any] = {}
    for value in steps.values() if isinstance(steps, Mapping) else steps:
        if isinstance(value, Mapping | list):
            found |= _find_classes(value, allow)
    if isinstance(steps, Mapping):
        for key in _CLASS_KEYS:
            if isinstance(steps.get(key), str):
                found[steps[key]] = targets.resolve(steps[key], key, allow, f"pipeline.{key}")
    return found


def _as_plain(config: Any) -> Any:
    """Return plain dicts and lists of a part of the configuration, resolved; a missing value is an error."""
    from omegaconf import OmegaConf

    if not OmegaConf.is_config(config):
        return config
    return OmegaConf.to_container(config, resolve=True, throw_on_missing=True)


def _seed(config: DictConfig) -> int:
    """Return the seed of a repetition: the first has that of the settings, each other one of its own."""
    from bf_index.seeding import rng_at

    if not config.repetition:
        return int(config.seed)
    return int(rng_at(config.seed, config.repetition).integers(2**31))
