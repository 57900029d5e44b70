"""The config of a model: what is accepted, and how what is not is refused, all without TensorFlow."""

from __future__ import annotations

import importlib.resources
import json

import pytest

from bf_models import VGG7, KerasModel, ResNet18, zoo_names


def test_importing_and_configuring_loads_no_tensorflow(run_script):
    done = run_script(
        """
        import sys
        import bf_models, bf_models.metrics
        for model in bf_models.zoo_names().values():
            model({"num_classes": 10, "optimizer": "adamw", "schedule": {"name": "cosine", "steps": 5}})
        print(sorted({"tensorflow", "keras", "h5py", "sklearn", "safetensors"} & set(sys.modules)))
        """
    )
    assert done.out.strip() == "[]"


def test_tensorflow_is_loaded_without_a_word_on_the_console(run_script):
    done = run_script(
        """
        import numpy as np
        from bf_models import VGG7
        model = VGG7({"num_classes": 2, "body": {"stages": [[1, 0, 2]]}})
        model.train(np.zeros((2, 8, 8)), np.zeros(2, int))
        """
    )
    assert done.code == 0, done.err
    assert done.out == ""
    assert done.err == ""


def test_a_missing_tensorflow_is_named_with_the_command_that_installs_it(run_script):
    done = run_script(
        """
        import sys
        sys.modules["tensorflow"] = None
        from bf_models import VGG7
        VGG7({"num_classes": 2, "inputs": {"images": {"shape": (8, 8, 1)}}}).build()
        """
    )
    assert "pip install 'bf-models[cpu]'" in done.err


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"boddy": {}}, ["boddy", "body", "ResNet18"]),
        ({"boddy/filters": 8}, ["boddy", "body"]),
        ({"body": {"dephts": [1]}}, ["dephts", "depths", "ResNet18.body"]),
        ({"body/dephts": [1]}, ["dephts", "depths"]),
        ({"common": {"momentun": 0.1}}, ["momentun", "momentum"]),
        ({"inputs": {"images": {"shap": (8, 8)}}}, ["shap", "shape", "inputs.images"]),
    ],
)
def test_unknown_config_key_is_refused_with_close_matches(config, words):
    with pytest.raises(TypeError) as caught:
        ResNet18(config)
    assert all(word in str(caught.value) for word in words)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"optimizer": "adamm"}, ["adamm", "'adam'"]),
        ({"loss": "cee"}, ["cee", "'ce'"]),
        ({"loss": [{"name": "ce"}, {"name": "dise"}]}, ["dise", "'dice'"]),
        ({"loss": {"name": "ce", "target": "lables"}}, ["lables", "'labels'"]),
        ({"schedule": {"name": "cosin"}}, ["cosin", "'cosine'"]),
        ({"stem": "smal"}, ["smal", "'small'"]),
        ({"precision": "float15"}, ["float15", "float16"]),
        ({"non_finite": "rise"}, ["rise", "'raise'"]),
        ({"body": "resnet19"}, ["resnet19", "resnet18"]),
        ({"num_classes": 10, "inputs": {"labels": {"classes": 9}}}, ["9", "10"]),
        ({"num_classes": 0}, ["num_classes", "0"]),
        ({"microbatch": -1}, ["microbatch", "-1"]),
        ({"ema": 1.5}, ["ema", "1.5"]),
        ({"jit": "yes"}, ["jit", "yes"]),
        ({"inputs": {"images": {"dtype": "unit8"}}}, ["unit8", "uint8"]),
        ({"strategy": "mirrored", "microbatch": 4}, ["strategy", "microbatch"]),
    ],
)
def test_wrong_value_is_refused_with_what_is_right(config, words):
    with pytest.raises(ValueError) as caught:
        ResNet18(config)
    assert all(word in str(caught.value) for word in words)


def test_part_of_a_package_that_is_not_trusted_is_refused_before_it_is_imported(tmp_path, monkeypatch):
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    with pytest.raises(PermissionError, match="stranger"):
        ResNet18({"body": {"_target_": "stranger.Body"}})


def test_part_of_an_own_package_is_taken_when_the_config_allows_it(tmp_path, monkeypatch):
    (tmp_path / "ownparts.py").write_text(
        "class Body:\n"
        "    def __init__(self, width=1):\n"
        "        self.width = width\n"
        "    def __call__(self, x, net):\n"
        "        return net.conv(x, self.width, name='own')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    model = ResNet18({"allow": ["ownparts"], "body": {"_target_": "ownparts.Body", "width": 7}})
    assert model._parts["body"].width == 7


def test_part_by_the_name_of_another_model_is_that_models_part():
    assert ResNet18({"body": "resnet50"})._parts["body"].block == "bottleneck"


def test_a_method_is_a_part_too():
    class Own(KerasModel):
        def body(self, x, net):
            return net.conv(x, 3, name="own")

    model = Own({"num_classes": 2, "inputs": {"images": {"shape": (4, 4, 1)}}})
    assert "own" in model.layer_names


def test_config_of_the_person_is_not_changed():
    config = {"body/filters": 8}
    ResNet18(config)
    assert config == {"body/filters": 8}


def test_zoo_names_are_lower_case_names_of_the_classes():
    names = zoo_names()
    assert names["resnet18"] is ResNet18
    assert names["vgg7"] is VGG7
    assert all(name == model.__name__.lower() for name, model in names.items())


def test_every_zoo_model_has_a_configuration_and_every_configuration_a_model():
    text = importlib.resources.files("bf_models").joinpath("zoo/configs.json").read_text()
    targets = {name: config["_target_"] for name, config in json.loads(text).items()}
    assert targets == {name: f"bf_models.{model.__name__}" for name, model in zoo_names().items()}
