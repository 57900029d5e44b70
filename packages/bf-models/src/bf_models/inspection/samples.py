"""Models to try out in place of one that must stay as it is, and batches of random numbers for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bf_models.config.nested import expand, merge
from bf_models.inspection.layers import show_shape
from bf_models.inspection.networks import sketch_network
from bf_models.losses.terms import LossTerm, read_losses
from bf_models.model import KerasModel

#: A rate at which training steps do all their work and change next to nothing.
_STILL = 1e-12

Arrays = dict[str, np.ndarray]


def describe_model(model: Any) -> tuple[type[KerasModel], dict[str, Any]]:
    """Return the class and the config of a model like this one, untrained, with the shapes of its inputs.

    TypeError for what is no KerasModel; MissingShape when neither the config nor a batch said shapes.
    """
    if not isinstance(model, KerasModel):
        raise TypeError(f"a KerasModel can be tried out, got {type(model).__name__}")
    shapes = {tensor.name: tuple(tensor.shape[1:]) for tensor in sketch_network(model).inputs}
    given = {name: {"shape": shape} for name, shape in shapes.items()}
    config = merge(model.config, expand({"inputs": given}))
    return type(model), {name: value for name, value in config.items() if name != "pretrained"}


def make_model(model: Any) -> KerasModel:
    """Make a model like this one, untrained and built, that learns next to nothing."""
    cls, config = describe_model(model)
    made = cls(config)
    made.rate_factor = _STILL
    return made.build()


def make_batch(
    model: KerasModel, size: int, targets: bool = True, sample: Mapping[str, Any] | None = None
) -> Arrays:
    """Make arrays of ``size`` items by name, of random numbers, or of a ``sample`` batch over and over.

    ValueError for shapes that are not known, and for targets of a loss of one's own: give a sample.
    """
    if sample is not None:
        taken = {name: np.asarray(array) for name, array in sample.items()}
        return {name: array[np.arange(size) % len(array)] for name, array in taken.items()}
    rng = np.random.default_rng(0)
    arrays: Arrays = {}
    for tensor in model.network.inputs:
        shape = tuple(tensor.shape[1:])
        if None in shape:
            raise ValueError(
                f"{model.name}: input {tensor.name!r} has items of {show_shape(shape)}; give the config a "
                f"shape: 'inputs: {{{tensor.name}: {{shape: [224, 224, 3]}}}}'"
            )
        arrays[tensor.name] = rng.random((size, *shape), np.float32)
    if targets:
        for term in read_losses(model.spec.loss, model.name, model.spec.target_names):
            name = term.target or model.spec.target_names[0]
            if name not in arrays:
                arrays[name] = _make_targets(term, model, size, rng)
    return arrays


def _make_targets(term: LossTerm, model: KerasModel, size: int, rng: np.random.Generator) -> np.ndarray:
    network = model.network
    output = network.outputs[0] if term.output is None else network.get_layer(term.output).output
    shape = (size, *output.shape[1:])
    if term.meaning == "own":
        raise ValueError(
            f"{model.name}: what targets of the loss {term.name} are is not known; give a batch of them: "
            "sample={name: array}"
        )
    if term.meaning == "numbers":
        return rng.random(shape, np.float32)
    if term.meaning == "answers" or shape[-1] == 1:
        return rng.integers(0, 2, shape).astype(np.float32 if term.meaning == "answers" else np.int64)
    return rng.integers(0, shape[-1], shape[:-1])
