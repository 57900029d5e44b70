"""Grad-CAM against its formula in numpy and against slopes; activations and filters against the model's."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import MLP, UNet
from bf_models._backend import keras
from bf_models.inspection import (
    draw_activations,
    draw_filters,
    draw_grad_cam,
    grad_cam,
    read_activations,
    read_filters,
)

RNG = np.random.default_rng(0)


def relu(x: np.ndarray) -> np.ndarray:
    return np.maximum(x, 0)


def test_maps_before_a_mean_and_a_dense_layer_are_those_of_the_formula(tiny_resnet, batch) -> None:
    images, labels = batch
    model = tiny_resnet()
    model.train(images, labels)
    layer = [one.name for one in model.network.layers if len(one.output.shape) == 4][-1]
    maps, logits = model.predict(images, fetches=[layer, "predictions"])
    kernel, _ = model.network.get_layer("fc").get_weights()
    for classes in (None, 2, labels):
        chosen = logits.argmax(-1) if classes is None else np.broadcast_to(classes, (12,))
        # of a mean over places and a dense layer the slope is the kernel's column by the number of places
        wanted = relu(np.einsum("nhwc,cn->nhw", maps, kernel[:, chosen]) / (maps.shape[1] * maps.shape[2]))
        got = grad_cam(model, images, classes, batch_size=5)
        assert got.dtype == np.float32
        np.testing.assert_allclose(got, wanted, rtol=1e-4, atol=1e-4 * wanted.max())
        assert wanted.max() > 0


def test_maps_of_an_early_layer_weigh_channels_by_slopes(tiny_resnet, batch) -> None:
    images = batch[0][:2]
    network = tiny_resnet().build().network
    layer = next(one for one in network.layers if len(one.output.shape) == 4 and "relu" in one.name)
    maps = network_part(network.inputs, layer.output)([images.astype("float32")], training=False).numpy()
    rest = network_part(layer.output, network.outputs[0])
    step, channels = 1e-2, maps.shape[-1]
    weights = np.zeros((2, channels))
    for channel in range(channels):
        moved = [maps + sign * step * (np.arange(channels) == channel) for sign in (1, -1)]
        up, down = (rest(item.astype("float32"), training=False).numpy()[:, 1] for item in moved)
        weights[:, channel] = (up - down) / (2 * step) / (maps.shape[1] * maps.shape[2])
    wanted = relu(np.einsum("nhwc,nc->nhw", maps, weights))
    got = grad_cam(network, images, 1, layer.name)
    np.testing.assert_allclose(got, wanted, atol=0.02 * wanted.max())


def network_part(given, returned):
    return keras().Model(given, returned)


def test_the_no_of_a_yes_or_no_is_its_opposite(tiny_resnet, batch) -> None:
    images = batch[0]
    model = tiny_resnet(
        **{"inputs": {"images": {"shape": (8, 8, 1)}}, "num_classes": 1, "loss": "bce"}
    ).build()
    layer = [one.name for one in model.network.layers if len(one.output.shape) == 4][-1]
    maps = model.predict(images, fetches=layer)
    summed = maps @ model.network.get_layer("fc").get_weights()[0][:, 0] / (maps.shape[1] * maps.shape[2])
    np.testing.assert_allclose(grad_cam(model, images, 1), relu(summed), atol=1e-4)
    np.testing.assert_allclose(grad_cam(model, images, 0), relu(-summed), atol=1e-4)


def test_of_a_network_that_tells_each_place_the_smallest_maps_are_looked_at() -> None:
    config = {"num_classes": 2, "inputs/images/shape": (16, 16, 1), "body": {"filters": 4, "depth": 2}}
    assert grad_cam(UNet(config), RNG.random((3, 16, 16)), 1).shape == (3, 4, 4)


def test_what_cannot_be_explained_is_said(tiny, batch) -> None:
    images, model = batch[0], tiny().build()
    with pytest.raises(ValueError, match=r"unknown layer 'featurs.0'.*did you mean 'features.0'"):
        grad_cam(model, images, layer="featurs.0")
    with pytest.raises(ValueError, match=r"which are no maps \(N, H, W, C\); those with maps are"):
        grad_cam(model, images, layer=model.layer_names[-1])
    with pytest.raises(ValueError, match="classes are 0 to 2, got 3 to 3"):
        grad_cam(model, images, 3)
    with pytest.raises(ValueError, match="one for each of 12 images"):
        grad_cam(model, images, [1, 2])
    with pytest.raises(ValueError, match=r"takes items of shape \(8, 8, 1\) in a batch, got.*\(12, 9, 8\)"):
        grad_cam(model, np.zeros((12, 9, 8)))
    with pytest.raises(ValueError, match="no layer of it has maps"):
        grad_cam(MLP({"num_classes": 3, "inputs/images/shape": (5,)}), np.zeros((2, 5)))


def test_activations_are_what_predict_fetches(tiny, batch) -> None:
    images, model = batch[0], tiny(optimizer={"name": "sgd", "learning_rate": 0.1}, ema=0.5)
    for _ in range(2):
        model.train(images, batch[1])
    found = read_activations(model, images, ["features.*", "images"], batch_size=5)
    assert next(iter(found)) == "images"
    assert len(found) > 3
    wanted = model.predict(images, fetches=list(found))  # by the averages, too
    for got, array in zip(found.values(), wanted):
        np.testing.assert_allclose(got, array, atol=1e-4, rtol=1e-4)
    with pytest.raises(ValueError, match="unknown layer 'feature'"):
        read_activations(model, images, ["feature"])


def test_filters_are_those_of_the_convolution(tiny) -> None:
    model = tiny().build()
    first = next(one for one in model.network.layers if hasattr(one, "kernel"))
    filters = read_filters(model)
    assert filters.shape == (4, 3, 3, 1)
    np.testing.assert_array_equal(filters[2, :, :, 0], np.asarray(first.kernel)[:, :, 0, 2])
    with pytest.raises(ValueError, match="no convolution of two dimensions"):
        read_filters(model, model.layer_names[-1])


def test_pictures_are_drawn(tiny, batch, tmp_path) -> None:
    images, model = batch[0][:2], tiny().build()
    draw_grad_cam(model, images).savefig(tmp_path / "cam.png")
    draw_activations(model, images[0], model.layer_names[1]).savefig(tmp_path / "maps.png")
    assert len(draw_filters(model).axes) == 4
    assert all((tmp_path / name).stat().st_size > 1000 for name in ("cam.png", "maps.png"))
