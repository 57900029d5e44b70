"""Metrics of items that are told again: against scikit-learn, scipy and their formulas, batch by batch."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats
from sklearn import metrics as sklearn

from bf_models.metrics import ReconstructionMetrics, find_metrics

RNG = np.random.default_rng(0)
ITEMS, TOLD = RNG.random((30, 4, 5, 1)), RNG.random((30, 4, 5, 1))
POSTERIOR = np.concatenate([RNG.normal(size=(30, 2)), np.zeros((30, 1)), RNG.normal(size=(30, 3))], 1)


@pytest.fixture
def gathered():
    """Metrics of 30 items that came in batches of 7."""
    found = None
    for start in range(0, 30, 7):
        part = slice(start, start + 7)
        one = ReconstructionMetrics(ITEMS[part], TOLD[part], POSTERIOR[part])
        if found is None:
            found = one
        else:
            found.update(one)
    return found


def test_errors_are_those_of_scikit_learn(gathered):
    flat = ITEMS.ravel(), TOLD.ravel()
    assert gathered["mse"] == pytest.approx(sklearn.mean_squared_error(*flat))
    assert gathered["rmse"] == pytest.approx(sklearn.root_mean_squared_error(*flat))
    assert gathered["mae"] == pytest.approx(sklearn.mean_absolute_error(*flat))


def test_cross_entropy_is_that_of_the_shares(gathered):
    # the entropy and the divergence from it, summed by scipy
    both = (np.stack([one, 1 - one], -1) for one in (ITEMS, TOLD))
    known, told = both
    wanted = (stats.entropy(known, axis=-1) + stats.entropy(known, told, axis=-1)).sum((1, 2, 3)).mean()
    assert gathered["cross_entropy"] == pytest.approx(wanted)


def test_divergence_and_numbers_that_say_something(gathered):
    mean, log_variance = POSTERIOR[:, :3], POSTERIOR[:, 3:]
    wanted = 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(1).mean()
    assert gathered["kl"] == pytest.approx(wanted)
    assert gathered["active_units"] == 2
    assert gathered[["kl", "active_units"]] == {"kl": pytest.approx(wanted), "active_units": 2}


def test_an_axis_of_one_channel_may_lack():
    assert ReconstructionMetrics(ITEMS[..., 0], TOLD)["mse"] == ReconstructionMetrics(ITEMS, TOLD)["mse"]
    assert find_metrics("reconstruction") is ReconstructionMetrics


def test_shares_of_one_and_nothing_are_told_without_infinity():
    found = ReconstructionMetrics([[0.0, 1.0, 1.0]], [[0.0, 1.0, 0.0]])["cross_entropy"]
    assert found == pytest.approx(-np.log(np.finfo(np.float32).eps), rel=1e-4)


@pytest.mark.parametrize(
    ("arguments", "name", "told"),
    [
        ((ITEMS, TOLD[:, :3]), "mse", r"shape \(30, 4, 5, 1\) and predictions of shape \(30, 3, 5, 1\)"),
        ((ITEMS * np.nan, TOLD), "mse", "targets hold NaN, 600 of 600"),
        ((ITEMS * 2, TOLD), "cross_entropy", "of numbers from 0 to 1, and there were others"),
        ((ITEMS, TOLD), "kl", "no posterior was given"),
        ((ITEMS, TOLD, POSTERIOR[:, :5]), "kl", r"\(30, 2 \* latent\), got \(30, 5\)"),
        ((ITEMS, TOLD), "mes", "unknown metric 'mes' of ReconstructionMetrics; did you mean 'mse'"),
        ((ITEMS[:0], TOLD[:0]), "mse", "there is nothing"),
    ],
)
def test_what_cannot_be_measured_is_refused(arguments, name, told):
    with pytest.raises(ValueError, match=told):
        ReconstructionMetrics(*arguments).evaluate(name)


def test_metrics_with_and_without_posteriors_do_not_go_together():
    with pytest.raises(ValueError, match="one has posteriors and the other has not"):
        ReconstructionMetrics(ITEMS, TOLD).update(ReconstructionMetrics(ITEMS, TOLD, POSTERIOR))
