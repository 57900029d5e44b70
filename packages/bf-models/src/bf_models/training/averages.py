"""Moving averages of weights, which predictions use in place of the weights."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bf_models._backend import keras
from bf_models.saving.changes import AVERAGE
from bf_models.saving.model_file import network_variables


class Averages:
    """An average of each weight that learns; before the first update it is the weight."""

    def __init__(self, network: Any, momentum: float, names: Sequence[str]) -> None:
        self.momentum = momentum
        known = network_variables(network)
        self._weights = {name: known[name] for name in names}
        self._averages = {
            name: keras().Variable(item.numpy(), trainable=False, dtype=item.dtype, name="average")
            for name, item in self._weights.items()
        }
        self._by_id = {id(item): self._averages[name] for name, item in self._weights.items()}

    def state(self) -> dict[str, Any]:
        """Return the averages by name, as they are saved."""
        return {f"{AVERAGE}{name}": item for name, item in self._averages.items()}

    def choose(self, weight: Any) -> Any:
        """Return the variable that predictions use for a weight."""
        return self._by_id.get(id(weight), weight)

    def update(self, weights: Sequence[Any], first: Any) -> None:
        """Move the averages of some weights towards them; the ``first`` update sets them, as Keras does."""
        for weight in weights:
            average = self._by_id[id(weight)]
            share = (1.0 - self.momentum) * (1.0 - first) + first
            average.assign(average.value + (weight.value - average.value) * share)

    def restart(self) -> None:
        """Begin anew with the weights as they are."""
        for name, item in self._weights.items():
            self._averages[name].assign(item.value)

    def values(self) -> Mapping[str, np.ndarray]:
        """Return the averages as arrays by the names of their weights."""
        return {name: item.numpy() for name, item in self._averages.items()}


def make_averages(momentum: float | None, network: Any, saved: Mapping[str, np.ndarray]) -> Averages | None:
    """Make averages of the weights that learn and of those that have one already; None without a momentum."""
    if momentum is None:
        return None
    learning = {id(item) for item in network.trainable_variables}
    known = network_variables(network)
    chosen = [name for name, item in known.items() if id(item) in learning or AVERAGE + name in saved]
    return Averages(network, momentum, chosen)
