"""Autoencoders: losses against their formulas, counts by hand, what is drawn, saved, decoded and refused."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from bf_models import VAE, AutoEncoder, KerasModel
from bf_models._backend import keras, tensorflow
from bf_models.losses import Bernoulli, Gaussian, GaussianKL

SMALL = {
    "inputs": {"images": {"shape": (6, 6, 1)}},
    "seed": 3,
    "body": {"filters": [4], "units": [8], "latent": 3},
}
DENSE = {"body": {"filters": [], "units": [], "latent": 2}, "seed": 0}


@pytest.fixture
def images():
    """Ten images (6, 6, 1) of shares from 0 to 1."""
    return np.random.default_rng(0).random((10, 6, 6, 1)).astype(np.float32)


def price(posterior):
    """Closed form of the divergence of each item."""
    mean, log_variance = np.split(np.asarray(posterior, np.float64), 2, -1)
    return 0.5 * (mean**2 + np.exp(log_variance) - 1 - log_variance).sum(-1)


def cross_entropy(targets, shares):
    """Of each item, by the definition of a Bernoulli distribution."""
    likelihood = targets * np.log(shares) + (1 - targets) * np.log(1 - shares)
    return -likelihood.reshape(len(targets), -1).sum(-1)


# Losses


def test_divergence_is_the_mean_of_the_log_ratio_over_draws():
    rng = np.random.default_rng(1)
    posterior = rng.normal(size=(4, 6)) * 0.7
    mean, deviation = posterior[:, :3], np.exp(posterior[:, 3:] / 2)
    drawn = mean + deviation * rng.standard_normal((200_000, 4, 3))
    ratio = stats.norm.logpdf(drawn, mean, deviation) - stats.norm.logpdf(drawn)
    found = float(GaussianKL()(None, tensorflow().constant(posterior)))
    np.testing.assert_allclose(found, ratio.sum(-1).mean(), rtol=0.01)
    np.testing.assert_allclose(found, price(posterior).mean(), rtol=1e-12)


def test_divergence_from_itself_is_nothing():
    assert float(GaussianKL()(None, tensorflow().zeros((5, 8)))) == 0


def test_likelihoods_are_those_of_scipy():
    rng = np.random.default_rng(2)
    targets, outputs = rng.random((5, 3, 2)), rng.normal(size=(5, 3, 2))
    shares = 1 / (1 + np.exp(-outputs))
    yes = (targets > 0.5).astype(float)
    tensor = tensorflow().constant(outputs)
    wanted = -stats.bernoulli.logpmf(yes, shares).sum((1, 2)).mean()
    np.testing.assert_allclose(float(Bernoulli()(yes, tensor)), wanted, rtol=1e-10)
    wanted = -stats.norm.logpdf(targets, outputs, 0.3).sum((1, 2)).mean()
    np.testing.assert_allclose(float(Gaussian(0.3)(targets, tensor)), wanted, rtol=1e-10)


def test_weights_of_items_and_of_places_weigh():
    rng = np.random.default_rng(3)
    targets, outputs = rng.random((4, 3)), rng.normal(size=(4, 3))
    places, items = rng.random((4, 3)), rng.random(4)
    tensor, by_place, by_item = (tensorflow().constant(one) for one in (outputs, places, items))
    each = -stats.norm.logpdf(targets, outputs)
    np.testing.assert_allclose(float(Gaussian()(targets, tensor, by_place)), (each * places).sum(1).mean())
    np.testing.assert_allclose(float(Gaussian()(targets, tensor, by_item)), (each.sum(1) * items).mean())
    posterior = rng.normal(size=(4, 6))
    found = float(GaussianKL()(None, tensorflow().constant(posterior), by_item))
    np.testing.assert_allclose(found, (price(posterior) * items).mean())
    with pytest.raises(ValueError, match="cannot be weighed at its places"):
        GaussianKL()(None, tensorflow().constant(posterior), by_place)


@pytest.mark.parametrize(
    "loss", [Bernoulli(), Gaussian(0.5), GaussianKL()], ids=lambda loss: type(loss).__name__
)
def test_gradients_are_differences(loss):
    tf = tensorflow()
    rng = np.random.default_rng(4)
    targets, outputs = rng.random((3, 4)), tf.Variable(rng.normal(size=(3, 4)))
    with tf.GradientTape() as tape:
        value = loss(targets, outputs)
    found = tape.gradient(value, outputs).numpy()
    wanted = np.zeros((3, 4))
    for place in np.ndindex(3, 4):
        step = np.zeros((3, 4))
        step[place] = 1e-6
        wanted[place] = float(loss(targets, outputs + step) - loss(targets, outputs - step)) / 2e-6
    np.testing.assert_allclose(found, wanted, rtol=1e-6, atol=1e-8)


def test_gradient_goes_through_what_is_drawn():
    from bf_models.layers import SampleNormal

    tf = tensorflow()
    layer = SampleNormal(seed=1, dtype="float64")
    start = layer.seed_generator.state.numpy()
    x = tf.Variable(np.random.default_rng(5).normal(size=(3, 4)))

    def draw(values):
        layer.seed_generator.state.assign(start)  # the same noise
        return tf.reduce_sum(layer(values, training=True) ** 3)

    with tf.GradientTape() as tape:
        value = draw(x)
    found = tape.gradient(value, x).numpy()
    for place in np.ndindex(3, 4):
        step = np.zeros((3, 4))
        step[place] = 1e-6
        np.testing.assert_allclose(found[place], float(draw(x + step) - draw(x - step)) / 2e-6, rtol=1e-5)


def test_what_is_drawn_has_the_mean_and_the_deviation():
    from bf_models.layers import SampleNormal

    x = np.tile(np.float32([1.0, -2.0, np.log(0.25), np.log(9.0)]), (20_000, 1))
    drawn = SampleNormal(seed=0)(x, training=True).numpy()
    np.testing.assert_allclose(drawn.mean(0), [1, -2], atol=0.08)
    np.testing.assert_allclose(drawn.std(0), [0.5, 3], rtol=0.02)
    np.testing.assert_array_equal(SampleNormal(seed=0)(x).numpy(), x[:, :2])


@pytest.mark.parametrize("beta", [1.0, 4.0])
def test_bound_of_a_batch_is_the_sum_by_hand(images, beta):
    model = VAE({**SMALL, "loss": {"name": "elbo", "beta": beta}})
    told = model.predict(images, fetches={"x": "predictions", "posterior": "posterior", "loss": "loss"})
    wanted = (cross_entropy(images, told["x"].astype(np.float64)) + beta * price(told["posterior"])).mean()
    np.testing.assert_allclose(told["loss"], wanted, rtol=1e-5)
    # in training what is told again comes of a draw, and the sum is that of the draw
    before = model.train(
        images, fetches={"x": "predictions", "posterior": "posterior", "loss": "loss", "z": "latent"}
    )
    wanted = (
        cross_entropy(images, before["x"].astype(np.float64)) + beta * price(before["posterior"])
    ).mean()
    np.testing.assert_allclose(before["loss"], wanted, rtol=1e-5)
    assert np.abs(before["z"] - before["posterior"][:, :3]).min() > 0


def test_bound_with_noise_of_a_normal_distribution(images):
    model = VAE({**SMALL, "loss": {"name": "elbo", "likelihood": "gaussian", "deviation": 0.2, "beta": 0.5}})
    told = model.predict(images, fetches={"x": "predictions", "posterior": "posterior", "loss": "loss"})
    likelihood = stats.norm.logpdf(images, told["x"], 0.2).sum((1, 2, 3))
    np.testing.assert_allclose(told["loss"], (0.5 * price(told["posterior"]) - likelihood).mean(), rtol=1e-5)


# Networks


def conv(kernel, channels, filters):
    return kernel**2 * channels * filters + filters


def dense(inputs, units):
    return inputs * units + units


RESNET18 = 11_689_512 - dense(512, 1000)


def count_convolutional(latent_outputs):
    """28x28x1, 32 and 64 filters, 128 units, and the same the other way round."""
    down = conv(3, 1, 32) + conv(3, 32, 64) + dense(7 * 7 * 64, 128) + dense(128, latent_outputs)
    up = dense(16, 128) + dense(128, 7 * 7 * 64) + conv(4, 64, 32) + conv(4, 32, 32) + conv(3, 32, 1)
    return down + up


def count_with_resnet():
    """64x64x3, published stem: maps of 64, 64, 128, 256, 512 channels, the last one 2x2."""
    down = RESNET18 + dense(2 * 2 * 512, 128) + dense(128, 16)
    up = dense(16, 128) + dense(128, 2 * 2 * 512)
    up += conv(4, 512, 256) + conv(4, 256, 128) + conv(4, 128, 64) + 2 * conv(4, 64, 64) + conv(3, 64, 3)
    return down + up


@pytest.mark.parametrize(
    ("model", "shape", "config", "count"),
    [
        (AutoEncoder, (28, 28, 1), {}, count_convolutional(16)),
        (VAE, (28, 28, 1), {}, count_convolutional(32)),
        (
            AutoEncoder,
            (9,),
            {"body": {"units": [7, 5], "latent": 2}},
            dense(9, 7) + dense(7, 5) + dense(5, 2) + dense(2, 5) + dense(5, 7) + dense(7, 9),
        ),
        (
            AutoEncoder,
            (8, 8, 1),
            {
                "body": {"filters": [4], "units": [], "norm": True, "latent": 2},
                "head": {"filters": [6, 5], "norm": True},
            },
            # norms take the place of biases, and have two numbers a channel
            9 * 4 + 2 * 4 + dense(64, 2) + dense(2, 4 * 4 * 6) + 2 * 6 + 16 * 6 * 5 + 2 * 5 + conv(3, 5, 1),
        ),
        (
            AutoEncoder,
            (64, 64, 3),
            {"body": {"encoder": "resnet18"}, "stem": "imagenet"},
            count_with_resnet(),
        ),
    ],
    ids=["convolutions", "variational", "dense", "norms", "resnet18"],
)
def test_parameters_are_those_counted_by_hand(model, shape, config, count):
    made = model({"inputs": {"images": {"shape": shape}}, **config})
    assert made.count_parameters() == count


@pytest.mark.parametrize(
    ("shape", "config"),
    [
        ((7, 9, 3), {}),
        ((5, 5), {}),
        ((13,), {}),
        ((3, 4, 5, 2), {}),
        (
            (30, 42, 3),
            {
                "body": {
                    "encoder": {
                        "network": "resnet18",
                        "body": {"filters": 4},
                        "initial_block": {"filters": 4},
                    }
                }
            },
        ),
    ],
    ids=str,
)
def test_items_of_any_size_are_told_again_in_their_shape(shape, config, tmp_path):
    items = np.random.default_rng(6).random((2, *shape)).astype(np.float32)
    model = AutoEncoder({"seed": 0, **config})
    assert np.isfinite(model.train(items, fetches="loss"))
    told = model.predict(items)
    assert told.reshape(items.shape).shape == items.shape
    np.testing.assert_allclose(model.decode(model.encode(items)), told, atol=1e-5)
    assert model.list_layers("body")[-1] == "latent"
    model.save(tmp_path / "one.bf")
    np.testing.assert_array_equal(KerasModel.load(tmp_path / "one.bf").predict(items), told)


def test_cut_is_the_middle_that_padding_began_with():
    # a decoder that only counts places: its map is cut where PadToMultiple had put the picture
    model = AutoEncoder(
        {"inputs": {"images": {"shape": (5, 6, 1)}}, "body": {"filters": [2, 2], "units": []}}
    )
    cut = model.network.get_layer("decoder.cut")
    places = np.arange(64, dtype=np.float32).reshape(1, 8, 8, 1)
    padded = model.network.get_layer("padded")(places[:, 1:6, 1:7])
    np.testing.assert_array_equal(cut(padded), places[:, 1:6, 1:7])


def test_linear_one_learns_the_plane_of_principal_components():
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(256, 6)) * [3, 2, 0.3, 0.2, 0.1, 0.1] @ np.linalg.qr(rng.normal(size=(6, 6)))[0]
    rows = (rows - rows.mean(0)).astype(np.float32)
    model = AutoEncoder({**DENSE, "optimizer": {"name": "adam", "learning_rate": 0.02}})
    for _ in range(300):
        model.train(rows)
    left = np.linalg.svd(rows, compute_uv=False)[2:]
    best = (left**2).sum() / rows.size
    assert best * 0.999 < model.evaluate(rows, rows)["loss"] < best * 1.02


def test_last_layer_stays_within_the_shares_of_a_bernoulli_loss(images):
    assert AutoEncoder(SMALL).predict(images * 100).min() < 0
    told = AutoEncoder({**SMALL, "loss": "bernoulli"}).predict(
        images, fetches=["predictions", "logits", "loss"]
    )
    np.testing.assert_allclose(told[0], 1 / (1 + np.exp(-told[1])), rtol=1e-5)
    np.testing.assert_allclose(told[2], cross_entropy(images, told[0].astype(np.float64)).mean(), rtol=1e-5)


def test_targets_of_their_own_are_learnt(images):
    model = AutoEncoder(SMALL)
    clean = np.zeros_like(images)
    assert model.predict(images, clean, fetches="loss") == pytest.approx(
        (model.predict(images) ** 2).mean(), rel=1e-5
    )
    losses = [model.train(images, clean, fetches="loss") for _ in range(60)]
    assert losses[-1] < 0.2 * losses[0]


# What is drawn, and what is saved


def train_losses(model, images, steps=4):
    return [model.train(images, fetches="loss") for _ in range(steps)]


def test_equal_seeds_are_equal_trainings(images):
    one, same, other = (train_losses(VAE({**SMALL, "seed": seed}), images) for seed in (3, 3, 4))
    assert one == same
    assert one != other


def test_training_goes_on_to_the_bit_from_a_file(images, tmp_path):
    whole = VAE(SMALL)
    wanted = train_losses(whole, images, 6)
    part = VAE(SMALL)
    assert train_losses(part, images, 3) == wanted[:3]
    part.save(tmp_path / "part.bf")
    train_losses(VAE(SMALL), images, 2)  # another model draws in between
    assert train_losses(VAE.load(tmp_path / "part.bf"), images, 3) == wanted[3:]


def test_saved_one_encodes_decodes_and_samples_the_same(images, tmp_path):
    model = VAE({**SMALL, "ema": 0.5})
    train_losses(model, images)
    model.save(tmp_path / "vae.bf")
    loaded = KerasModel.load(tmp_path / "vae.bf")
    assert isinstance(loaded, VAE)
    codes = model.encode(images)
    np.testing.assert_array_equal(loaded.encode(images), codes)
    np.testing.assert_array_equal(loaded.predict(images), model.predict(images))
    np.testing.assert_array_equal(loaded.sample(7, seed=2), model.sample(7, seed=2))
    # averages decode, as they predict
    np.testing.assert_allclose(loaded.decode(codes), model.predict(images), atol=1e-5)


def test_samples_are_decoded_draws_of_a_seed(images):
    model = VAE(SMALL).build(images)
    made = model.sample(300, seed=1)
    assert made.shape == (300, 6, 6, 1)
    assert made.min() > 0
    assert made.max() < 1
    np.testing.assert_allclose(model.sample(300, seed=1, batch_size=7), made, atol=1e-6)
    assert np.abs(model.sample(300, seed=2) - made).max() > 1e-3


def test_parts_of_a_batch_draw_too(images):
    model = VAE({**SMALL, "microbatch": 4})
    losses = train_losses(model, images, 40)
    assert np.isfinite(losses).all()
    assert np.mean(losses[-5:]) < losses[0]


def test_half_precision_has_codes_in_full(images):
    model = VAE({**SMALL, "precision": "bfloat16"})
    assert np.isfinite(train_losses(model, images)).all()
    assert model.encode(images).dtype == model.sample(2).dtype == np.float32


def test_network_written_by_keras_has_the_layer_that_draws(images):
    network = VAE(SMALL).build(images).network
    copy = keras().Model.from_config(network.get_config())
    assert copy.get_layer("latent").get_config()["seed"] is None


# What is refused


@pytest.mark.parametrize(
    ("model", "config", "told"),
    [
        (AutoEncoder, {"body": {"latent": 0}}, "latent is how many numbers a code has, from 1 on, got 0"),
        (
            AutoEncoder,
            {"body": {"units": [0]}},
            r"units are numbers from 1 on, a list of any length, got \[0\]",
        ),
        (AutoEncoder, {"body": {"encoder": "resnet81"}}, "unknown network of an encoder 'resnet81'"),
        (AutoEncoder, {"body": {"encoder": "vgg7", "filters": [3]}}, "leave filters"),
        (
            AutoEncoder,
            {"body": {"encoder": {"network": "vgg7", "stages": [2]}}},
            r"leave its stages \[2\] out",
        ),
        (AutoEncoder, {"loss": "ce"}, "loss CrossEntropy is of classes.*'bernoulli'"),
        (AutoEncoder, {"loss": "elbo"}, "its body has none; take the model VAE"),
        (AutoEncoder, {"loss": "bernoulli", "head": {"activation": "tanh"}}, "head.activation 'tanh'"),
        (VAE, {"loss": "mse"}, "shrink to points; take 'elbo'"),
        (VAE, {"loss": {"name": "elbo", "beta": -1}}, "beta is a number from 0 on, got -1"),
        (VAE, {"loss": {"name": "elbo", "likelihood": "poisson"}}, "unknown likelihood 'poisson'"),
        (VAE, {"loss": {"name": "elbo", "ignore": 255}}, "unknown argument of the loss 'ignore'"),
        (VAE, {"loss": {"name": "elbo", "deviation": 2}}, "unknown argument of the loss 'deviation'"),
    ],
)
def test_wrong_configuration_is_refused_at_the_call(model, config, told):
    with pytest.raises((ValueError, TypeError), match=told):
        model({**SMALL, **config})


@pytest.mark.parametrize(
    ("shape", "config", "told"),
    [
        ((None, 28, 1), {}, r"a known size, got items of the shape \(None, 28, 1\)"),
        ((9,), {"body": {"filters": [3]}}, r"filters of the body are for pictures .* shape \(9,\)"),
        ((32, 32, 3), {"body": {"encoder": "mlp"}}, r"its encoder MLP .* has maps of the reductions \[\]"),
        ((8, 8, 1), {"head": {"filters": [3]}}, "1 filters .* for 3 maps, which are 4, 2, 1 times smaller"),
    ],
)
def test_network_that_cannot_be_is_refused_when_it_is_built(shape, config, told):
    with pytest.raises(ValueError, match=told):
        AutoEncoder({"inputs": {"images": {"shape": shape}}, **config}).build()


def test_targets_of_another_shape_or_range_are_refused(images):
    wrong = images.copy()
    wrong[2, 0, 0, 0] = 7
    with pytest.raises(ValueError, match=r"of shape \(10,\) do not go with outputs of shape \(10, 6, 6, 1\)"):
        AutoEncoder(SMALL).train(images, np.zeros(10))
    with pytest.raises(
        ValueError,
        match=r"targets of loss Bernoulli are 0 to 1: got a value of 7.0 at item 2, place \(0, 0, 0\)",
    ):
        VAE(SMALL).train(wrong)
    with pytest.raises(ValueError, match=r"codes have the shape \(N, 3\), got \(4, 2\)"):
        AutoEncoder(SMALL).decode(np.zeros((4, 2)))
    with pytest.raises(ValueError, match="count is a number from 1 on, got 0"):
        VAE(SMALL).sample(0)
