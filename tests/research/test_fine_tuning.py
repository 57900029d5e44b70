"""A training that begins with the weights of another one, and parts that begin to learn later."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig

from bf_batch.opensets import Digits
from bf_command.schema import register
from bf_models import MLP, KerasModel
from bf_models.errors import WeightsError
from bf_pipeline import B, Pipeline, V
from bf_research import Checkpoints, Event, NoModel, Training, Unfreeze
from bf_research.recipe.found import find_out
from bf_research.recipe.pipelines import pipelines
from bf_research.recipe.source import find_source
from bf_research.tracking.store import open_store
from bf_research.train import train
from bf_research.trained import write_trained

ROOT = Path(__file__).parents[2]
SMALL = ["dataset=digits", "n_iters=2", "batch_size=16", "bar=false", "tracking=none", "schedule=constant"]
MLP_CONFIG = {"inputs": {"images": {"shape": (8, 8, 1)}}, "seed": 5, "optimizer": "sgd"}


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DictConfig]]:
    """``configure("pretrained=low")`` composes a short training in a folder with the run ``low``."""
    monkeypatch.chdir(tmp_path)
    register(ROOT / "conf")
    folder = tmp_path / "outputs" / "low"
    folder.mkdir(parents=True)
    MLP({**MLP_CONFIG, "num_classes": 3}).build().save(folder / "model.bf")
    steps = {"mean": [0.25], "std": [0.5], "mode": "gray"}
    write_trained(folder, yaml.safe_dump({"pipeline": steps}), ["0", "1", "2"])
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        yield lambda *overrides: compose("train", overrides=[*SMALL, *overrides])


def build(config: DictConfig):
    """Return the network that a configuration begins with, as the command makes it."""
    data = Digits(only=config.dataset.only)
    parts = pipelines(config, data, data.train, None, (), find_source(config))
    parts.training.next_batch(4, seed=0)
    return parts.training.m("net")


def weights(model) -> dict[str, np.ndarray]:
    return {item.path: item.numpy() for item in model.network.trainable_variables}


@pytest.mark.parametrize(
    ("name", "only", "new"),
    [
        ("low", "[0,1,2]", False),  # by its name, and the head goes on
        ("outputs/low", "[5,6,7]", True),  # as many classes, and others
        ("outputs/low/model.bf", "[5,6,7,8]", True),
        ("outputs/low", "[2,1,0]", True),
    ],
)
def test_weights_of_a_run_are_taken_and_the_head_is_new_for_other_classes(configure, caplog, name, only, new):
    caplog.set_level(logging.INFO)
    model = build(configure(f"pretrained={name}", f"dataset.only={only}", "freeze=[initial_block,body]"))
    given = weights(MLP.load("outputs/low/model.bf"))
    body = {path for path in given if path.partition("/")[0] in model.frozen_layers}
    assert len(body) >= 4
    for item in model.network.weights:  # one step on what is frozen is what was saved, and the head is not
        equal = item.path in given and np.array_equal(item.numpy(), given[item.path])
        assert equal == (item.path in body)
    assert model.config["pretrained"].endswith("outputs/low/model.bf")
    assert ("of the head begin anew: " in caplog.text) == new
    assert "arrays loaded" in caplog.text


def test_data_found_out_are_those_of_the_run_that_left_the_weights(configure):
    config = configure("pretrained=low", "+pipeline.mean=auto", "+pipeline.std=auto")
    found = find_out(config, Digits(), Digits().train, find_source(config))
    assert (list(found.pipeline.mean), list(found.pipeline.std)) == ([0.25], [0.5])


@pytest.mark.parametrize("key", ["mean", "mode"])
def test_what_a_run_of_somebody_else_says_is_no_reference(configure, key):
    write_trained(Path("outputs/low"), yaml.safe_dump({"pipeline": {key: "${oc.env:HOME}"}}), None)
    config = configure("pretrained=low", f"+pipeline.{key}=auto")
    with pytest.raises(ValueError, match=f"pretrained=low: its pipeline.{key} is"):
        find_out(config, Digits(), Digits().train, find_source(config))


@pytest.mark.parametrize(
    ("overrides", "error", "told"),
    [
        (["pretrained=lou"], NoModel, "pretrained=lou: it is no folder and no name of a run"),
        (["pretrained=weights.pth"], FileNotFoundError, "pretrained=weights.pth: there is no such file"),
        (["pretrained=low", "model=vgg7"], WeightsError, "holds MLP of stem .* do not fit this VGG7"),
        (
            ["pretrained=low", "+model.body.units=[7]"],
            WeightsError,
            r"MLP for images \(8, 8, 1\).*of another shape",
        ),
        (["freeze=bodi"], ValueError, "'bodi'.*did you mean 'body'"),
        (["unfreeze={1: bodi}"], ValueError, "'bodi'.*did you mean 'body'"),
        (["freeze=[body,head]"], ValueError, "leaves nothing that could learn"),
        (["unfreeze={0: body}"], ValueError, "an epoch.*at least 1"),
        (["unfreeze=body"], ValueError, r"such as \{3: layer4"),
        (["unfreeze={8: body}", "n_iters=null"], ValueError, "the training ends with 8 epochs"),
        (["layer_decay=1.5"], ValueError, "'layer_decay' is a number above 0"),
        (["learning_rates={bodi: 0.1}"], ValueError, "did you mean 'body'"),
    ],
)
def test_what_cannot_be_is_told_before_the_first_iteration(configure, overrides, error, told):
    with pytest.raises(error, match=told):
        train(configure(*overrides))


class Cut(Event):
    """Ends a training with an error, as a machine does that goes away."""

    def __init__(self, iteration: int | None) -> None:
        self.iteration = iteration

    def after_iteration(self, state) -> None:
        if state.iteration == self.iteration:
            raise RuntimeError("gone")


@pytest.mark.parametrize("cut", [5, 8, 11])  # before the first epoch's end (6), after it, after both
def test_a_training_that_goes_on_between_ends_as_one_that_was_never_cut_off(tmp_path, cut):
    data = Digits(per_class=6).train.subset(np.arange(60))

    def run(folder: str, iteration: int | None):
        config = {**MLP_CONFIG, "num_classes": 10, "body": {"units": [8, 8]}, "deterministic": True}
        config |= {"optimizer": "adam", "freeze": ["body"], "layer_decay": 0.8, "ema": 0.9}
        config["schedule"] = {"name": "cosine", "steps": 18}
        pipeline = (
            Pipeline()
            .init_variable("loss")
            .init_model("static", MLP, "net", config)
            .to_array(dtype="float32", scale=1 / 16)
            .train_model("net", B("images"), B("labels"), fetches="loss", save_to=V("loss"))
        ) << data
        parts = {1: "body"}
        events = [Unfreeze(parts), Cut(iteration), Checkpoints(every=1)]
        training = Training(pipeline, folder=tmp_path / folder, events=events)
        return training.run(10, shuffle=True, n_epochs=3, seed=3)

    whole = run("whole", None)
    with pytest.raises(RuntimeError, match="gone"):
        run("cut", cut)
    again = run("cut", None)
    assert again.iterations == whole.iterations == 18
    for ours, theirs in zip(again.model.network.weights, whole.model.network.weights, strict=True):
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())
    assert again.model.frozen_layers == []
    assert again.metrics == whole.metrics


def test_what_never_was_frozen_is_refused_by_the_event(tmp_path):
    pipeline = (
        Pipeline()
        .init_variable("loss")
        .init_model("static", MLP, "net", {**MLP_CONFIG, "num_classes": 10})
        .train_model("net", B("images"), B("labels"), fetches="loss", save_to=V("loss"))
    ) << Digits().train
    with pytest.raises(ValueError, match="body would learn already when 1 epochs are done"):
        Training(pipeline, folder=tmp_path / "a", events=[Unfreeze({1: "body"})]).run(32, n_iters=2)


@pytest.mark.usefixtures("ready_store")
def test_weights_are_taken_from_the_store_by_id_version_and_alias(configure, tmp_path):
    kept = ["tracking=mlflow", "tracking.keep_model=true", "tracking.register=small", "dataset.only=[0,1,2]"]
    train(configure("model=mlp", *kept))
    client = open_store(f"sqlite:///{tmp_path}/mlflow.db")
    (version,) = client.search_model_versions("name='small'")
    client.set_registered_model_alias("small", "best", version.version)
    (file,) = (tmp_path / "mlartifacts").rglob("*.bf")
    given = KerasModel.load(file)
    for name in (version.run_id, f"models:/small/{version.version}", "models:/small@best"):
        model = build(configure("model=mlp", f"pretrained={name}", "dataset.only=[0,1,2]", "freeze=body"))
        taken = weights(given)
        equal = [item for item in model.network.weights if np.array_equal(item.numpy(), taken.get(item.path))]
        assert {item.path.partition("/")[0] for item in equal} >= {*model.frozen_layers} - {"flatten"}, name
        assert equal


@pytest.mark.parametrize("name", ["mnist", "digits", "fashion_mnist", "cifar10", "cifar100"])
def test_every_ready_set_of_one_label_is_cut_to_some_classes_and_items(configure, name):
    config = configure(f"dataset={name}", "dataset.only=[1,2]", "dataset.per_class=5")
    assert (list(config.dataset.only), config.dataset.per_class) == ([1, 2], 5)
