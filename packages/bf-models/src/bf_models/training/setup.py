"""From a spec and a network to the steps that train it: groups of weights, replicas, precision."""

from __future__ import annotations

import functools
import hashlib
import signal
import threading
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bf_models._backend import keras, tensorflow
from bf_models.config.spec import PRECISIONS, ModelSpec
from bf_models.losses.terms import LossTerm
from bf_models.network.build import on_device
from bf_models.optim import OptimizerSpec, Progress
from bf_models.training.averages import make_averages
from bf_models.training.gradients import GradientOptions, Gradients
from bf_models.training.restoring import find_ages, restore
from bf_models.training.steps import StepOptions, Steps
from bf_models.training.trainable import Boundaries, freeze, group_variables
from bf_models.training.update import LossScale, Updater
from bf_models.training.witnesses import find_shown

_SIGNALS = (signal.SIGINT, signal.SIGTERM)


def make_strategy(spec: ModelSpec) -> Any:
    """Make the strategy of the config: ``mirrored`` takes all GPUs, or all logical CPUs where there is none.

    ``multiworker`` reads TF_CONFIG, and must be made before TensorFlow does anything else. All models of a
    process have one strategy of a kind: the collectives of two would take each other's numbers.
    """
    if spec.strategy is None:
        return None
    if spec.strategy == "multiworker":
        return _join_workers()
    config = tensorflow().config
    devices = config.list_logical_devices("GPU") or config.list_logical_devices("CPU")
    return _mirror(tuple(device.name for device in devices))


@functools.cache
def _join_workers() -> Any:
    """Wait for all workers; TensorFlow hears no signal meanwhile, so Ctrl-C and SIGTERM end the process.

    ``ConnectionError`` when they did not all come within the hour that TensorFlow waits.
    """
    tf = tensorflow()
    here = threading.current_thread() is threading.main_thread()  # Python lets no other thread set them
    before = {number: signal.signal(number, signal.SIG_DFL) for number in _SIGNALS} if here else {}
    try:
        return tf.distribute.MultiWorkerMirroredStrategy()
    except tf.errors.DeadlineExceededError as error:
        raise ConnectionError(
            "strategy=multiworker: not all workers of TF_CONFIG came within the hour that TensorFlow waits; "
            "see what each of them wrote, then start all with the same commands"
        ) from error
    finally:
        for number, handler in before.items():
            signal.signal(number, signal.SIG_DFL if handler is None else handler)


@functools.cache
def _mirror(devices: tuple[str, ...]) -> Any:
    return tensorflow().distribute.MirroredStrategy(list(devices))


def make_deterministic(spec: ModelSpec) -> None:
    """Ask TensorFlow for kernels that return the same bits every time, for the whole process."""
    if spec.deterministic:
        tensorflow().random.set_seed(spec.seed or 0)
        tensorflow().config.experimental.enable_op_determinism()


def wants_jit(spec: ModelSpec) -> bool:
    """Whether XLA compiles the step: by ``auto`` on a GPU only.

    XLA does not call oneDNN's convolutions: on a CPU a compiled step took four times as long.
    """
    if spec.jit != "auto":
        return bool(spec.jit)
    if spec.microbatch or spec.strategy or (spec.device or "").lower().startswith("cpu"):
        return False
    return bool(tensorflow().config.list_logical_devices("GPU"))


def make_step_options(
    owner: str, spec: ModelSpec, losses: tuple[LossTerm, ...], strategy: Any, binary: bool
) -> StepOptions:
    """Make the options of the steps of a network; ValueError without a loss."""
    if not losses:
        raise ValueError(f"{owner}: a model without a loss cannot be trained; set 'loss' in the config")
    return StepOptions(
        owner,
        spec.input_names,
        spec.target_names,
        losses,
        allow=spec.allow,
        jit=wants_jit(spec),
        device=spec.device,
        strategy=strategy,
        class_weights=read_class_weights(spec, losses, owner),
        binary=binary,
    )


def make_steps(
    options: StepOptions,
    spec: ModelSpec,
    network: Any,
    boundaries: Boundaries,
    optimizer: OptimizerSpec,
    saved: Mapping[str, np.ndarray],
) -> Steps:
    """Make the steps that train: optimizers made, weights frozen and grouped by their learning rates.

    ``saved`` is the state of an earlier training, of which is taken what fits.
    """
    if spec.strategy == "multiworker":
        _check_same_start(options, network, saved)
    freeze(spec.freeze, network, boundaries, options.owner)
    update, clipping = optimizer.update, optimizer.update.clipping
    with on_device(spec.device):
        progress = None
        if optimizer.schedule is not None:
            variable = keras().Variable
            progress = Progress(
                variable(0, dtype="int64", trainable=False, name="position"),
                variable(1.0, trainable=False, name="rate_factor"),
            )
        ages = find_ages(saved, network)
        rates, decay, owner = spec.learning_rates, spec.layer_decay, options.owner
        groups = group_variables(rates, decay, optimizer, network, boundaries, owner, ages, progress)
        averages = make_averages(update.ema, network, saved)
        updater = Updater(network, groups, update, averages, progress, options.strategy)
        scale = LossScale() if PRECISIONS[spec.precision] == "mixed_float16" else None
        norms = clipping is not None and clipping.kind != "clipvalue"
        # a loss of a layer inside adds to the gradient of what that layer returns
        inside = any(term.output for term in options.losses)
        shown = frozenset() if inside else find_shown(network)
        made = GradientOptions(spec.microbatch, options.strategy, norms, shown)
        gradients = Gradients(network, updater, scale, made)
        restore(gradients.state(), saved, groups, owner)
        return Steps(network, options, gradients, averages)


def _check_same_start(options: StepOptions, network: Any, saved: Mapping[str, np.ndarray]) -> None:
    """Raise ``ValueError`` in all workers unless they begin with the same bits of weights and optimizers."""
    tf, strategy = tensorflow(), options.strategy
    digest = hashlib.sha256()
    for array in (*(item.numpy() for item in network.weights), *(saved[name] for name in sorted(saved))):
        digest.update(np.ascontiguousarray(array).tobytes())
    own = np.frombuffer(digest.digest()[:8], np.int64)
    found = strategy.gather(strategy.run(lambda: tf.constant(own)), axis=0).numpy()
    if (found != own).any():
        raise ValueError(
            f"{options.owner}: workers of 'multiworker' begin with different weights or optimizers, "
            "and would not train one model; let all load the same checkpoint, from a disk that all can read"
        )


def read_class_weights(spec: ModelSpec, losses: Sequence[LossTerm], owner: str) -> tuple[float, ...] | None:
    """Read the weight of each class from a list, or a mapping of some; ValueError for unknown classes.

    One output of a yes or no has two classes. ValueError where no loss has classes that could be weighed.
    """
    given, classes = spec.class_weights, spec.classes
    if given is None:
        return None
    terms = [term for term in losses if not term.of_numbers and not term.areas]
    if not terms:
        raise ValueError(
            f"{owner}: class_weights do not go with loss {', '.join(term.name for term in losses)}: "
            "'ce', 'bce' and the like have classes that weigh"
        )
    if (classes in (None, 1) and terms[0].meaning == "answers") or (classes == 1 and terms[0].one_output):
        classes = 2
    if classes is None:
        raise ValueError(
            f"{owner}: class_weights need the number of classes; set 'num_classes' in the config"
        )
    if not isinstance(given, Mapping):
        if len(given) != classes:
            raise ValueError(f"{owner}: {len(given)} class_weights for {classes} classes")
        return tuple(float(item) for item in given)
    wrong = [label for label in given if not 0 <= int(label) < classes]
    if wrong:
        raise ValueError(f"{owner}: class_weights name the classes {wrong}, there are 0..{classes - 1}")
    weights = {int(label): float(weight) for label, weight in given.items()}
    return tuple(weights.get(label, 1.0) for label in range(classes))
