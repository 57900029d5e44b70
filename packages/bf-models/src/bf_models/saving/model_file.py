"""Saving and loading of models: config, weights and optimizer; never code."""

from __future__ import annotations

import contextlib
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

import numpy as np

from bf_index.errors import escape
from bf_index.names import TargetError
from bf_models.config.nested import expand, merge
from bf_models.errors import CorruptModel, ModelStateError, unknown
from bf_models.network.build import bounded_by, check_outputs
from bf_models.saving import archive
from bf_models.saving.changes import (
    assign_fitting,
    carry_over,
    change_config,
    changes_head,
    count_classes,
    find_averages,
)

_MOST_LETTERS, _LETTERS_AN_ARRAY = 20_000, 100
"""Letters in the texts of a file's config: a layout has one for each layer."""


class Saveable(Protocol):
    """What is saved and loaded: a config, the network that is built of it, and how far it has learnt."""

    name: str
    config: dict[str, Any]
    iterations: int
    skipped: int

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        """Check the config."""

    @property
    def network(self) -> Any:
        """The keras.Model."""

    def build(self, inputs: Any = None) -> Self:
        """Build the network."""

    def head_layers(self) -> list[str]:
        """Return the names of the layers of the head."""

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Return arrays of the optimizers by name."""

    def restore_state(self, optimizer: Mapping[str, np.ndarray], iterations: int, skipped: int) -> None:
        """Go on from a saved state."""


T = TypeVar("T", bound=Saveable)


def name_variables(variables: Iterable[Any]) -> dict[str, Any]:
    """Return variables by their paths, a repeated path numbered."""
    found: dict[str, Any] = {}
    for item in variables:
        name, number = item.path, 1
        while name in found:
            number += 1
            name = f"{item.path}#{number}"
        found[name] = item
    return found


def network_variables(network: Any) -> dict[str, Any]:
    """Return the variables of a network by names that are the same in every process.

    Keras numbers the seeds of dropout layers by how many there were in the process: here they are named by
    their layer.
    """
    found: dict[str, Any] = {}
    for layer in network.layers:
        for path, item in name_variables(layer.variables).items():
            own = path == layer.name or path.startswith(f"{layer.name}/")
            found[path if own else f"{layer.name}/{path.partition('/')[2]}"] = item
    return found


def read_values(variables: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the values of variables as arrays."""
    return {name: item.numpy() for name, item in variables.items()}


def assign(variables: Mapping[str, Any], arrays: Mapping[str, np.ndarray], where: str) -> None:
    """Set variables to arrays; ModelStateError when names or shapes differ, before anything is set."""
    wrong = [
        f"{name}: {tuple(arrays[name].shape) if name in arrays else 'missing'}, expected {tuple(item.shape)}"
        for name, item in variables.items()
        if name not in arrays or tuple(arrays[name].shape) != tuple(item.shape)
    ]
    wrong += [f"{name}: unexpected" for name in arrays if name not in variables]
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ModelStateError(f"{escape(where)} is of another architecture: {shown}")
    for name, item in variables.items():
        item.assign(arrays[name])


@dataclass(frozen=True)
class Snapshot:
    """A model as it was at one moment, to be saved while it is trained on."""

    saved: archive.Saved

    def save(self, path: str | Path) -> None:
        """Save it into one file, whole or not at all, as ``model.save`` would have done."""
        archive.write(Path(path), self.saved)


def snapshot(model: Saveable, training: Mapping[str, np.ndarray] | None = None) -> Snapshot:
    """Copy all that is saved of a built model; ``training`` is saved in place of its optimizer's state."""
    try:
        config = json.loads(json.dumps(_copy_plain(model.config)))
    except TypeError as error:
        raise TypeError(
            f"{model.name}.save: the config holds an object, {escape(error)}; name it by '_target_: "
            "package.module.name' instead"
        ) from error
    description = {
        "model": model.name,
        "config": config,
        "shapes": {item.name: list(item.shape[1:]) for item in model.network.inputs},
        "iterations": model.iterations,
        "skipped": model.skipped,
    }
    weights = read_values(network_variables(model.network))
    training = model.optimizer_state() if training is None else training
    return Snapshot(archive.Saved(description, weights, training))


def save(model: Saveable, path: Path) -> None:
    """Save a built model into one file."""
    snapshot(model).save(path)


def _copy_plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _copy_plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_copy_plain(item) for item in value]
    if isinstance(value, os.PathLike):
        return os.fspath(value)
    return value.item() if isinstance(value, np.generic) else value


def load(
    cls: type[T],
    path: Path,
    allow: Sequence[str],
    changes: Mapping[str, Any],
    others: Mapping[str, type[T]] | None = None,
) -> T:
    """Make the model that a file holds; ModelStateError when it is not ``cls`` and not one of ``others``.

    ``others`` are classes by lower-case name that the file may name instead; None is none.
    """
    saved = archive.load(path)
    description = _check_description(saved.description, path)
    model_class = _find_class(cls, str(description.get("model")), path, others)
    with _explained(path, changes), bounded_by(saved.weights, path, count_classes(changes)):
        # the person who loads decides which packages are trusted, never the file
        former = {
            key: value
            for key, value in description["config"].items()
            if key.partition("/")[0] not in ("allow", "pretrained", "new_head")
        }
        # a file without a stem is older than the choice by size, and its network was built with this one
        config = change_config({"stem": "imagenet", **former}, changes)
        if allow:
            config["allow"] = list(allow)
        shapes = {key: {"shape": shape} for key, shape in description["shapes"].items()}
        config["inputs"] = merge(config.get("inputs") or {}, shapes)
        _check_letters(config, len(saved.weights), path)
        model = model_class(config).build()
        check_outputs(model.network, path)
    variables = network_variables(model.network)
    if changes_head(changes):
        other = "head" in expand(changes)
        assign_fitting(variables, saved.weights, set(model.head_layers()), str(path), other)
    else:
        assign(variables, saved.weights, str(path))
    state = carry_over(saved.optimizer, former, config, _name_slots(variables))
    model.restore_state(state, description["iterations"], description["skipped"])
    return model


def is_seed(name: str) -> bool:
    """Whether a variable of a network is the state of random numbers and no weight."""
    return name.endswith("seed_generator_state")


def read_weights(path: Path) -> dict[str, np.ndarray]:
    """Return the weights of a saved model by name, those that predict: averages where there are any."""
    saved = archive.load(path)
    weights = {name: array for name, array in saved.weights.items() if not is_seed(name)}
    return {**weights, **find_averages(saved.optimizer, _name_slots(weights))}


def read_stem(path: Path) -> str:
    """Return the stem that a saved model was built with."""
    description = _check_description(archive.load(path).description, path)
    return str(description["config"].get("stem", "imagenet"))


def describe(path: Path) -> str:
    """Return in words which network a saved model is: ``ResNet18 of stem 'small' for images (28, 28, 1)``."""
    description = _check_description(archive.load(path).description, path)
    shapes = [f"{escape(name)} {tuple(shape)}" for name, shape in description["shapes"].items()]
    stem = escape(repr(description["config"].get("stem", "imagenet")))
    return f"{escape(description.get('model'))} of stem {stem} for {', '.join(shapes)}"


def _name_slots(weights: Iterable[str]) -> dict[str, str]:
    """Return names of weights by those that they have in the slots of Keras's optimizers."""
    return {name.replace("/", "_"): name for name in weights}


def _check_description(description: Mapping[str, Any], path: Path) -> Mapping[str, Any]:
    """Return the description of a model; CorruptModel when a part is missing or of another kind."""
    for name, kind in (("config", dict), ("shapes", dict), ("iterations", int), ("skipped", int)):
        value = description.get(name)
        if not isinstance(value, kind) or (isinstance(value, int) and value < 0):
            raise CorruptModel(
                f"{escape(path)}, model.json: {name!r} is {str(value)[:80]!r}, no {kind.__name__}"
            )
    return description


def _check_letters(config: Any, arrays: int, path: Path) -> None:
    """Refuse texts and mappings of a config that could make layers without weights beyond all reason."""
    most = _MOST_LETTERS + _LETTERS_AN_ARRAY * arrays
    letters, waiting = 0, [config]
    while waiting and letters <= most:
        part = waiting.pop()
        if isinstance(part, str):
            letters += len(part)
        elif isinstance(part, Mapping):
            letters += len(part)
            waiting.extend((*part, *part.values()))
        elif isinstance(part, list | tuple):
            waiting.extend(part)
    if letters > most:
        raise ModelStateError(
            f"{escape(path)}: the texts of its config have more than {most:,} letters, each of which may be "
            f"a layer, and it holds {arrays} arrays"
        )


@contextlib.contextmanager
def _explained(path: Path, changes: Mapping[str, Any]) -> Iterator[None]:
    """Make a ModelStateError of what a file's config does wrong; with changes of the caller it may be his."""
    try:
        yield
    except TargetError as error:
        raise TargetError(f"{escape(path)}, model.json: {escape(error)}") from error
    except (OSError, ImportError, ModelStateError):
        raise
    except Exception as error:
        if changes:
            error.add_note(f"while the model of {escape(path)} was built with the changes {dict(changes)!r}")
            raise
        raise ModelStateError(
            f"{escape(path)}: no model comes of its config: {type(error).__name__}: {escape(error)}"
        ) from error


def _find_class(cls: type[T], name: str, path: Path, others: Mapping[str, type[T]] | None) -> type[T]:
    if cls.__name__ == name:
        return cls
    if others is None:
        raise ModelStateError(
            f"{escape(path)} holds the model {name!r}, not {cls.__name__!r}; load it by its own class"
        )
    if name.lower() not in others:
        raise ModelStateError(unknown("model", name, others, str(path)) + "; load it by its own class")
    return others[name.lower()]
