"""Ready-to-use networks: one file a family, and in it a family is a list of depths and a block."""

from __future__ import annotations

from bf_models.model import KerasModel
from bf_models.zoo import resnet, vgg

_FAMILIES = (resnet, vgg)


def zoo_names() -> dict[str, type[KerasModel]]:
    """Models there are, by their names in lower case."""
    return {name.lower(): model for family in _FAMILIES for name, model in _models(family).items()}


def _models(family: object) -> dict[str, type[KerasModel]]:
    own = getattr(family, "__name__")  # noqa: B009
    return {
        name: item
        for name, item in vars(family).items()
        if isinstance(item, type)
        and issubclass(item, KerasModel)
        and item.__module__ == own
        and item.__bases__[0] is not KerasModel
    }
