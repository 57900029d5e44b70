"""From a spec and a network to the steps that train it: groups of weights, replicas, precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bf_models._backend import tensorflow
from bf_models.config.spec import PRECISIONS, ModelSpec
from bf_models.losses import LossTerm
from bf_models.network.build import on_device
from bf_models.optim import OptimizerSpec
from bf_models.training.gradients import Gradients, UpdateOptions
from bf_models.training.steps import StepOptions, Steps
from bf_models.training.trainable import Boundaries, freeze, group_variables


def make_strategy(spec: ModelSpec) -> Any:
    """Make the strategy of the config: ``mirrored`` takes all GPUs, or all logical CPUs where there is none.

    ``multiworker`` reads TF_CONFIG, and must be made before TensorFlow does anything else.
    """
    if spec.strategy is None:
        return None
    distribute = tensorflow().distribute
    if spec.strategy == "multiworker":
        return distribute.MultiWorkerMirroredStrategy()
    devices = tensorflow().config.list_logical_devices("GPU") or tensorflow().config.list_logical_devices(
        "CPU"
    )
    return distribute.MirroredStrategy([device.name for device in devices])


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
        class_weights=read_class_weights(spec, owner),
        binary=binary,
    )


def make_steps(
    options: StepOptions, spec: ModelSpec, network: Any, boundaries: Boundaries, optimizer: OptimizerSpec
) -> Steps:
    """Make the steps that train: optimizers made, weights frozen and grouped by their learning rates."""
    freeze(spec.freeze, network, boundaries, options.owner)
    update = UpdateOptions(spec.microbatch, PRECISIONS[spec.precision] == "mixed_float16", options.strategy)
    with on_device(spec.device):
        groups = group_variables(spec.learning_rates, optimizer, network, boundaries, options.owner)
        return Steps(network, options, Gradients(network, groups, update))


def read_class_weights(spec: ModelSpec, owner: str) -> tuple[float, ...] | None:
    """Read the weight of each class from a list, or a mapping of some; ValueError for unknown classes."""
    given, classes = spec.class_weights, spec.classes
    if given is None:
        return None
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
