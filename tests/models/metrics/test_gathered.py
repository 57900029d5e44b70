"""What all metrics do alike, the loss as a metric, names, pictures, instances, panoptic quality."""

from __future__ import annotations

import io
import itertools

import numpy as np
import pytest
from omegaconf import OmegaConf
from sklearn import metrics as peer

from bf_batch import Batch, Dataset
from bf_models.metrics import (
    ClassificationMetrics,
    Loss,
    PanopticMetrics,
    RegressionMetrics,
    SegmentationMetrics,
    SegmentationMetricsByInstances,
    find_metrics,
)
from bf_pipeline import B, BindError, Pipeline, V, build
from bf_pipeline.yaml import register_resolvers


def example(seed: int = 0, **options) -> ClassificationMetrics:
    rng = np.random.default_rng(seed)
    return ClassificationMetrics(rng.integers(0, 4, 30), rng.dirichlet(np.ones(4), 30), **options)


def masks(seed: int, shape=(6, 12, 15), classes: int = 4, noise: float = 0.1):
    """Masks of blocks, and the same with a shift and some noise."""
    rng = np.random.default_rng(seed)
    blocks = [-(-size // 3) for size in shape[1:]]
    truth = rng.integers(0, classes, (shape[0], *blocks))
    for axis in range(1, len(shape)):
        truth = truth.repeat(3, axis)
    truth = truth[tuple(slice(size) for size in shape)]
    answer = np.roll(truth, 1, -1)
    return truth, np.where(rng.random(shape) < noise, rng.integers(0, classes, shape), answer)


@pytest.mark.parametrize(
    "metrics",
    [
        example(scores=True),
        SegmentationMetrics(*masks(0), "labels", 4),
        SegmentationMetricsByInstances(*masks(0), "labels", 4),
        PanopticMetrics(*masks(0), 4),
        RegressionMetrics([1.0, 2.0], [1.0, 4.0]),
        Loss(1.0, 3),
    ],
    ids=lambda metrics: type(metrics).__name__,
)
def test_brackets_evaluate_and_a_copy_is_apart(metrics):
    name = {Loss: "loss", RegressionMetrics: "mae", PanopticMetrics: "pq"}.get(type(metrics), "f1_score")
    value = metrics[name]
    assert value == metrics.evaluate(name)
    assert metrics[name, name] == metrics[[name]] == {name: value}
    kept = metrics.copy()
    other = metrics.copy()
    if isinstance(metrics, RegressionMetrics):
        other.update(RegressionMetrics([0.0], [9.0]))
    elif isinstance(metrics, Loss):
        other.update(Loss(9.0, 3))
    else:
        other.update(type(metrics)(*masks(1, noise=1.0), num_classes=4, **FORMATS.get(type(metrics), {})))
    assert metrics[name] == kept[name] == value
    assert other[name] != value
    with pytest.raises(TypeError, match="takes names of metrics, got 0"):
        metrics[0]


FORMATS = {
    ClassificationMetrics: {"fmt": "labels"},
    SegmentationMetrics: {"fmt": "labels"},
    SegmentationMetricsByInstances: {"fmt": "labels"},
}


def test_a_loss_is_weighted_by_items():
    rng = np.random.default_rng(0)
    values = rng.random(50)
    parts = np.split(values, [7, 8, 30])
    losses = Loss(np.float32(parts[0].mean()), len(parts[0]))
    for part in parts[1:]:
        losses.update(Loss(part.mean()[None], len(part)))
    assert losses["loss"] == pytest.approx(values.mean(), rel=1e-6)
    assert losses.evaluate("loss", agg=None) == pytest.approx([part.mean() for part in parts])


@pytest.mark.parametrize(
    ("given", "kind", "message"),
    [
        ((["a"], 1), TypeError, "is a number, got"),
        (([1.0, 2.0], 1), TypeError, "is a number"),
        ((1.0, 0), ValueError, "above 0, got 0"),
        ((1.0, 2.5), ValueError, "above 0, got 2.5"),
        ((1.0, True), ValueError, "above 0, got True"),
    ],
)
def test_a_loss_of_nothing_is_refused(given, kind, message):
    with pytest.raises(kind, match=message):
        Loss(*given)
    with pytest.raises(ValueError, match="did you mean 'loss'"):
        Loss(1.0).evaluate("los")


class Rows(Batch):
    components = "values", "targets"


DATA = Dataset(10, Rows, preloaded=(np.arange(10.0), np.arange(10) % 2))


def test_metrics_are_gathered_by_name():
    pipeline = (
        Pipeline(DATA)
        .init_variable("losses")
        .init_variable("classes")
        .init_variable("numbers")
        .gather_metrics("loss", B("values").attr("mean")(), save_to=V("losses"))
        .gather_metrics(
            "class", B("targets"), B("targets"), fmt="labels", num_classes=2, save_to=V("classes")
        )
        .gather_metrics("regression", B("values"), B("targets"), save_to=V("numbers"))
    )
    done = pipeline.run(4, n_epochs=1)
    assert done.v("losses")["loss"] == pytest.approx(4.5)
    assert done.v("losses").evaluate("loss", agg=None).tolist() == [1.5, 5.5, 8.5]
    assert done.v("classes")["accuracy"] == 1
    assert type(done.v("numbers")) is RegressionMetrics


def test_the_number_of_items_may_be_given():
    pipeline = Pipeline(DATA).init_variable("losses")
    pipeline = pipeline.gather_metrics("loss", B("values").attr("mean")(), 1, save_to=V("losses"))
    assert pipeline.run(4, n_epochs=1).v("losses")["loss"] == pytest.approx((1.5 + 5.5 + 8.5) / 3)


def test_metrics_are_gathered_by_name_in_yaml():
    text = """
        steps:
        - init_variable: {name: losses}
        - gather_metrics: {metrics_class: loss, targets: "${B:size}", save_to: "${V:losses}"}
    """
    register_resolvers()
    pipeline = build(OmegaConf.create(text), DATA)
    assert pipeline.run(4, n_epochs=1).v("losses")["loss"] == pytest.approx((4 * 4 + 4 * 4 + 2 * 2) / 10)
    with pytest.raises(BindError, match=r"unknown metrics 'losss'.*did you mean 'loss'"):
        build(OmegaConf.create(text.replace("class: loss", "class: losss")), DATA)


def test_names_of_metrics_that_are_none_are_refused_at_the_call():
    with pytest.raises(ValueError, match="did you mean 'classification'"):
        Pipeline(DATA).gather_metrics("clasification", B("values"), B("values"), save_to=V("m"))
    with pytest.raises(BindError, match="RegressionMetrics needs predictions"):
        Pipeline(DATA).init_variable("m").gather_metrics("regression", B("values"), save_to=V("m")).run(2)
    assert find_metrics("masks") is SegmentationMetrics
    assert find_metrics("inst") is SegmentationMetricsByInstances


@pytest.mark.parametrize("k", [1, 2, 3, 5])
def test_top_k_accuracy_is_that_of_scikit_learn(k):
    rng = np.random.default_rng(k)
    scores = rng.random((200, 5)).round(1)  # with ties
    scores /= scores.sum(1, keepdims=True)
    targets = rng.integers(0, 5, 200)
    ours = ClassificationMetrics(targets[:90], scores[:90], scores=True)
    ours.update(ClassificationMetrics(targets[90:], scores[90:], scores=True))
    expected = peer.top_k_accuracy_score(targets, scores, k=k, labels=range(5)) if k < 5 else 1
    assert ours[f"top{k}_accuracy"] == ours[f"top_{k}"] == pytest.approx(expected)
    assert ours.evaluate(["top2_accuracy", "accuracy"])["top2_accuracy"] == ours["top2"]


def calibration(confidence, right, bins=15):
    """The formula of the paper, a bin at a time."""
    edges = np.linspace(0, 1, bins + 1)
    error = 0.0
    for low, high in itertools.pairwise(edges):
        inside = (confidence > low) & (confidence <= high)
        if inside.any():
            error += inside.mean() * abs(right[inside].mean() - confidence[inside].mean())
    return error


@pytest.mark.parametrize("classes", [2, 5])
def test_calibration_error_is_that_of_the_formula(classes):
    rng = np.random.default_rng(classes)
    scores = rng.dirichlet(np.ones(classes) / 2, 500)
    targets = np.array([rng.choice(classes, p=row**2 / (row**2).sum()) for row in scores])
    ours = ClassificationMetrics(targets, scores, scores=True)
    expected = calibration(scores.max(1), scores.argmax(1) == targets)
    assert ours["calibration_error"] == ours["ece"] == pytest.approx(expected)
    assert expected > 0.01


def test_calibration_error_of_a_yes_is_the_same_for_logits():
    rng = np.random.default_rng(1)
    logits = rng.normal(0, 3, 300)
    yes = 1 / (1 + np.exp(-logits))
    targets = (rng.random(300) < yes**2).astype(int)
    expected = calibration(np.maximum(yes, 1 - yes), (yes >= 0.5) == targets)
    for given, fmt in ((yes, "proba"), (logits, "logits")):
        ours = ClassificationMetrics(targets, given, fmt=fmt, scores=True)
        assert ours["ece"] == pytest.approx(expected)
        assert ours["top1"] == ours["accuracy"]
    with pytest.raises(ValueError, match="logits and probabilities do not go together"):
        ours.update(ClassificationMetrics(targets, yes, scores=True))


@pytest.mark.parametrize("name", ["ece", "top2_accuracy"])
def test_what_is_of_all_classes_takes_no_label(name):
    with pytest.raises(ValueError, match="is of all classes"):
        example(scores=True).evaluate(name, label=1)
    with pytest.raises(ValueError, match="is of all classes"):
        example(scores=True).evaluate(name, multiclass=None)
    with pytest.raises(ValueError, match="scores=True"):
        example()[name]
    for wrong in ("top0_accuracy", "top", "top_k_accuracy"):
        with pytest.raises(ValueError, match="unknown metric"):
            example(scores=True)[wrong]


def test_a_confusion_matrix_is_drawn(tmp_path):
    pytest.importorskip("matplotlib")
    from PIL import Image

    metrics = ClassificationMetrics([0] * 9 + [1, 1, 2], [0] * 9 + [1, 2, 2], fmt="labels", num_classes=3)
    figure = metrics.plot_confusion_matrix(["cat", "dog", "cost $5_$"])
    (axes,) = figure.axes
    shown = {text.get_position(): text.get_text() for text in axes.texts}
    assert shown == {(0, 0): "9", (1, 1): "1", (1, 2): "1", (2, 2): "1"}
    np.testing.assert_allclose(axes.images[0].get_array(), [[1, 0, 0], [0, 0.5, 0], [0, 0.5, 1]])
    assert [text.get_text() for text in axes.get_yticklabels()] == ["cat", "dog", r"cost \$5_\$"]
    shares = metrics.plot_confusion_matrix(normalize=True).axes[0].texts
    assert [text.get_text() for text in shares] == ["1.00", ".50", ".50", "1.00"]
    file = io.BytesIO()
    figure.savefig(file)
    assert np.asarray(Image.open(file)).std() > 10
    large = ClassificationMetrics(np.arange(100), np.arange(100), fmt="labels", num_classes=100)
    assert not large.plot_confusion_matrix().axes[0].texts
    with pytest.raises(ValueError, match="2 names for 3 classes"):
        metrics.plot_confusion_matrix(["a", "b"])


def instances(truth, answer, classes, iot):
    """Areas found, made up and missed by scipy, one class of one image at a time."""
    from scipy.ndimage import label

    counts = np.zeros((len(truth), classes - 1, 3), int)
    for image in range(len(truth)):
        for number in range(1, classes):
            areas, n_areas = label(truth[image] == number)
            others, n_others = label(answer[image] == number)
            real = set()
            for area in range(1, n_areas + 1):
                inside = answer[image][areas == area] == number
                if inside.mean() >= iot:
                    counts[image, number - 1, 0] += 1
                    real |= set(others[(areas == area) & (answer[image] == number)])
                else:
                    counts[image, number - 1, 2] += 1
            counts[image, number - 1, 1] = n_others - len(real)
    return counts


@pytest.mark.parametrize("iot", [0.3, 0.5, 1.0])
@pytest.mark.parametrize(
    ("shape", "classes"), [((5, 12, 15), 4), ((2, 9, 6, 7), 3), ((7, 40), 3), ((3, 9, 9), 2)]
)
def test_instances_are_counted_as_one_at_a_time(shape, classes, iot):
    truth, answer = masks(3, shape, classes)
    truth[0] = 0
    ours = SegmentationMetricsByInstances(truth[:1], answer[:1], "labels", classes, iot=iot)
    ours.update(SegmentationMetricsByInstances(truth[1:], answer[1:], "labels", classes, iot=iot))
    found, made_up, missed = np.moveaxis(instances(truth, answer, classes, iot), -1, 0)
    expected = {
        "true_positive": found,
        "false_positive": made_up,
        "false_negative": missed,
        "condition_positive": found + missed,
        "prediction_positive": found + made_up,
        "total_population": found + made_up + missed,
    }
    for name, values in expected.items():
        np.testing.assert_array_equal(ours.evaluate(name, agg=None, multiclass=None), values)
        assert ours[name] == values.sum(-1).mean()
    with np.errstate(all="ignore"):
        rates = {
            "recall": found / (found + missed),
            "fnr": missed / (found + missed),
            "precision": found / (found + made_up),
            "fdr": made_up / (found + made_up),
            "f1": 2 * found / (2 * found + made_up + missed),
            "jaccard": found / (found + made_up + missed),
            "prevalence": (found + missed) / (found + made_up + missed),
        }
    there = found + made_up + missed > 0
    for name, values in rates.items():
        values = np.nan_to_num(values)
        each = [row[which].mean() for row, which in zip(values, there) if which.any()]
        assert ours[name] == pytest.approx(np.mean(each)), name
        got = ours.evaluate(name, agg=None, label=1)
        np.testing.assert_allclose(got, values[:, 0])
    together = SegmentationMetricsByInstances(truth, answer, "labels", classes, iot=iot, by_image=False)
    total = found.sum() / (found + missed).sum()
    assert together.evaluate("recall", multiclass="micro") == pytest.approx(total)
    assert together.evaluate(["recall", "precision"], multiclass="micro")["recall"] == pytest.approx(total)


def test_counts_of_all_images_take_no_more_memory():
    truth, answer = masks(0)
    one = SegmentationMetricsByInstances(truth, answer, "labels", 4, by_image=False)
    for _ in range(3):
        one.update(SegmentationMetricsByInstances(truth, answer, "labels", 4, by_image=False))
    assert one._counts.shape == (1, 3, 3)
    with pytest.raises(ValueError, match="do not go together"):
        one.update(SegmentationMetricsByInstances(truth, answer, "labels", 4))


@pytest.mark.parametrize("name", ["specificity", "fpr", "npv", "accuracy", "true_negative", "roc_auc", "plr"])
def test_rates_of_true_negatives_are_none_of_instances(name):
    with pytest.raises(ValueError, match="true negatives or of scores, which instances have not"):
        SegmentationMetricsByInstances(*masks(0), "labels", 4)[name]


def panoptic(truth, answer, things, classes, ignore):
    """Overlaps of segments found, found, made up, missed: the paper's definition, a pair at a time."""
    from scipy.ndimage import label

    def segments(mask, image):
        for number in range(classes):
            if number == ignore or not (mask == number).any():
                continue
            areas, count = label(mask == number) if number in things else ((mask == number).astype(int), 1)
            for area in range(1, count + 1):
                yield number, areas == area

    counts = np.zeros((classes, 4))
    for image in range(len(truth)):
        void = truth[image] == ignore if ignore is not None else np.zeros(truth[image].shape, bool)
        left = list(segments(answer[image], image))
        for number, area in segments(truth[image], image):
            for place, (other, guess) in enumerate(left):
                share = (area & guess).sum() / (area | (guess & ~void)).sum()
                if other == number and share > 0.5:
                    counts[number, :2] += share, 1
                    del left[place]
                    break
            else:
                counts[number, 3] += 1
        for number, guess in left:
            counts[number, 2] += (guess & void).sum() <= guess.sum() / 2
    return counts


@pytest.mark.parametrize("ignore", [None, 3, 9])
@pytest.mark.parametrize("things", [None, [2], []])
def test_panoptic_quality_is_that_of_the_definition(things, ignore):
    truth, answer = masks(5, noise=0.03)
    if ignore is not None:
        truth[:, 2:5, 3:9] = ignore
        answer[0, 0, :3] = ignore
    objects = [1, 2, 3] if things is None else things
    counts = panoptic(truth, answer, objects, 4, ignore)
    ours = PanopticMetrics(truth[:4], answer[:4], 4, things, ignore)
    ours.update(PanopticMetrics(truth[4:], answer[4:], 4, things, ignore))
    overlap, found, made_up, missed = counts.T
    there = found + made_up + missed > 0
    divisor = np.where(there, found + made_up / 2 + missed / 2, 1)
    np.testing.assert_allclose(ours.evaluate("pq", agg=None), overlap / divisor)
    np.testing.assert_allclose(ours.evaluate("rq", agg=None), found / divisor)
    np.testing.assert_allclose(ours.evaluate("sq", agg=None), overlap / np.maximum(found, 1))
    assert ours["panoptic_quality"] == pytest.approx((overlap / divisor)[there].mean())
    kind = np.isin(range(4), objects)
    for name, which in (("pq_things", kind & there), ("pq_stuff", ~kind & there)):
        assert ours[name] == pytest.approx((overlap / divisor)[which].mean() if which.any() else 0)
    assert 0 < ours["pq"] < 1


def test_objects_may_have_numbers_of_their_own():
    labels = np.array([[[1, 1, 1, 1, 0, 1]]])
    objects = np.array([[[7, 7, 8, 8, 0, 7]]])  # two that touch, one in two parts
    apart = PanopticMetrics((labels, objects), (labels, objects), 2)
    assert apart._counts[1].tolist() == [2, 2, 0, 0]
    touching = PanopticMetrics((labels, objects), labels, 2)
    assert touching._counts[1].tolist() == [0, 0, 2, 2]
    assert touching["pq_things"] == 0
    assert touching["pq_stuff"] == 1


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (([[[0, 5]]], [[[0, 1]]], 2), "targets are labels 0..1, got 5"),
        (([[[0, 1]]], [[[0, -1]]], 2), "predictions are labels 0..1, got -1"),
        (([[[0, 1]]], [[[0, 1, 1]]], 2), "do not match"),
        (([[[0, 1]]], [[[0, 1]]], 2, [2]), "things are labels 0..1, got 2"),
        (([0, 1], [0, 1], 2), "are masks"),
        ((([[[0, 1]]], [[[0, 1, 1]]]), [[[0, 1]]], 2), "of one shape"),
        (([[[0, 0.5]]], [[[0, 1]]], 2), "whole numbers"),
    ],
)
def test_masks_that_are_none_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        PanopticMetrics(*arguments)
    with pytest.raises(ValueError, match="did you mean 'panoptic_quality'"):
        PanopticMetrics([[[0, 1]]], [[[0, 1]]], 2).evaluate("panoptic_qualty")
