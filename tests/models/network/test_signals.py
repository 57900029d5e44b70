"""Networks on signals: the same layers along one axis, and what is for images is refused."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import ResNet18, UNet, convert, zoo_names
from bf_models.blocks import ConvBlock
from bf_models.nn import Classifier

#: One network of each family that runs along one axis, and the length of its signals.
FAMILIES = {
    **dict.fromkeys(["resnet18", "seresnext26", "resnet18v2", "vgg7", "squeezenet1_1", "lenet", "mlp"], 64),
    **dict.fromkeys(["mobilenetv3small", "vits16"], 96),
}
SLOW = {
    **dict.fromkeys(["resnet50", "resnext18", "seresnet18", "pyramidnet18", "densenet121", "mobilenet"], 96),
    **dict.fromkeys(["mobilenetv2", "efficientnetb0", "googlenet", "xception", "xception41", "vgg11bn"], 96),
    **dict.fromkeys(["convnexttiny", "resnetattention56"], 96),
}


def make(name, length=64, channels=3, **config):
    shape = {"inputs": {"signals": {"shape": (length, channels)}}}
    return zoo_names()[name]({**shape, "num_classes": 4, "dims": 1, "seed": 1, **config})


def draw(length, channels=3, items=4):
    return np.random.default_rng(0).standard_normal((items, length, channels)).astype("float32")


@pytest.mark.parametrize(
    ("name", "length"),
    [*FAMILIES.items(), *(pytest.param(*item, marks=pytest.mark.slow) for item in SLOW.items())],
)
def test_network_of_signals_has_no_weights_across_and_all_of_them_learn(name, length):
    import tensorflow as tf

    network = make(name, length).network
    signals, labels = tf.constant(draw(length)), tf.constant([0, 1, 2, 3])
    assert network.input_shape == (None, length, 3)
    assert network.output_shape == (None, 4)
    kernels = [item for item in network.trainable_variables if len(item.shape) == 4]
    assert all(item.shape[1] == 1 for item in kernels)
    assert any(item.shape[0] > 1 for item in kernels) or name == "mlp"
    with tf.GradientTape() as tape:
        logits = network(signals, training=True)
        loss = tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))
    slopes = tape.gradient(loss, network.trainable_variables)
    # the head of a ViT starts at zero, so that below it there is none in the first step
    dead = [item.path for item, slope in zip(network.trainable_variables, slopes) if slope is None]
    assert not dead


@pytest.mark.parametrize("name", ["resnet18", "seresnet18", "resnet18v2", "mobilenetv3small"])
@pytest.mark.parametrize("stem", ["small", "imagenet"])
def test_outputs_are_those_of_the_network_of_images_whose_kernels_have_one_column(name, stem):
    one, length = make(name, 70, stem=stem).build(), 70
    images = {"inputs": {"images": {"shape": (length, 1, 3)}}, "dims": None, "common": {"padding": "torch"}}
    other = make(name, **images, stem=stem).build()
    rng = np.random.default_rng(3)
    arrays = {}
    for item, array in convert.state_dict(one).items():
        spread = rng.standard_normal(array.shape).astype("float32") / np.sqrt(max(1, array[0].size))
        arrays[item] = np.abs(spread) + 0.5 if item.endswith("running_var") else spread
    convert.load_state_dict(one, arrays)
    wide = {}
    for item, shape in convert.state_shapes(other).items():
        wide[item] = np.zeros(shape, "float32")
        middle = (..., shape[-1] // 2) if len(shape) == 4 else ...
        wide[item][middle] = arrays[item][..., 0] if len(shape) == 4 else arrays[item]
    convert.load_state_dict(other, wide)
    signals = draw(length)
    expected = other.predict(signals[:, :, None])
    assert np.ptp(expected) > 1e-3
    assert np.abs(one.predict(signals) - expected).max() <= 1e-5 * np.abs(expected).max()


def test_count_of_a_resnet_of_signals_is_that_of_one_dimensional_kernels():
    # stem, then by stage: two blocks of two convolutions of 3 with norms, the first with a shortcut of 1
    count = 7 * 6 * 64 + 2 * 64 + 4 * (3 * 64 * 64 + 2 * 64)
    for wide in (128, 256, 512):
        count += 3 * (wide // 2) * wide + 3 * (3 * wide * wide) + 4 * 2 * wide + (wide // 2) * wide + 2 * wide
    count += 512 * 4 + 4
    assert make("resnet18", 100, 6).count_parameters() == count == 3_848_196


def test_weights_of_a_one_dimensional_network_of_torch_load():
    model = make("resnet18", body={"depths": [1, 1], "filters": 4}).build()
    arrays = {
        name: array[..., 0] if array.ndim == 4 else array  # torch's Conv1d: (filters, channels, length)
        for name, array in convert.state_dict(
            make("resnet18", body={"depths": [1, 1], "filters": 4}, seed=5)
        ).items()
    }
    assert arrays["conv1.weight"].shape == (64, 3, 3)
    convert.load_state_dict(model, arrays)
    assert np.array_equal(convert.state_dict(model)["conv1.weight"][..., 0], arrays["conv1.weight"])


def test_weights_of_images_are_refused_with_both_shapes():
    model = make("resnet18", 128).build()
    photos = zoo_names()["resnet18"](
        {"inputs": {"images": {"shape": (64, 64, 3)}}, "num_classes": 4, "stem": "imagenet"}
    )
    with pytest.raises(ValueError, match=r"conv1\.weight \(64, 3, 7, 7\), expected \(64, 3, 7, 1\)"):
        convert.load_state_dict(model, convert.state_dict(photos.build()))


def test_signals_of_one_channel_need_no_axis_of_it_and_any_length_may_come():
    short = {"body": {"depths": [1, 1], "filters": 4}, "stem": "small"}
    model = ResNet18({"num_classes": 2, "dims": 1, **short})
    assert model.predict(draw(50)[..., 0]).shape == (4, 2)
    open_ended = make("resnet18", length=None, **short)
    assert open_ended.predict(draw(50)).shape == open_ended.predict(draw(77)).shape == (4, 4)


@pytest.mark.parametrize(("length", "stem"), [(64, "small"), (65, "imagenet"), (None, "imagenet")])
def test_length_of_signals_chooses_the_stem(length, stem):
    model = make("resnet18", length, 128).build()  # many channels are no side of a picture
    assert model.config["stem"] == stem


def test_saved_network_of_signals_predicts_the_same(tmp_path):
    model = make("resnet18", body={"depths": [1, 1], "filters": 4}).build()
    model.save(tmp_path / "signals.bfm")
    assert np.array_equal(ResNet18.load(tmp_path / "signals.bfm").predict(draw(64)), model.predict(draw(64)))


def test_own_layers_along_the_axis_are_taken_and_others_are_refused():
    body = ConvBlock("cna p", filters=4, kernel_size=(5, 1), pool_size=(2, 1), pool_strides=(2, 1))
    config = {
        "dims": 1,
        "num_classes": 3,
        "body": body,
        "initial_block": lambda x, net: x,
        "head": Classifier(),
    }
    assert ResNet18(config).predict(draw(20)).shape == (4, 3)
    with pytest.raises(ValueError, match=r"for images \(kernel_size \(3, 3\)\).*\(3, 1\)"):
        ResNet18({**config, "body": ConvBlock("cna", filters=4)}).predict(draw(20))
    with pytest.raises(ValueError, match=r"are maps \(None, 20, 1, 3\)"):
        ResNet18({**config, "body": lambda x, net: x, "head": lambda x, net: x}).predict(draw(20))


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda: ResNet18({"dims": 2}), "'dims' is 1 for signals"),
        (lambda: ResNet18({"dims": True}), "'dims' is 1 for signals"),
        (lambda: UNet({"dims": 1, "num_classes": 2}), "UNet: it tells the class of each pixel"),
        (lambda: make("inceptionv3", 128).build(), r"InceptionV3.*1 x 7 pixels.*signals"),
        (
            lambda: ResNet18({"dims": 1, "num_classes": 2}).predict(np.zeros((2, 28, 28, 1))),
            r"got \(28, 28, 1\)",
        ),
        (lambda: make("densenet121", 20, stem="imagenet").build(), "at least 2.*longer signals"),
        (lambda: make("resnet18").predict(np.zeros((2, 64, 5))), r"\(64, 5\).*\(64, 3\)"),
        (lambda: make("resnet18").predict(np.zeros((2, 64, 64, 3))), r"\(64, 64, 3\).*\(64, 3\)"),
        (
            lambda: make("resnet18").predict([np.zeros((64, 3)), np.zeros((60, 3))]),
            "one shape",
        ),
        (lambda: make("resnet18").train(draw(64), [0, 1, 2, 4]), "labels of 4 classes are 0 to 3"),
    ],
)
def test_what_is_no_signal_is_refused(call, words):
    with pytest.raises((ValueError, TypeError), match=words):
        call()
