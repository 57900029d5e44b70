"""The learning-rate range test: rates, losses and the suggestion, against plain numbers and steps by hand."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import Batch, Dataset
from bf_models import MLP
from bf_pipeline import B, Pipeline, V
from bf_research import RateTest, Training
from bf_research.training.rate_test import smooth, suggest_rate


class Rows(Batch):
    components = "features", "labels"


RNG = np.random.default_rng(0)
LABELS = RNG.integers(0, 3, 64)
FEATURES = (RNG.normal(size=(64, 5)) + 2 * np.eye(3, 5)[LABELS]).astype("float32")
CONFIG = {"num_classes": 3, "loss": "ce", "seed": 1, "body": {"units": [4]}}
CONFIG["optimizer"] = {"name": "sgd", "learning_rate": 0.05}


def make(*events, **config):
    pipeline = (
        Pipeline()
        .init_variable("loss")
        .init_model("static", MLP, "net", {**CONFIG, **config})
        .train_model("net", B("features"), B("labels"), fetches="loss", save_to=V("loss"))
    ) << Dataset(64, Rows, preloaded=(FEATURES, LABELS))
    return Training(pipeline, events=list(events))


@pytest.mark.parametrize("schedule", [None, "constant"])
def test_each_step_has_its_rate_and_each_rate_the_loss_it_led_to(schedule, tmp_path) -> None:
    event = RateTest(1e-3, 1.0)
    training = make(event, schedule=schedule).inside(tmp_path)
    outcome = training.run(64, n_iters=8)
    assert outcome.iterations == 8
    np.testing.assert_allclose(event.rates, np.geomspace(1e-3, 1.0, 7))
    # the same by hand: a model of each rate's own optimizer would lose nothing, sgd has no memory
    model = MLP(CONFIG)
    losses = []
    for rate in [1e-12, *event.rates]:
        model.rate_factor = rate / 0.05
        losses.append(model.train(FEATURES, LABELS, fetches="loss"))
    np.testing.assert_allclose(event.losses, losses[1:], rtol=1e-4)
    assert (tmp_path / "learning_rate.png").stat().st_size > 1000


def test_the_rate_of_the_steepest_fall_is_suggested() -> None:
    rates = np.geomspace(1e-5, 1, 101)
    falls = 1 / (1 + np.exp(4 * (np.log10(rates) + 3)))  # steepest at 1e-3
    losses = 1 + falls + np.where(rates > 0.1, 30 * rates, 0)
    found = suggest_rate(rates, losses)
    assert found is not None
    assert 1e-3 <= found < 3e-3  # smoothing lags
    assert suggest_rate(rates, 1 + rates) is None
    assert suggest_rate([], []) is None


def test_means_are_free_of_bias() -> None:
    np.testing.assert_allclose(smooth([3.0] * 5), 3)
    np.testing.assert_allclose(smooth([1.0, 2.0], 0.5), [1, (0.25 * 1 + 0.5 * 2) / 0.75])


def test_a_loss_that_grows_ends_it() -> None:
    event = RateTest(1e-2, 1e4, diverged=2.0)
    outcome = make(event, non_finite="stop").run(64, n_iters=40)
    assert outcome.iterations < 40
    assert "times its best" in outcome.stopped


def test_what_cannot_be_tested_is_said() -> None:
    with pytest.raises(ValueError, match=r"below most, got 1 and 0\.1"):
        RateTest(1, 0.1)
    with pytest.raises(ValueError, match="diverged is a number above 1"):
        RateTest(diverged=1)
    with pytest.raises(ValueError, match="needs a number of iterations, 5 or more, got 3"):
        make(RateTest()).run(64, n_iters=3)
