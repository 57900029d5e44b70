"""What a change of the config makes of a saved model: which keys give way, what of the training goes on."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from bf_index.errors import escape
from bf_models.config.nested import expand, merge
from bf_models.errors import ModelStateError
from bf_models.optim import OPTIMIZERS, read_named

#: State of averages in a file, before the name of the weight.
AVERAGE = "average/"
_GATHERED = "accumulated"
#: Keys whose change may give the head another shape.
_OF_HEAD = ("num_classes", "inputs", "head")


def change_config(config: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a saved config with changes: another optimizer, loss or part takes the place of the former.

    Classes that are changed by one key are no longer those of another.
    """
    base, new = dict(config), expand(changes)
    for key, value in new.items():
        former = base.get(key)
        if isinstance(former, str) and isinstance(value, Mapping):
            former = base[key] = {"name": former}
        if isinstance(former, Mapping) and isinstance(value, Mapping) and _names_another(former, value):
            del base[key]
    named = {name for name, item in (new.get("inputs") or {}).items() if _has_classes(item)}
    if named or new.get("num_classes") is not None:
        base.pop("num_classes", None)
        inputs = base.get("inputs") or {}
        base["inputs"] = {
            name: {key: value for key, value in item.items() if key != "classes" or name in named}
            if isinstance(item, Mapping)
            else item
            for name, item in inputs.items()
        }
        for name, item in inputs.items():
            if _has_classes(item):  # what had classes is a target still
                base["inputs"][name] = {**base["inputs"][name], "target": True}
    return merge(base, new)


def _has_classes(item: Any) -> bool:
    return isinstance(item, Mapping) and item.get("classes") is not None


def _names_another(former: Mapping[str, Any], value: Mapping[str, Any]) -> bool:
    names = [key for key in ("name", "_target_") if key in value]
    return any(str(former.get(key)).lower() != str(value[key]).lower() for key in names)


def changes_head(changes: Mapping[str, Any]) -> bool:
    """Whether changes of a config may ask for another head than a file has."""
    return any(key in _OF_HEAD for key in expand(changes))


def count_classes(changes: Mapping[str, Any]) -> int:
    """Return the number of classes that changes ask for; 0 where they name none."""
    new = expand(changes)
    items = (new.get("inputs") or {}).values()
    named = [int(item["classes"]) for item in items if _has_classes(item)]
    return max([*named, int(new.get("num_classes") or 0)])


def assign_fitting(
    variables: Mapping[str, Any],
    arrays: Mapping[str, np.ndarray],
    head: set[str],
    where: str,
    other_head: bool,
) -> None:
    """Set variables to arrays; those of the head that do not fit keep their own values.

    ``head`` are names of layers. ModelStateError when others differ, or when arrays are left and the head is
    not another one; nothing is set then.
    """
    fitting, wrong = [], []
    for name, item in variables.items():
        array = arrays.get(name)
        if array is not None and tuple(array.shape) == tuple(item.shape):
            fitting.append((item, array))
        elif name.partition("/")[0] not in head:
            found = "missing" if array is None else tuple(array.shape)
            wrong.append(f"{name}: {found}, expected {tuple(item.shape)}")
    if not other_head:
        wrong += [f"{name}: unexpected" for name in arrays if name not in variables]
    if wrong:
        shown = "; ".join(wrong[:5]) + (f"; and {len(wrong) - 5} more" if len(wrong) > 5 else "")
        raise ModelStateError(f"{escape(where)} is of another architecture: {shown}")
    for item, array in fitting:
        item.assign(array)


def carry_over(
    state: Mapping[str, np.ndarray],
    former: Mapping[str, Any],
    config: Mapping[str, Any],
    names: Mapping[str, str],
) -> dict[str, np.ndarray]:
    """Return what of a saved training goes on under a config.

    Slots of another optimizer do not, nor the position of another schedule, nor gradients that were gathered
    for another number of steps. ``names`` are those of weights by their names in slots.
    """
    kept: dict[str, np.ndarray] = {}
    same = _target(former, "optimizer", OPTIMIZERS) == _target(config, "optimizer", OPTIMIZERS)
    steps = former.get("accumulate") == config.get("accumulate")
    kept.update((AVERAGE + name, array) for name, array in find_averages(state, names).items())
    for key, array in state.items():
        first, _, rest = key.partition("/")
        older = first.isdigit() and rest.endswith("_average")
        if same and not older and rest != "learning_rate" and (steps or first != _GATHERED):
            kept.setdefault(key, array)
    if former.get("schedule") != config.get("schedule"):
        kept.pop("position", None)
    elif config.get("schedule") is not None and "position" not in kept:
        ages = [array for key, array in kept.items() if key.partition("/")[2] == "iteration"]
        if ages:
            kept["position"] = max(ages, key=int)
    return kept


def find_averages(state: Mapping[str, np.ndarray], names: Mapping[str, str]) -> dict[str, np.ndarray]:
    """Return averages in a saved training by the names of their weights.

    In older files they are slots of the optimizers; ``names`` are those of weights by their names there.
    """
    found = {}
    for key, array in state.items():
        first, _, rest = key.partition("/")
        name = names.get(rest.removesuffix("_average"))
        if key.startswith(AVERAGE):
            found[rest] = array
        elif first.isdigit() and rest.endswith("_average") and name is not None:
            found[name] = array
    return found


def _target(config: Mapping[str, Any], key: str, known: Mapping[str, str]) -> str:
    return read_named(key, config.get(key, "adam"), known, key).target
