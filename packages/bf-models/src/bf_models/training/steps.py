"""Training and prediction steps: one traced function a signature, little work on the host."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras, tensorflow
from bf_models.losses.terms import LossTerm
from bf_models.losses.weighing import multiply
from bf_models.network.build import on_device
from bf_models.training.averages import Averages
from bf_models.training.feeds import WEIGHTS
from bf_models.training.fetches import find_outputs
from bf_models.training.gradients import Gradients
from bf_models.training.matching import (
    check_shapes,
    explain_wrong,
    find_class_weights,
    match,
    match_weights,
    weigh_kept,
)
from bf_models.training.norm import NormMeter
from bf_models.training.verdict import Verdict

Arrays = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class StepOptions:
    """What a step is made of, beside the network and the optimizer."""

    owner: str
    inputs: tuple[str, ...]
    targets: tuple[str, ...]
    losses: tuple[LossTerm, ...]
    allow: tuple[str, ...] = ()
    jit: bool = False
    device: str | None = None
    strategy: Any = None
    class_weights: tuple[float, ...] | None = None
    binary: bool = False


class Steps:
    """Traced functions of one network; a new one for each signature of arrays and set of fetched names."""

    def __init__(
        self, network: Any, options: StepOptions, gradients: Gradients | None, averages: Averages | None
    ) -> None:
        self.network, self.options, self.gradients = network, options, gradients
        self.averages = averages
        self.losses = [(term, term.make(options.allow)) for term in options.losses]
        self._functions: dict[Any, Callable[..., Any]] = {}
        # half the time of convert_to_tensor for an array
        self._tensor = tensorflow().constant
        self.traces = 0

    @property
    def meter(self) -> NormMeter | None:
        """What measures norms of gradients; None where nothing is trained, and for replicas."""
        return None if self.gradients is None else self.gradients.meter

    def run(self, arrays: Arrays, names: tuple[str, ...], training: bool) -> dict[str, Any]:
        """Make one step; return fetched tensors by name, and ``verdict`` in training and with a loss.

        ValueError names a target that its loss cannot have; the step changed nothing then. ConnectionError
        where another worker that takes part has died.
        """
        kinds = [(name, a.dtype, a.shape if self.options.jit else a.shape[1:]) for name, a in arrays.items()]
        key = (training, names, tuple(kinds))
        function = self._functions.get(key)
        try:
            if function is None:
                function = self._functions[key] = self._trace(arrays, names, training)
            if self.options.device is None:
                values: dict[str, Any] = function(*map(self._tensor, arrays.values()))
            else:
                with on_device(self.options.device):
                    values = function(*map(self._tensor, arrays.values()))
        except (tensorflow().errors.ResourceExhaustedError, MemoryError) as error:
            length = len(next(iter(arrays.values())))
            raise MemoryError(
                f"{self.options.owner}: out of memory for a batch of {length} items; use a smaller "
                f"batch_size, or 'microbatch: {max(1, length // 2)}' in the config"
            ) from error
        except lost_worker_errors() as error:
            raise explain_lost_worker(error, self.options.owner, self.options.strategy) from error
        if training or "loss" in names:
            values["verdict"] = int(values["verdict"])
            if values["verdict"] == Verdict.WRONG_TARGETS:
                raise ValueError(self._explain(arrays))
        return values

    def _explain(self, arrays: Arrays) -> str:
        """Return what is wrong with the targets of a step that was refused for them."""
        weighted = self.options.class_weights is not None
        for term, _ in self.losses:
            if term.meaning == "own" and not weighted:
                continue
            name = term.target or self.options.targets[0]
            output = self._output_shape(term)
            found = explain_wrong(term, arrays[name], name, output, self.options.owner)
            if found is not None:
                return found
        raise AssertionError("the step that counted wrong targets saw one")

    def _output_shape(self, term: LossTerm) -> tuple[int | None, ...]:
        """Return the shape of an item of the output that a term compares."""
        found = find_outputs((term.output or "predictions",), self.network, self.options.owner)
        shape = tuple((*found.values(), self.network.outputs[0])[0].shape[1:])
        return shape or (1,)

    def _trace(self, arrays: Arrays, names: tuple[str, ...], training: bool) -> Callable[..., Any]:
        tf = tensorflow()
        self._check_shapes(arrays, with_loss=training or "loss" in names)
        keys = tuple(arrays)
        tapped = find_outputs(
            (*names, *(term.output for term in self.options.losses if term.output)),
            self.network,
            self.options.owner,
        )
        network = self.network
        if tapped:
            network = keras().Model(network.inputs, [network.outputs[0], *tapped.values()])
        body = self._train if training else self._predict

        def step(*tensors: Any) -> Any:
            return body(network, dict(zip(keys, tensors)), names, tuple(tapped))

        self.traces += 1
        if training and self.options.strategy is not None:
            return self._spread_over_replicas(tf.function(step, autograph=False, reduce_retracing=True))
        signature = [
            tf.TensorSpec(a.shape if self.options.jit else (None, *a.shape[1:]), a.dtype, name=name)
            for name, a in arrays.items()
        ]
        function = tf.function(
            step, input_signature=signature, autograph=False, jit_compile=self.options.jit or None
        )
        with on_device(self.options.device):
            return function.get_concrete_function()  # type: ignore[no-any-return]

    def _spread_over_replicas(self, function: Callable[..., Any]) -> Callable[..., Any]:
        """Deal a batch to the replicas of this process, as evenly as can be."""
        strategy = self.options.strategy

        def run(*tensors: Any) -> Any:
            count = len(strategy.extended.worker_devices)
            length = len(tensors[0])
            if length < count:
                raise ValueError(
                    f"{self.options.owner}: a batch of {length} items cannot be dealt to {count} replicas; "
                    "use a larger batch_size, or drop_last"
                )
            edges = [length * number // count for number in range(count + 1)]

            def deal(tensor: Any) -> Any:
                def take_part(context: Any) -> Any:
                    number = context.replica_id_in_sync_group % count
                    return tensor[edges[number] : edges[number + 1]]

                return strategy.experimental_distribute_values_from_function(take_part)

            return function(*map(deal, tensors))

        return run

    def _check_shapes(self, arrays: Arrays, with_loss: bool) -> None:
        for tensor, name in zip(self.network.inputs, self.options.inputs):
            expected, got = tuple(tensor.shape[1:]), tuple(arrays[name].shape[1:])
            if not _fits(expected, got):
                raise ValueError(
                    f"{self.options.owner}: input {name!r} has items of shape {got}, but the model was "
                    f"built for {expected}; resize the items, or build another model"
                )
        for term, _ in self.losses if with_loss else ():
            target = term.target or self.options.targets[0]
            check_shapes(term, arrays, target, WEIGHTS, self._output_shape(term), self.options.owner)

    def _forward(self, network: Any, feeds: Arrays, tapped: Sequence[str], training: bool) -> dict[str, Any]:
        tf = tensorflow()
        inputs: Any = [
            _match_rank(tf.cast(feeds[name], tf.float32), len(tensor.shape))
            for name, tensor in zip(self.options.inputs, network.inputs)
        ]
        inputs = inputs if len(inputs) > 1 else inputs[0]
        if self.averages is not None and not training:
            weights = [self.averages.choose(item).value for item in network.trainable_variables]
            fixed = [item.value for item in network.non_trainable_variables]
            outputs, _ = network.stateless_call(weights, fixed, inputs, training=False)
        else:
            outputs = network(inputs, training=training)
        outputs = outputs if isinstance(outputs, list | tuple) else [outputs]
        return dict(zip(("predictions", *tapped), outputs))

    def loss(self, values: Mapping[str, Any], feeds: Arrays) -> tuple[Any, Any]:
        """Return the sum of the terms of the loss and the number of wrong targets, float32 scalars."""
        tf = tensorflow()
        total, wrong = tf.constant(0.0), tf.constant(0.0)
        for term, function in self.losses:
            outputs = tf.cast(values[term.output or "predictions"], tf.float32)
            outputs = outputs if outputs.shape.rank > 1 else outputs[:, None]
            matched = match(
                term,
                feeds[term.target or self.options.targets[0]],
                outputs,
                self.options.class_weights is not None,
            )
            weights = None if WEIGHTS not in feeds else match_weights(feeds[WEIGHTS], outputs)
            if self.options.class_weights is not None:
                factors = tf.constant(self.options.class_weights)
                of_class = find_class_weights(term, matched, outputs, factors, self.options.owner)
                if of_class is not None:
                    weights = multiply(of_class, weights)
            wrong += matched.wrong
            more: dict[str, Any] = {}
            if matched.kept is not None and term.areas:
                more["kept"] = matched.kept
            elif matched.kept is not None:
                weights = multiply(weigh_kept(matched.kept), weights)
            value = function(matched.targets, outputs, sample_weight=weights, **more)
            total += term.weight * tf.cast(value, tf.float32)
        return total, wrong

    def _pick(self, values: dict[str, Any], names: Sequence[str]) -> dict[str, Any]:
        tf = tensorflow()
        logits = values["predictions"]
        if "proba" in names:
            values["proba"] = tf.nn.sigmoid(logits) if self.options.binary else tf.nn.softmax(logits)
        if "labels" in names:
            values["labels"] = tf.cast(logits > 0, tf.int64) if self.options.binary else tf.argmax(logits, -1)
        return {name: values[name] for name in names}

    def _predict(
        self, network: Any, feeds: Arrays, names: Sequence[str], tapped: Sequence[str]
    ) -> dict[str, Any]:
        values = self._forward(network, feeds, tapped, training=False)
        if "loss" not in names:
            return self._pick(values, names)
        tf = tensorflow()
        values["loss"], wrong = self.loss(values, feeds)
        verdict = tf.where(wrong > 0, int(Verdict.WRONG_TARGETS), int(Verdict.GOOD))
        return {**self._pick(values, names), "verdict": verdict}

    def _train(
        self, network: Any, feeds: Arrays, names: Sequence[str], tapped: Sequence[str]
    ) -> dict[str, Any]:
        tf = tensorflow()

        def forward(part: Arrays) -> tuple[Any, dict[str, Any]]:
            values = self._forward(network, part, tapped, training=True)
            values["loss"], values["wrong"] = self.loss(values, part)
            if self.network.losses:
                values["loss"] += tf.add_n([tf.cast(item, tf.float32) for item in self.network.losses])
            return values["loss"], self._pick(values, (*names, "loss", "wrong"))

        outputs = dict(zip(("predictions", *tapped), network.outputs))
        kinds = {
            name: outputs[name].dtype if name in outputs else "float32" for name in names if name != "loss"
        }
        if "labels" in kinds:
            kinds["labels"] = "int64"
        assert self.gradients is not None, "a training step has an optimizer"
        values, verdict = self.gradients.step(forward, feeds, kinds)
        del values["wrong"]
        if self.options.strategy is not None:
            local = {
                name: self.options.strategy.experimental_local_results(item) for name, item in values.items()
            }
            values = {
                name: parts[0] if name == "loss" else tf.concat(parts, 0) for name, parts in local.items()
            }
        return {**{name: values[name] for name in names}, "loss": values["loss"], "verdict": verdict}


def _fits(expected: tuple[int | None, ...], got: tuple[int | None, ...]) -> bool:
    """Whether sizes agree; an axis of one channel may be left out, or be there in vain."""
    if len(got) == len(expected) + 1 and got[-1] == 1:
        got = got[:-1]
    elif len(got) == len(expected) - 1 and expected[-1] == 1:
        expected = expected[:-1]
    return len(expected) == len(got) and all(a is None or a == b for a, b in zip(expected, got))


def _match_rank(x: Any, rank: int) -> Any:
    """Add or drop the axis of one channel."""
    if x.shape.rank == rank:
        return x
    return x[..., None] if x.shape.rank < rank else x[..., 0]


def lost_worker_errors() -> tuple[type[Exception], ...]:
    """Return the errors of TensorFlow that a worker gets when another one can't be reached any more."""
    errors = tensorflow().errors
    return errors.UnavailableError, errors.AbortedError


def explain_lost_worker(error: Exception, owner: str, strategy: Any) -> Exception:
    """Return an error that says which worker is lost and what to do; the same one where there are no others.

    TensorFlow finds out by heartbeats, about ten seconds after the worker has died or can't be reached.
    """
    if getattr(strategy, "cluster_resolver", None) is None:
        return error
    found = re.search(r"/job:(\w+)/(?:replica:\d+/)?task:(\d+)", str(error))
    who = f"{found[1]} {found[2]} of TF_CONFIG" if found else "a worker of TF_CONFIG"
    return ConnectionError(
        f"{owner}: {who} has died or can't be reached, so the training can't go on; see what it wrote, then "
        "start all workers again with the same commands: they go on from the newest checkpoint"
    )
