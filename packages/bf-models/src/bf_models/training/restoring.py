"""What a saved training leaves to one that goes on: slots of optimizers by variable, in whichever groups."""

from __future__ import annotations

import logging
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bf_models.training.update import Group

log = logging.getLogger(__name__)
_AGE = "iteration"


def _flatten(variable: Any) -> str:
    """Return the name by which Keras's optimizers call a variable in the names of its slots."""
    return str(variable.path).replace("/", "_")


def _split(saved: Mapping[str, np.ndarray]) -> dict[str, dict[str, np.ndarray]]:
    """Return the arrays of each group by its number: ``0/fc_kernel_momentum`` is of group 0."""
    groups: dict[str, dict[str, np.ndarray]] = defaultdict(dict)
    for name, array in saved.items():
        number, _, rest = name.partition("/")
        if number.isdigit():
            groups[number][rest] = array
    return groups


def _find_group(variable: Any, groups: Mapping[str, Mapping[str, np.ndarray]]) -> str | None:
    """Return the number of the group in which a variable was; None when it did not learn."""
    start = f"{_flatten(variable)}_"
    shape = tuple(variable.shape)
    for number, arrays in groups.items():
        if any(name.startswith(start) and array.shape == shape for name, array in arrays.items()):
            return number
    return None


def find_ages(saved: Mapping[str, np.ndarray], network: Any) -> dict[int, int]:
    """Return how many updates each variable that learns has had, by its id.

    An optimizer without slots, as plain SGD, tells nothing of its variables, and they have had all.
    """
    groups = _split(saved)
    slots = any(len(set(arrays) - {_AGE, "learning_rate"}) for arrays in groups.values())
    ages = {}
    for item in network.trainable_variables:
        number = _find_group(item, groups) if slots else min(groups, default=None)
        if number is not None:
            ages[id(item)] = int(groups[number].get(_AGE, 0))
    return ages


def restore(
    state: Mapping[str, Any], saved: Mapping[str, np.ndarray], groups: Sequence[Group], owner: str
) -> None:
    """Set the variables of a training to what was saved, where it fits; what does not begins anew."""
    if not saved:
        return
    former = _split(saved)
    taken = {number: arrays for number, arrays in former.items() if set(arrays) - {_AGE, "learning_rate"}}
    origins = [_find_group(group.variables[0], taken) for group in groups]
    fresh = []
    for name, item in state.items():
        number, _, rest = name.partition("/")
        array = saved.get(name)
        if number.isdigit():
            origin = origins[int(number)] if taken else min(former, default=None)
            order = () if origin is None else (former[origin], *former.values())
            array = next((arrays[rest] for arrays in order if rest in arrays), None)
        if array is None or array.shape != tuple(item.shape):
            if not (number.isdigit() and taken and origin is None):  # of what begins to learn now
                fresh.append(name)
        else:
            item.assign(array)
    if fresh:
        log.info(
            "%s: %d of %d arrays of the training begin anew: %s", owner, len(fresh), len(state), fresh[:8]
        )
