"""Normalizing within quantiles, samples of data larger than memory, and the level of missing values."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
import scipy.stats
import sklearn.preprocessing
from numpy.testing import assert_allclose, assert_array_equal

from bf_batch import Dataset, ImagesBatch, Normalizer, Quantizer, Sample
from bf_index import DatasetIndex

VALUES = np.random.default_rng(0).normal([3.0, -20, 0.5], [2.0, 0.1, 50], (5000, 3))
BYTES = np.random.default_rng(1).integers(0, 256, (6, 12, 10, 3), dtype=np.uint8)
SCALERS = {
    "meanstd": sklearn.preprocessing.StandardScaler(),
    "minmax": sklearn.preprocessing.MinMaxScaler(),
    "mean": sklearn.preprocessing.StandardScaler(with_std=False),
}


# Normalizer


@pytest.mark.parametrize("mode", list(SCALERS))
@pytest.mark.parametrize("quantiles", [None, (0.01, 0.99), (0, 0.5)])
def test_limits_are_quantiles_and_the_rest_is_of_the_limited_values(mode, quantiles):
    limited = VALUES if quantiles is None else VALUES.clip(*np.quantile(VALUES, quantiles, axis=0))
    ours = Normalizer.fit(VALUES, mode, quantiles=quantiles)
    assert_allclose(ours(VALUES, "float64"), SCALERS[mode].fit_transform(limited), rtol=1e-9, atol=1e-10)
    assert_allclose(ours.invert(ours(VALUES, "float64")), limited, rtol=1e-12, atol=1e-12)
    assert Normalizer.from_state(json.loads(json.dumps(ours.state()))) == ours


def test_parts_all_values_and_integers_of_a_range():
    parts = Normalizer.fit(list(np.array_split(VALUES, 7)), quantiles=(0.1, 0.9))
    assert parts == Normalizer.fit(VALUES, quantiles=(0.1, 0.9))
    whole = Normalizer.fit(VALUES, by_channel=False, quantiles=(0.1, 0.9))
    assert_allclose(whole.limits, np.quantile(VALUES, (0.1, 0.9))[:, None])
    relative = Normalizer.fit(BYTES, relative=True, quantiles=(0.1, 0.9))
    exact = np.quantile(BYTES, (0.1, 0.9), axis=(0, 1, 2))
    assert_allclose(relative.limits, exact / 255)
    assert_array_equal(relative.invert(relative(BYTES), "uint8"), np.rint(BYTES.clip(*exact)))
    assert_allclose(Normalizer.fit(VALUES, "min")(VALUES).min(axis=0), 0)


def test_a_state_without_limits_is_read():
    assert Normalizer.from_state({"mean": 1, "std": 2, "relative": False}) == Normalizer(1, 2)
    assert Quantizer.from_state({"low": 0, "high": 2, "dtype": "int8"}) == Quantizer(0, 2)


@pytest.mark.parametrize("pictures", [BYTES, BYTES[..., 0], [BYTES[0], BYTES[1, :5, :7]], BYTES / 255])
@pytest.mark.parametrize("as_state", [True, False])
def test_pictures_are_limited_after_the_geometry(pictures, as_state):
    channels = 1 if np.asarray(pictures[0]).ndim == 2 else 3
    normalizer = Normalizer((0.4,) * channels, (0.2,) * channels, True, (0.3, 0.6))
    by = normalizer.state() if as_state else normalizer
    batch = ImagesBatch(len(pictures), preloaded={"images": pictures}).flip("lr").normalize(by=by)
    for one, was in zip(batch.images, pictures):
        white = 255 if was.dtype == np.uint8 else 1
        assert one.dtype == np.float32
        assert_allclose(one, ((was[:, ::-1] / white).clip(0.3, 0.6) - 0.4) / 0.2, atol=1e-6)
    back = batch.denormalize(by=by, dtype="uint8").images
    white = 255 if pictures[0].dtype == np.uint8 else 1
    limited = (np.asarray(pictures[0])[:, ::-1] / white).clip(0.3, 0.6) * 255
    assert np.abs(back[0] - limited).max() <= 0.501


@pytest.mark.parametrize(
    ("work", "said"),
    [
        (lambda: Normalizer.fit(VALUES, quantiles=(0.9, 0.1)), "two shares of 0 to 1"),
        (lambda: Normalizer.fit(VALUES, quantiles=(1, 99)), "two shares of 0 to 1"),
        (lambda: Normalizer.fit(VALUES, quantiles=0.5), "two shares of 0 to 1"),
        (lambda: Normalizer.fit([[np.nan]], quantiles=(0.1, 0.9)), "all of them finite"),
        (lambda: Normalizer.fit(np.empty((0, 3)), quantiles=(0.1, 0.9)), "quantiles need numbers"),
        (lambda: Normalizer.fit([["a"]], quantiles=(0.1, 0.9)), "give an array of numbers"),
        (lambda: Normalizer(0, 1, limits=(1, 0)), "above"),
        (lambda: Normalizer(0, 1, limits=5), "limits are"),
        (lambda: Normalizer((0, 1), 1, limits=((0, 0, 0), 1)), "got 2 and 3 numbers"),
        (lambda: Normalizer.from_state({"mean": 0}), "a state has mean, std, relative"),
        (lambda: Sample(0), "above 0"),
        (lambda: Sample().rows, "no values came"),
        (lambda: Sample().add(["a"]), "give an array of numbers"),
        (lambda: Sample().add([[1.0, 2]]).add(np.ones((2, 3))), "channels after some of"),
        (lambda: Sample().add(np.array([[np.inf]])), "not finite"),
        (lambda: Sample().update(Sample(5).add(VALUES)), "must not be smaller"),
    ],
)
def test_what_limits_nothing_is_refused(work, said):
    with pytest.raises(ValueError, match=said):
        work()


# Samples


def test_a_sample_of_all_rows_is_exact():
    sample = Sample()
    for part in np.array_split(VALUES, 9):
        sample.add(part)
    assert_array_equal(sample.rows, VALUES)
    assert (sample.count, repr(sample)) == (5000, "Sample(5,000 of 5,000 rows)")


@pytest.mark.parametrize("joined", [False, True])
def test_quantiles_of_a_sample_are_within_the_bound_that_is_stated(joined):
    size, shares = 4000, np.linspace(0.01, 0.99, 99)
    values = np.random.default_rng(2).exponential(size=(200_000, 1))
    parts = np.array_split(values, 20)
    if joined:
        one, other = Sample(size, seed=3), Sample(size, seed=4)
        for part in parts[:5]:
            one.add(part)
        for part in parts[5:]:
            other.add(part)
        sample = one.update(other)
    else:
        sample = Sample(size, seed=5)
        for part in parts:
            sample.add(part)
    assert (len(sample.rows), sample.count) == (size, 200_000)
    found = np.quantile(sample.rows, shares)
    below = np.searchsorted(np.sort(values[:, 0]), found) / len(values)
    assert np.abs(below - shares).max() < math.sqrt(math.log(200) / (2 * size))


def test_each_row_is_as_likely_as_any_other():
    """A chi-square of how often each of 40 rows is among 10 that stay, of parts of unlike sizes."""
    counts = np.zeros(40)
    for seed in range(2000):
        sample = Sample(10, seed=2 * seed).add(np.arange(3)[:, None]).add(np.arange(3, 25)[:, None])
        sample.update(Sample(10, seed=2 * seed + 1).add(np.arange(25, 40)[:, None]))
        counts[sample.rows[:, 0]] += 1
    assert counts.sum() == 20_000
    assert scipy.stats.chisquare(counts).pvalue > 1e-3


def test_rows_stay_whole_keep_their_dtype_and_a_seed_repeats_them():
    rows = np.arange(3000, dtype=np.uint16).reshape(-1, 3)
    sample, again = (Sample(50, seed=7).add(rows[:400]).add(rows[400:]) for _ in range(2))
    assert sample.rows.dtype == np.uint16
    assert (np.diff(sample.rows.astype(int), axis=1) == 1).all()
    assert_array_equal(sample.rows, again.rows)
    assert len(np.unique(sample.rows[:, 0])) == 50


def test_a_normalizer_is_fitted_to_the_sample_of_batches():
    batches = Dataset(6, ImagesBatch, preloaded={"images": BYTES}).gen_batch(4)
    sample = Sample.measure(batches, "images")
    assert sample.count == 6 * 12 * 10
    made = Normalizer.fit(sample.rows, relative=True, quantiles=(0.05, 0.95))
    assert made == Normalizer.fit(BYTES, relative=True, quantiles=(0.05, 0.95))
    with pytest.raises(TypeError, match="give a Sample"):
        sample.update(BYTES)


# The level of missing values


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "uint16"])
@pytest.mark.parametrize("ends", [(-2.0, 5.0), (-3.0, 3.0)])
def test_missing_values_have_a_level_and_come_back(dtype, ends):
    quantizer = Quantizer(*ends, dtype, reserve=True)
    values = np.append(np.random.default_rng(0).uniform(*ends, 1000), [ends[0] - 9, ends[1] + 9, np.nan])
    levels, limits = quantizer(values), np.iinfo(dtype)
    assert levels[-3:].tolist() == [limits.min + 1, limits.max, limits.min]
    back = quantizer.restore(levels, "float64")
    assert_array_equal(np.isnan(back), np.isnan(values))
    assert (np.abs(back[:-3] - values[:-3]) <= quantizer.step / 2 * (1 + 1e-9)).all()
    assert quantizer.step == (ends[1] - ends[0]) / (limits.max - limits.min - 1)
    if ends[0] == -ends[1]:
        middle = quantizer(np.zeros(1))
        assert (middle, quantizer.restore(middle)) == ((limits.max + limits.min + 1) // 2, 0)
    assert Quantizer.from_state(json.loads(json.dumps(quantizer.state()))) == quantizer
    with pytest.raises(ValueError, match="int64 has no NaN"):
        quantizer.restore(levels, "int64")


def test_pictures_with_missing_pixels_are_quantized():
    pictures = (BYTES / 255).astype(np.float32)
    pictures[0, 0, 0] = np.nan
    quantizer = Quantizer.fit(pictures[1:], "uint8", reserve=True)
    batch = ImagesBatch(DatasetIndex(6), preloaded={"images": pictures}).quantize(by=quantizer)
    assert (batch.images[0, 0, 0] == 0).all()
    assert_allclose(batch.dequantize(by=quantizer).images, pictures, atol=1 / 508 + 1e-6)
