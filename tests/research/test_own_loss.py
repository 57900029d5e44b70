"""The page on losses and metrics of one's own: its files and its commands, by the main command."""

from __future__ import annotations

import re
import shlex
import sys
from pathlib import Path

import numpy as np
import pytest

from bf_models import MLP
from bf_research.train import train

SMALL = ["bar=false", "tracking=none", "n_iters=4", "batch_size=32", "validation={every: 2}"]
PAGE = (Path(__file__).parents[2] / "docs" / "own_loss.md").read_text()
FILES = dict(re.findall(r"```python\n# (my_\w+)\.py\n(.*?)```", PAGE, re.DOTALL))
COMMANDS = [
    shlex.split(line.partition("  #")[0])[2:]
    for block in re.findall(r"```\n(python train.*?)```", PAGE, re.DOTALL)
    for line in block.splitlines()
]


@pytest.fixture(autouse=True)
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The files of the page in the working folder, found as those beside ``train.py`` are."""
    assert sorted(FILES) == ["my_losses", "my_metrics"]
    for name, text in FILES.items():
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in FILES:
        sys.modules.pop(name, None)


def test_a_loss_of_ones_own_is_named_on_the_command_line(configure):
    outcome = train(configure(*COMMANDS[0]))
    plain = train(configure("model=mlp"))
    less = train(configure("model=mlp", "loss={_target_: my_losses.Poly, epsilon: 0}", "targets=[my_losses]"))
    assert outcome.metrics["train/loss"] > plain.metrics["train/loss"] + 0.1
    assert less.metrics["train/loss"] == pytest.approx(plain.metrics["train/loss"], abs=1e-5)


def test_a_model_with_a_loss_of_ones_own_is_loaded_where_that_is_allowed(tmp_path: Path):
    config = {"num_classes": 3, "loss": {"_target_": "my_losses.Poly", "epsilon": 2}, "body/units": [4]}
    items, labels = np.ones((2, 5), np.float32), np.array([0, 2])
    model = MLP({**config, "allow": ("my_losses",)})
    model.train(items, labels)
    model.save(tmp_path / "model.bf")
    loaded = MLP.load(tmp_path / "model.bf", allow=("my_losses",))
    assert loaded.train(items, labels, fetches="loss") == model.train(items, labels, fetches="loss")
    with pytest.raises(PermissionError, match="my_losses"):
        MLP.load(tmp_path / "model.bf")


def test_a_metric_of_ones_own_is_measured_stopped_by_and_kept_by(configure):
    outcome = train(configure(*COMMANDS[2]))
    for part in ("validation", "test"):
        cost, accuracy = (outcome.metrics[f"{part}/{name}"] for name in ("cost", "accuracy"))
        assert 1 - accuracy <= cost <= 5 * (1 - accuracy)


def test_the_metric_of_the_page_counts_as_it_says():
    from my_metrics import Costs

    found = Costs([9, 9, 1, 2, 3], [9, 0, 1, 9, 0], fmt="labels", num_classes=10)
    assert found["cost"] == pytest.approx((5 + 1 + 1) / 5)
    assert found["accuracy"] == pytest.approx(2 / 5)


def test_without_leave_neither_is_run(configure):
    for command, place in ((COMMANDS[0], "loss"), (COMMANDS[2], "metrics_class")):
        given = [word for word in command if not word.startswith("targets")]
        with pytest.raises(Exception, match=rf"(?s){place}.*my_.*targets=\[my_"):
            train(configure(*given))


def test_sweeps_of_the_page_are_grammar_of_hydra(configure):
    from hydra.core.override_parser.overrides_parser import OverridesParser

    for command in COMMANDS:
        words = [word for word in command if word != "-m"]
        swept = [one for one in OverridesParser.create().parse_overrides(words) if one.is_sweep_override()]
        assert bool(swept) == ("-m" in command)
