"""What the tests of the main command share: its own configurations, composed in a new working folder."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from bf_command.schema import register

CONF = str(Path(__file__).parents[2] / "conf")


@pytest.fixture
def configure(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., DictConfig]:
    """``configure("dataset=masks")`` composes a training, ``configure(name="predict")`` a prediction.

    A training has the settings ``SMALL`` of the test's module before its own.
    """
    monkeypatch.chdir(tmp_path)
    small = getattr(request.module, "SMALL", [])

    def make(*overrides: str, name: str = "train") -> DictConfig:
        register(Path(CONF), name)
        before = small if name == "train" else ["bar=false"]
        with initialize_config_dir(config_dir=CONF, version_base="1.3"):
            return compose(name, overrides=[*before, *overrides])

    return make
