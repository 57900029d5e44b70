"""Train one model as a configuration says, record it, and test it."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bf_pipeline.redaction.values import redact_config
from bf_research.launcher.additions import refuse_additions
from bf_research.launcher.channel import where
from bf_research.launcher.hydra_private import to_yaml
from bf_research.prediction.kept import KeptModel
from bf_research.recipe.data import make_dataset, refuse_inputs, split_validation
from bf_research.recipe.folders import find_checkpoints, open_folder
from bf_research.recipe.found import find_out
from bf_research.recipe.names import hydra_part, own_settings, parameters, run_name
from bf_research.recipe.parts import Mistakes, make_events
from bf_research.recipe.pictures import keep_pictures, read_pictures
from bf_research.recipe.pipelines import (
    LOSS,
    MODEL,
    Parts,
    as_plain,
    complete,
    make_batch_options,
    pipelines,
    start_options,
)
from bf_research.recipe.reconstructions import keep_reconstructions, read_reconstructions
from bf_research.recipe.source import find_source
from bf_research.tracking.choice import make_tracker
from bf_research.tracking.run_scope import FOLDER_TAG, SweepContext, goes_on, record_run
from bf_research.tracking.tracker import Location, NoTracker, Tracker
from bf_research.trained import CONFIG, find_classes, tells_numbers, write_trained
from bf_research.training.checkpoints import MODEL as MODEL_FILE
from bf_research.training.checkpoints import read_model_record
from bf_research.training.folder import FINISHED, RunFolder
from bf_research.training.training import Training
from bf_research.training.workers import read_workers
from bf_research.trusted import trusted_packages

if TYPE_CHECKING:
    from pathlib import Path

    from omegaconf import DictConfig

    from bf_research.training.state import Event
    from bf_research.training.validation import Evaluation

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Outcome:
    """The end of one training: its last metrics, how long it took, where it is recorded and kept."""

    name: str
    metrics: Mapping[str, float]
    iterations: int
    seconds: float
    location: Location | None = None
    folder: Path | None = None
    stopped: str | None = None

    def __str__(self) -> str:
        numbers = ", ".join(f"{name} {value:.4f}" for name, value in self.metrics.items())
        lines = [f"{self.name}: {numbers} ({self.iterations} iterations in {self.seconds:.0f} s)"]
        if self.stopped is not None:
            lines.append(f"stopped: {self.stopped}")
        if self.folder is not None:
            lines.append(f"model: {self.folder / MODEL_FILE}")
        if self.location is not None:
            lines.append(str(self.location))
        return "\n".join(lines)


def train(config: DictConfig) -> Outcome:
    """Train, validate and test the model of a configuration (see ``conf/train.yaml``); return the metrics.

    An unknown class, action, component or option is an error that names it, before anything is trained; one
    batch goes through validation and test before the first iteration. A thread opens MLflow while TensorFlow
    is loaded. Asked to stop by the launcher of a sweep, it raises KeyboardInterrupt at the next iteration.
    The same command goes on where it was cut off, from the checkpoints in the run's folder.
    """
    from bf_pipeline import register_resolvers

    register_resolvers()
    if (hydra := hydra_part()) is not None:
        refuse_additions(config, hydra)
    allow = trusted_packages(config, hydra)
    workers = read_workers(config.get("strategy"))
    tracker: Tracker = make_tracker(as_plain(config.tracking), allow) if workers.is_chief else NoTracker()
    name = str(config.model.get("_target_", "model")).rpartition(".")[2]
    tags = {"bf.model": name, "bf.device": where(), "bf.overrides": json.dumps(own_settings())}
    began = time.monotonic()
    with _record_failure(tracker, run_name(name), tags, config):
        dataset, config, parts, events, test = _prepare(config, allow)
    if not workers.is_chief:
        return _help(config, parts, events, name)
    with open_folder(config) as folder:
        if folder is not None and folder.is_finished:
            return _tell_finished(name, folder)
        run = Training(parts.training, folder=folder, tracker=tracker, events=events, model=MODEL, loss=LOSS)
        run_id = None if folder is None else folder.run_id
        if folder is not None:
            tags[FOLDER_TAG] = str(folder.path.absolute())
        with record_run(tracker, run_name(name), tags, run_id):
            text = to_yaml(redact_config(config, resolve=True))
            classes = None if tells_numbers(config.task) else find_classes(dataset)
            if folder is not None:
                write_trained(folder.path, text, classes)
                tracker.set_tags({FOLDER_TAG: tags[FOLDER_TAG]})  # of a run that goes on too
            tracker.log_text(text, CONFIG)
            _record_beginning(
                config, tracker, parts, type(dataset).__name__, resumed=goes_on(tracker, run_id)
            )
            _tell_beginning(config, parts, name)
            done = run.run(**start_options(config))
            if folder is not None:
                _take_best(done.run, folder, alone=workers.count == 1)
            tested = test.measure()
            for metric, value in tested.items():
                tracker.log_metric(metric, value, done.iterations)
            _keep(config, parts, classes, done.folder, tracker)
            tracker.log_model(KeptModel(parts.training.m(MODEL), text, classes, parts.testing.dataset))
        metrics = {**_told(done.metrics), **tested}
        if folder is not None:
            folder.note(state=FINISHED, metrics=metrics, iteration=done.iterations)
    location = None if SweepContext.current() else tracker.end()
    return Outcome(
        name, metrics, done.iterations, time.monotonic() - began, location, done.folder, done.stopped
    )


def _tell_beginning(config: DictConfig, parts: Parts, name: str) -> None:
    """Tell how much there is to do, before the first iteration takes its time."""
    log.info(
        "%s: %d iterations on %d items; the first one loads TensorFlow and builds the network",
        name,
        parts.training.dataset.index.gen_batch(**make_batch_options(config)).total,
        len(parts.training.dataset),
    )


def _keep(
    config: DictConfig, parts: Parts, classes: Sequence[Any] | None, folder: Path | None, tracker: Tracker
) -> None:
    """Leave the pictures that were asked for, of what the trained model makes of the test."""
    keep_pictures(read_pictures(config), config, parts.testing, classes, folder, tracker)
    shown, model = read_reconstructions(config), parts.training.m(MODEL)
    keep_reconstructions(shown, config, parts.testing, model, folder, tracker)


def _help(config: DictConfig, parts: Parts, events: Sequence[Event], name: str) -> Outcome:
    """Train along with the first worker, which keeps, tests and records what comes of it."""
    began, workers = time.monotonic(), read_workers(config.strategy)
    source = find_checkpoints(config)
    log.info("%s: worker %d of %d (0 writes the run's folder)", name, workers.number, workers.count)
    run = Training(parts.training, events=events, model=MODEL, loss=LOSS)
    done = run.run(**start_options(config), resume="auto" if source is None else source)
    seconds = time.monotonic() - began
    return Outcome(name, _told(done.metrics), done.iterations, seconds, stopped=done.stopped)


def _prepare(
    config: DictConfig, allow: Sequence[str]
) -> tuple[Any, DictConfig, Parts, list[Event], Evaluation]:
    """Return data, configuration, pipelines, events and test; all mistakes in them are one error."""
    dataset, parts, mistakes = None, None, Mistakes()
    with mistakes.collect():
        dataset, config, parts = _make_parts(config, allow)
    events, test = make_events(config, parts, allow, mistakes)
    with mistakes.collect():
        read_pictures(config)
        read_reconstructions(config)
    mistakes.tell()
    assert parts is not None
    assert test is not None
    return dataset, config, parts, events, test


def _make_parts(config: DictConfig, allow: Sequence[str]) -> tuple[Any, DictConfig, Parts]:
    """Return the data set, the configuration with all that is found out from it, and the pipelines."""
    dataset, fold = make_dataset(as_plain(config.dataset), allow)
    training_data, validation_data = split_validation(config, dataset, fold)
    refuse_inputs(config, training_data)
    source = find_source(config)
    config = find_out(config, dataset, training_data, source)
    training_data = read_workers(config.get("strategy")).take_shard(training_data)
    config = complete(config, training_data)
    return dataset, config, pipelines(config, dataset, training_data, validation_data, allow, source)


def _told(metrics: Mapping[str, float]) -> dict[str, float]:
    """Return the metrics that tell how good the network is, not how fast it was trained."""
    return {
        name: value
        for name, value in metrics.items()
        if name not in ("train/items_per_second", "train/learning_rate", "train/gradient_norm")
    }


def _record_beginning(
    config: DictConfig, tracker: Tracker, parts: Parts, dataset: str, resumed: bool
) -> None:
    """Record what is trained on what; a run that goes on has its parameters already."""
    if not resumed:
        tracker.log_params(parameters(config))
    data = {"train": parts.training, "validation": parts.validating, "test": parts.testing}
    for part, pipeline in data.items():
        if pipeline is not None:
            index = pipeline.dataset.index
            tracker.log_data(dataset, index.content_hash(), len(index), part)


def _tell_finished(name: str, folder: RunFolder) -> Outcome:
    """Return the outcome of a named training that is finished."""
    log.info("%s: this training is finished; another name=... or resume=never begins a new one", folder.path)
    record = folder.record
    return Outcome(name, record.get("metrics", {}), int(record.get("iteration", 0)), 0.0, None, folder.path)


def _take_best(run: Any, folder: RunFolder, alone: bool) -> None:
    """Let the model of the file, the best one, be the one that is tested; the last one may be another.

    Where other workers took part, the one that is tested has no part in what they do.
    """
    from bf_pipeline.context import Context

    file, slot = folder.path / MODEL_FILE, run.models.slot(MODEL)
    if file.is_file() and read_model_record(folder.path).get("iteration") != slot.model.iterations:
        changes = {} if alone else {"config": {"strategy": None}}
        slot.load(file, Context(run.runner.scope), **changes)


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
