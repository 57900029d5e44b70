"""Whether a step was made or refused, and why: decided inside the step, told outside."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

from bf_models._backend import tensorflow
from bf_models.errors import NonFiniteLoss, StopTraining


class Verdict(IntEnum):
    """What became of a step; all but a good one leave the model as it was."""

    GOOD = 0
    NOT_FINITE = 1
    OVERFLOW = 2
    WRONG_TARGETS = 3


def decide(wrong: Any, not_finite: Any, overflow: Any, at_its_least: Any) -> Any:
    """Return the verdict as an int32 scalar; the first three are counts, floats."""
    tf = tensorflow()
    lost = tf.where(at_its_least, int(Verdict.NOT_FINITE), int(Verdict.OVERFLOW))
    verdict = tf.where(overflow > 0, lost, int(Verdict.GOOD))
    verdict = tf.where(not_finite > 0, int(Verdict.NOT_FINITE), verdict)
    return tf.where(wrong > 0, int(Verdict.WRONG_TARGETS), verdict)


def raise_not_finite(loss: float, owner: str, iteration: int, policy: str) -> None:
    """Raise NonFiniteLoss, or what is of it by the policy ``stop``; nothing with ``skip``."""
    if policy == "skip":
        return
    raise (StopTraining if policy == "stop" else NonFiniteLoss)(
        f"{owner}: the loss is {loss} at iteration {iteration}, or its gradients are not "
        "finite; the weights are those before it; lower the learning rate, clip gradients, look at the "
        "batch, or set 'non_finite: skip'"
    )
