"""Metrics: values of the older BatchFlow, and its gaps closed."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models.metrics import (
    ClassificationMetrics,
    RegressionMetrics,
    SegmentationMetrics,
    SegmentationMetricsByInstances,
)


@pytest.fixture
def example():
    return ClassificationMetrics([0, 1, 1, 2], [0, 1, 2, 2], fmt="labels", num_classes=3)


def test_rows_of_the_confusion_matrix_are_predicted_classes(example):
    assert example.confusion_matrix.tolist() == [[1, 0, 0], [0, 1, 0], [0, 1, 1]]


@pytest.mark.parametrize(
    ("name", "options", "value"),
    [
        ("accuracy", {}, 0.75),
        ("recall", {}, 5 / 6),
        ("recall", {"multiclass": "micro"}, 0.75),
        ("recall", {"label": 1}, 0.5),
        ("f1_score", {}, 5 / 6),
        ("tpr", {}, 5 / 6),
        ("total_population", {"label": 0}, 4),
        ("true_positive", {}, 3),
    ],
)
def test_values_are_those_of_the_older_batchflow(example, name, options, value):
    assert example.evaluate(name, **options) == pytest.approx(value)


def test_a_value_for_each_class(example):
    assert example.evaluate("recall", multiclass=None).tolist() == [1, 0.5, 1]


def test_several_metrics_come_as_a_dict(example):
    assert example.evaluate(["accuracy", "precision"]) == {
        "accuracy": 0.75,
        "precision": pytest.approx(5 / 6),
    }


@pytest.mark.parametrize("name", ["recall", "precision", "specificity", "f1_score", "iou"])
def test_nothing_to_find_and_nothing_found_is_perfect(name):
    metrics = ClassificationMetrics([0, 0, 0], [0, 0, 0], fmt="labels", num_classes=2)
    assert metrics.evaluate(name) == 1


def test_likelihood_ratios_without_false_positives_are_infinite():
    metrics = ClassificationMetrics([0, 1, 1], [0, 1, 1], fmt="labels")
    assert metrics.evaluate("plr") == np.inf
    assert metrics.evaluate("fpr") == 0


def test_probabilities_logits_and_labels_agree():
    rng = np.random.default_rng(0)
    logits = rng.normal(size=(20, 4))
    targets = rng.integers(0, 4, 20)
    proba = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    values = [
        ClassificationMetrics(targets, logits, fmt="logits").evaluate("accuracy"),
        ClassificationMetrics(targets, proba).evaluate("accuracy"),
        ClassificationMetrics(targets, logits.argmax(-1), fmt="labels", num_classes=4).evaluate("accuracy"),
        ClassificationMetrics(np.eye(4)[targets], proba, axis=-1).evaluate("accuracy"),
    ]
    assert len(set(values)) == 1


def test_threshold_is_inclusive_for_probabilities_and_logits():
    assert ClassificationMetrics([1, 0], [0.5, 0.49]).evaluate("accuracy") == 1
    assert ClassificationMetrics([1, 0], [0.0, -0.1], fmt="logits").evaluate("accuracy") == 1


def test_update_adds_and_append_keeps_apart():
    def of(labels):
        return ClassificationMetrics([0, 1, 1, 2], labels, fmt="labels", num_classes=3)

    metrics = of([0, 1, 2, 2])
    metrics.update(of([0, 1, 1, 2]))
    assert metrics.evaluate("accuracy") == 7 / 8
    metrics = of([0, 1, 2, 2])
    metrics.append(of([0, 1, 1, 2]))
    assert metrics.evaluate("accuracy", agg=None).tolist() == [0.75, 1.0]


def test_labels_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"0\.\.2.*0\.\.3"):
        ClassificationMetrics([0, 3], [0, 1], fmt="labels", num_classes=3)


def test_unknown_metric_is_refused_with_close_matches(example):
    with pytest.raises(ValueError, match="'precision'"):
        example.evaluate("precison")
    with pytest.raises(ValueError, match="'rmse'"):
        RegressionMetrics([1.0], [1.0]).evaluate("rmsee")


def test_rates_agree_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(1)
    targets, labels = rng.integers(0, 5, (2, 200))
    metrics = ClassificationMetrics(targets, labels, fmt="labels")
    assert metrics.evaluate("accuracy") == pytest.approx(sklearn.accuracy_score(targets, labels))
    for name, function in (("recall", sklearn.recall_score), ("precision", sklearn.precision_score)):
        assert metrics.evaluate(name) == pytest.approx(function(targets, labels, average="macro"))
    jaccard = sklearn.jaccard_score(targets, labels, average=None)
    np.testing.assert_allclose(metrics.evaluate("iou", multiclass=None), jaccard)


def test_segmentation_rates_are_means_over_images():
    targets = np.zeros((2, 4, 4), int)
    targets[0, :2] = 1
    predictions = np.zeros((2, 4, 4))
    predictions[0, :1] = 1
    metrics = SegmentationMetrics(targets, predictions)
    assert metrics.evaluate("recall", agg=None).tolist() == [0.5, 1.0]
    assert metrics.evaluate("recall") == 0.75
    metrics.update(SegmentationMetrics(targets[:1], targets[:1].astype(float)))
    assert metrics.evaluate("recall") == pytest.approx((0.5 + 1 + 1) / 3)


def test_instances_are_connected_areas():
    targets = np.zeros((1, 8, 8), int)
    targets[0, :2, :2] = 1
    targets[0, 5:7, 5:7] = 1
    predictions = np.zeros((1, 8, 8), int)
    predictions[0, 0, :2] = 1
    predictions[0, 3, 7] = 1
    metrics = SegmentationMetricsByInstances(targets, predictions, fmt="labels", num_classes=2)
    counts = [metrics.evaluate(name) for name in ("true_positive", "false_positive", "false_negative")]
    assert counts == [1, 1, 1]
    assert metrics.evaluate("f1") == 0.5


def test_areas_are_those_of_scipy():
    ndimage = pytest.importorskip("scipy.ndimage")
    from bf_models.metrics.segmentation import components

    for seed in range(5):
        mask = np.random.default_rng(seed).random((31, 40)) < 0.6
        ours, count = components(mask)
        theirs, expected = ndimage.label(mask)
        assert count == expected
        assert len(np.unique(ours * 1000 + theirs)) == count + 1


def test_regression_agrees_with_scikit_learn():
    sklearn = pytest.importorskip("sklearn.metrics")
    targets, predictions = np.random.default_rng(2).normal(size=(2, 50))
    metrics = RegressionMetrics(targets[:20], predictions[:20])
    metrics.update(RegressionMetrics(targets[20:], predictions[20:]))
    assert metrics.evaluate("mae") == pytest.approx(sklearn.mean_absolute_error(targets, predictions))
    assert metrics.evaluate("r2") == pytest.approx(sklearn.r2_score(targets, predictions))
    assert metrics.evaluate("max_error") == pytest.approx(sklearn.max_error(targets, predictions))
    assert metrics.evaluate("accuracy", gap=0.5) == np.mean(np.abs(targets - predictions) <= 0.5)
