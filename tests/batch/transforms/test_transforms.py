"""Statistics, normalizing and quantizing, against numpy and scikit-learn."""

from __future__ import annotations

import json
import math
from fractions import Fraction

import numpy as np
import pytest
import sklearn.preprocessing
from numpy.testing import assert_allclose, assert_array_equal

from bf_batch import Dataset, ImagesBatch, Normalizer, Quantizer, Statistics
from bf_batch.opensets import RowsBatch
from bf_index import DatasetIndex
from bf_pipeline import B, F, Pipeline, V, build

VALUES = np.random.default_rng(0).normal([3.0, -20, 0.5], [2.0, 0.1, 50], (5000, 3))
BYTES = np.random.default_rng(1).integers(0, 256, (9, 12, 10, 3), dtype=np.uint8)
GREY = BYTES[..., 0]


# Statistics


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float32, np.float64])
@pytest.mark.parametrize("pieces", [1, 7, 500])
def test_statistics_of_parts_are_those_of_the_whole(dtype, pieces):
    values = (VALUES.clip(0, 200) if dtype == np.uint8 else VALUES).astype(dtype)
    found = Statistics()
    for part in np.array_split(values, pieces):
        found.add(part)
    exact = values.astype(np.float64)
    assert found.count == 5000
    assert_allclose(found.mean, exact.mean(axis=0), rtol=1e-13, atol=1e-13)
    assert_allclose(found.std, exact.std(axis=0), rtol=1e-13, atol=1e-13)
    assert_array_equal([found.low, found.high], [exact.min(axis=0), exact.max(axis=0)])


def test_large_values_of_a_small_deviation_lose_no_digits():
    """The naive sum of squares gives a variance of 0 or below here."""
    values = np.float64(1e9) + np.random.default_rng(0).random((100_000, 1))
    exact = [Fraction(float(value)) for value in values[:, 0]]
    mean = sum(exact) / len(exact)
    deviation = math.sqrt(sum((value - mean) ** 2 for value in exact) / len(exact))
    found = Statistics()
    for start in range(0, len(values), 777):
        found.add(values[start : start + 777])
    assert_allclose(found.std, deviation, rtol=1e-8)
    assert_allclose(found.mean, float(mean), rtol=1e-15)


def test_order_and_joining_do_not_matter():
    parts = [Statistics.of(part) for part in np.array_split(VALUES, 5)]
    left, right = Statistics(), Statistics()
    for part in parts:
        left.update(part)
    for part in reversed(parts):
        right.update(part)
    assert_allclose(left.std, right.std, rtol=1e-14)
    assert_allclose(left.std, VALUES.std(axis=0), rtol=1e-13)
    assert left.update(Statistics()).count == 5000


def test_weights_count_parts_alike():
    found = Statistics().add(np.zeros((100, 1)), weight=1).add(np.full((3, 1), 2.0), weight=1)
    assert (found.mean, found.std, found.count) == (1.0, 1.0, 2.0)


def test_channels_and_dtypes_of_bytes():
    relative = Statistics.of(list(BYTES), relative=True)
    assert_allclose(relative.mean, (BYTES / 255).mean(axis=(0, 1, 2)), rtol=1e-13)
    assert_allclose(Statistics.of(BYTES, by_channel=False).std, [BYTES.std()], rtol=1e-13)


def test_a_state_is_data_and_gathering_goes_on_from_it(tmp_path):
    half = Statistics(relative=True).add(BYTES[:4])
    again = Statistics.from_state(json.loads(json.dumps(half.state())))
    assert_array_equal(again.add(BYTES[4:]).std, half.add(BYTES[4:]).std)
    half.save(tmp_path / "statistics.json")
    assert Statistics.load(tmp_path / "statistics.json").state() == half.state()
    assert Statistics.from_state(Statistics().state()).count == 0


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: Statistics().mean, "no values came yet"),
        (lambda: Statistics().add([[1.0, np.nan]]), "channel 1 has a number that is not finite"),
        (lambda: Statistics().add([[np.inf]]), "not finite"),
        (lambda: Statistics().add(["a"]), "give an array of numbers"),
        (lambda: Statistics().add([[1.0]], weight=0), "weight must be positive"),
        (lambda: Statistics().add(np.ones((2, 3))).add(np.ones((2, 4))), "4 channels after some of 3"),
        (lambda: Statistics().update(Statistics(relative=True)), "relative=True in those given"),
        (lambda: Statistics.from_state({"mean": [1]}), "a state has by_channel"),
        (lambda: Statistics.from_state({**Statistics().state(), "count": math.inf}), "do not fit together"),
        (lambda: Statistics.from_state({**Statistics().state(), "mean": [1.0]}), "do not fit together"),
    ],
)
def test_what_is_no_data_or_no_state_is_refused(work, said):
    with pytest.raises(ValueError, match=said):
        work()


def test_a_refused_part_leaves_the_statistics_as_they_were():
    found = Statistics().add(VALUES)
    before = found.state()
    with pytest.raises(ValueError, match="not finite"):
        found.add(np.array([[1.0, 2.0, np.nan]]))
    assert found.state() == before


class ScenesBatch(ImagesBatch):
    components = "images", "labels"


@pytest.mark.parametrize("run", [{}, {"prefetch": 2}, {"prefetch": 2, "engine": "processes", "workers": 2}])
def test_a_pipeline_gathers_statistics_in_one_pass_and_goes_on_after_a_cut(run):
    dataset = Dataset(9, ScenesBatch, preloaded={"images": BYTES})
    steps = (
        Pipeline()
        .init_variable("found", init_on_each_run=Statistics)
        .update(V("found"), F(Statistics.of)(B("images")), "u")
    )
    whole = (steps << dataset).run(2, n_epochs=1, **run)
    assert_allclose(whole.v("found").std, BYTES.std(axis=(0, 1, 2)), rtol=1e-13)
    begun = (steps << dataset).gen_batch(2, n_epochs=1, **run)
    next(begun)
    next(begun)
    state = json.loads(json.dumps(begun.state()))
    begun.close()
    resumed = (steps << dataset).gen_batch(2, n_epochs=1, resume=state, **run)
    for _ in resumed:
        pass
    assert resumed.v("found").state() == whole.v("found").state()


def test_measuring_batches_is_one_pass():
    batches = Dataset(9, ScenesBatch, preloaded={"images": BYTES}).gen_batch(4)
    assert_allclose(Statistics.measure(batches, "images").mean, BYTES.mean(axis=(0, 1, 2)))


# Normalizer


@pytest.mark.parametrize("mode", ["meanstd", "minmax"])
def test_normalizer_equals_scikit_learn_and_inverts(mode):
    theirs = {"meanstd": sklearn.preprocessing.StandardScaler, "minmax": sklearn.preprocessing.MinMaxScaler}[
        mode
    ]()
    ours = Normalizer.fit(VALUES, mode)
    assert_allclose(ours(VALUES, "float64"), theirs.fit_transform(VALUES), rtol=1e-10, atol=1e-12)
    assert ours(VALUES).dtype == np.float32
    assert_allclose(ours.invert(ours(VALUES, "float64")), VALUES, rtol=1e-13, atol=1e-12)
    assert_allclose(ours.invert(ours(VALUES)), VALUES, rtol=1e-5, atol=1e-4)


def test_a_constant_channel_becomes_zero_and_comes_back():
    flat = np.array([[5.0, 1], [5.0, 2]])
    for mode in ("meanstd", "minmax"):
        normalizer = Normalizer.fit(flat, mode)
        assert normalizer(flat)[:, 0].tolist() == [0, 0]
        assert_allclose(normalizer.invert(normalizer(flat)), flat)


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.uint16])
def test_integers_come_back_exactly(dtype):
    limits = np.iinfo(dtype)
    values = np.arange(max(limits.min, -30000), min(limits.max, 65535) + 1).astype(dtype)[:, None]
    for relative in (True, False):
        normalizer = Normalizer.fit(values, relative=relative)
        assert_array_equal(normalizer.invert(normalizer(values), dtype), values)


def test_saved_numbers_are_the_same_to_the_last_digit(tmp_path):
    for made in (Normalizer.fit(VALUES), Quantizer.fit(VALUES, "int16"), Normalizer(0.1, (0.3, 0.7), True)):
        made.save(tmp_path / "transform.json")
        assert type(made).load(tmp_path / "transform.json") == made
        assert type(made).read(made.state()) == type(made).read(tmp_path / "transform.json") == made
    with pytest.raises(ValueError, match=r"transform.json: it holds no quantizer"):
        Quantizer.load(tmp_path / "transform.json")
    (tmp_path / "broken.json").write_text('{"kind": "normalizer", "mean": [1')
    with pytest.raises(ValueError, match=r"broken.json: "):
        Normalizer.load(tmp_path / "broken.json")
    (tmp_path / "odd.json").write_text('{"kind": "normalizer", "mean": ["x"], "std": 1, "relative": false}')
    with pytest.raises(ValueError, match=r"odd.json: Normalizer: mean: got"):
        Normalizer.load(tmp_path / "odd.json")


# Quantizer


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
def test_quantized_values_come_back_within_half_a_step(dtype):
    quantizer = Quantizer.fit(VALUES, dtype)
    levels = quantizer(VALUES)
    assert levels.dtype == dtype
    assert (np.abs(quantizer.restore(levels, "float64") - VALUES) <= quantizer.step / 2 * (1 + 1e-9)).all()
    assert (levels.min(axis=0) == np.iinfo(dtype).min).all()
    assert (levels.max(axis=0) == np.iinfo(dtype).max).all()
    again = quantizer(quantizer.restore(levels, "float64"))
    assert_array_equal(again, levels)


def test_a_range_about_zero_keeps_zero_and_ends_are_limits():
    quantizer = Quantizer((-4.0, -1.0), (4.0, 1.0))
    assert quantizer(np.array([[0.0, 0], [-9, -9], [np.inf, 1]])).tolist() == [
        [0, 0],
        [-127, -127],
        [127, 127],
    ]
    assert quantizer.restore(np.array([[0, 0]])).tolist() == [[0, 0]]


def test_deviations_leave_rare_values_out():
    values = np.append(np.random.default_rng(0).normal(size=10_000), 1e6)[:, None]
    quantizer = Quantizer.fit(values[:-1], deviations=3)
    assert_allclose([quantizer.low[0], quantizer.high[0]], [-3, 3], atol=0.1)
    assert Quantizer.fit(np.full((4, 1), 2.0)).low == (1.5,)


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: Normalizer(0, 0), "std must be positive"),
        (lambda: Normalizer((1, 2), (1, 2, 3)), "got 2 and 3 numbers"),
        (lambda: Normalizer(np.nan, 1), "give a finite number"),
        (lambda: Normalizer("a", 1), "give a finite number"),
        (lambda: Normalizer.fit(VALUES, "max"), "mode must be"),
        (lambda: Quantizer(1, 1), "low must be below high"),
        (lambda: Quantizer(0, 1, "float32"), "dtype must be int8"),
        (lambda: Quantizer(0, 1, "int64"), "dtype must be int8"),
        (lambda: Quantizer(0, 1, "flat"), "dtype must be int8"),
        (lambda: Quantizer(0, 1)([np.nan]), "not numbers"),
        (lambda: Quantizer.fit(VALUES, deviations=-1), "deviations must be positive"),
    ],
)
def test_numbers_that_transform_nothing_are_refused(work, said):
    with pytest.raises(ValueError, match=said):
        work()


# Actions


def batch_of(pictures):
    return ImagesBatch(len(pictures), preloaded={"images": pictures})


@pytest.mark.parametrize(
    "pictures", [BYTES, GREY, [BYTES[0], BYTES[1, :5, :7]], BYTES.astype(np.uint16) * 257]
)
def test_normalized_pictures_come_back_exactly(pictures, tmp_path):
    normalizer = Normalizer.fit(list(BYTES[..., :1]) if pictures is GREY else list(BYTES), relative=True)
    normalizer.save(tmp_path / "found.json")
    dtype = pictures[0].dtype
    for by in (normalizer, normalizer.state(), str(tmp_path / "found.json"), tmp_path / "found.json"):
        there = batch_of(pictures).normalize(by=by)
        assert there.images[0].dtype == np.float32
        back = there.denormalize(by=by, dtype=dtype).images
        for one, was in zip(back, pictures):
            assert one.dtype == dtype
            assert_array_equal(one, was)
    told = (
        batch_of(pictures)
        .normalize(normalizer.mean, normalizer.std)
        .denormalize(normalizer.mean, normalizer.std, dtype)
    )
    assert_array_equal(told.images[1], pictures[1])


def test_normalizing_joins_the_pending_geometry_and_floats_are_taken_as_they_are():
    normalizer = Normalizer((1.0, 2, 3), (4.0, 5, 6))
    floats = BYTES.astype(np.float32)
    ours = batch_of(floats).flip("lr").normalize(by=normalizer).images
    assert_allclose(ours, normalizer(floats[:, :, ::-1]), rtol=1e-5, atol=1e-6)
    not_relative = batch_of(BYTES).normalize(by=normalizer).images
    assert_allclose(not_relative, normalizer(BYTES), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "pictures", [BYTES / 255, BYTES[..., 0] / 255, [BYTES[0] / 255, BYTES[1, :5, :7] / 255]]
)
def test_pictures_are_quantized_and_restored(pictures):
    batch = batch_of(pictures).quantize(0, 1, "uint8")
    for one, was in zip(batch.images, pictures):
        assert_array_equal(one, np.rint(was * 255))
    for one, was in zip(batch.dequantize(0, 1, "uint8").images, pictures):
        assert one.dtype == np.float32
        assert_allclose(one, was, atol=1e-6)
    by = {"low": 0, "high": 1, "dtype": "uint8"}
    assert_array_equal(batch_of(pictures).quantize(by=by).images[0], np.rint(pictures[0] * 255))


def test_transforms_are_reached_from_yaml(tmp_path):
    Normalizer.fit(BYTES, relative=True).save(tmp_path / "n.json")
    Quantizer(-3, 3).save(tmp_path / "q.json")
    steps = [{"normalize": {"by": str(tmp_path / "n.json")}}, {"quantize": {"by": str(tmp_path / "q.json")}}]
    batch = (build({"steps": steps}) << Dataset(9, ImagesBatch, preloaded={"images": BYTES})).next_batch(9)
    assert batch.images.dtype == np.int8
    assert_array_equal(batch.images, Quantizer(-3, 3)(Normalizer.fit(BYTES, relative=True)(BYTES)))


def test_rows_are_normalized_by_a_file(tmp_path):
    normalizer = Normalizer.fit(VALUES)
    normalizer.save(tmp_path / "rows.json")
    rows = RowsBatch(DatasetIndex(5000), preloaded={"features": VALUES})
    assert_array_equal(rows.normalize(by=tmp_path / "rows.json").features, normalizer(VALUES))
    with pytest.raises(ValueError, match="give mean= and std="):
        rows.normalize()


@pytest.mark.parametrize(
    ("name", "arguments", "error", "said"),
    [
        ("normalize", {"mean": 1, "std": 1, "by": Normalizer(0, 1)}, ValueError, "give one of both"),
        ("normalize", {"by": 5}, TypeError, "got int; give a Normalizer, its state"),
        ("normalize", {"by": "nowhere.json"}, FileNotFoundError, "nowhere.json"),
        ("denormalize", {}, ValueError, "give mean= and std="),
        ("quantize", {"low": 0}, ValueError, "give low= and high="),
        ("quantize", {"by": Quantizer((0, 0), (1, 1))}, ValueError, "shape"),
    ],
)
def test_actions_refuse_what_says_no_numbers(name, arguments, error, said):
    with pytest.raises(error, match=said):
        getattr(batch_of(BYTES), name)(**arguments)
