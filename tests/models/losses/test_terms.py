"""Losses by name and by function, each by the value that it has."""

from __future__ import annotations

import numpy as np
import pytest


def test_label_smoothing_is_that_of_keras(tiny, batch):
    import keras

    model = tiny(loss={"name": "ce", "label_smoothing": 0.2})
    logits = model.predict(batch[0])
    peer = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=0.2)
    expected = float(peer(np.eye(3)[batch[1]], logits))
    assert model.predict(*batch, fetches="loss") == pytest.approx(expected, rel=1e-5)


def test_several_losses_are_summed_by_their_weights(tiny, batch):
    one = tiny(loss="ce").predict(*batch, fetches="loss")
    other = tiny(loss="dice").predict(*batch, fetches="loss")
    both = tiny(loss=["ce", {"name": "dice", "weight": 0.5}]).predict(*batch, fetches="loss")
    assert both == pytest.approx(one + 0.5 * other, rel=1e-4)


def test_a_function_is_a_loss(tiny, batch):
    model = tiny(loss=lambda targets, outputs: 0.0 * outputs[:, 0] + 7.0)
    assert model.predict(*batch, fetches="loss") == 7.0
