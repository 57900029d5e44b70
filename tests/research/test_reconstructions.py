"""Trainings that tell items again: from the command to codes, pictures and predictions, and after a cut."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image
from sklearn.decomposition import PCA

from bf_batch.opensets import ArrayFiles, Digits
from bf_command.schema import register
from bf_models import VAE, KerasModel
from bf_pipeline import B, Pipeline, V
from bf_research import Checkpoints, Training
from bf_research.prediction.predict import predict
from bf_research.recipe.reconstructions import Pairs, ReconstructionOptions, draw_plane, read_reconstructions
from bf_research.train import train
from bf_research.training.folder import RunFolder
from bf_research.training.state import Event

ROOT = Path(__file__).parents[2]
SMALL = ["tracking=none", "n_iters=2", "bar=false", "prefetch=0", "model.body.units=[4]", "dataset=digits"]
PICTURES = ["generated.png", "plane.png", "samples.png", "worst.csv", "worst.png"]


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., DictConfig]:
    """``configure("model=vae")`` composes a short training, ``configure(name="predict")`` a prediction."""
    monkeypatch.chdir(tmp_path)

    def make(*overrides: str, name: str = "train") -> DictConfig:
        register(ROOT / "conf", name)
        mlp = "model=mlp" in overrides
        before = (
            [one for one in SMALL if not (mlp and "body" in one)]
            if name == "train"
            else ["bar=false", "tracking.uri=null"]
        )
        with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
            return compose(name, overrides=[*before, *overrides])

    return make


def read_test() -> np.ndarray:
    test = Digits().test
    return np.asarray(test.rows("images", slice(0, len(test))), np.float32)


def test_the_model_chooses_the_task(configure) -> None:
    found = {model: configure(f"model={model}") for model in ("autoencoder", "vae")}
    assert {config.task.name for config in found.values()} == {"reconstruction"}
    assert found["autoencoder"].loss == "mse"
    assert found["vae"].loss == {"name": "elbo", "likelihood": "bernoulli", "beta": 1.0}
    assert configure("model=vae", "task.loss.beta=4").loss.beta == 4


def test_autoencoder_learns_what_goes_in_and_is_measured(configure) -> None:
    outcome = train(configure("model=autoencoder"))
    named = {f"{part}/{name}" for part in ("validation", "test") for name in ("mse", "mae", "loss")}
    assert set(outcome.metrics) == {"train/loss", *named}
    assert outcome.metrics["test/mse"] == pytest.approx(outcome.metrics["test/loss"], rel=1e-5)


def test_both_parts_of_the_bound_are_measured(configure) -> None:
    metrics = ["pipeline.metrics=[kl,cross_entropy]", "validation=null", "task.loss.beta=2"]
    found = train(configure("model=vae", *metrics)).metrics
    assert found["test/loss"] == pytest.approx(found["test/cross_entropy"] + 2 * found["test/kl"], rel=1e-4)


def test_other_targets_of_the_same_shape_are_learnt(configure) -> None:
    noisy = ["pipeline.inputs='=B(\"images\") + 1.0'", "task.targets='${B:images}'"]
    outcome = train(configure("model=autoencoder", *noisy))
    assert outcome.metrics["test/mse"] == pytest.approx(outcome.metrics["test/loss"], rel=1e-5)


def test_arrays_without_labels_are_learnt(configure, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name, shape in (("rows", (90, 6)), ("pictures", (90, 9, 10))):
        np.save(tmp_path / f"{name}.npy", rng.random(shape).astype(np.float32))
    rows = ["dataset=npy", "dataset.path=rows.npy", "model=autoencoder"]
    assert np.isfinite(train(configure(*rows, "batch_size=8")).metrics["test/mse"])
    pictures = [
        "dataset=npy",
        "dataset.path=pictures.npy",
        "pipeline=digits",
        "pipeline.augment=[]",
        "model=vae",
    ]
    assert np.isfinite(train(configure(*pictures, "batch_size=8", "pipeline.prepare=[]")).metrics["test/kl"])
    with pytest.raises(ValueError, match="where are the labels"):
        train(configure("dataset=npy", "dataset.path=rows.npy", "model=mlp"))
    labels = tmp_path / "labels.npy"
    np.save(labels, np.arange(90) % 3)
    assert ArrayFiles("rows.npy", labels, task="reconstruction").classes == ("0", "1", "2")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["model=vae", "task=reconstruction"], "VAE: loss mse alone|shrink to points; take 'elbo'"),
        (["model=autoencoder", "task=classification"], "is of classes.*task=reconstruction"),
        (["model=autoencoder", "task=variational"], "its body has none; take the model VAE"),
        (["model=autoencoder", "model.body.latent=0"], "from 1 on, got 0"),
        (["model=autoencoder", "model.body.encoder=mlp"], r"its encoder MLP .* reductions \[\]"),
        (["model=autoencoder", "task.targets='${B:labels}'"], r"of shape \(144,\) do not go with outputs"),
        (["model=vae", "pipeline.prepare=[]"], "targets of loss Bernoulli are 0 to 1: got a value of"),
        (
            ["model=autoencoder", "class_weights=balanced"],
            "class_weights do not go with loss MeanSquaredError",
        ),
        (["model=autoencoder", "pipeline.metrics=[kl]"], "no posterior was given"),
        (["model=autoencoder", "pictures={confusion: true}"], "unknown setting 'confusion' of pictures"),
        (["model=autoencoder", "pictures={samples: -1}"], "pictures.samples must be a whole number"),
        (["model=autoencoder", "pictures={plane: 2}"], "pictures.plane must be true or false, got 2"),
        (["model=autoencoder", "pictures=7"], "pictures must be null, true or a mapping"),
    ],
)
def test_what_does_not_go_together_is_refused_before_the_first_iteration(configure, given, told) -> None:
    with pytest.raises(Exception, match=told) as caught:
        train(configure(*given))
    assert not any("iteration 1" in str(note) for note in getattr(caught.value, "__notes__", ()))


def test_the_command_leaves_pictures_and_predictions_are_in_the_unit_of_the_data(
    configure, tmp_path: Path
) -> None:
    command = [sys.executable, str(ROOT / "train.py"), *SMALL, "model=vae", "model.body.latent=2"]
    command += ["n_iters=30", "pictures={worst: 5, generated: 3}", "name=two"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    folder = tmp_path / "outputs" / "two"
    assert sorted(path.name for path in (folder / "pictures").iterdir()) == PICTURES
    assert not (folder / "classes.json").exists()
    model = KerasModel.load(folder / "model.bf")
    assert isinstance(model, VAE)
    images = read_test()
    told = model.predict(images / 16)
    errors = np.square(told - images / 16).mean((1, 2, 3))
    worst = np.argsort(-errors)[:5]
    with open(folder / "pictures" / "worst.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == Digits().test.indices[worst].tolist()
    np.testing.assert_allclose([float(row["mse"]) for row in rows], errors[worst], rtol=1e-3)
    # a table, and a folder of pictures
    assert predict(configure("run=two", "out=told.csv", name="predict")).items == len(images)
    with open(tmp_path / "told.csv", newline="") as file:
        table = list(csv.reader(file))
    numbers = np.array([row[1:65] for row in table[1:]], np.float32)
    np.testing.assert_allclose(numbers, told.reshape(-1, 64) * 16, atol=1e-4)
    predict(configure("run=two", "out=told", name="predict"))
    ids = Digits().test.indices.tolist()
    drawn = np.stack([np.asarray(Image.open(tmp_path / "told" / f"{id}.png")) for id in ids])
    np.testing.assert_allclose(drawn, told[..., 0] * 16, atol=0.51)


class Cut(Event):
    """An event that ends the program after an iteration, 0 for none."""

    def __init__(self, at: int = 0) -> None:
        self.at = at

    def after_iteration(self, state: Any) -> None:
        if state.iteration == self.at:
            raise RuntimeError("cut off")


def test_training_that_was_cut_off_goes_on_to_the_bit(tmp_path: Path) -> None:
    def run(folder: Path, cut: Event) -> VAE:
        steps = Pipeline().init_variable("loss", 0.0)
        steps = steps.init_model(
            "static", VAE, "net", {"body": {"filters": [], "units": [4], "latent": 2}, "seed": 1}
        )
        steps = steps.to_array(dtype="float32", scale=1 / 16)
        steps = steps.train_model("net", B("images"), B("images"), fetches="loss", save_to=V("loss"))
        with RunFolder(folder) as place:
            training = Training(steps << Digits().train, folder=place, events=[cut, Checkpoints(every=1)])
            return training.run(64, shuffle=True, n_iters=6, seed=0).model

    whole = run(tmp_path / "whole", Cut())
    with pytest.raises(RuntimeError, match="cut off"):
        run(tmp_path / "part", Cut(3))
    part = run(tmp_path / "part", Cut())
    images = read_test() / 16
    assert part.iterations == whole.iterations == 6
    np.testing.assert_array_equal(part.encode(images), whole.encode(images))


def test_options_of_pictures_are_read(configure) -> None:
    assert read_reconstructions(configure("model=vae")) is None
    assert read_reconstructions(configure("model=mlp", "pictures=true")) is None
    assert read_reconstructions(configure("model=vae", "pictures=true")) == ReconstructionOptions()
    assert read_reconstructions(configure("model=vae", "pictures={worst: 3}")).worst == 3


def test_errors_of_pairs_and_the_plane_of_codes() -> None:
    pairs = Pairs()
    pairs.add([4, 5], np.zeros((2, 3, 3)), np.full((2, 3, 3, 1), 2.0))
    np.testing.assert_array_equal(pairs.errors, [4, 4])
    assert pairs.take([1]).ids == [5]
    codes = np.random.default_rng(0).normal(size=(40, 2))
    asked = []

    def decode(grid):
        asked.append(grid)
        return np.zeros((len(grid), 5, 7, 3)) + grid[:, :1, None, None]

    figure = draw_plane(codes, np.arange(40) % 2, ["$a", "b"], decode)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["\\$a", "b"]
    # the first picture is that of the left upper corner
    np.testing.assert_allclose(asked[0][0], [np.quantile(codes[:, 0], 0.02), np.quantile(codes[:, 1], 0.98)])
    assert len(draw_plane(codes, None, None, lambda grid: np.zeros((len(grid), 9))).axes) == 1


@pytest.mark.slow
def test_the_experiment_tells_digits_again_better_than_principal_components(configure) -> None:
    settings = ["experiment=autoencoder", "tracking=none", "bar=false"]
    register(ROOT / "conf")
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        config = compose("train", overrides=settings)
    train_digits = Digits().train
    known = np.asarray(train_digits.rows("images", slice(0, len(train_digits))), float).reshape(-1, 64) / 16
    test = read_test().reshape(-1, 64) / 16
    components = PCA(config.model.body.latent).fit(known)
    best = np.square(components.inverse_transform(components.transform(test)) - test).mean()
    assert train(config).metrics["test/mse"] < 0.6 * best
