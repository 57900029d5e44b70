"""A label that a loss and metrics ignore: values, gradients and counts are those without its places."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, jaccard_score

from bf_models import KerasModel
from bf_models.losses.terms import read_losses
from bf_models.metrics import ClassificationMetrics, SegmentationMetrics

RNG = np.random.default_rng(3)
MAPS = RNG.normal(size=(4, 5, 6, 2)).astype("f4")
LABELS = RNG.integers(0, 3, (4, 5, 6))
HOLES = RNG.random((4, 5, 6)) < 0.3
MASKS = np.where(HOLES, 255, LABELS).astype(np.uint8)


def segmenter(**more):
    """A 1x1 convolution: maps (H, W, 2) to classes at each place."""

    def head(x, net):
        return net.conv(x, net.known_classes, 1, name="out", bias=True)

    return KerasModel({"num_classes": 3, "head": head, "seed": 1, **more})


def softmax(logits):
    powers = np.exp(logits - logits.max(-1, keepdims=True))
    return powers / powers.sum(-1, keepdims=True)


@pytest.mark.parametrize("masks", [MASKS, MASKS[..., None], np.where(HOLES, -7, LABELS), MASKS.astype("f4")])
def test_cross_entropy_is_the_mean_over_the_places_that_count(masks):
    ignore = int(masks[HOLES].flat[0])
    model = segmenter(loss={"name": "ce", "ignore": ignore})
    proba = softmax(model.predict(MAPS).astype(float))
    each = -np.log(np.take_along_axis(proba, LABELS[..., None], -1)[..., 0])
    assert model.predict(MAPS, masks, fetches="loss") == pytest.approx(each[~HOLES].mean(), rel=1e-5)
    weighed = segmenter(loss={"name": "ce", "ignore": ignore}, class_weights=[1, 2, 0.5])
    factors = np.array([1, 2, 0.5])[LABELS]
    expected = (each * factors)[~HOLES].mean()
    assert weighed.predict(MAPS, masks, fetches="loss") == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("loss", "smooth"), [("dice", 1.0), ("iou", 1.0)])
def test_areas_are_those_of_the_places_that_count(loss, smooth):
    model = segmenter(loss={"name": loss, "ignore": 255})
    kept = ~HOLES[..., None]
    proba = softmax(model.predict(MAPS).astype(float)) * kept
    truth = np.eye(3)[LABELS] * kept
    common, total = (proba * truth).sum((1, 2)), (proba + truth).sum((1, 2))
    shares = {
        "dice": (2 * common + smooth) / (total + smooth),
        "iou": (common + smooth) / (total - common + smooth),
    }
    expected = (1 - shares[loss]).mean()
    assert model.predict(MAPS, MASKS, fetches="loss") == pytest.approx(expected, rel=1e-5)


def test_a_yes_or_no_of_each_place_ignores_too():
    masks = np.where(HOLES, 255, LABELS > 0).astype(np.uint8)
    model = segmenter(num_classes=1, loss={"name": "bce", "ignore": 255})
    yes = 1 / (1 + np.exp(-model.predict(MAPS).astype(float)[..., 0]))
    each = -np.where(LABELS > 0, np.log(yes), np.log(1 - yes))
    assert model.predict(MAPS, masks, fetches="loss") == pytest.approx(each[~HOLES].mean(), rel=1e-4)


def test_ignored_places_change_no_weight():
    """What is shown at ignored places, and that all places are ignored, makes no difference to a step."""
    other = MAPS.copy()
    other[HOLES] = 100.0
    models = [segmenter(loss={"name": "ce", "ignore": 255}, optimizer={"name": "sgd"}) for _ in range(2)]
    for model, maps in zip(models, (MAPS, other), strict=True):
        model.train(maps, MASKS)
    first, second = (model.network.get_weights() for model in models)
    assert all(np.allclose(a, b, atol=1e-6) for a, b in zip(first, second, strict=True))
    assert models[0].train(MAPS, np.full_like(MASKS, 255), fetches="loss") == 0
    assert all(np.array_equal(a, b) for a, b in zip(first, models[0].network.get_weights(), strict=True))


def test_accuracy_is_of_the_places_that_count():
    model = segmenter(loss={"name": "ce", "ignore": 255})
    right = model.predict(MAPS).argmax(-1) == LABELS
    assert model.evaluate(MAPS, MASKS, batch_size=3)["accuracy"] == pytest.approx(right[~HOLES].mean())


@pytest.mark.parametrize(
    ("loss", "words"),
    [
        ({"name": "ce", "ignore": "255"}, "ignore is a label such as 255, got '255'"),
        ({"name": "ce", "ignore": True}, "ignore is a label"),
        ({"name": "mse", "ignore": 255}, "MeanSquaredError knows no labels"),
        ({"name": "huber", "ignore": 255}, "Huber knows no labels"),
    ],
)
def test_what_can_not_be_ignored_is_refused(loss, words):
    with pytest.raises(ValueError, match=words):
        read_losses(loss, "here", ("labels",))


def test_other_labels_out_of_range_are_refused_still():
    wrong = MASKS.copy()
    wrong[1, 2, 3] = 200
    model = segmenter(loss={"name": "ce", "ignore": 255})
    with pytest.raises(ValueError, match=r"value of 200 at item 1, place \(2, 3\).*1 of 120"):
        model.train(MAPS, wrong)


@pytest.mark.parametrize(
    ("dtype", "classes", "ignore"),
    [
        *((dtype, *kind) for dtype in (np.int16, np.int64) for kind in ((21, -1), (300, 255))),
        *((dtype, *kind) for dtype in (np.uint8, np.int64) for kind in ((21, 255), (21, None), (3, 1))),
    ],
)
def test_counts_are_those_of_scikit_learn_without_the_ignored(dtype, classes, ignore):
    rng = np.random.default_rng(classes)
    truth, answers = rng.integers(0, classes, (2, 3, 150, 170)).astype(dtype)
    if ignore is not None:
        truth[rng.random(truth.shape) < 0.2] = ignore
    kept = np.ones(truth.shape, bool) if ignore is None else truth != ignore
    want = confusion_matrix(truth[kept], answers[kept], labels=np.arange(classes)).T
    for metrics in (
        SegmentationMetrics(truth, answers, "labels", classes, ignore=ignore),
        SegmentationMetrics(truth, answers, "labels", classes, ignore=ignore, by_image=False),
        ClassificationMetrics(truth, answers, "labels", classes, ignore=ignore),
    ):
        assert np.array_equal(metrics.confusion_matrix, want)


def test_mean_iou_of_all_pixels_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for classes in (2, 5):
        parts = rng.integers(0, classes, (3, 2, 2, 16, 16))
        gathered = None
        for truth, answers in parts:
            batch = SegmentationMetrics(truth, answers, "labels", classes, by_image=False)
            gathered = batch if gathered is None else (gathered.update(batch), gathered)[1]
        truth, answers = parts[:, 0].ravel(), parts[:, 1].ravel()
        assert gathered.evaluate("mean_iou") == pytest.approx(jaccard_score(truth, answers, average="macro"))
        each = gathered.evaluate("iou", multiclass=None)
        assert each == pytest.approx(jaccard_score(truth, answers, average=None))
        assert gathered.evaluate("pixel_accuracy") == pytest.approx(np.mean(truth == answers))


def test_counts_of_all_pixels_do_not_grow_and_keep_no_masks():
    masks = np.zeros((2, 64, 64), np.uint8)
    metrics = SegmentationMetrics(masks, masks, "labels", 21, by_image=False)
    for _ in range(5):
        metrics.update(SegmentationMetrics(masks, masks, "labels", 21, by_image=False))
    held = [value for value in vars(metrics).values() if isinstance(value, np.ndarray)]
    held += list(metrics._matrices)
    assert sum(array.nbytes for array in held) == 21 * 21 * 8
    with pytest.raises(ValueError, match="by image and counts of all pixels"):
        metrics.update(SegmentationMetrics(masks, masks, "labels", 21))


@pytest.mark.parametrize(
    ("dtype", "value"), [(np.uint8, 21), (np.uint8, 254), *((np.int64, value) for value in (21, 300, -1))]
)
@pytest.mark.parametrize("wrong", ["targets", "predictions"])
def test_labels_out_of_range_are_named(dtype, value, wrong):
    labels = {"targets": np.zeros((1, 8, 8), dtype), "predictions": np.zeros((1, 8, 8), dtype)}
    labels["targets"][0, 0, 0] = 255 if dtype == np.uint8 else 20
    labels[wrong][0, 3, 3] = value
    with pytest.raises(ValueError, match=f"{wrong} are labels 0..20.*1 of 64 are out of range"):
        SegmentationMetrics(**labels, fmt="labels", num_classes=21, ignore=255)
