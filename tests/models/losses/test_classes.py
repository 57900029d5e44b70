"""Losses of classes against their formulas in numpy, by value and by gradient; what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.ndimage import distance_transform_edt
from scipy.special import log_softmax, softmax

from bf_models import KerasModel, losses

SHAPE, CLASSES, IGNORE = (3, 6, 5), 4, 255


def cross_entropy(logits, shares, counts, smoothing=0.0):
    shares = shares * (1 - smoothing) + smoothing / shares.shape[-1]
    return -(shares * log_softmax(logits, -1)).sum(-1)[counts].mean()


def focal(logits, shares, counts, gamma=2.0, alpha=None):
    logs, weights = log_softmax(logits, -1), np.ones(shares.shape[-1]) if alpha is None else np.array(alpha)
    costs = -weights * shares * (1 - np.exp(logs)) ** gamma * logs
    return costs.sum(-1)[counts].mean()


def overlap(index, logits, shares, counts, smooth=1.0, classes=None, per_item=True, power=1.0):
    proba = softmax(logits, -1) * counts[..., None]
    chosen = range(shares.shape[-1]) if classes is None else classes
    items = range(len(shares)) if per_item else [slice(None)]
    found = []
    for item in items:
        for label in chosen:
            p, t = proba[item][..., label], shares[item][..., label]
            common, made_up, missed = (p * t).sum(), (p * (1 - t)).sum(), ((1 - p) * t * counts[item]).sum()
            found.append((1 - index(common, made_up, missed, smooth)) ** power)
    return np.mean(found)


def dice(common, made_up, missed, smooth):
    return (2 * common + smooth) / (2 * common + made_up + missed + smooth)


def jaccard(common, made_up, missed, smooth):
    return (common + smooth) / (common + made_up + missed + smooth)


def tversky(alpha, beta):
    return lambda c, f, m, smooth: (c + smooth) / (c + alpha * f + beta * m + smooth)


def extend(errors, truth):
    """Lovasz extension of the Jaccard loss: largest error first, the loss of the errors so far."""
    order = np.argsort(-errors)
    total, before = 0.0, 0.0
    for number in range(1, len(order) + 1):
        wrong = np.zeros(len(order), bool)
        wrong[order[:number]] = True
        # what is wrong is missed where the class is, and made up elsewhere
        union = (truth | wrong).sum()
        index = 1 - (truth & ~wrong).sum() / union
        total += errors[order[number - 1]] * (index - before)
        before = index
    return total


def lovasz(logits, shares, counts, per_item=True):
    proba, found = softmax(logits, -1), []
    for item in range(len(shares)) if per_item else [slice(None)]:
        of = counts[item]
        truth = shares[item][of] > 0
        errors = np.abs(truth - proba[item][of])
        there = [label for label in range(shares.shape[-1]) if truth[:, label].any()]
        found.append(np.mean([extend(errors[:, label], truth[:, label]) for label in there]))
    return np.mean(found)


def signed_distances(area, reach):
    if area.all() or not area.any():
        return np.zeros(area.shape)
    inside, outside = (np.minimum(distance_transform_edt(x), reach) for x in (area, ~area))
    return np.where(area, 1 - inside, outside)


def boundary(logits, shares, counts, reach=16):
    maps = np.stack(
        [
            np.stack([signed_distances(item[..., label] > 0, reach) for label in range(item.shape[-1])], -1)
            for item in shares
        ]
    )
    return (softmax(logits, -1) * maps).mean(-1)[counts].mean()


CASES = {
    "ce": (losses.CrossEntropy, {}, cross_entropy, {}),
    "ce smoothed": (losses.CrossEntropy, {"label_smoothing": 0.2}, cross_entropy, {"smoothing": 0.2}),
    "focal": (losses.Focal, {}, focal, {}),
    "focal weighed": (
        losses.Focal,
        {"gamma": 0.5, "alpha": [1, 2, 3, 4]},
        focal,
        {"gamma": 0.5, "alpha": [1, 2, 3, 4]},
    ),
    "dice": (losses.SoftDice, {}, overlap, {"index": dice}),
    "dice of two classes": (
        losses.SoftDice,
        {"classes": [1, 3], "smooth": 0.1},
        overlap,
        {"index": dice, "classes": [1, 3], "smooth": 0.1},
    ),
    "iou": (losses.SoftIoU, {}, overlap, {"index": jaccard}),
    "iou of the batch": (losses.SoftIoU, {"per_item": False}, overlap, {"index": jaccard, "per_item": False}),
    "tversky": (losses.SoftTversky, {}, overlap, {"index": tversky(0.3, 0.7)}),
    "focal tversky": (
        losses.SoftTversky,
        {"alpha": 0.6, "beta": 0.2, "power": 0.75},
        overlap,
        {"index": tversky(0.6, 0.2), "power": 0.75},
    ),
    "lovasz": (losses.Lovasz, {}, lovasz, {}),
    "lovasz of the batch": (losses.Lovasz, {"per_item": False}, lovasz, {"per_item": False}),
    "boundary": (losses.Boundary, {}, boundary, {}),
    "boundary within 2": (losses.Boundary, {"reach": 2}, boundary, {"reach": 2}),
}


@pytest.fixture
def maps():
    """Logits (3, 6, 5, 4) in float64, labels with places to ignore, and which places count."""
    rng = np.random.default_rng(4)
    labels = rng.integers(0, CLASSES, SHAPE)
    labels[0][labels[0] == 2] = 1  # one class is not there
    counts = rng.random(SHAPE) < 0.8
    return 2 * rng.normal(size=(*SHAPE, CLASSES)), np.where(counts, labels, IGNORE), counts


@pytest.mark.parametrize("kind", ["labels", "shares"])
@pytest.mark.parametrize("name", CASES)
def test_loss_of_classes_is_its_formula(name, kind, maps):
    cls, options, formula, arguments = CASES[name]
    logits, labels, _ = maps
    labels = np.where(labels == IGNORE, 0, labels)
    shares = np.eye(CLASSES)[labels]
    expected = formula(logits=logits, shares=shares, counts=np.ones(SHAPE, bool), **arguments)
    got = cls(**options)(as_tensor(labels if kind == "labels" else shares), as_tensor(logits))
    assert float(got) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("name", CASES)
def test_places_to_ignore_change_nothing(name, maps):
    cls, options, formula, arguments = CASES[name]
    logits, labels, counts = maps
    shares = np.eye(CLASSES)[np.where(counts, labels, 0)] * counts[..., None]
    expected = formula(logits=logits, shares=shares, counts=counts, **arguments)
    other = logits + np.where(counts, 0.0, 5.0)[..., None] * [1, -1, 2, 0]
    for outputs in (logits, other):
        assert call(cls(**options), labels, outputs) == pytest.approx(expected, rel=1e-5)
    assert np.isfinite(call(cls(**options), np.full(SHAPE, IGNORE), logits))


@pytest.mark.parametrize("name", CASES)
def test_gradient_is_the_slope(name, maps):
    import tensorflow as tf

    cls, options, _, _ = CASES[name]
    logits, labels, _ = maps
    labels, point = np.where(labels == IGNORE, 0, labels), as_tensor(logits)
    loss, targets = cls(**options), as_tensor(labels)
    with tf.GradientTape() as tape:
        tape.watch(point)
        value = loss(targets, point)
    gradient = tape.gradient(value, point).numpy()
    rng = np.random.default_rng(0)
    for _ in range(6):
        step = rng.normal(size=logits.shape)
        step /= np.linalg.norm(step)
        delta = 1e-6
        above, below = (float(loss(targets, as_tensor(logits + sign * delta * step))) for sign in (1, -1))
        slope = (above - below) / (2 * delta)
        assert (gradient * step).sum() == pytest.approx(slope, rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", ["focal", "dice", "iou", "tversky", "boundary"])
def test_one_output_is_a_yes_or_no(name, maps):
    cls, options, formula, arguments = CASES[name]
    logits, labels, counts = maps
    yes, one = np.where(counts, labels % 2, IGNORE), logits[..., :1]
    two = np.concatenate([np.zeros_like(one), one], -1)
    shares = np.eye(2)[np.where(counts, yes, 0)] * counts[..., None]
    of_yes = {} if name == "focal" else {"logits": two, "shares": shares}
    if name == "boundary":
        maps_of = np.stack([signed_distances(item[..., 1] > 0, 16) for item in shares])
        expected = (softmax(two, -1)[..., 1] * maps_of)[counts].mean()
    elif name == "focal":
        expected = formula(logits=two, shares=shares, counts=counts)
    else:
        expected = formula(**of_yes, counts=counts, classes=[1], **arguments)
    for targets in (yes, yes[..., None]):
        assert call(cls(**options), targets, one) == pytest.approx(expected, rel=1e-5)


def test_focal_loss_of_a_yes_weighs_it_by_alpha():
    logits, yes = np.array([[2.0], [-1.0], [0.5]]), np.array([1, 0, 0])
    p = np.where(yes == 1, 1 / (1 + np.exp(-logits[:, 0])), 1 / (1 + np.exp(logits[:, 0])))
    expected = np.mean(np.where(yes == 1, 0.25, 0.75) * -((1 - p) ** 2) * np.log(p))
    got = losses.Focal(alpha=0.25)(as_tensor(yes), as_tensor(logits))
    assert float(got) == pytest.approx(expected)


def test_lovasz_of_one_output_is_the_hinge(maps):
    logits, labels, counts = maps
    yes, one = labels % 2, logits[..., 0]
    found = []
    for item in range(len(yes)):
        truth = yes[item][counts[item]] == 1
        errors = np.maximum(0, 1 - one[item][counts[item]] * (2.0 * truth - 1))
        found.append(extend(errors, truth))
    targets = np.where(counts, yes, IGNORE)
    assert call(losses.Lovasz(), targets, one[..., None]) == pytest.approx(np.mean(found))


def test_lovasz_of_right_and_wrong_answers_is_the_jaccard_loss():
    labels = np.array([[0, 0, 0, 1, 1, 2]])
    answers = np.array([[0, 0, 1, 1, 2, 2]])
    index = [2 / 3, 1 / 3, 1 / 2]
    got = losses.Lovasz()(as_tensor(labels), as_tensor(1000 * np.eye(3)[answers]))
    assert float(got) == pytest.approx(1 - np.mean(index))


@pytest.mark.parametrize("shape", [(2, 30, 1), (2, 20, 31, 2), (2, 9, 8, 7, 2)])
@pytest.mark.parametrize("reach", [4, 60])
def test_distances_are_those_of_scipy(shape, reach):
    areas = np.random.default_rng(0).random(shape) < 0.04
    got = losses.Boundary(reach).measure(areas).numpy()
    for item, label in np.ndindex(shape[0], shape[-1]):
        expected = signed_distances(areas[item, ..., label], reach)
        np.testing.assert_allclose(got[item, ..., label], expected, atol=1e-5)


def test_items_are_weighed(maps):
    logits, labels, _ = maps
    weights = np.array([1.0, 0.5, 0.0])
    labels = np.where(labels == IGNORE, 0, labels)
    for loss in (losses.SoftDice(), losses.Lovasz()):
        each = [float(loss(as_tensor(labels[i : i + 1]), as_tensor(logits[i : i + 1]))) for i in range(3)]
        got = loss(as_tensor(labels), as_tensor(logits), sample_weight=as_tensor(weights))
        assert float(got) == pytest.approx(np.mean(weights * each))


def call(loss, labels, logits):
    """Return the value of a loss as a step of a model calls it, without the places of a label."""
    from bf_models.losses.terms import LossTerm
    from bf_models.optim import Named
    from bf_models.training.matching import match, weigh_kept

    term = LossTerm(Named("loss", type(loss).__name__, made=loss), ignore=IGNORE)
    outputs = as_tensor(logits)
    matched = match(term, as_tensor(labels), outputs, weighted=False)
    assert float(matched.wrong) == 0
    if term.areas:
        return float(loss(matched.targets, outputs, kept=matched.kept))
    return float(loss(matched.targets, outputs, sample_weight=weigh_kept(matched.kept)))


def as_tensor(array):
    import tensorflow as tf

    return tf.constant(array)


def segmenter(classes=3, **config):
    """A 1x1 convolution: maps (4, 4, 2) to classes at each place."""

    def head(x, net):
        return net.conv(x, net.known_classes, 1, name="out", bias=True)

    return KerasModel({"num_classes": classes, "head": head, "seed": 1, **config})


IMAGES = np.random.default_rng(1).normal(size=(4, 4, 4, 2)).astype("f4")
MASKS = np.random.default_rng(2).integers(0, 3, (4, 4, 4)).astype("uint8")


@pytest.mark.parametrize("name", ["ce", "focal", "dice", "iou", "jaccard", "tversky", "lovasz", "boundary"])
def test_a_model_ignores_a_label_by_name(name):
    masks = np.where(np.random.default_rng(3).random(MASKS.shape) < 0.3, 255, MASKS).astype("uint8")
    model = segmenter(loss={"name": name, "ignore": 255})
    before = model.predict(IMAGES, masks, fetches="loss")
    model.train(IMAGES, masks)
    assert model.predict(IMAGES, masks, fetches="loss") != before
    told = model.evaluate(IMAGES, masks)
    labels, counts = model.predict(IMAGES, fetches="labels"), masks != 255
    assert told["accuracy"] == pytest.approx((labels == masks)[counts].mean())
    with pytest.raises(ValueError, match=r"labels of 3 classes are 0 to 2.*or 255.*got a value of 7"):
        model.train(IMAGES, np.where(masks == 2, 7, masks))
    with pytest.raises(ValueError, match=r"labels of 3 classes.*got a value of 255.*'ignore' of the loss"):
        segmenter(loss=name).train(IMAGES, masks)


def test_a_yes_or_no_of_places_has_places_to_ignore():
    masks = np.where(MASKS == 2, 255, MASKS)
    for name in ("focal", "dice", "lovasz"):
        model = segmenter(1, loss={"name": name, "ignore": 255})
        model.train(IMAGES, masks)
        labels = model.predict(IMAGES, fetches="labels")[..., 0]
        right = (labels == masks)[masks != 255].mean()
        assert model.evaluate(IMAGES, masks)["accuracy"] == pytest.approx(right)
        with pytest.raises(ValueError, match=r"a yes or no is 0 to 1, or 255.*got a value of 2"):
            model.train(IMAGES, MASKS)


def test_losses_are_combined_by_their_weights_and_made_in_python_too():
    terms = [{"name": "ce"}, {"name": "dice", "weight": 0.5}, {"name": "boundary", "weight": 0.01}]
    one = [segmenter(loss=term["name"]).predict(IMAGES, MASKS, fetches="loss") for term in terms]
    both = segmenter(loss=terms).predict(IMAGES, MASKS, fetches="loss")
    assert both == pytest.approx(one[0] + 0.5 * one[1] + 0.01 * one[2], rel=1e-5)
    made = segmenter(loss=losses.SoftDice(classes=[1, 2]))
    named = segmenter(loss={"name": "dice", "classes": [1, 2]})
    assert made.predict(IMAGES, MASKS, fetches="loss") == named.predict(IMAGES, MASKS, fetches="loss")
    weights = np.array([1.0, 0.0, 2.0, 0.0])
    weighed = made.predict(IMAGES, MASKS, fetches="loss", sample_weight=weights)
    assert weighed == named.predict(IMAGES, MASKS, fetches="loss", sample_weight=weights)


@pytest.mark.parametrize(
    ("loss", "message"),
    [
        ({"name": "dice", "smooth": -1}, "dice: smooth is a number from 0 on, got -1"),
        ({"name": "dice", "classes": [1, 1]}, r"dice: classes are labels.*\[1, 1\]"),
        ({"name": "lovasz", "classes": [3]}, r"lovasz: classes \[3\] of a network with 3 outputs"),
        ({"name": "tversky", "alpha": 0, "beta": 0}, "alpha and beta.*not both 0"),
        ({"name": "tversky", "power": 0}, "power is a number above 0, got 0"),
        ({"name": "focal", "gamma": -1}, "gamma is a number from 0 on, got -1"),
        ({"name": "focal", "alpha": 2.0}, "alpha is a share from 0 to 1.*2.0"),
        (
            {"name": "focal", "alpha": 0.3},
            "one alpha, 0.3, is for a yes or no, and the network has 3 classes",
        ),
        ({"name": "focal", "alpha": [1, 2]}, "alpha has 2 weights for 3 classes"),
        ({"name": "boundary", "reach": 0}, "reach is a number of pixels from 1 on, got 0"),
        ({"name": "dice", "smoth": 1}, "smooth"),
    ],
)
def test_what_a_loss_cannot_be_made_of_is_refused(loss, message):
    with pytest.raises((ValueError, TypeError), match=message):
        segmenter(loss=loss).train(IMAGES, MASKS)
