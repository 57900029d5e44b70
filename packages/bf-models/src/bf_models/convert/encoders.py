"""Files of a network of which a model has the encoder: what is copied, and what the file has beside it."""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Set
from dataclasses import dataclass
from typing import Any

from bf_models.convert.names import find_root
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

    def list_names(self, suffixes: Set[str]) -> set[str]:
        """Return the names that arrays of the network's layers may have, those that are wanted among them."""
        return {layer + suffix for layer in self.layers for suffix in suffixes} | self.wanted.keys()

    def is_meant(self, given: Container[str]) -> bool:
        """Whether arrays are those of the network: some of its encoder, little of what the model has beside.

        A name or two may be those of both heads, such as ``classifier.weight``.
        """
        beside = sum(name in given for name in self.others)
        return any(name in given for name in self.wanted) and (not beside or 2 * beside < len(self.others))

    def leave_out(self, named: Mapping[str, str]) -> dict[str, str]:
        """Return names without those of the head and of layers behind the last that the model has.

        ``named`` are the names of a file by ours: what begins as the encoder's do, here or there, is no head.
        """
        roots = {find_root(name) for name in self.layers}
        roots |= {find_root(theirs) for name, theirs in named.items() if name in self.wanted}
        return {
            name: theirs
            for name, theirs in named.items()
            if name in self.wanted
            or (find_root(name) in roots and not any(item in self.layers for item in _list_owners(name)))
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
