"""How the public API of models is typed: read by mypy, not meant to be executed."""

from __future__ import annotations

from typing import Any, assert_type

from bf_models import KerasModel, ResNet18, UNet, zoo_names


def api(model: ResNet18, images: Any, labels: Any) -> None:
    """Use the API; a type checker reads it, nothing runs it."""
    assert_type(ResNet18({"num_classes": 10}), ResNet18)
    assert_type(UNet({"num_classes": 2}).build(images), UNet)  # stays what it is
    assert_type(KerasModel.load("model.bf"), KerasModel)
    assert_type(model.evaluate(images, labels), dict[str, float])
    assert_type(model.count_parameters(), int)
    assert_type(model.list_layers("layer4.*"), list[str])
    assert_type(model.unfreeze("layer4.*"), list[str])
    assert_type(model.learning_rate, float | None)
    assert_type(model.summary(), str)
    assert_type(model.is_built, bool)
    assert_type(zoo_names(), dict[str, type[KerasModel]])

    model.evaluate(images, labels, 32)  # type: ignore[call-arg]  # by name alone
    model.save(3)  # type: ignore[arg-type]
    model.trian(images)  # type: ignore[attr-defined]
