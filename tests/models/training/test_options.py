"""Options of the training step, each by what it changes."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import VGG7

PLAIN = {"head": {"dropout": 0.0}}


def weights(model):
    return {
        f"{layer.name}.{number}": item.numpy()
        for layer in model.network.layers
        for number, item in enumerate(layer.weights)
    }


def changed(model, batch):
    model.build()
    before = weights(model)
    model.train(*batch)
    return {name for name, array in weights(model).items() if not np.array_equal(array, before[name])}


def test_fused_adam_makes_the_steps_of_keras(tiny, batch):
    for name in ("Adam", "AdamW", "SGD"):
        ours = {
            "name": name.lower(),
            "learning_rate": 0.01,
            **({"momentum": 0.9, "nesterov": True} if name == "SGD" else {}),
        }
        theirs = {
            "_target_": f"keras.optimizers.{name}",
            **{key: item for key, item in ours.items() if key != "name"},
        }
        models = [tiny(optimizer=optimizer, **PLAIN) for optimizer in (ours, theirs)]
        for model in models:
            for _ in range(5):
                model.train(*batch)
        np.testing.assert_allclose(*(model.predict(batch[0]) for model in models), rtol=2e-4, atol=2e-4)


def test_microbatches_make_the_step_of_the_whole_batch_and_join_outputs(batch):
    config = {
        "inputs": {"images": {"shape": (8, 8, 1)}, "labels": {"classes": 3}},
        "optimizer": {"name": "sgd", "learning_rate": 0.1},
        "body": {"units": [5]},
        "seed": 3,
    }
    from bf_models import MLP

    whole, parts = MLP(config), MLP({**config, "microbatch": 5})
    images = batch[0] / 255
    values = [model.train(images, batch[1], fetches=["loss", "proba", "labels"]) for model in (whole, parts)]
    assert values[1][1].shape == (12, 3)
    np.testing.assert_allclose(values[0][0], values[1][0], rtol=1e-5)
    np.testing.assert_allclose(values[0][1], values[1][1], rtol=1e-5)
    np.testing.assert_allclose(whole.predict(images), parts.predict(images), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("precision", ["float16", "bfloat16"])
def test_low_precision_trains_with_float32_weights_and_outputs(tiny, batch, precision):
    model = tiny(precision=precision, optimizer={"name": "adam", "learning_rate": 0.01})
    losses = [model.train(*batch, fetches="loss") for _ in range(20)]
    assert losses[-1] < losses[0]
    assert model.predict(batch[0]).dtype == np.float32
    assert {item.dtype for item in model.network.trainable_weights} == {"float32"}


def test_overflow_of_a_float16_gradient_lowers_the_scale_and_leaves_weights(tiny, batch):
    model = tiny(precision="float16")
    model.train(*batch)
    scale = model._steps.gradients.scale.scale
    scale.assign(1e38)
    before, state = weights(model), model.optimizer_state()
    model.train(*batch)
    assert float(scale.numpy()) == pytest.approx(5e37)
    assert (model.iterations, model.skipped) == (2, 1)
    after = weights(model)
    assert all(np.array_equal(before[name], after[name]) for name in before)
    assert all(
        np.array_equal(item, state[name]) for name, item in model.optimizer_state().items() if "/" in name
    )


def test_averages_of_weights_predict(tiny, batch):
    rate = {"name": "sgd", "learning_rate": 0.1}
    plain, averaged = tiny(optimizer=rate, **PLAIN), tiny(optimizer=rate, ema=0.9, **PLAIN)
    for model in (plain, averaged):
        for _ in range(5):
            model.train(*batch)
    assert all(np.array_equal(weights(plain)[name], item) for name, item in weights(averaged).items())
    assert not np.allclose(plain.predict(batch[0]), averaged.predict(batch[0]))


def test_averages_survive_saving(tiny, batch, tmp_path):
    model = tiny(ema=0.5)
    for _ in range(3):
        model.train(*batch)
    model.save(tmp_path / "m.bfm")
    loaded = VGG7.load(tmp_path / "m.bfm")
    loaded.train(*batch)
    model.train(*batch)
    assert np.array_equal(model.predict(batch[0]), loaded.predict(batch[0]))


def test_frozen_layers_do_not_change(tiny, batch):
    assert changed(tiny(freeze=["body"]), batch) == {"classifier.0", "classifier.1"}
    assert not any(
        name.startswith("features.0") for name in changed(tiny(freeze=["features.0", "features.1"]), batch)
    )
    with pytest.raises(ValueError, match=r"'bodi'.*'body'"):
        tiny(freeze=["bodi"]).train(*batch)


def test_parts_have_learning_rates_of_their_own(tiny, batch):
    def moved(**config):
        model = tiny(optimizer={"name": "sgd", "learning_rate": 0.1}, **PLAIN, **config).build()
        before = weights(model)
        model.train(*batch)
        return {name: np.abs(item - before[name]).max() for name, item in weights(model).items()}

    plain, scaled = moved(), moved(learning_rates={"body": 0.5, "features.0": 0.0})
    assert scaled["features.0.0"] == 0
    assert scaled["features.4.0"] == pytest.approx(plain["features.4.0"] / 2, rel=1e-3)
    assert scaled["classifier.0"] == pytest.approx(plain["classifier.0"], rel=1e-3)


def test_weights_of_classes_and_items_weigh_the_loss(tiny, batch):
    images, labels = batch
    each = np.array([tiny(**PLAIN).predict(images[[i]], labels[[i]], fetches="loss") for i in range(12)])
    factors = np.array([1.0, 2.0, 0.0])
    weighed = tiny(class_weights=[1, 2, 0], **PLAIN).predict(images, labels, fetches="loss")
    assert weighed == pytest.approx(np.mean(each * factors[labels]), rel=1e-4)
    shares = tiny(class_weights=[1, 2, 0], **PLAIN).predict(images, np.eye(3)[labels], fetches="loss")
    assert shares == pytest.approx(weighed, rel=1e-5)
    items = np.linspace(0, 1, 12)
    weighed = tiny(**PLAIN).predict(images, labels, fetches="loss", sample_weight=items)
    assert weighed == pytest.approx(np.mean(each * items), rel=1e-4)
    with pytest.raises(ValueError, match=r"\[3\]"):
        tiny(class_weights={3: 1.0})


def test_clipped_gradients_move_weights_less(tiny, batch):
    def step(**options):
        model = tiny(optimizer={"name": "sgd", "learning_rate": 1.0, **options}, **PLAIN).build()
        before = weights(model)
        model.train(*batch)
        return np.sqrt(
            sum(np.sum((weights(model)[name] - before[name]) ** 2) for name in before if "classifier" in name)
        )

    assert step(global_clipnorm=1e-3) <= 1.001e-3 < step()


def test_weight_decay_pulls_kernels_and_leaves_vectors(tiny, batch):
    def after(decay):
        model = tiny(optimizer={"name": "adamw", "learning_rate": 1e-6, "weight_decay": decay}, **PLAIN)
        model.train(*batch)
        return weights(model)

    plain, pulled = after(0.0), after(1e5)
    np.testing.assert_allclose(pulled["features.0.0"], plain["features.0.0"] * 0.9, rtol=1e-2, atol=1e-3)
    np.testing.assert_allclose(pulled["features.1.0"], plain["features.1.0"], rtol=1e-5)


def test_unknown_argument_of_an_optimizer_is_refused_with_close_ones(tiny, batch):
    with pytest.raises(TypeError, match=r"'learning_rte'.*'learning_rate'"):
        tiny(optimizer={"name": "adam", "learning_rte": 1}).train(*batch)


def test_schedule_of_the_config_is_the_optimizers(tiny, batch):
    model = tiny(
        optimizer={"name": "sgd", "learning_rate": 0.5}, schedule={"name": "cosine", "steps": 10, "warmup": 5}
    )
    model.train(*batch)
    (group,) = model._steps.gradients.updater.groups
    assert float(group.optimizer.learning_rate) == pytest.approx(0.2)


def test_compiled_by_xla_the_step_gives_the_same(tiny, batch):
    plain, compiled = tiny(**PLAIN), tiny(jit=True, **PLAIN)
    values = [model.train(*batch, fetches="loss") for model in (plain, compiled)]
    assert values[0] == pytest.approx(values[1], rel=1e-4)


def test_unknown_device_is_refused_with_those_there_are(tiny, batch):
    with pytest.raises(ValueError, match="cpu:0"):
        tiny(device="gpu:7").train(*batch)


def test_regression_of_one_number(batch):
    model = VGG7(
        {
            "num_classes": 1,
            "loss": "mse",
            "body": {"stages": [[1, 0, 4]]},
            "optimizer": {"name": "adam", "learning_rate": 0.05},
            "seed": 1,
        }
    )
    targets = batch[1].astype("float32")
    losses = [model.train(batch[0], targets, fetches="loss") for _ in range(100)]
    assert np.mean(losses[-10:]) < losses[0] / 2


def test_yes_or_no_by_one_output(tiny, batch):
    model = tiny(num_classes=1, inputs={"images": {"shape": (8, 8, 1)}}, loss="bce")
    answers = (batch[1] == 0).astype("float32")
    model.train(batch[0], answers)
    got = model.predict(batch[0], fetches=["predictions", "proba", "labels"])
    np.testing.assert_allclose(got[1], 1 / (1 + np.exp(-got[0])), rtol=1e-5)
    assert np.array_equal(got[2], (got[0] > 0).astype(int))


SCRIPT = """
import json, os, sys
import numpy as np
from bf_models import VGG7
from bf_models._backend import tensorflow
rng = np.random.default_rng(0)
images, labels = rng.integers(0, 255, (13, 8, 8, 1)).astype("uint8"), rng.integers(0, 3, 13)
config = {"inputs": {"images": {"shape": (8, 8, 1)}, "labels": {"classes": 3}}, "seed": 5,
          "deterministic": True, "body": {"stages": [[1, 0, 4], [1, 0, 8]]}, "head": {"dropout": 0.0},
          "optimizer": {"name": "adam", "learning_rate": 0.02}}
"""


@pytest.mark.slow
def test_two_logical_devices_train_one_model_on_halves_that_are_not_even(run_script):
    done = run_script(
        SCRIPT
        + """
tf = tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
model = VGG7({**config, "strategy": "mirrored"})
losses = [model.train(images, labels, fetches="loss") for _ in range(8)]
loss, proba = model.train(images, labels, fetches=["loss", "proba"])
assert proba.shape == (13, 3), proba.shape
assert loss < losses[0]
assert model._strategy.num_replicas_in_sync == 2
model.save("mirrored.bfm")
assert np.allclose(VGG7.load("mirrored.bfm").predict(images), model.predict(images), atol=1e-5)
print("trained")
"""
    )
    assert "trained" in done.out, done.err


@pytest.mark.slow
def test_two_processes_train_one_model(start_script):
    import socket

    with socket.socket() as one, socket.socket() as other:
        for item in (one, other):
            item.bind(("127.0.0.1", 0))
        hosts = [f"127.0.0.1:{item.getsockname()[1]}" for item in (one, other)]
    code = (
        SCRIPT
        + """
model = VGG7({**config, "strategy": "multiworker"})
part = slice(0, 6) if sys.argv[0] and os.environ["PLACE"] == "0" else slice(6, 13)
for _ in range(3):
    loss = model.train(images[part], labels[part], fetches="loss")
print("sum", float(np.sum([np.abs(item.numpy()).sum() for item in model.network.trainable_weights])), loss)
if os.environ["PLACE"] == "1":
    model.network.weights[0].assign(model.network.weights[0].numpy() * 2)
model.restore_state(model.optimizer_state(), 3, 0)
try:
    model.train(images[part], labels[part])
except ValueError as error:
    print("refused", "different weights" in str(error))
"""
    )
    import json as _json

    scripts = [
        start_script(
            code,
            PLACE=str(place),
            TF_CONFIG=_json.dumps({"cluster": {"worker": hosts}, "task": {"type": "worker", "index": place}}),
        )
        for place in range(2)
    ]
    ends = [script.finish() for script in scripts]
    told = [line.split()[1:] for end in ends for line in end.out.splitlines() if line.startswith("sum")]
    assert len(told) == 2, [end.err[-2000:] for end in ends]
    assert told[0] == told[1]
    assert all("refused True" in end.out for end in ends)
