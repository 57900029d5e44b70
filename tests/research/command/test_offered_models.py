"""The models of bf_models as ``model=name``: all of them, and none in the way of an application's own."""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra.core.config_store import ConfigStore
from omegaconf import OmegaConf

from bf_command.help import describe
from bf_command.schema import folder_of, offered_models, register
from bf_models import zoo_names

CONF = Path(__file__).parents[3] / "conf"
EXAMPLES = {"autoencoder", "resnet18", "vae", "vgg7"}
#: Files of ours that are a model of another name with settings of its own.
VARIANTS = {"small_unet"}


def composed(folder: Path, *overrides: str) -> Any:
    """Compose a configuration of ``folder``; Hydra's warnings are errors."""
    with warnings.catch_warnings(), initialize_config_dir(config_dir=str(folder), version_base="1.3"):
        warnings.simplefilter("error")
        return compose("train", overrides=list(overrides))


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


@pytest.fixture
def application(tmp_path: Path) -> Path:
    """The configurations of a person who has no file of any model."""
    return write(tmp_path / "conf", {"train.yaml": "defaults:\n  - model: resnet34\n  - _self_\nn: 1\n"})


def test_the_store_holds_each_model_that_has_no_file():
    register(CONF)
    assert {path.stem for path in (CONF / "model").glob("*.yaml")} == EXAMPLES | VARIANTS
    stored = ConfigStore.instance().list("model")
    assert {name.removesuffix(".yaml") for name in stored} | EXAMPLES == set(zoo_names())


def test_the_file_of_the_catalogue_names_every_model_in_order(application):
    offered = offered_models(application, "train")
    assert list(offered) == sorted(zoo_names())
    assert {name: config["_target_"] for name, config in offered.items()} == {
        name: f"bf_models.{model.__name__}" for name, model in zoo_names().items()
    }


@pytest.mark.parametrize("name", sorted(zoo_names()))
def test_every_model_is_composed_and_its_class_takes_the_configuration(name):
    register(CONF)
    config = OmegaConf.to_container(composed(CONF, f"model={name}").model)
    assert config.pop("_target_") == f"bf_models.{zoo_names()[name].__name__}"
    model = zoo_names()[name]
    assert model({"num_classes": 10, **config}).spec.stem == config.get("stem", "auto")
    if name not in EXAMPLES and "stem" in config:
        assert config["stem"] == model.defaults.get("stem", "auto")


def test_an_application_without_files_has_them_all(application):
    register(application)
    assert composed(application).model._target_ == "bf_models.ResNet34"
    assert composed(application, "model=vgg7").model == {"_target_": "bf_models.VGG7", "stem": "small"}
    assert "vgg7, vitb16" in " ".join(describe(application, "train", "train.py").split())


OWN = "_target_: mine.Net\nwidth: 3\n"


@pytest.mark.parametrize("place", ["own", "--config-dir", "in main", "on the command line", "package"])
def test_a_file_of_the_person_wins_and_is_taken_as_it_is(application, tmp_path, monkeypatch, place):
    folder = application if place == "own" else tmp_path / "other"
    write(folder, {"model/resnet34.yaml": OWN, "__init__.py": ""})
    monkeypatch.syspath_prepend(tmp_path)
    url = "pkg://other" if place == "package" else f"file://{folder}"
    more, overrides = None, []
    if place == "--config-dir":
        more = str(folder)
    elif place == "in main":
        with (application / "train.yaml").open("a") as file:
            file.write(f"hydra:\n  searchpath:\n    - {url}\n")
    elif place != "own":
        overrides = [f"hydra.searchpath=[{url}]"]
    register(application, "train", more, overrides)
    if place == "--config-dir":  # compose has no such option; the command below has
        assert "resnet34.yaml" not in ConfigStore.instance().list("model")
        return
    assert composed(application, *overrides).model == {"_target_": "mine.Net", "width": 3}
    assert composed(application, "model=resnet50", *overrides).model._target_ == "bf_models.ResNet50"


def test_what_was_registered_for_one_application_is_not_in_the_way_of_another(application, tmp_path):
    register(application)
    plain = write(tmp_path / "plain", {"train.yaml": "model: vgg7\n"})
    register(plain)
    assert composed(plain, "model=resnet34").model == "resnet34"
    register(write(tmp_path / "own", {"train.yaml": "defaults: [model: a]\n", "model/vgg7.yaml": OWN}))
    assert composed(tmp_path / "own", "model=vgg7").model._target_ == "mine.Net"


def test_what_an_application_stored_itself_stays(application):
    store = ConfigStore.instance()
    store.store(group="model", name="resnet34", node={"width": 5}, provider="mine")
    try:
        register(application)
        assert composed(application).model == {"width": 5}
    finally:
        del store.repo["model"]["resnet34.yaml"]


@pytest.mark.parametrize(
    "line", ["- model: a", "  - model: null", "- /model: a", "- optional model: a", "- model@net: a"]
)
def test_an_application_whose_defaults_choose_a_model_is_offered_them(tmp_path, line):
    write(tmp_path, {"train.yaml": f"defaults:\n{line}\n"})
    assert "resnet34" in offered_models(tmp_path, "train")
    assert "resnet34" in offered_models(tmp_path, "train.yaml")


@pytest.mark.parametrize("text", ["model: vgg7\n", "layers:\n- submodel: a\n", "# - model: a\n", ""])
def test_one_whose_model_is_a_setting_is_not(tmp_path, text):
    write(tmp_path, {"train.yaml": text})
    assert offered_models(tmp_path, "train") == {}


def test_without_bf_models_there_are_none(application, monkeypatch):
    monkeypatch.setattr("bf_command.schema.MODELS", "bf_nosuch")
    assert offered_models(application, "train") == {}


@pytest.mark.parametrize("path", ["pkg://bf_nosuch.conf", "pkg://json.decoder"])
def test_a_package_without_a_folder_has_none(path):
    assert folder_of(path) is None


APPLICATION = """
import json, sys
from pathlib import Path
from bf_command import command
from omegaconf import OmegaConf

@command()
def main(config):
    loaded = sorted({{"tensorflow", "keras", "bf_models"}} & set(sys.modules))
    told = {{**OmegaConf.to_container(config.model), "loaded": loaded}}
    Path({folder!r}, told["_target_"]).write_text(json.dumps(told))

sys.argv[1:] = {arguments!r}
main()
"""
GPU = ["hydra/launcher=gpu", "hydra.launcher.devices=[cpu:0]", "hydra.launcher.preload=[]"]


@pytest.mark.parametrize("launcher", [[], GPU], ids=["basic", "gpu"])
def test_workers_get_them_too_and_files_win_there(application, tmp_path, run_script: Callable, launcher):
    write(tmp_path / "other", {"model/vgg7.yaml": OWN})
    arguments = ["-m", "--config-dir", str(tmp_path / "other"), "model=resnet34,vgg7", *launcher]
    done = run_script(APPLICATION.format(folder=str(tmp_path), arguments=arguments))
    assert done.code == 0, done.err
    assert "same name" not in done.err  # Hydra's warning where a file and the store meet
    got = {name: json.loads((tmp_path / name).read_text()) for name in ("bf_models.ResNet34", "mine.Net")}
    assert got["bf_models.ResNet34"]["loaded"] == []
    assert got["mine.Net"] == {"_target_": "mine.Net", "width": 3, "loaded": []}
