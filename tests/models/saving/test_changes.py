"""What goes on from a saved model when its config changes, and what of it other models take."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import MLP
from bf_models.errors import ModelStateError, WeightsError
from bf_models.saving.changes import change_config

X = np.random.default_rng(0).normal(size=(8, 6)).astype("float32")
Y = np.arange(8) % 3
CONFIG = {
    "num_classes": 3,
    "seed": 1,
    "body": {"units": [5, 4]},
    "optimizer": {"name": "adam", "learning_rate": 0.01},
}


def trained(steps=3, **more):
    model = MLP({**CONFIG, **more})
    for _ in range(steps):
        model.train(X, Y)
    return model


def arrays(model):
    return [item.numpy() for item in model.network.weights]


def test_averages_predict_after_load_and_in_the_network_that_is_handed_on(tmp_path):
    model = trained(ema=0.9)
    want = model.predict(X)
    assert not np.allclose(model.network(X).numpy(), want)
    np.testing.assert_allclose(model.averaged_network(X).numpy(), want, atol=1e-6)
    model.save(tmp_path / "m.bfm")
    loaded = MLP.load(tmp_path / "m.bfm")
    np.testing.assert_array_equal(loaded.predict(X), want)
    np.testing.assert_allclose(loaded.averaged_network(X).numpy(), want, atol=1e-6)
    for each in (model, loaded):
        each.train(X, Y)
    np.testing.assert_array_equal(loaded.predict(X), model.predict(X))


def test_weights_that_are_set_end_the_averages_before_them(tmp_path):
    trained(1).save(tmp_path / "m.bfm")
    model = trained(ema=0.9, seed=2)
    model.load_weights(tmp_path / "m.bfm")
    np.testing.assert_array_equal(model.predict(X), MLP.load(tmp_path / "m.bfm").predict(X))


def test_a_rate_of_the_config_counts_after_load(tmp_path):
    model = trained(optimizer={"name": "sgd", "learning_rate": 0.1})
    model.save(tmp_path / "m.bfm")
    moved = []
    for rate in (0.1, 0.2):
        loaded = MLP.load(tmp_path / "m.bfm", config={"optimizer": {"learning_rate": rate}})
        before = arrays(loaded)
        loaded.train(X, Y)
        moved.append(np.concatenate([np.ravel(a - b) for a, b in zip(arrays(loaded), before)]))
    np.testing.assert_allclose(moved[1], 2 * moved[0], rtol=1e-3, atol=1e-7)


def test_what_begins_to_learn_after_load_makes_adams_first_step_and_the_rest_goes_on(tmp_path):
    model = trained(20, freeze=["body"])
    model.save(tmp_path / "m.bfm")
    loaded = MLP.load(tmp_path / "m.bfm", config={"freeze": []})
    before = arrays(loaded)
    loaded.train(X, Y)
    moved = [np.abs(a - b) for a, b in zip(arrays(loaded), before)]
    # Adam's first step is the rate wherever there is a gradient; with the moments' age of the head it is half
    body = np.concatenate([item.ravel() for item in moved[:4]])
    np.testing.assert_allclose(body[body > 0], 0.01, rtol=0.1)
    model.train(X, Y)
    for ours, theirs in zip(arrays(loaded)[4:], arrays(model)[4:]):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    loaded.save(tmp_path / "n.bfm")
    again = MLP.load(tmp_path / "n.bfm")
    for each in (loaded, again):
        each.train(X, Y)
    for ours, theirs in zip(arrays(loaded), arrays(again)):
        np.testing.assert_array_equal(ours, theirs)


def test_groups_of_rates_and_optimizers_may_change(tmp_path):
    trained(3, learning_rates={"head": 0.5}).save(tmp_path / "m.bfm")
    plain = MLP.load(tmp_path / "m.bfm")
    other = MLP.load(tmp_path / "m.bfm", config={"learning_rates": {"head": 1.0}})
    for each in (plain, other):
        each.train(X, Y)
    for ours, theirs in zip(arrays(plain)[:4], arrays(other)[:4]):
        np.testing.assert_allclose(ours, theirs, atol=1e-6)
    sgd = MLP.load(
        tmp_path / "m.bfm", config={"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}}
    )
    assert "beta_1" not in sgd.config["optimizer"]
    before = arrays(sgd)
    sgd.train(X, Y)
    assert all(np.abs(a - b).max() > 0 for a, b in zip(arrays(sgd), before))


def test_a_schedule_goes_on_and_another_one_begins_at_its_start(tmp_path):
    schedule = {"name": "polynomial", "decay_steps": 4, "end_learning_rate": 0.0}
    rate = {"name": "sgd", "learning_rate": 0.1}
    trained(4, schedule=schedule, optimizer=rate).save(tmp_path / "m.bfm")

    def moves(**changes):
        model = MLP.load(tmp_path / "m.bfm", config=changes)
        before = arrays(model)
        model.train(X, Y)
        return any(not np.array_equal(a, b) for a, b in zip(arrays(model), before))

    assert not moves()
    assert moves(schedule={"name": "polynomial", "decay_steps": 9, "end_learning_rate": 0.0})


def test_other_classes_get_a_new_head_and_other_shapes_are_refused(tmp_path):
    model = trained()
    model.save(tmp_path / "m.bfm")
    for load in (
        lambda: MLP.load(tmp_path / "m.bfm", config={"num_classes": 500}),
        lambda: MLP({**CONFIG, "num_classes": 500, "pretrained": str(tmp_path / "m.bfm")}).build(X),
    ):
        other = load()
        assert [a.shape for a in arrays(other)[-2:]] == [(4, 500), (500,)]
        assert all(np.array_equal(a, b) for a, b in zip(arrays(other)[:-2], arrays(model)))
        other.train(X, Y)
    with pytest.raises(ModelStateError, match="fc2"):
        MLP.load(tmp_path / "m.bfm", config={"body": {"units": [5, 7]}})
    told = r"m\.bfm holds MLP .*do not fit this MLP.*fc2/kernel \(5, 4\), expected \(5, 7\)"
    with pytest.raises(WeightsError, match=told):
        MLP({**CONFIG, "body": {"units": [5, 7]}, "pretrained": str(tmp_path / "m.bfm")}).build(X)


def test_a_source_with_averages_gives_these_and_its_stem(tiny_resnet, batch, tmp_path):
    source = tiny_resnet(stem="auto", ema=0.5)
    for _ in range(2):
        source.train(*batch)
    source.save(tmp_path / "named.pth")
    other = tiny_resnet(stem="auto", pretrained=str(tmp_path / "named.pth")).build()
    np.testing.assert_allclose(other.predict(batch[0]), source.predict(batch[0]), atol=1e-6)


def test_accumulated_gradients_go_on_after_load(tmp_path):
    straight, halted = trained(1, accumulate=2), trained(1, accumulate=2)
    halted.save(tmp_path / "m.bfm")
    loaded = MLP.load(tmp_path / "m.bfm")
    for each in (straight, loaded):
        each.train(X, Y)
    for ours, theirs in zip(arrays(straight), arrays(loaded)):
        np.testing.assert_array_equal(ours, theirs)


def test_keys_that_a_change_replaces():
    saved = {
        "optimizer": "adam",
        "inputs": {"labels": {"classes": 3}},
        "loss": {"name": "ce", "label_smoothing": 0.1},
    }
    changed = change_config(
        saved, {"optimizer/learning_rate": 0.5, "num_classes": 5, "loss": {"name": "focal"}}
    )
    assert changed["optimizer"] == {"name": "adam", "learning_rate": 0.5}
    assert changed["inputs"] == {"labels": {"target": True}}
    assert changed["loss"] == {"name": "focal"}
    assert change_config({"num_classes": 3}, {"inputs/labels/classes": 4}) == {
        "inputs": {"labels": {"classes": 4}},
    }
