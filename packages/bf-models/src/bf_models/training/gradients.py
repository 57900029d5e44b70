"""Gradients of a training step: whole or by microbatches, of replicas, and the guard around the update."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import add_replicas, tensorflow
from bf_models.training.norm import NormMeter
from bf_models.training.update import LossScale, Updater
from bf_models.training.verdict import Verdict, decide

Feeds = Mapping[str, Any]
Forward = Callable[[Feeds], tuple[Any, dict[str, Any]]]


@dataclass(frozen=True, slots=True)
class GradientOptions:
    """How gradients are made: size of microbatches, replicas, whether their norms are to be finite.

    ``shown`` are ids of variables whose gradients are not finite only where others are not, too.
    """

    microbatch: int | None = None
    strategy: Any = None
    norms: bool = False
    shown: frozenset[int] = frozenset()


class Gradients:
    """Forward, backward and update as one step, which is made or leaves everything as it was."""

    def __init__(
        self, network: Any, updater: Updater, scale: LossScale | None, options: GradientOptions
    ) -> None:
        self.updater, self.scale, self.options = updater, scale, options
        self.variables = updater.variables
        self.meter = NormMeter(self.variables) if options.strategy is None else None
        # a refused step gives back the random numbers that it drew; those of replicas cannot be set
        self._moving = [
            item
            for item in network.non_trainable_variables
            if "seed" not in item.path or options.strategy is None
        ]

    def state(self) -> dict[str, Any]:
        """Return the variables of the update by name."""
        return {**({} if self.scale is None else self.scale.state()), **self.updater.state()}

    def step(self, forward: Forward, feeds: Feeds, kinds: Mapping[str, Any]) -> tuple[dict[str, Any], Any]:
        """Go forward, backward and update; change nothing when a value is not finite or a target is wrong.

        ``forward`` returns the loss and values, with ``loss`` and the number of ``wrong`` targets among them;
        ``kinds`` are dtypes of the others. With a strategy feeds and values are those of replicas. Returns
        the values and the verdict.
        """
        tf = tensorflow()

        def replica(part: Feeds) -> tuple[Any, ...]:
            before = [tf.identity(item.value) for item in self._moving]
            values, gradients = self._gradients(forward, part, kinds)
            return *self._share(values, gradients, part), before

        values, gradients, flags, before = self._run(replica, feeds)
        if self.options.strategy is not None:
            flags = self.options.strategy.experimental_local_results(flags)[0]
        least = tf.constant(True) if self.scale is None else self.scale.at_its_least
        verdict = decide(flags[0], flags[1], flags[2], least)

        def update() -> Any:
            if self.meter is not None:
                self.meter.look(gradients)
            self.updater.apply(gradients, flags[3])
            if self.scale is not None:
                self.scale.grow()
            return tf.constant(0)

        def restore() -> Any:
            self._run(self._restore, before)
            if self.scale is not None:
                self.scale.shrink(tf.equal(verdict, int(Verdict.OVERFLOW)))
            return tf.constant(0)

        tf.cond(tf.equal(verdict, int(Verdict.GOOD)), update, restore)
        return values, verdict

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
            if self.options.strategy is not None:
                # inside the tape: what replicas share, as statistics of a batch, has a gradient by each loss
                loss = loss * self._find_share(feeds)
            if self.scale is not None:
                loss = loss * self.scale.scale.value
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
            start: Any, number: Any, told: tuple[Any, Any], sums: list[Any], arrays: dict[str, Any]
        ) -> tuple[Any, ...]:
            stop = tf.minimum(start + size, length)
            values, gradients = self._compute_whole(
                forward, {name: item[start:stop] for name, item in feeds.items()}
            )
            share = tf.cast(stop - start, tf.float32) / tf.cast(length, tf.float32)
            told = (told[0] + share * values["loss"], told[1] + values["wrong"])
            sums = [total + tf.cast(share, item.dtype) * item for total, item in zip(sums, gradients)]
            arrays = {name: array.write(number, values[name]) for name, array in arrays.items()}
            return stop, number + 1, told, sums, arrays

        zeros = [tf.zeros(item.shape, item.dtype) for item in self.variables]
        state = (tf.constant(0), tf.constant(0), (tf.constant(0.0), tf.constant(0.0)), zeros, joined)
        _, _, (loss, wrong), sums, arrays = tf.while_loop(
            lambda start, *_: start < length, part, state, parallel_iterations=1
        )
        outputs = {name: array.concat() for name, array in arrays.items()}
        return {**outputs, "loss": loss, "wrong": wrong}, sums

    def _find_share(self, feeds: Feeds) -> Any:
        """Return the share of the batch that this replica has."""
        tf = tensorflow()
        items = tf.cast(tf.shape(next(iter(feeds.values())))[0], tf.float32)
        return items / add_replicas(items)

    def _share(
        self, values: dict[str, Any], gradients: list[Any], feeds: Feeds
    ) -> tuple[dict[str, Any], list[Any], Any]:
        """Weigh a replica's loss by its share of the batch, and agree on what is wrong with it.

        Returns values, gradients and a vector: wrong targets, values that are not finite, overflows, items.
        """
        tf = tensorflow()
        moving = [item.value for item in self._moving if item.value.dtype.is_floating]
        items = tf.cast(tf.shape(next(iter(feeds.values())))[0], tf.float32)
        looked_at = [values["loss"], *moving]
        overflow = tf.constant(0.0)
        if self.scale is None:
            looked_at += [
                gradient
                for gradient, item in zip(gradients, self.variables)
                if self.options.norms or id(item) not in self.options.shown
            ]
        else:
            # the overflow of a scaled loss is no fault of it
            overflow = 1.0 - tf.cast(_are_finite(gradients, self.options.norms), tf.float32)
            gradients = self.scale.unscale(gradients)
        finite = _are_finite(looked_at, self.options.norms)
        flags = tf.stack([values["wrong"], 1.0 - tf.cast(finite, tf.float32), overflow, items])
        if self.options.strategy is None:
            return values, gradients, flags
        flags = add_replicas(flags)
        values = {**values, "loss": add_replicas(values["loss"] * items / flags[3])}
        return values, gradients, flags

    def _restore(self, before: list[Any]) -> None:
        for item, old in zip(self._moving, before):
            item.assign(old)


def _are_finite(tensors: Sequence[Any], norms: bool) -> Any:
    """Whether no NaN and no Inf is in some tensors, nor in the norm of all where that is needed.

    Of a kernel the sum is looked at, which is finite where all of it is.
    """
    tf = tensorflow()
    flat = []
    for item in tensors:
        dense = tf.cast(tf.convert_to_tensor(item), tf.float32)
        if norms:
            flat.append(tf.reshape(tf.reduce_sum(tf.square(dense)), [1]))
        elif len(dense.shape) > 1:
            flat.append(tf.reshape(tf.reduce_sum(dense), [1]))
        else:
            flat.append(tf.reshape(dense, [-1]))
    together = tf.concat(flat, 0)
    return tf.reduce_all(tf.math.is_finite(tf.reduce_sum(together) if norms else together))
