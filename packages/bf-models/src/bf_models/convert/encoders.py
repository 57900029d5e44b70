"""Files of a network of which a model has the encoder: what is copied, and what the file has beside it."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_models.convert.report import Target


@dataclass(frozen=True, slots=True)
class Lent:
    """The encoder of a model: the network that lends it, and what the model wants by the names there."""

    network: str
    layers: frozenset[str]
    """Names of all layers of that network up to its head, whether the model has them or not."""
    wanted: Mapping[str, Any]
    others: tuple[str, ...]
    """Names of what the model has beside its encoder."""

    def is_meant(self, given: Mapping[str, np.ndarray]) -> bool:
        """Whether arrays are those of the network: some of its encoder, none of what the model has beside."""
        return any(name in given for name in self.wanted) and not any(name in given for name in self.others)

    def leave_out(self, given: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Return arrays without those of the head and of layers behind the last that the model has."""
        roots = {_find_root(name) for name in self.layers}
        return {
            name: array
            for name, array in given.items()
            if name in self.wanted
            or (_find_root(name) in roots and not any(item in self.layers for item in _list_owners(name)))
        }


def find_lent(model: Target, wanted: Mapping[str, Any]) -> Iterator[Lent]:
    """Yield the encoders of a model; ``wanted`` is all that it has by the names of its arrays."""
    borrowed: Mapping[str, Mapping[str, str]] = getattr(model, "borrowed", {})
    for network, layers in borrowed.items():
        theirs: dict[str, Any] = {}
        others = []
        for name, item in wanted.items():
            owner = next((one for one in _list_owners(name) if one in layers), None)
            if owner is None:
                others.append(name)
            else:
                theirs[layers[owner] + name.removeprefix(owner)] = item
        yield Lent(network, frozenset(layers.values()), theirs, tuple(others))


def _list_owners(name: str) -> tuple[str, ...]:
    """Return the names of layers that an array may be of: by torch's names, by those of Keras."""
    return name, name.rpartition(".")[0], name.partition("/")[0]


def _find_root(name: str) -> str:
    return re.split(r"[./]", name)[0]
