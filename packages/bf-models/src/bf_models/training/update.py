"""The part of a training step that changes weights: accumulation, clipping, optimizers, averages."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras, tensorflow
from bf_models.optim import Progress
from bf_models.optim.update import Clipping, Update
from bf_models.saving.model_file import name_variables, network_variables
from bf_models.training.averages import Averages

#: Overflow halves the scale of a float16 loss; so many good steps double it, as Keras does.
_GOOD_STEPS = 2000


@dataclass(frozen=True, slots=True)
class Group:
    """An optimizer and the variables that it changes."""

    optimizer: Any
    variables: list[Any]


class Updater:
    """Optimizers of groups of variables, what happens to gradients before them and to weights after."""

    def __init__(
        self,
        network: Any,
        groups: Sequence[Group],
        update: Update,
        averages: Averages | None,
        progress: Progress | None,
        strategy: Any = None,
    ) -> None:
        self.groups, self.clipping, self.averages = groups, update.clipping, averages
        self.steps, self.progress, self.strategy = update.accumulate, progress, strategy
        for group in groups:
            group.optimizer.build(group.variables)
        self._rates: list[float] = []
        names = {id(item): name for name, item in network_variables(network).items()}
        variable = keras().Variable
        self._gathered: dict[str, Any] = {}
        if self.steps > 1:
            self._gathered = {
                "accumulated/items": variable(0.0, trainable=False, name="items"),
                "accumulated/steps": variable(0.0, trainable=False, name="steps"),
                **{
                    f"accumulated/{names[id(item)]}": variable(
                        "zeros", shape=item.shape, dtype=item.dtype, trainable=False, name="accumulated"
                    )
                    for item in self.variables
                },
            }

    @property
    def variables(self) -> list[Any]:
        """Trainable variables in the order of the groups."""
        return [variable for group in self.groups for variable in group.variables]

    def state(self) -> dict[str, Any]:
        """Return the variables of the optimizers, of accumulation and of averages, by name.

        Keras numbers its optimizers by how many there were in the process: the number of a group names ours.
        The rate is the config's and no state.
        """
        found = dict(self._gathered)
        if self.progress is not None:
            found["position"] = self.progress.position
        if self.averages is not None:
            found.update(self.averages.state())
        for number, group in enumerate(self.groups):
            for path, item in name_variables(group.optimizer.variables).items():
                name = path.partition("/")[2]
                if name != "learning_rate":
                    found[f"{number}/{name}"] = item
        return found

    def scale_rates(self, factor: float) -> None:
        """Multiply the learning rates by a factor, beside schedule and ``learning_rates``."""
        if self.progress is not None:
            self.progress.factor.assign(factor)
            return
        self._rates = self._rates or [float(group.optimizer.learning_rate) for group in self.groups]
        for group, rate in zip(self.groups, self._rates):
            group.optimizer.learning_rate = rate * factor

    def apply(self, gradients: list[Any], items: Any) -> None:
        """Change the weights by the gradients of a step on so many items, or gather them for later."""
        if self.steps == 1:
            self._change(gradients)
            return
        tf = tensorflow()
        total, steps, *sums = self._gathered.values()
        for one, gradient in zip(sums, gradients):
            one.assign_add(tf.convert_to_tensor(gradient) * tf.cast(items, one.dtype))
        total.assign_add(items)
        steps.assign_add(1.0)

        def change() -> Any:
            self._change([one.value / tf.cast(total.value, one.dtype) for one in sums])
            for item in (total, steps, *sums):
                item.assign(tf.zeros(item.shape, item.dtype))
            return tf.constant(True)

        tf.cond(steps.value >= self.steps, change, lambda: tf.constant(False))

    def _change(self, gradients: list[Any]) -> None:
        if self.strategy is None:
            self._apply_groups(gradients)
        else:
            self.strategy.run(self._apply_groups, args=(gradients,))
        for group in self.groups if self.averages is not None else ():
            first = tensorflow().cast(group.optimizer.iterations.value == 1, "float32")
            assert self.averages is not None, "averages are there"
            self.averages.update(group.variables, first)
        if self.progress is not None:
            self.progress.position.assign_add(1)

    def _apply_groups(self, gradients: list[Any]) -> None:
        if self.clipping is not None:
            context = None if self.strategy is None else tensorflow().distribute.get_replica_context()
            if context is not None:
                # Keras adds up what replicas have: all hold the clipped sum, each gives its share of it
                gradients = context.all_reduce(
                    "sum", [tensorflow().convert_to_tensor(item) for item in gradients]
                )
            gradients = clip(gradients, self.clipping)
            if context is not None:
                gradients = [item / context.num_replicas_in_sync for item in gradients]
        start = 0
        for group in self.groups:
            stop = start + len(group.variables)
            group.optimizer.apply(gradients[start:stop], group.variables)
            start = stop


def clip(gradients: Sequence[Any], clipping: Clipping) -> list[Any]:
    """Return gradients within a limit: of each number, of each one's norm, or of the norm of all."""
    tf = tensorflow()
    dense = [tf.convert_to_tensor(item) for item in gradients]
    limit = clipping.limit
    if clipping.kind == "clipvalue":
        return [tf.clip_by_value(item, -limit, limit) for item in dense]
    squares = [tf.reduce_sum(tf.square(tf.cast(item, tf.float32))) for item in dense]
    if clipping.kind == "global_clipnorm":
        squares = [tf.add_n(squares)] * len(dense)
    factors = [limit / tf.maximum(tf.sqrt(square), limit) for square in squares]
    return [item * tf.cast(factor, item.dtype) for item, factor in zip(dense, factors)]


class LossScale:
    """The factor of a float16 loss: halved by an overflow, doubled after many steps without one."""

    def __init__(self) -> None:
        variable = keras().Variable
        self.scale = variable(2.0**15, trainable=False, name="scale")
        self.good = variable(0.0, trainable=False, name="good")

    def state(self) -> dict[str, Any]:
        """Return the variables by name."""
        return {"scale": self.scale, "good": self.good}

    def unscale(self, gradients: Sequence[Any]) -> list[Any]:
        """Return the gradients of the loss itself."""
        tf = tensorflow()
        return [item / tf.cast(self.scale.value, item.dtype) for item in gradients]

    @property
    def at_its_least(self) -> Any:
        """Whether an overflow cannot be helped by a smaller factor."""
        return self.scale.value <= 1.0

    def grow(self) -> None:
        """Count a good step."""
        tf = tensorflow()
        enough = self.good.value + 1 >= _GOOD_STEPS
        self.scale.assign(tf.where(enough, self.scale.value * 2, self.scale.value))
        self.good.assign(tf.where(enough, 0.0, self.good.value + 1))

    def shrink(self, overflow: Any) -> None:
        """Halve the factor after an overflow."""
        tf = tensorflow()
        self.scale.assign(tf.where(overflow, tf.maximum(self.scale.value / 2, 1.0), self.scale.value))
        self.good.assign(tf.where(overflow, 0.0, self.good.value))
