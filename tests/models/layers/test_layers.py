"""Layers of our own, each by numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models.layers import AdaptiveAveragePool, StochasticDepth


def test_stochastic_depth_drops_whole_items_and_keeps_the_mean():
    x = np.ones((400, 3, 3, 2), "float32")
    y = StochasticDepth(0.25, seed=1)(x, training=True).numpy()
    assert np.array_equal(y.reshape(400, -1).min(1), y.reshape(400, -1).max(1))
    assert y.mean() == pytest.approx(1, abs=0.1)
    assert np.array_equal(StochasticDepth(0.25)(x).numpy(), x)


def test_adaptive_pooling_is_torchs():
    x = np.arange(5, dtype="float32").reshape(1, 5, 1, 1) * np.ones((1, 5, 5, 1), "float32")
    # rows 0..1, 1..3, 3..4 of five
    np.testing.assert_allclose(AdaptiveAveragePool(3)(x).numpy()[0, :, 0, 0], [0.5, 2.0, 3.5])
