"""The event that lets frozen parts of a network learn, epoch by epoch."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Any

from bf_research.training.state import Event, TrainingState, check_count

log = logging.getLogger(__name__)

_EXAMPLE = "such as {3: layer4.*, 5: body}"
_SHOWN = 4


class Unfreeze(Event):
    """Let frozen parts learn after so many epochs: ``Unfreeze({3: 'layer4.*', 5: 'body'})``.

    A part, a layer's name or a pattern is named, or a list of them. The model has methods ``unfreeze`` and
    ``list_layers`` and knows what of it is frozen, as KerasModel does. A training that goes on from a
    checkpoint takes up where it was.
    """

    def __init__(self, epochs: Mapping[int, str | Sequence[str]]) -> None:
        self.epochs = read_epochs(epochs, "Unfreeze")

    def check(self, state: TrainingState) -> None:
        """Refuse a model that freezes nothing, names of no layer, and what learns already: ``ValueError``."""
        model = state.model
        if not hasattr(model, "unfreeze"):
            raise ValueError(f"unfreeze: {type(model).__name__} has no method unfreeze")
        frozen = set(model.frozen_layers)
        for epoch, patterns in self.epochs.items():
            names = {name for pattern in patterns for name in model.list_layers(pattern)}
            if epoch > state.epoch and not names & frozen:
                raise ValueError(
                    f"unfreeze: {', '.join(patterns)} would learn already when {epoch} epochs are done; "
                    "'freeze' names what does not learn from the beginning"
                )
            frozen -= names

    def before(self, state: TrainingState) -> None:
        """Let those learn that would by now, if the training goes on."""
        for epoch in self.epochs:
            if epoch <= state.epoch:
                self._unfreeze(state, epoch)

    def after_epoch(self, state: TrainingState) -> None:
        """Let those learn whose time has come."""
        if state.epoch in self.epochs:
            self._unfreeze(state, state.epoch)

    def _unfreeze(self, state: TrainingState, epoch: int) -> None:
        begun = state.model.unfreeze(*self.epochs[epoch])
        if begun:
            more = f" and {len(begun) - _SHOWN} more" if len(begun) > _SHOWN else ""
            log.info(
                "after epoch %d %s learns too: %s%s",
                state.epoch,
                ", ".join(self.epochs[epoch]),
                ", ".join(begun[:_SHOWN]),
                more,
            )


def read_epochs(given: Any, owner: str) -> dict[int, tuple[str, ...]]:
    """Return patterns by epoch, in the order of the epochs; ``ValueError`` for what are no such."""
    if not isinstance(given, Mapping) or not given:
        raise ValueError(f"{owner} must be a mapping of epochs to parts, {_EXAMPLE}, got {given!r}")
    found = {}
    for epoch, patterns in given.items():
        check_count(epoch, 1, f"{owner}: an epoch, {_EXAMPLE},")
        found[epoch] = read_patterns(patterns, f"{owner}.{epoch}")
    return dict(sorted(found.items()))


def read_patterns(given: Any, owner: str) -> tuple[str, ...]:
    """Return the names of parts and layers in a text or a list; ``ValueError`` for what are none."""
    listed = [given] if isinstance(given, str) else given
    if isinstance(listed, Sequence) and listed and all(isinstance(one, str) and one for one in listed):
        return tuple(listed)
    raise ValueError(
        f"{owner} must be a part, a layer or a pattern of them, or a list of such, got {given!r}"
    )
