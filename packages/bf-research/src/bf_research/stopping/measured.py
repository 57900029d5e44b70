"""The metrics that a training measures while it goes on, told from its configuration alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from bf_index.errors import unknown
from bf_research.stopping.directions import less_is_better, read_mode
from bf_research.stopping.rules import StoppingRule

#: Measured in each iteration.
TRAINING = "train/loss"


def validation_metrics(validation: Mapping[str, Any] | None, metrics: Sequence[str]) -> list[str]:
    """Return the metrics that a validation measures, by default those of the pipeline; none without one."""
    if validation is None:
        return []
    return [f"validation/{name}" for name in (*(validation.get("metrics") or metrics), "loss")]


def measured_in(config: Mapping[str, Any]) -> list[str] | None:
    """Return what a training's validation measures; None for the configuration of some other program."""
    steps = config.get("pipeline")
    metrics = steps.get("metrics") if isinstance(steps, Mapping) else None
    if metrics is None:
        return None
    return validation_metrics(config.get("validation"), [str(name) for name in metrics])


def complete_metrics(metrics: Sequence[str], config: Mapping[str, Any], owner: str) -> list[str]:
    """Return the results that a search makes better, by default the first metric of the validation.

    ``ValueError`` for a result that a training with this configuration does not give.
    """
    measured = measured_in(config)
    if not metrics and not measured:
        raise ValueError(f"{owner}.metric: name the result that is to become better")
    if not metrics and measured:
        return measured[:1]
    if measured is not None and not config.get("events"):
        tested = [f"test/{name}" for name in (*config["pipeline"]["metrics"], "loss")]
        known = [*measured, *tested, TRAINING]
        for metric in metrics:
            if metric not in known:
                raise ValueError(unknown("metric", metric, known, f"{owner}.metric"))
    return list(metrics)


def complete_rule(rule: StoppingRule, config: Mapping[str, Any], owner: str) -> StoppingRule:
    """Return a rule that names its metric: one that a training with this configuration measures.

    Without a metric it is the first one of the validation. ``ValueError`` for a metric that will never be
    measured, as far as the configuration tells: a program of somebody else's may report anything.
    """
    measured = measured_in(config)
    if measured is None:
        if rule.metric is None:
            raise ValueError(
                f"{owner}.metric: name the metric that trials report, as in report(1, 10, accuracy=0.5)"
            )
        return rule
    if rule.metric is None and not measured:
        raise ValueError(
            f"{owner}: there is no validation, so nothing is measured to stop by; say "
            f"validation={{share: 0.1}}, or {owner}.metric={TRAINING}"
        )
    metric = measured[0] if rule.metric is None else rule.metric
    if metric not in (*measured, TRAINING) and not config.get("events"):
        raise ValueError(unknown("metric", metric, [*measured, TRAINING], f"{owner}.metric"))
    return replace(rule, metric=metric)


def check_ranking(rule: StoppingRule, metric: str | None, minimize: bool | None, owner: str) -> None:
    """Refuse a ranking by the metric of the rule in the other direction: ``ValueError``."""
    if rule.metric is None or metric != rule.metric:
        return
    less = less_is_better(rule.metric, rule.mode)
    if less != less_is_better(rule.metric, read_mode(minimize)):
        said = "null" if minimize is None else str(minimize).lower()
        raise ValueError(
            f"{owner}: the stopping rule keeps the trials with the {'least' if less else 'most'} "
            f"{metric!r}, and hydra.sweeper.minimize={said} ranks the others first; say "
            f"hydra.sweeper.minimize={str(less).lower()}"
        )
