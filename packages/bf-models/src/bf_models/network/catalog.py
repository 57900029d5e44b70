"""The catalogue of ready-to-use models: filled by the zoo, read by all who know a model by its name.

``CATALOG`` maps the lower-case name of a model to its class: ``CATALOG["resnet18"] is bf_models.ResNet18``.
It is full as soon as ``bf_models`` is imported, in the order of the zoo, and nothing in it loads TensorFlow.
A class has all that a config needs: ``f"bf_models.{model.__name__}"`` is its ``_target_``, the first line of
``model.__doc__`` describes it, and ``model.defaults`` holds the config keys that it sets itself.

Rooms below the zoo read the catalogue instead of importing the zoo: a config takes a part of another model by
name (``body: resnet50``), and ``KerasModel.load`` finds the class that a file names.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

#: Models by their names in lower case; only ``add_models`` writes to it.
CATALOG: dict[str, type[Any]] = {}


def add_models(models: Iterable[type[Any]]) -> None:
    """Put models into the catalogue; ValueError when a name is taken by another class."""
    for model in models:
        name = model.__name__.lower()
        if CATALOG.setdefault(name, model) is not model:
            raise ValueError(f"the catalogue has a model {name!r} already: {CATALOG[name].__module__}")
