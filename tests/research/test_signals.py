"""Trainings on signals by the command's configuration, and what their networks make of new ones."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from bf_batch.opensets import BasicMotions
from bf_models import ResNet18
from bf_research.prediction.predict import predict
from bf_research.recipe.data import make_dataset, split_validation
from bf_research.recipe.found import find_out
from bf_research.recipe.pipelines import as_plain
from bf_research.train import train
from bf_research.trained import write_trained

ROOT = Path(__file__).parents[2]
SMALL = ["tracking=none", "bar=false", "prefetch=0"]
TINY = ["+model.body={depths: [1,1], filters: 4}", "+model.initial_block={filters: 4}"]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """A folder with 40 signals (70, 2), slow and fast ones, and their names."""
    rng, time = np.random.default_rng(0), np.arange(70)[:, None]
    labels = np.arange(40) % 2
    phases = rng.uniform(0, 6, (40, 1, 2))
    signals = 5 + np.sin(time * np.where(labels, 0.9, 0.2)[:, None, None] + phases)
    np.save(tmp_path / "x.npy", signals.astype("float32"))
    np.save(tmp_path / "y.npy", np.where(labels, "fast", "slow"))
    return tmp_path


def test_statistics_are_those_of_the_channels_to_train_on(configure, data) -> None:
    config = configure("dataset=signals", "dataset.path=x.npy", "dataset.labels=y.npy")
    dataset, fold = make_dataset(as_plain(config.dataset))
    training = split_validation(config, dataset, fold)[0]
    found = find_out(config, dataset, training)
    signals = np.asarray(training.rows("signals", slice(0, len(training))), np.float64)
    assert np.allclose(found.pipeline.mean, signals.mean((0, 1)))
    assert np.allclose(found.pipeline.std, signals.std((0, 1)))


def test_own_signals_are_learnt(configure, data) -> None:
    small = ("model.stem=small", *TINY, "n_epochs=20", "batch_size=8", "optimizer.learning_rate=0.01")
    outcome = train(configure("dataset=signals", "dataset.path=x.npy", "dataset.labels=y.npy", *small))
    assert outcome.metrics["test/accuracy"] == 1


def test_new_signals_are_predicted_by_the_steps_of_the_training(configure, data, tmp_path) -> None:
    config = configure("dataset=signals", "dataset.path=x.npy", "dataset.labels=y.npy")
    dataset, fold = make_dataset(as_plain(config.dataset))
    found = find_out(config, dataset, split_validation(config, dataset, fold)[0])
    body = {"depths": [1, 1], "filters": 4}
    model = ResNet18({"num_classes": 2, "dims": 1, "stem": "small", "body": body, "seed": 1})
    signals = np.load(data / "x.npy")
    prepared = ((signals - found.pipeline.mean) / found.pipeline.std).astype("float32")
    expected = model.build(prepared).predict(prepared, fetches="labels")
    run = tmp_path / "run"
    run.mkdir()
    model.save(run / "model.bf")
    write_trained(run, OmegaConf.to_yaml(found, resolve=True), dataset.classes)
    predict(configure(f"run={run}", "dataset.path=x.npy", "out=p.csv", name="predict"))
    rows = list(csv.DictReader((tmp_path / "p.csv").open()))
    assert [row["prediction"] for row in rows] == [dataset.classes[label] for label in expected]
    np.save(data / "short.npy", np.zeros((3, 60, 2), "float32"))
    with pytest.raises(ValueError, match=r"shape \(60, 2\), and the network takes \(70, 2\)"):
        predict(configure(f"run={run}", "dataset.path=short.npy", "out=q.csv", name="predict"))


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        (
            ("dataset=signals", "dataset.path=pictures.npy", "dataset.labels=y.npy"),
            "kind=signals, and an array",
        ),
        (("dataset=basic_motions", "model=unet"), "UNet: it tells the class of each pixel"),
        (("dataset=basic_motions", "model=inceptionv3"), "InceptionV3.*items are signals"),
        (("dataset=basic_motions", "pipeline.dims=2"), "'dims' is 1 for signals"),
        (
            ("dataset=basic_motions", "+model.num_classes=3"),
            r"labels of 3 classes are 0 to 2.*got a value of 3",
        ),
        (
            ("dataset=npy", "pipeline=signals", "dataset.path=x.npy", "dataset.labels=y.npy"),
            r"inputs are B\('signals'\), .*have images.*: arrays of signals are dataset=signals; .*=photos$",
        ),
        (
            ("dataset=npy", "pipeline=photos", "dataset.path=rows.npy", "dataset.labels=y.npy"),
            r"inputs are B\('images'\), .*have features.*: pictures are dataset=files, .*pipeline=tabular$",
        ),
        (
            ("dataset=signals", "pipeline=tabular", "dataset.path=x.npy", "dataset.labels=y.npy"),
            r"inputs are B\('features'\), .*have signals.*: rows are dataset=csv, .*pipeline=signals$",
        ),
    ],
)
def test_what_does_not_fit_is_refused(configure, data, overrides, words) -> None:
    np.save(data / "pictures.npy", np.zeros((40, 8, 8, 1)))
    np.save(data / "rows.npy", np.zeros((40, 5)))
    with pytest.raises((ValueError, TypeError, LookupError), match=words):
        train(configure("n_iters=4", *overrides))


@pytest.mark.slow
def test_the_experiment_tells_more_than_the_nearest_neighbour(configure) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier

    dataset = BasicMotions()
    parts = [getattr(dataset, name).next_batch(40) for name in ("train", "test")]
    (x, y), (new, told) = ((part.signals.reshape(40, -1), part.labels) for part in parts)
    nearest = KNeighborsClassifier(1).fit(x, y).score(new, told)
    linear = LogisticRegression(max_iter=5000).fit(x, y).score(new, told)
    assert (nearest, linear) == (0.6, pytest.approx(0.75, abs=0.03))
    outcome = train(configure("experiment=signals"))
    assert outcome.metrics["test/accuracy"] > max(0.9, nearest, linear)
