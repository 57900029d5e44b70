"""The part of a training step that changes weights: gradients, microbatches, replicas, guard against NaN."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras, moving_averages, tensorflow
from bf_models.saving.model_file import name_variables

Feeds = Mapping[str, Any]
Forward = Callable[[Feeds], tuple[Any, dict[str, Any]]]
#: Overflow halves the scale of a float16 loss; so many good steps double it, as Keras does.
_GOOD_STEPS = 2000


@dataclass(frozen=True, slots=True)
class UpdateOptions:
    """How weights are changed: size of microbatches, float16's scaled loss, replicas."""

    microbatch: int | None = None
    scaled: bool = False
    strategy: Any = None


class Gradients:
    """Optimizers with the variables that each of them changes."""

    def __init__(self, network: Any, groups: Sequence[tuple[Any, list[Any]]], options: UpdateOptions) -> None:
        self.network, self.groups, self.options = network, groups, options
        for optimizer, variables in groups:
            optimizer.build(variables)
        # seeds of dropout move in every step, and may
        self._moving = [item for item in network.non_trainable_variables if "seed" not in item.path]
        variable = keras().Variable
        self._scaling = (
            [variable(2.0**15, name="scale"), variable(0.0, name="good")] if options.scaled else []
        )

    @property
    def variables(self) -> list[Any]:
        """Trainable variables in the order of the groups."""
        return [variable for _, variables in self.groups for variable in variables]

    @property
    def averages(self) -> dict[int, Any]:
        """Moving averages of weights by the id of their variable; empty without them."""
        found: dict[int, Any] = {}
        for optimizer, variables in self.groups:
            if optimizer.use_ema:
                averages = zip(variables, moving_averages(optimizer))
                found.update((id(item), average) for item, average in averages)
        return found

    def state(self) -> dict[str, Any]:
        """Return the variables of the optimizers by name.

        Keras numbers its optimizers by how many there were in the process: the number of a group names ours.
        """
        found = {item.name: item for item in self._scaling}
        for number, (optimizer, _) in enumerate(self.groups):
            for path, item in name_variables(optimizer.variables).items():
                found[f"{number}/{path.partition('/')[2]}"] = item
        return found

    def step(self, forward: Forward, feeds: Feeds, kinds: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Go forward, backward and update; change nothing when a value is not finite.

        ``kinds`` are dtypes of the values that ``forward`` returns. With a strategy feeds and values are
        those of replicas.
        """
        tf = tensorflow()

        def replica(part: Feeds) -> tuple[Any, ...]:
            before = [tf.identity(item.value) for item in self._moving]
            values, gradients = self._gradients(forward, part, kinds)
            values, gradients, finite = self._share(values, gradients, part)
            return values, gradients, before, finite

        values, gradients, before, finite = self._run(replica, feeds)
        all_finite = (
            self.options.strategy.experimental_local_results(finite)[0] if self.options.strategy else finite
        )

        def update() -> Any:
            self._run(self._apply, gradients)
            return tf.constant(True)

        def restore() -> Any:
            self._run(self._restore, before)
            return tf.constant(False)

        return values, tf.cond(all_finite, update, restore)

    def _run(self, function: Callable[[Any], Any], argument: Any) -> Any:
        strategy = self.options.strategy
        return function(argument) if strategy is None else strategy.run(function, args=(argument,))

    def _gradients(
        self, forward: Forward, feeds: Feeds, kinds: Mapping[str, Any]
    ) -> tuple[dict[str, Any], list[Any]]:
        if self.options.microbatch is None:
            return self._compute_whole(forward, feeds)
        return self._compute_by_parts(forward, feeds, kinds, self.options.microbatch)

    def _compute_whole(self, forward: Forward, feeds: Feeds) -> tuple[dict[str, Any], list[Any]]:
        tf = tensorflow()
        weights = [item.value for item in self.variables]
        with tf.GradientTape() as tape:
            loss, values = forward(feeds)
            if self._scaling:
                loss = loss * self._scaling[0].value
        gradients = tape.gradient(loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO)
        return values, gradients

    def _compute_by_parts(
        self, forward: Forward, feeds: Feeds, kinds: Mapping[str, Any], size: int
    ) -> tuple[dict[str, Any], list[Any]]:
        """Compute gradients by parts of at most ``size`` items, weighed by their shares; join the outputs."""
        tf = tensorflow()
        length = tf.shape(next(iter(feeds.values())))[0]
        joined = {
            name: tf.TensorArray(kind, size=0, dynamic_size=True, infer_shape=False)
            for name, kind in kinds.items()
        }

        def part(
            start: Any, number: Any, loss: Any, sums: list[Any], arrays: dict[str, Any]
        ) -> tuple[Any, ...]:
            stop = tf.minimum(start + size, length)
            values, gradients = self._compute_whole(
                forward, {name: item[start:stop] for name, item in feeds.items()}
            )
            share = tf.cast(stop - start, tf.float32) / tf.cast(length, tf.float32)
            loss += share * values["loss"]
            sums = [total + tf.cast(share, item.dtype) * item for total, item in zip(sums, gradients)]
            arrays = {name: array.write(number, values[name]) for name, array in arrays.items()}
            return stop, number + 1, loss, sums, arrays

        zeros = [tf.zeros(item.shape, item.dtype) for item in self.variables]
        state = (tf.constant(0), tf.constant(0), tf.constant(0.0), zeros, joined)
        _, _, loss, sums, arrays = tf.while_loop(
            lambda start, *_: start < length, part, state, parallel_iterations=1
        )
        return {**{name: array.concat() for name, array in arrays.items()}, "loss": loss}, sums

    def _share(
        self, values: dict[str, Any], gradients: list[Any], feeds: Feeds
    ) -> tuple[dict[str, Any], list[Any], Any]:
        """Weigh a replica's part by its share of the batch; all agree whether all is finite."""
        tf = tensorflow()
        moving = [item.value for item in self._moving]
        # the gradients of a scaled loss are looked at when they are applied: their overflow is no fault
        finite = _all_finite([] if self._scaling else gradients, [values["loss"], *moving])
        if self.options.strategy is None:
            return values, gradients, finite
        context = tf.distribute.get_replica_context()
        length = tf.cast(tf.shape(next(iter(feeds.values())))[0], tf.float32)
        share = length / context.all_reduce("sum", length)
        wrong = context.all_reduce("sum", tf.cast(tf.logical_not(finite), tf.float32))
        values = {**values, "loss": context.all_reduce("sum", values["loss"] * share)}
        return values, [item * tf.cast(share, item.dtype) for item in gradients], wrong < 0.5

    def _restore(self, before: list[Any]) -> None:
        for item, old in zip(self._moving, before):
            item.assign(old)

    def _apply(self, gradients: list[Any]) -> None:
        if not self._scaling:
            self._apply_groups(gradients)
            return
        tf = tensorflow()
        scale, good = self._scaling
        gradients = [item / tf.cast(scale.value, item.dtype) for item in gradients]
        finite = tf.reduce_all([tf.reduce_all(tf.math.is_finite(item)) for item in gradients])

        def grow() -> Any:
            self._apply_groups(gradients)
            enough = good.value + 1 >= _GOOD_STEPS
            scale.assign(tf.where(enough, scale.value * 2, scale.value))
            good.assign(tf.where(enough, 0.0, good.value + 1))
            return tf.constant(True)

        def shrink() -> Any:
            scale.assign(tf.maximum(scale.value / 2, 1.0))
            good.assign(0.0)
            return tf.constant(False)

        tf.cond(finite, grow, shrink)

    def _apply_groups(self, gradients: list[Any]) -> None:
        start = 0
        for optimizer, variables in self.groups:
            optimizer.apply(gradients[start : start + len(variables)], variables)
            start += len(variables)


def _all_finite(gradients: Sequence[Any], others: Sequence[Any]) -> Any:
    """Whether no NaN and no Inf is in the scalars and vectors among the gradients and in the other tensors.

    A value that is not finite in a map or a kernel's gradient shows in the moving statistics, or in the
    gradient of the layer's bias or norm; reading the large kernels too would cost 2 % of a step of ResNet18.
    They are read where most have no vector beside them, as when norms are frozen.
    """
    tf = tensorflow()
    vectors = [item for item in gradients if len(item.shape) < 2]
    read = vectors if 2 * len(vectors) >= len(gradients) else gradients
    flat = [tf.cast(tf.reshape(item, [-1]), tf.float32) for item in (*read, *others)]
    return tf.reduce_all(tf.math.is_finite(tf.concat(flat, 0)))
