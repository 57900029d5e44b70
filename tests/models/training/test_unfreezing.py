"""Parts of a network that begin to learn later, and rates that decay with depth."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import MLP, ConvNeXtTiny, KerasModel, ResNet18, ViTS16

RNG = np.random.default_rng(0)
X = RNG.normal(size=(8, 6)).astype("float32")
Y = np.arange(8) % 3
CONFIG = {"num_classes": 3, "seed": 1, "body": {"units": [5, 4]}, "inputs": {"x": {"shape": (6,)}}}
ADAM = {"name": "adam", "learning_rate": 0.01}
SETTINGS = {
    "adam": {"optimizer": ADAM},
    "momentum": {"optimizer": {"name": "sgd", "learning_rate": 0.1, "momentum": 0.9}},
    "plain": {"optimizer": {"name": "sgd", "learning_rate": 0.1}},
    "averages": {"optimizer": ADAM, "ema": 0.9},
    "schedule": {"optimizer": ADAM, "schedule": {"name": "cosine", "steps": 12, "warmup": 2}},
    "accumulate": {"optimizer": ADAM, "accumulate": 2},
    "rates": {"optimizer": ADAM, "learning_rates": {"body": 0.1}},
    "decay": {"optimizer": ADAM, "layer_decay": 0.5},
}


def make(**more):
    return MLP({**CONFIG, "freeze": ["body"], **more})


def train(model, steps=4):
    return [model.train(X, Y, fetches="loss") for _ in range(steps)]


def arrays(model):
    return {item.path: item.numpy() for item in model.network.weights}


def moved(model):
    before = arrays(model)
    model.train(X, Y)
    return {name: np.abs(after - before[name]).max() for name, after in arrays(model).items()}


def test_what_is_unfrozen_learns_from_the_next_step_on_and_the_rest_goes_on():
    model = make(optimizer=ADAM)
    train(model)
    frozen = model.frozen_layers
    assert frozen == [name for name in model.list_layers("body") if model.network.get_layer(name).weights]
    assert model.unfreeze(frozen[-1]) == frozen[-1:]
    assert (model.frozen_layers, model.config["freeze"]) == (frozen[:-1], frozen[:-1])
    still = moved(model)
    assert {name.partition("/")[0] for name, change in still.items() if change == 0} == set(frozen[:-1])
    assert model.unfreeze("body", "head") == frozen[:-1]
    assert all(change > 0 for change in moved(model).values())
    assert model.unfreeze("body") == []
    assert model.iterations == 6


def test_adam_begins_with_its_first_step_where_learning_begins():
    model = make(optimizer=ADAM)
    train(model, 20)
    model.unfreeze("body")
    before = arrays(model)
    model.train(X, Y)
    after = arrays(model)
    body = np.concatenate([np.ravel(np.abs(after[n] - before[n])) for n in list(after)[:4]])
    np.testing.assert_allclose(body[body > 1e-6], 0.01, rtol=0.1)  # with the head's age it would be half


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
def test_a_model_saved_between_goes_on_to_the_bit_before_and_after_it_is_unfrozen(settings, tmp_path):
    whole = make(deterministic=True, **settings)
    train(whole, 5)
    whole.save(tmp_path / "before.bf")
    whole.unfreeze("body")
    train(whole, 3)
    whole.save(tmp_path / "after.bf")
    losses = train(whole, 3)
    loaded = MLP.load(tmp_path / "before.bf")
    loaded.unfreeze("body")
    train(loaded, 3)
    again = MLP.load(tmp_path / "after.bf")
    assert again.unfreeze("body") == []
    for other in (loaded, again):
        assert train(other, 3) == losses
        np.testing.assert_array_equal(other.predict(X), whole.predict(X))


@pytest.mark.parametrize("kind", ["momentum", "averages", "accumulate"])
@pytest.mark.parametrize(("former", "now"), [(["body"], []), ([], ["body"]), (["head"], ["body"])])
def test_a_state_is_taken_by_a_model_that_other_parts_learn_of(former, now, kind):
    first = MLP({**CONFIG, "freeze": former, **SETTINGS[kind]})
    train(first, 3)
    second = MLP({**CONFIG, "freeze": now, **SETTINGS[kind]})
    second.restore_state(first.optimizer_state(), 3, 0)
    assert np.isfinite(train(second, 2)).all()
    assert second.iterations == 5


def test_unknown_layers_are_refused_when_the_network_is_built():
    for key, value in (("freeze", ["bodi"]), ("learning_rates", {"bodi": 0.1})):
        model = MLP({**CONFIG, key: value})
        for _ in range(2):  # a network that was refused once is not there the next time
            with pytest.raises(ValueError, match=r"'bodi'.*did you mean 'body'"):
                model.build()
    with pytest.raises(ValueError, match="did you mean 'body'"):
        make().unfreeze("bodi")
    assert make(freeze="body").spec.freeze == ("body",)


def rates_of(model: KerasModel, shape: tuple[int, ...]) -> dict[str, float]:
    """Return how much farther each variable moves than without ``layer_decay``: plain SGD tells."""
    images, labels = RNG.random((2, *shape)).astype("f4"), np.arange(2)
    plain = type(model)({key: item for key, item in model.config.items() if key != "layer_decay"})
    steps = []
    for each in (plain, model):
        # far from where gradients vanish
        rng = np.random.default_rng(3)
        for item in each.build(images).network.trainable_variables:
            item.assign(rng.normal(size=item.shape) * 0.2)
        before = {item.path: item.numpy() for item in each.network.trainable_variables}
        each.train(images, labels)
        steps.append(
            {item.path: item.numpy() - before[item.path] for item in each.network.trainable_variables}
        )
    found = {}
    for name, step in steps[0].items():
        chosen = np.abs(step) > np.abs(step).max() / 2
        if np.abs(step).max() > 1e-4:
            found[name] = float(np.median(steps[1][name][chosen] / step[chosen]))
    return found


SGD = {"name": "sgd", "learning_rate": 1.0}
TWO = {"num_classes": 2, "seed": 0, "optimizer": SGD, "layer_decay": 0.5, "deterministic": True}


def test_rates_of_vit_decay_as_those_of_beit():
    layers = 3
    body = {"depth": layers, "heads": 2, "hidden": 32}
    model = ViTS16({**TWO, "body": body, "initial_block": {"width": 16}})
    found = rates_of(model, (32, 32, 3))

    def beit(name: str) -> float:
        """The rule of the paper's code: embeddings are 0, block i is i + 1, what follows is layers + 1."""
        number = 0 if not name.startswith(("encoder.layers", "encoder.ln", "heads")) else layers + 1
        if "encoder_layer_" in name:
            number = int(name.partition("encoder_layer_")[2][0]) + 1
        return 0.5 ** (layers + 1 - number)

    assert len(found) > 20
    for name, rate in found.items():
        want = beit(name) * (0.5 if name.startswith("encoder.ln") else 1)  # the last norm is the body's here
        assert rate == pytest.approx(want, rel=2e-2), name


@pytest.mark.parametrize(
    ("model", "body", "blocks"),
    [
        (ResNet18, {"depths": [1, 2]}, ["conv1", "layer1.0", "layer2.0", "layer2.1", "fc"]),
        (
            ConvNeXtTiny,
            {"depths": [1, 2], "stochastic_depth": 0.0, "scale": 1.0},
            ["features.0", "features.1.0", "features.2.1", "features.3.0", "features.3.1", "classifier"],
        ),
    ],
)
def test_rates_decay_from_block_to_block(model, body, blocks):
    if model is ResNet18:
        body = {**body, "filters": 4}
    made = model({**TWO, "stem": "small", "body": body, "initial_block": {"filters": 4}})
    found = rates_of(made, (16, 16, 3))
    for depth, start in enumerate(reversed(blocks)):
        rates = [rate for name, rate in found.items() if name.startswith(start)]
        assert rates
        assert rates == pytest.approx([0.5**depth] * len(rates), rel=2e-2)
