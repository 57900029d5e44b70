"""Learning rate schedules with a warm-up; importing this module loads TensorFlow."""

from __future__ import annotations

import math
from typing import Any

from bf_models._backend import keras, tensorflow

tf = tensorflow()
_register = keras().saving.register_keras_serializable("bf_models")


@_register
class Warmup(keras().optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate that grows from 0 over the first ``warmup`` steps and then stays."""

    def __init__(self, learning_rate: float, warmup: int = 0) -> None:
        if warmup < 0:
            raise ValueError(f"schedule: warmup is a number of steps from 0 on, got {warmup!r}")
        self.learning_rate, self.warmup = float(learning_rate), warmup

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        return self.learning_rate * tf.minimum(1.0, (step + 1.0) / max(self.warmup, 1))

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {"learning_rate": self.learning_rate, "warmup": self.warmup}


@_register
class WarmupCosine(keras().optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate that grows over the warm-up and then falls along half a cosine until ``steps``.

    ``warmup`` is a number of steps, or a share of ``steps`` when below 1; ``final`` is the share of the rate
    that is left at the end and after it.
    """

    def __init__(self, learning_rate: float, steps: int, warmup: float = 0.0, final: float = 0.0) -> None:
        if not isinstance(steps, int) or steps < 1:
            raise ValueError(f"schedule: steps is the number of training steps, from 1 on, got {steps!r}")
        if not 0 <= warmup < steps:
            raise ValueError(
                f"schedule: warmup is a share or a number of steps below {steps}, got {warmup!r}"
            )
        self.learning_rate, self.steps, self.warmup, self.final = (
            float(learning_rate),
            steps,
            warmup,
            float(final),
        )

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        warmup = float(math.ceil(self.warmup * self.steps) if self.warmup < 1 else self.warmup)
        rising = (step + 1.0) / max(warmup, 1.0)
        done = tf.clip_by_value((step - warmup) / max(self.steps - warmup, 1.0), 0.0, 1.0)
        falling = self.final + (1.0 - self.final) * 0.5 * (1.0 + tf.cos(math.pi * done))
        return self.learning_rate * tf.where(step < warmup, rising, falling)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {name: getattr(self, name) for name in ("learning_rate", "steps", "warmup", "final")}


@_register
class OneCycle(keras().optimizers.schedules.LearningRateSchedule):  # type: ignore[misc]
    """A rate that rises along half a cosine, and falls along another one until the end of the training.

    Source: Smith, Topin, Super-convergence, 2018, with the cosines of torch's ``OneCycleLR``.
    ``learning_rate`` is the highest, reached after ``warmup`` of the ``steps`` (a share); ``start`` and
    ``final`` are the shares of it at the first and at the last step.
    """

    def __init__(
        self,
        learning_rate: float,
        steps: int,
        warmup: float = 0.3,
        start: float = 0.04,
        final: float = 4e-6,
    ) -> None:
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 2:
            raise ValueError(f"schedule: steps is the number of training steps, from 2 on, got {steps!r}")
        if not 0 < warmup < 1:
            raise ValueError(f"schedule: warmup is a share of the steps between 0 and 1, got {warmup!r}")
        for name, share in (("start", start), ("final", final)):
            if not 0 <= share <= 1:
                raise ValueError(f"schedule: {name} is a share of the rate, 0 to 1, got {share!r}")
        self.learning_rate, self.steps, self.warmup = float(learning_rate), steps, float(warmup)
        self.start, self.final = float(start), float(final)

    def __call__(self, step: Any) -> Any:
        """Return the rate at a step, a float32 scalar."""
        step = tf.cast(step, tf.float32)
        top = max(self.warmup * self.steps - 1.0, 0.0)
        rising = tf.clip_by_value(step / top, 0.0, 1.0) if top > 0 else tf.ones_like(step)
        falling = tf.clip_by_value((step - top) / (self.steps - 1.0 - top), 0.0, 1.0)
        up = 1.0 + (self.start - 1.0) * 0.5 * (1.0 + tf.cos(math.pi * rising))
        down = self.final + (1.0 - self.final) * 0.5 * (1.0 + tf.cos(math.pi * falling))
        return self.learning_rate * tf.where(step <= top, up, down)

    def get_config(self) -> dict[str, Any]:
        """Return the arguments of the constructor."""
        return {name: getattr(self, name) for name in ("learning_rate", "steps", "warmup", "start", "final")}
