"""Rates, areas and errors are those of scikit-learn, whatever classes are there or not."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from sklearn import metrics as peer

from bf_models.metrics import ClassificationMetrics, RegressionMetrics, SegmentationMetrics

RATES = {
    "precision": peer.precision_score,
    "recall": peer.recall_score,
    "f1": peer.f1_score,
    "jaccard": peer.jaccard_score,
}


def score(rate, targets, found, **options):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that one side lacks
        return RATES[rate](targets, found, **options)


def sparse(classes: int, seed: int):
    """Labels of which some classes are in neither, some in targets only, some in predictions only."""
    rng = np.random.default_rng(seed)
    there, found = (rng.choice(classes, 1 + classes // 2, replace=False) for _ in range(2))
    return rng.choice(there, 60), rng.choice(found, 60)


@pytest.mark.parametrize(
    # scikit-learn's jaccard_score knows no NaN
    ("name", "zero"),
    [(name, zero) for name in RATES for zero in (0, 1, np.nan) if name != "jaccard" or zero in (0, 1)],
)
@pytest.mark.parametrize("classes", [3, 6, 20])
def test_rates_of_classes_of_which_some_are_absent(name, zero, classes):
    for seed in range(5):
        targets, labels = sparse(classes, seed)
        ours = ClassificationMetrics(targets, labels, fmt="labels", num_classes=classes)
        for average in ("macro", "micro"):
            got = ours.evaluate(name, multiclass=average, zero_division=zero)
            assert got == pytest.approx(
                score(name, targets, labels, average=average, zero_division=zero), nan_ok=True
            )
        each = score(name, targets, labels, average=None, labels=range(classes), zero_division=zero)
        np.testing.assert_allclose(ours.evaluate(name, multiclass=None, zero_division=zero), each)
        assert ours.evaluate(name, label=1, zero_division=zero) == pytest.approx(each[1], nan_ok=True)


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("zero", [0, 1])
@pytest.mark.parametrize(
    ("targets", "labels"), [([0, 1, 1], [0, 0, 1]), ([0, 0], [0, 0]), ([0, 0], [1, 0]), ([1, 0], [0, 0])]
)
def test_rates_of_yes_and_no(name, zero, targets, labels):
    ours = ClassificationMetrics(targets, labels, fmt="labels", num_classes=2)
    assert ours.evaluate(name, zero_division=zero) == score(name, targets, labels, zero_division=zero)


@pytest.mark.parametrize("name", RATES)
@pytest.mark.parametrize("classes", [2, 20])
def test_rates_of_pictures_are_means_of_those_of_each(name, classes):
    rng = np.random.default_rng(3)
    masks = np.stack([rng.choice(rng.integers(0, classes, 3), (9, 7)) for _ in range(8)])
    found = np.where(rng.random(masks.shape) < 0.6, masks, rng.integers(0, classes, masks.shape))
    masks[0], found[0] = 0, 0
    average = "binary" if classes == 2 else "macro"
    each = [score(name, t.ravel(), p.ravel(), average=average, zero_division=0) for t, p in zip(masks, found)]
    ours = SegmentationMetrics(masks[:3], found[:3], fmt="labels", num_classes=classes)
    ours.update(SegmentationMetrics(masks[3:], found[3:], fmt="labels", num_classes=classes))
    np.testing.assert_allclose(ours.evaluate(name, agg=None), each)
    assert ours.evaluate(name) == pytest.approx(np.mean(each))


AREAS = {
    "roc_auc": peer.roc_auc_score,
    "average_precision": peer.average_precision_score,
    "pr_auc": lambda t, s: peer.auc(*peer.precision_recall_curve(t, s)[1::-1]),
}


@pytest.mark.parametrize("name", AREAS)
@pytest.mark.parametrize("digits", [1, 9])  # of scores: with one digit there are many ties
def test_areas_of_yes_and_no(name, digits):
    rng = np.random.default_rng(4)
    targets, proba = rng.integers(0, 2, 200), rng.random(200).round(digits)
    expected = AREAS[name](targets, proba)
    ours = ClassificationMetrics(targets[:50], proba[:50], scores=True)
    ours.update(ClassificationMetrics(targets[50:], proba[50:], scores=True))
    assert ours.evaluate(name) == pytest.approx(expected)
    pairs = ClassificationMetrics(targets, np.stack([1 - proba, proba], 1), scores=True)
    assert pairs.evaluate(name) == pytest.approx(expected)
    assert ours.evaluate(name, label=0) == pytest.approx(AREAS[name](1 - targets, -proba))


@pytest.mark.parametrize("average", ["macro", "micro", None])
def test_areas_of_several_classes(average):
    rng = np.random.default_rng(5)
    targets, logits = rng.integers(0, 4, 100), rng.normal(size=(100, 4))
    proba = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    ours = ClassificationMetrics(targets, logits, fmt="logits", scores=True)
    expected = peer.roc_auc_score(targets, proba, multi_class="ovr", average=average)
    np.testing.assert_allclose(ours.evaluate("roc_auc", multiclass=average), expected)
    expected = peer.average_precision_score(np.eye(4)[targets], proba, average=average)
    np.testing.assert_allclose(ours.evaluate("average_precision", multiclass=average), expected)


def test_areas_of_classes_that_nobody_has_are_left_out_and_need_scores():
    rng = np.random.default_rng(6)
    targets, proba = rng.integers(0, 2, 50), rng.dirichlet(np.ones(3), 50)
    ours = ClassificationMetrics(targets, proba, scores=True)
    each = [peer.roc_auc_score(targets == number, proba[:, number]) for number in range(2)]
    np.testing.assert_allclose(ours.evaluate("roc_auc", multiclass=None), [*each, np.nan])
    assert ours.evaluate("roc_auc") == pytest.approx(np.mean(each))
    with pytest.raises(ValueError, match="scores=True"):
        ClassificationMetrics(targets, proba).evaluate("auc")
    with pytest.raises(ValueError, match="labels have no scores"):
        ClassificationMetrics(targets, targets, fmt="labels", scores=True)


ERRORS = {
    "mae": peer.mean_absolute_error,
    "mse": peer.mean_squared_error,
    "rmse": peer.root_mean_squared_error,
    "r2": peer.r2_score,
    "explained_variance_ratio": peer.explained_variance_score,
    "median_absolute_error": peer.median_absolute_error,
}


@pytest.mark.parametrize("name", ERRORS)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("shape", [(100,), (101, 3)])
def test_errors_of_numbers(name, weighted, shape):
    rng = np.random.default_rng(7)
    targets, predictions = rng.normal(size=(2, *shape))
    for weights in (rng.uniform(0.01, 5, shape[0]), rng.integers(0, 3, shape[0])):
        given = weights if weighted else None
        ours = RegressionMetrics(targets[:20], predictions[:20], None if given is None else given[:20])
        ours.update(RegressionMetrics(targets[20:], predictions[20:], None if given is None else given[20:]))
        expected = ERRORS[name](targets, predictions, sample_weight=given)
        assert ours.evaluate(name) == pytest.approx(expected, rel=1e-9)


def test_the_largest_error_and_the_share_of_small_ones_weigh_too():
    targets, predictions, weights = np.zeros(4), np.array([1.0, 2.0, 5.0, 9.0]), np.array([1, 1, 2, 0])
    assert RegressionMetrics(targets, predictions).evaluate("max_error") == 9
    weighed = RegressionMetrics(targets, predictions, weights)
    assert weighed.evaluate("max_error") == peer.max_error(targets[:3], predictions[:3])
    assert weighed.evaluate("accuracy", gap=2) == 0.5
    with pytest.raises(ValueError, match="no item has a weight"):
        RegressionMetrics([1.0], [1.0], [0.0]).evaluate("mae")
