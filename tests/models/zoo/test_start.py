"""The start of networks: initial weights as the published code draws them, and steps from equal ones."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bf_models import convert, zoo
from bf_models.nn import Common, initializer

#: Fewer of equal blocks, and fewer hidden units where their number changes nothing.
SHORTER = {
    "VGG11": {"head": {"units": 64}},
    "ResNeXt50": {"body": {"depths": [1, 1, 1, 1]}},
    "ConvNeXtTiny": {"body": {"depths": [1, 1, 1, 1]}},
    "EfficientNetB0": {"body": {"depth": 0.1}},
    "ViTB16": {"body": {"depth": 1}},
}
FAST = ["VGG11", "ResNet18", "ResNeXt50", "SqueezeNet1_0", "MobileNetV2", "EfficientNetB0", "ConvNeXtTiny"]
FAST += ["ViTB16", "GoogLeNet"]
SLOW = ["DenseNet121", "MobileNetV3Small", "InceptionV3"]
#: So many deviations of chance are allowed: of some thousand comparisons none is wrong by chance.
SIGMAS = 6


def _told(request, name):
    return json.loads((request.config.rootpath / "tests" / "models" / name).read_text())


def _unlike(got, expected, count):
    """What differs by more than chance: mean, deviation or kurtosis of so many values."""
    (mean, deviation, kurtosis), (their_mean, their_deviation, their_kurtosis) = got, expected
    if deviation == 0 or their_deviation == 0:
        # a constant has no chance; a golden number has four digits
        return (
            []
            if deviation == their_deviation and math.isclose(mean, their_mean, rel_tol=1e-3)
            else ["constant"]
        )
    # both were drawn: means differ by the root of 2 / count, logarithms of deviations by that of 1 / count
    chance = SIGMAS * math.sqrt(2 / count)
    wrong = []
    if abs(mean - their_mean) > chance * their_deviation:
        wrong.append("mean")
    if not abs(math.log(deviation / their_deviation)) <= chance / math.sqrt(2) + 1e-3:
        wrong.append("deviation")
    # the kurtosis of a normal distribution spreads by the root of 24 / count
    if count > 100 and abs(kurtosis - their_kurtosis) > chance * math.sqrt(24) + 0.01:
        wrong.append("kind")
    return wrong


@pytest.mark.parametrize("name", [*FAST, *(pytest.param(name, marks=pytest.mark.slow) for name in SLOW)])
def test_initial_weights_are_distributed_as_those_of_torchvision(name, tool, request):
    told = _told(request, "golden_starts.json")[name]
    side = tool.NETWORKS[name][1]
    images = {"inputs": {"images": {"shape": (side, side, 3)}}, "num_classes": 1000, "stem": "imagenet"}
    model = zoo.MODELS[name]({**images, "seed": 0, **SHORTER.get(name, {})}).build()
    arrays = {key: value for key, value in convert.state_dict(model).items() if tool.is_kept(name, key)}
    assert set(arrays) == set(told)
    wrong = {}
    for key, array in arrays.items():
        expected = told[key] if isinstance(told[key], list) else [told[key], 0.0, 0.0]
        if unlike := _unlike(tool.distribution(array), expected, array.size):
            wrong[key] = (unlike, tool.distribution(array), expected)
    assert not wrong


def test_golden_file_of_starts_holds_a_network_of_each_family(tool, request):
    assert set(_told(request, "golden_starts.json")) == set(tool.STARTS) == {*FAST, *SLOW}


def test_a_wrong_start_is_seen():
    rng = np.random.default_rng(0)
    normal, uniform = rng.normal(0, 0.02, 4000), rng.uniform(-1, 1, 4000) * 0.02 * 3**0.5
    expected = [0.0, 0.02, 3.0]
    kurtosis = np.mean(uniform**4) / uniform.std() ** 4
    assert _unlike([normal.mean(), normal.std(), 3.0], expected, 4000) == []
    assert _unlike([0.003, 0.02, 3.0], expected, 4000) == ["mean"]
    assert _unlike([0.0, 0.0176, 3.0], expected, 4000) == ["deviation"]
    assert _unlike([uniform.mean(), uniform.std(), kurtosis], expected, 4000) == ["kind"]
    assert _unlike([0.0, 0.0, 0.0], expected, 4000) == ["constant"]


#: Networks that torchvision lacks, from the code that their files name: deviations of a few arrays.
ELSEWHERE = {
    "SEResNet18": {
        "layer1.0.conv1.weight": math.sqrt(2 / (9 * 64)),
        "layer4.0.se_module.fc1.weight": math.sqrt(2 / 32),
        "layer4.0.se_module.fc2.bias": math.sqrt(1 / 32 / 3),
        "fc.weight": math.sqrt(1 / 512 / 3),
    },
    "ResNet18V2": {"layer4.1.conv1.weight": math.sqrt(2 / (9 * 512)), "fc.bias": 0},
    "PyramidNet18": {"conv1.weight": math.sqrt(2 / (49 * 64)), "fc.bias": math.sqrt(1 / 364 / 3)},
    "MobileNet": {
        # keras.applications: Glorot's rule, by which a depthwise kernel (3, 3, C, 1) has a fan in of 9 C
        "features.1.depthwise.0.weight": math.sqrt(2 / (9 * 32 + 9)),
        "features.13.pointwise.0.weight": math.sqrt(2 / (1024 + 1024)),
        "classifier.bias": 0,
    },
    "LeNet": {"conv2.weight": math.sqrt(1 / 150 / 3), "conv2.bias": math.sqrt(1 / 150 / 3)},
    "MLP": {"fc1.weight": math.sqrt(1 / 784 / 3), "fc.bias": math.sqrt(1 / 256 / 3)},
}


@pytest.mark.parametrize("name", ELSEWHERE)
def test_initial_weights_of_other_networks_follow_the_code_that_is_named(name):
    shape = (28, 28, 1) if name in ("LeNet", "MLP") else (32, 32, 3)
    config = {"inputs": {"images": {"shape": shape}}, "num_classes": 1000, "stem": "imagenet", "seed": 0}
    arrays = convert.state_dict(zoo.MODELS[name](config).build())
    for key, deviation in ELSEWHERE[name].items():
        count = arrays[key].size
        assert arrays[key].std() == pytest.approx(deviation, rel=4 / math.sqrt(count)), key


@pytest.mark.parametrize(
    ("start", "deviation", "limit"),
    [
        ("he", math.sqrt(2 / 50), math.inf),
        ("he_in", math.sqrt(2 / 200), math.inf),
        ("lecun", math.sqrt(1 / 200), math.inf),
        ("torch", math.sqrt(1 / 600), math.sqrt(1 / 200)),
        ("he_uniform", math.sqrt(2 / 200), math.sqrt(6 / 200)),
        ("fan_out", math.sqrt(1 / 150), math.sqrt(1 / 50)),
        ("glorot", math.sqrt(2 / 250), math.sqrt(6 / 250)),
        # TensorFlow cuts at two deviations and makes up for it
        ("slim", math.sqrt(2 / 200), 2.3 * math.sqrt(2 / 200)),
        ("zeros", 0, 0),
        (0.3, 0.3, math.inf),
    ],
)
def test_a_start_has_its_deviation_and_limit(start, deviation, limit):
    values = np.asarray(initializer(start, 200, 50)((200, 50)))
    assert values.std() == pytest.approx(deviation, rel=0.03)
    assert np.abs(values).max() <= limit


@pytest.mark.parametrize("start", ["torhc", -0.1])
def test_an_unknown_start_is_refused(start):
    with pytest.raises(ValueError, match="initializer"):
        Common(dense_init=start)


def test_losses_of_ten_steps_are_those_of_torchvision(tool, request):
    side = tool.STEPS["side"]
    model = zoo.MODELS[tool.STEPS["network"]](
        {
            "inputs": {"images": {"shape": (side, side, 3)}},
            "num_classes": tool.CLASSES,
            "stem": "imagenet",
            "optimizer": {"name": "sgd", "learning_rate": tool.STEPS["rate"]},
        }
    ).build()
    shapes = convert.state_shapes(model)
    convert.load_state_dict(model, {name: tool.rule(name, shape) for name, shape in shapes.items()})
    losses = []
    for step in range(tool.STEPS["steps"]):
        images, labels = tool.batch_of(step)
        losses.append(model.train(images.transpose(0, 2, 3, 1), labels, fetches="loss"))
    expected = _told(request, "golden_steps.json")["losses"]
    assert len(expected) == 10
    np.testing.assert_allclose(losses, expected, rtol=1e-4)
