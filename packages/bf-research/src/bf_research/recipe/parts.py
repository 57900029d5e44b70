"""What the training command makes of its configuration: data to validate on, events, and the run's folder."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from bf_index.errors import unknown
from bf_research.recipe.data import VALIDATION_KEYS, read_section
from bf_research.recipe.folders import is_trial, output_folder
from bf_research.recipe.pipelines import is_plateau
from bf_research.stopping.measured import complete_rule, validation_metrics
from bf_research.stopping.rules import read_stopping
from bf_research.targets import build
from bf_research.training.checkpoints import Checkpoints
from bf_research.training.norms import NormLog
from bf_research.training.rates import ReduceOnPlateau
from bf_research.training.state import Event
from bf_research.training.stopping import EarlyStopping, TimeLimit
from bf_research.training.telling import TellSweep
from bf_research.training.unfreezing import Unfreeze
from bf_research.training.validation import Evaluation, IterationLog, Validation
from bf_research.training.workers import MULTIWORKER, read_workers

if TYPE_CHECKING:
    from omegaconf import DictConfig


class Measured(Protocol):
    """The pipelines that measure."""

    @property
    def validating(self) -> Any:
        """The pipeline that validates, None for no validation."""
        ...

    @property
    def testing(self) -> Any:
        """The pipeline that tests."""
        ...


class Mistakes:
    """What is wrong with a configuration: looked for in all of its parts, and told together."""

    def __init__(self) -> None:
        self._found: list[Exception] = []

    @contextmanager
    def collect(self) -> Iterator[None]:
        """Keep an error of the block for later."""
        try:
            yield
        except (ValueError, TypeError, LookupError, OSError) as error:
            self._found.append(error)

    def tell(self) -> None:
        """Raise the mistake that was found, or a ``ValueError`` with all of them."""
        if len(self._found) == 1:
            raise self._found[0]
        if self._found:
            told = [str(error).strip() for error in self._found]
            raise ValueError(f"{len(told)} mistakes in the configuration:\n" + "\n".join(told))


def make_events(
    config: DictConfig, parts: Measured | None, allow: Sequence[str], mistakes: Mistakes
) -> tuple[list[Event], Evaluation | None]:
    """Return the events of a training, and the evaluation on test data, which is tried out with them.

    Without ``parts``, which have mistakes of their own, the other events are looked at nevertheless.
    """
    names = [str(name) for name in config.pipeline.metrics]
    events: list[Event] = [IterationLog()]
    measured: list[str] = []
    with mistakes.collect():
        validation = read_section(config, "validation", VALIDATION_KEYS)
        if validation is not None:
            metrics = [str(name) for name in validation.get("metrics") or names]
            measured = validation_metrics(validation, names)
            size = validation.get("batch_size") or config.test_batch_size
            pipeline = None if parts is None else parts.validating
            events.append(Validation(pipeline, validation.get("every", "epoch"), metrics, batch_size=size))
    test = Evaluation(parts.testing, names, batch_size=config.test_batch_size) if parts is not None else None
    events += [] if test is None else [test]
    with mistakes.collect():
        events += _own_events(config, allow)
    for make in (
        _make_norms,
        _make_unfreeze,
        _make_early_stopping,
        _make_plateau,
        _make_time_limit,
        _make_telling,
        _make_checkpoints,
    ):
        with mistakes.collect():
            events += make(config, measured)
    return events, test


def _make_norms(config: DictConfig, measured: list[str]) -> list[Event]:
    every = config.get("norms")
    return [] if every is None else [NormLog(every)]


def _make_unfreeze(config: DictConfig, measured: list[str]) -> list[Event]:
    from omegaconf import OmegaConf

    given: Any = config.get("unfreeze")
    if given is None:
        return []
    plain: Any = OmegaConf.to_container(given, resolve=True) if OmegaConf.is_config(given) else given
    event = Unfreeze(plain)
    last, epochs = max(event.epochs), config.n_epochs
    if config.n_iters is None and epochs is not None and last >= epochs:
        raise ValueError(f"unfreeze.{last}: the training ends with {epochs} epochs; raise n_epochs")
    return [event]


def _make_early_stopping(config: DictConfig, measured: list[str]) -> list[Event]:
    early = read_section(config, "early_stopping", ("metric", "patience", "min_delta", "mode", "start"))
    if early is None:
        return []
    event = EarlyStopping(**early)
    _check_measured(event.metric, measured, "early_stopping.metric")
    return [event]


def _make_plateau(config: DictConfig, measured: list[str]) -> list[Event]:
    if not is_plateau(config.schedule):
        return []
    known = ("name", *inspect.signature(ReduceOnPlateau).parameters)
    plateau = read_section(config, "schedule", known) or {}
    event = ReduceOnPlateau(**{name: value for name, value in plateau.items() if name != "name"})
    _check_measured(event.metric, measured, "schedule.metric")
    return [event]


def _make_time_limit(config: DictConfig, measured: list[str]) -> list[Event]:
    if config.get("max_time") is not None and config.get("strategy") == MULTIWORKER:
        raise ValueError(
            f"max_time={config.max_time} does not go with strategy={MULTIWORKER}: the clocks of the workers "
            "would end it at different iterations; give n_iters or n_epochs"
        )
    return [] if config.get("max_time") is None else [TimeLimit(config.max_time)]


def _make_telling(config: DictConfig, measured: list[str]) -> list[Event]:
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config.get("stopping") or OmegaConf.create({}), resolve=True)
    rule = read_stopping(plain)
    if config.get("search") and not is_trial():
        raise ValueError("search: it proposes the trials of a sweep; add -m, and what is to be searched")
    if config.get("folds") is not None and config.dataset.get("fold") is None:
        raise ValueError(
            f"folds={config.folds}: it runs a training on each fold, which are trials of a sweep; add -m, "
            "with hydra/sweeper=domain"
        )
    if rule is None:
        return []
    if not is_trial():
        raise ValueError(
            f"stopping={rule.name}: a rule stops trials of a sweep (-m) by comparing them; of a training by "
            "itself, early_stopping={patience: 5} is the end"
        )
    metric = complete_rule(rule, config, "stopping").metric
    return [] if metric is None else [TellSweep(metric)]


def _make_checkpoints(config: DictConfig, measured: list[str]) -> list[Event]:
    checkpoint = read_section(config, "checkpoint", ("every", "keep", "best", "mode"))
    if checkpoint is None or not read_workers(config.get("strategy")).is_chief:
        return []
    if checkpoint.get("best") == "auto":
        checkpoint["best"] = measured[0] if measured else None
    event = Checkpoints(**checkpoint)
    _check_measured(event.best, measured, "checkpoint.best")
    return [event] if output_folder() is not None else []


def _own_events(config: DictConfig, allow: Sequence[str]) -> list[Event]:
    """Build the events of the user's own, in the order in which they are written."""
    from omegaconf import OmegaConf

    found = OmegaConf.to_container(config.get("events") or OmegaConf.create({}), resolve=True)
    if not isinstance(found, dict):
        raise ValueError(f"events must be a mapping of names to events, each with a _target_, got {found!r}")
    events = []
    for key, options in found.items():
        name = str(key)
        if options is None:
            continue
        if not isinstance(options, dict):
            raise ValueError(f"events.{name} must be a mapping with a _target_ or null, got {options!r}")
        event = build(options, "events", allow, f"events.{name}")
        if not isinstance(event, Event):
            raise TypeError(f"events.{name}: {options['_target_']} makes {event!r}, which is no Event")
        events.append(event)
    return events


def _check_measured(name: str | None, measured: list[str], owner: str) -> None:
    """Refuse a metric of the validation that is not measured, before anything is trained."""
    if name is not None and str(name).startswith("validation/") and name not in measured:
        hint = "" if measured else "; there is no validation: validation={share: 0.1}"
        raise ValueError(unknown("metric", str(name), measured, owner) + hint)
