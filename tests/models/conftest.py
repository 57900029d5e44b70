"""Small data and small models for the tests of models."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from bf_models import VGG7, KerasModel, ResNet18

TINY = {
    "inputs": {"images": {"shape": (8, 8, 1)}, "labels": {"classes": 3}},
    "body": {"stages": [[1, 0, 4], [1, 0, 8]]},
    "seed": 5,
}


@pytest.fixture(scope="session")
def tool(request: pytest.FixtureRequest) -> Any:
    """The module ``tools/golden.py``, which drew the weights of the golden files."""
    path = request.config.rootpath / "tools" / "golden.py"
    spec = importlib.util.spec_from_file_location("golden", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def batch() -> tuple[np.ndarray, np.ndarray]:
    """Twelve images (8, 8) of three classes that a network can tell apart."""
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 3, 12)
    images = rng.integers(0, 60, (12, 8, 8, 1)).astype("uint8")
    images[np.arange(12), labels * 2, :, 0] += 150
    return images, labels


@pytest.fixture
def tiny() -> Callable[..., KerasModel]:
    """``tiny(**config)`` is a VGG of two convolutions, 8x8x1 to 3 classes."""

    def make(**config: Any) -> KerasModel:
        return VGG7({**TINY, **config})

    return make


@pytest.fixture
def tiny_resnet() -> Callable[..., KerasModel]:
    """``tiny_resnet(**config)`` is a ResNet of two blocks, 8x8x1 to 3 classes."""

    def make(**config: Any) -> KerasModel:
        body = {"depths": [1, 1], "filters": 4}
        return ResNet18({**TINY, "stem": "small", "body": body, "initial_block": {"filters": 4}, **config})

    return make
