"""Shapes of targets, weights and outputs: those that go together, by value, and those that are refused."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import MLP, KerasModel
from bf_models.losses.terms import read_losses
from bf_models.training.matching import choose_form

X = np.random.default_rng(0).normal(size=(4, 6)).astype("float32")


@pytest.mark.parametrize(
    ("loss", "targets", "outputs", "form"),
    [
        ("ce", (4,), (4, 3), "labels"),
        ("ce", (4, 1), (4, 3), "labels"),
        ("ce", (4, 3), (4, 3), "full"),
        ("ce", (3,), (3, 3), "labels"),
        ("ce", (4, 2), (4, 3), None),
        ("ce", (4,), (4, 1), None),
        ("ce", (4, 8, 8), (4, 8, 8, 3), "labels"),
        ("ce", (4, 8, 8, 1), (4, None, None, 3), "labels"),
        ("ce", (4, 8, 8), (4, 4, 4, 3), None),
        ("sparsecategoricalcrossentropy", (4, 3), (4, 3), None),
        ("categoricalcrossentropy", (4,), (4, 3), "labels"),
        ("focal", (4,), (4, 3), "labels"),
        ("focal", (4,), (4, 1), "full"),
        ("binaryfocalcrossentropy", (4,), (4, 3), "labels"),
        ("lovasz", (4, 8, 8), (4, 8, 8, 1), "full"),
        ("boundary", (4, 8, 8), (4, 8, 8, 3), "labels"),
        ("bce", (4, 3), (4, 3), "full"),
        ("bce", (4,), (4, 1), "full"),
        ("bce", (4, 2), (4, 1), None),
        ("dice", (4, 8, 8, 1), (4, 8, 8, 3), "labels"),
        ("dice", (4, 8, 8), (4, 8, 8, 1), "full"),
        ("mse", (4,), (4, 1), "full"),
        ("mse", (4, 1), (4, 1), "full"),
        ("mse", (4, 3), (4, 3), "full"),
        ("mse", (4, 1), (4, 3), None),
        ("mse", (3,), (3, 3), None),
        ("mse", (4, 8, 8), (4, 8, 8, 1), "full"),
        ("mse", (4, 8, 8), (4, 8, 8, 8), None),
        ("huber", (4, 3), (4, 1), None),
        (lambda targets, outputs: outputs[:, 0], (4, 7), (4, 3), "free"),
    ],
)
def test_which_shapes_go_together(loss, targets, outputs, form):
    (term,) = read_losses(loss, "here", ("labels",))
    assert choose_form(term, targets, outputs) == form


def segmenter(**more):
    """A 1x1 convolution: maps (4, 4, 2) to classes at each place."""

    def head(x, net):
        return net.conv(x, net.known_classes, 1, name="out", bias=True)

    return KerasModel({"num_classes": 3, "head": head, "seed": 1, **more})


def cross_entropy(logits, labels):
    logits = logits - logits.max(-1, keepdims=True)
    logs = logits - np.log(np.exp(logits).sum(-1, keepdims=True))
    return -np.take_along_axis(logs, labels[..., None], -1)[..., 0]


@pytest.mark.parametrize("loss", ["ce", "sparsecategoricalcrossentropy", "categoricalcrossentropy"])
def test_weights_of_items_places_and_classes_weigh_maps(loss):
    rng = np.random.default_rng(1)
    maps, labels = rng.normal(size=(4, 4, 4, 2)).astype("f4"), rng.integers(0, 3, (4, 4, 4))
    items, places, factors = rng.random(4), rng.random((4, 4, 4)), np.array([1.0, 2.0, 0.5])
    model = segmenter(loss=loss)
    each = cross_entropy(model.predict(maps).astype(float), labels)

    def loss_of(made, weights):
        return made.predict(maps, labels, fetches="loss", sample_weight=weights)

    assert loss_of(model, None) == pytest.approx(each.mean(), rel=1e-5)
    for weights, expected in (
        (items, items[:, None, None]),
        (items[:, None], items[:, None, None]),
        (places, places),
        (places[..., None], places),
    ):
        assert loss_of(model, weights) == pytest.approx((each * expected).mean(), rel=1e-5)
    by_class = segmenter(loss=loss, class_weights=list(factors))
    both = each * factors[labels] * items[:, None, None]
    assert loss_of(by_class, items) == pytest.approx(both.mean(), rel=1e-5)
    with pytest.raises(ValueError, match=r"'sample_weight' of shape \(4, 4\).*\(4, 4, 4, 3\)"):
        loss_of(model, np.ones((4, 4)))


@pytest.mark.parametrize(
    ("config", "targets", "words"),
    [
        (
            {"num_classes": 3},
            np.zeros((4, 2), int),
            r"'labels' of shape \(4, 2\).*\(4, 3\).*labels have the shape",
        ),
        ({"num_classes": 3, "loss": "mse"}, np.zeros((4, 1)), r"\(4, 1\).*\(4, 3\)"),
        ({"num_classes": 1}, np.zeros(4, int), "'loss: bce' for a yes or no"),
        (
            {"num_classes": 1, "loss": "bce"},
            np.array([0, 1, 2, 0]),
            "a yes or no is 0 to 1.*value of 2 at item 2",
        ),
        (
            {"num_classes": 3, "class_weights": [1, 2, 3]},
            np.array([0, 7, 1, 0]),
            "labels of 3 classes.*value of 7",
        ),
    ],
)
def test_targets_that_do_not_fit_are_named(config, targets, words):
    model = MLP({"body": {"units": []}, **config})
    for work in (model.train, model.predict):
        with pytest.raises(ValueError, match=words):
            work(X, targets, fetches="loss")


def test_class_weights_without_classes_are_refused():
    with pytest.raises(ValueError, match="class_weights do not go with loss MeanSquaredError"):
        MLP({"num_classes": 3, "loss": "mse", "class_weights": [1, 2, 3]})
    with pytest.raises(ValueError, match="do not go with loss SoftDice"):
        MLP({"num_classes": 3, "loss": "dice", "class_weights": [1, 2, 3]})
    several = MLP({"num_classes": 3, "loss": "bce", "class_weights": [1, 2, 3], "body": {"units": []}})
    with pytest.raises(ValueError, match="need labels"):
        several.predict(X, np.ones((4, 3)), fetches="loss")


def test_labels_of_a_users_loss_are_checked_where_classes_weigh():
    def own(targets, outputs):
        return outputs[:, 0] * 0.0 + 1.0

    model = MLP({"num_classes": 3, "loss": own, "class_weights": [1, 2, 3], "body": {"units": []}})
    assert model.predict(X, np.array([0, 1, 2, 2]), fetches="loss") == pytest.approx((1 + 2 + 3 + 3) / 4)
    with pytest.raises(ValueError, match="value of 3"):
        model.predict(X, np.array([0, 1, 2, 3]), fetches="loss")


def test_a_loss_that_is_one_number_is_not_weighed_in_silence():
    model = MLP({"num_classes": 3, "loss": lambda targets, outputs: 7.0, "body": {"units": []}})
    assert model.predict(X, np.zeros(4, int), fetches="loss") == 7
    with pytest.raises(ValueError, match="cannot be weighed"):
        model.predict(X, np.zeros(4, int), fetches="loss", sample_weight=np.ones(4))


def test_a_loss_of_numbers_asks_for_no_classes(tmp_path):
    config = {"loss": "mse", "body": {"units": [4]}, "seed": 1}
    targets = np.random.default_rng(2).normal(size=(4, 3))
    model = MLP(config)
    model.train(X, targets)
    assert model.predict(X).shape == (4, 3)
    model.save(tmp_path / "m.bfm")
    assert MLP.load(tmp_path / "m.bfm").predict(X).shape == (4, 3)
    one = MLP(config)
    one.train(X, targets[:, 0])
    assert one.predict(X).shape == MLP(config).predict(X).shape == (4, 1)
    loss = one.predict(X, targets[:, 0], fetches="loss")
    assert loss == pytest.approx(np.mean((one.predict(X)[:, 0] - targets[:, 0]) ** 2), rel=1e-5)


def test_accuracy_of_labels_by_outputs_that_are_yes_or_no_each():
    labels = np.array([0, 1, 2, 2])
    model = MLP({"num_classes": 3, "loss": "binaryfocalcrossentropy", "body": {"units": []}, "seed": 1})
    right = float(np.mean(model.predict(X).argmax(-1) == labels))
    assert model.evaluate(X, labels)["accuracy"] == right
