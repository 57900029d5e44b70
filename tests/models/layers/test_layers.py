"""Layers of our own, each by numbers that are known."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models.layers import AdaptiveAveragePool, CropLike, PadToMultiple, ResizeLike, StochasticDepth


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


@pytest.mark.parametrize("shape", [(2, 5, 8, 3), (2, 4, 4, 1), (1, 3, 5, 7, 2)])
def test_a_map_is_padded_to_a_multiple_and_cut_back(shape):
    x = np.random.default_rng(0).random(shape).astype("float32")
    padded = PadToMultiple(4)(x)
    assert padded.shape[1:-1] == tuple(-(-side // 4) * 4 for side in shape[1:-1])
    assert padded.numpy().sum() == pytest.approx(x.sum(), rel=1e-5)
    np.testing.assert_array_equal(CropLike()([padded, x]).numpy(), x)


def test_a_map_is_resized_as_torch_does_without_aligned_corners():
    x = np.array([0.0, 1.0, 4.0], "float32").reshape(1, 1, 3, 1)
    # pixel i of 6 is at (i + 0.5) / 2 - 0.5 of 3, held inside
    got = ResizeLike()([x, np.zeros((1, 1, 6, 5), "float32")]).numpy()
    places = np.clip((np.arange(6) + 0.5) / 2 - 0.5, 0, 2)
    np.testing.assert_allclose(got[0, 0, :, 0], np.interp(places, np.arange(3), x.ravel()), atol=1e-6)
