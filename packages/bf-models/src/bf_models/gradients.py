"""The part of a training step that changes weights: gradients, microbatches, and the guard against NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from bf_models._backend import tensorflow
from bf_models.saving import named

Forward = Callable[[Mapping[str, Any]], tuple[Any, dict[str, Any]]]


class Gradients:
    """Optimizers with the variables that each of them changes."""

    def __init__(self, network: Any, groups: list[tuple[Any, list[Any]]]) -> None:
        self.network, self.groups = network, groups
        for optimizer, variables in groups:
            optimizer.build(variables)

    @property
    def variables(self) -> list[Any]:
        """Trainable variables in the order of the groups."""
        return [variable for _, variables in self.groups for variable in variables]

    def state(self) -> dict[str, Any]:
        """Variables of the optimizers by name."""
        return {
            # Keras numbers its optimizers by how many there were in the process: the group's number names
            # ours
            f"{number}/{path.partition('/')[2]}": item
            for number, (optimizer, _) in enumerate(self.groups)
            for path, item in named(optimizer.variables).items()
        }

    def step(
        self, forward: Forward, feeds: Mapping[str, Any], microbatch: int | None
    ) -> tuple[dict[str, Any], Any]:
        """Forward, backward and update; nothing is changed when the loss is not finite."""
        tf = tensorflow()
        moving = [item for item in self.network.non_trainable_variables if "seed" not in item.path]
        before = [tf.identity(item.value) for item in moving]
        values, gradients = self._whole(forward, feeds)
        finite = _all_finite([values["loss"], *gradients, *(item.value for item in moving)])

        def update() -> Any:
            self._apply(gradients)
            return tf.constant(True)

        def restore() -> Any:
            for item, old in zip(moving, before):
                item.assign(old)
            return tf.constant(False)

        return values, tf.cond(finite, update, restore)

    def _whole(self, forward: Forward, feeds: Mapping[str, Any]) -> tuple[dict[str, Any], list[Any]]:
        with tensorflow().GradientTape() as tape:
            loss, values = forward(feeds)
        return values, tape.gradient(loss, [item.value for item in self.variables])

    def _apply(self, gradients: list[Any]) -> None:
        start = 0
        for optimizer, variables in self.groups:
            optimizer.apply(gradients[start : start + len(variables)], variables)
            start += len(variables)


def _all_finite(tensors: Sequence[Any]) -> Any:
    """Whether no NaN and no Inf is in the scalars and vectors among the tensors.

    A value that is not finite in a map or a kernel's gradient shows in the moving statistics, or in the
    gradient of the layer's bias or norm; reading the large kernels too would cost 2 % of a step of ResNet18.
    """
    tf = tensorflow()
    vectors = [tf.reshape(item, [-1]) for item in tensors if item is not None and len(item.shape) < 2]
    return tf.reduce_all(tf.math.is_finite(tf.concat([tf.cast(item, tf.float32) for item in vectors], 0)))
