"""Metrics: values of the older BatchFlow, and its gaps closed."""

from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
from numpy.testing import assert_allclose, assert_array_equal

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
        ("f1_score", {"convention": "batchflow"}, 5 / 6),
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


@pytest.mark.parametrize(
    ("name", "older"), [("recall", 1), ("precision", 1), ("f1_score", np.inf), ("iou", np.inf)]
)
def test_nothing_to_find_and_nothing_found_is_perfect_or_left_out_by_the_older_convention(name, older):
    metrics = ClassificationMetrics([0, 0, 0], [0, 0, 0], fmt="labels", num_classes=2)
    assert metrics.evaluate(name) == 0
    assert metrics.evaluate(name, zero_division=1) == 1
    assert metrics.evaluate(name, convention="batchflow") == older
    with pytest.raises(ValueError, match="'scikit-learn' or 'batchflow', got 'older'"):
        metrics.evaluate(name, convention="older")


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


def test_segmentation_rates_are_means_over_images():
    targets = np.zeros((2, 4, 4), int)
    targets[0, :2] = 1
    predictions = np.zeros((2, 4, 4))
    predictions[0, :1] = 1
    metrics = SegmentationMetrics(targets, predictions)
    assert metrics.evaluate("recall", agg=None, convention="batchflow").tolist() == [0.5, 1.0]
    assert metrics.evaluate("recall", agg=None).tolist() == [0.5, 0.0]
    assert metrics.evaluate("recall", zero_division=np.nan) == 0.5
    metrics.update(SegmentationMetrics(targets[:1], targets[:1].astype(float)))
    assert metrics.evaluate("recall", zero_division=1) == pytest.approx((0.5 + 1 + 1) / 3)


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
    from bf_models.metrics.runs import find_run, find_starts, number_areas

    for seed, shape in enumerate([(1, 31, 40), (3, 31, 40), (2, 9, 1), (2, 7, 8, 9), (4, 50), (1, 1, 1)]):
        masks = np.random.default_rng(seed).choice(3, shape, p=[0.6, 0.3, 0.1])
        starts = find_starts(masks)
        ours = number_areas(masks, starts)[find_run(starts, np.arange(masks.size), masks.size)]
        count, ours = ours.max() + 1, ours.reshape(shape)
        theirs = np.zeros(shape, int)
        expected = 0
        for image, mask in enumerate(masks):
            for value in range(3):
                areas, found = ndimage.label(mask == value)
                theirs[image][areas > 0] = areas[areas > 0] + expected
                expected += found
        assert count == expected
        assert len(np.unique(ours * (expected + 1) + theirs)) == count


def test_rates_of_instances_are_means_over_the_classes_that_an_image_has():
    targets = np.zeros((3, 6, 6), int)
    targets[0, 0, 0], targets[0, 2:4, 2:4] = 1, 2
    targets[1, 5, 5] = 3
    predictions = targets.copy()
    predictions[0, 2:4, 2:4] = 0  # class 2 is missed, classes 4 and 5 are nowhere, image 2 is empty
    metrics = SegmentationMetricsByInstances(targets, predictions, fmt="labels", num_classes=6)
    assert metrics.evaluate("recall") == (0.5 + 1) / 2
    assert metrics.evaluate("precision", zero_division=1) == 1
    assert metrics.evaluate("recall", convention="batchflow") == pytest.approx((1 + 0 + 3 + 5 + 5) / 15)
    assert metrics.evaluate("f1", convention="batchflow") == pytest.approx(
        (2 * 0.5 * 1 / 1.5 + 1) / 2
    )  # of macro recall and precision of the classes there are; image 2 is left out
    each = metrics.evaluate("iou", agg=None, multiclass=None, convention="batchflow")
    assert_array_equal(each[:2, :3], [[1, 0, np.inf], [np.inf, np.inf, 1]])


def test_an_older_f1_is_the_harmonic_mean_of_means_over_the_classes_there_are():
    """By hand: class 2 is nowhere; recall (1/2, 1), precision (1, 2/3)."""
    metrics = ClassificationMetrics([0, 0, 1, 1], [0, 1, 1, 1], fmt="labels", num_classes=3)
    recall, precision = 0.75, 5 / 6
    f1 = 2 * recall * precision / (recall + precision)
    assert metrics.evaluate("f1", convention="batchflow") == pytest.approx(f1)
    assert metrics.evaluate("iou", convention="batchflow") == pytest.approx(f1 / (2 - f1))
    each = metrics.evaluate("iou", multiclass=None, convention="batchflow")
    assert_allclose(each, [1 / 2, 2 / 3, np.inf])


@pytest.mark.parametrize("by_image", [True, False])
def test_confusion_matrices_of_instances_hold_the_counts(by_image):
    rng = np.random.default_rng(0)
    targets, predictions = rng.integers(0, 4, (2, 3, 9, 9))
    metrics = SegmentationMetricsByInstances(targets, predictions, "labels", 4, by_image=by_image)
    matrices = metrics.confusion_matrices
    assert matrices.shape == ((3, 3, 2, 2) if by_image else (3, 2, 2))
    places = {"true_positive": (1, 1), "false_positive": (1, 0), "false_negative": (0, 1)}
    for name, (row, column) in places.items():
        assert_array_equal(matrices[..., row, column], metrics.evaluate(name, agg=None, multiclass=None))
    assert (matrices[..., 0, 0] == 0).all()
    for label in (1, 2, 3):  # every area of the targets is found or missed
        areas = [scipy.ndimage.label(target == label)[1] for target in targets]
        found_or_missed = matrices[..., label - 1, :, 1].sum(-1)
        assert_array_equal(found_or_missed, areas if by_image else sum(areas))


@pytest.mark.parametrize(
    ("targets", "predictions", "fmt", "words"),
    [
        ([0, 1], [1.5, -3.0], "proba", "probabilities are 0 to 1, got -3 to 1.5"),
        ([0, 1, 2], [0, 1, 2], "proba", "0 to 1, got 0 to 2"),
        ([0, 1, 1], [0, 1, 1], "logits", "fmt='labels'"),
        ([0, 1], [0.0, 1.0], "logits", "fmt='labels'"),
        ([0, 1, 1, 0], [0.1, 0.9, 0.7, 0.2], "logits", "fmt='proba'"),
        ([0, 1], [[0.1, 0.9], [0.6, 0.4]], "logits", "fmt='proba'"),
        ([0, 1], [0.2, 0.7], "labels", "whole numbers, got 0.2"),
        ([0, 0.5], [0, 1], "labels", "targets are labels.*got 0.5"),
        ([0, np.nan], [0, 1], "labels", "targets hold NaN"),
        ([0, 1], [[np.nan, 1], [0.5, 0.5]], "proba", "predictions hold NaN"),
        ([0, np.inf], [0, 1], "labels", "targets are labels.*got inf"),
        ([0, 1, 2], [[0.1, 0.9], [0.6, 0.4]], "proba", r"\(3,\).*\(2, 2\)"),
        ([[0, 1]], [0, 1], "labels", r"\(1, 2\).*\(2,\)"),
        (1, [0, 1], "labels", "an axis of items"),
    ],
)
def test_what_is_not_what_fmt_says_is_refused(targets, predictions, fmt, words):
    with pytest.raises(ValueError, match=words):
        ClassificationMetrics(targets, predictions, fmt=fmt)


def test_a_column_is_the_same_as_a_row_of_numbers():
    labels, column = np.array([0, 1, 1, 0]), np.array([[0.2], [0.9], [0.4], [0.6]])
    expected = [[1, 1], [1, 1]]
    for targets in (labels, labels[:, None]):
        for predictions in (column, column[:, 0]):
            assert ClassificationMetrics(targets, predictions).confusion_matrix.tolist() == expected
    shares = np.array([[0.1, 0.9], [0.8, 0.2]])
    assert ClassificationMetrics([[1], [1]], shares).evaluate("accuracy") == 0.5
    assert RegressionMetrics([[1.0], [2.0]], [1.0, 3.0]).evaluate("mae") == 0.5


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (([1.0, 2.0], [[1.0, 2.0]]), r"\(2,\).*\(1, 2\)"),
        ((np.ones((4, 2, 3)), np.ones((4, 6))), r"\(4, 2, 3\).*\(4, 6\)"),
        (([1.0, np.nan], [1.0, 2.0]), "targets hold NaN"),
        (([1.0, 2.0], [1.0, 2.0], [[1.0, 2.0]]), r"weights of shape \(1, 2\) for 2 items"),
        (([1.0, 2.0], [1.0, 2.0], [1.0, -2.0]), "0 or more, got -2"),
        (([1.0, 2.0], [1.0, 2.0], [1.0, np.nan]), "0 or more, got nan"),
    ],
)
def test_numbers_that_do_not_go_together_are_refused(arguments, words):
    with pytest.raises(ValueError, match=words):
        RegressionMetrics(*arguments)
