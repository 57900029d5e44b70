"""Options of a training step in combination: the weights and averages are those that numpy computes.

The model is two layers without an activation between them; gradients are differences of the loss in float64.
Every pair of options either meets in a case or is refused with a message.
"""

from __future__ import annotations

from functools import partial
from itertools import combinations, product

import numpy as np
import pytest

from bf_models import KerasModel

OPTIONS = {
    "clipvalue": {"optimizer": {"clipvalue": 0.05}},
    "clipnorm": {"optimizer": {"clipnorm": 0.1}},
    "global_clipnorm": {"optimizer": {"global_clipnorm": 0.1}},
    "rates": {"learning_rates": {"body": 0.25, "head": 0.5}},
    "accumulate": {"accumulate": 2},
    "microbatch": {"microbatch": 4},
    "freeze": {"freeze": ["body"]},
    "float16": {"precision": "float16"},
    "ema": {"ema": 0.5},
    "schedule": {"schedule": {"name": "polynomial", "decay_steps": 4, "end_learning_rate": 0.1}},
    "losses": {},
    "class_weights": {},
    "item_weights": {},
    "one_output": {"num_classes": 1},
    "focal": {},
}
CLIPS = ("clipvalue", "clipnorm", "global_clipnorm")


def show(case):
    """Return what a case shows of each pair: one, the other, both or none of it is there.

    With float16 numbers are compared less closely, and only pairs with it are shown.
    """
    chosen = [pair for pair in combinations(OPTIONS, 2) if "float16" in pair or "float16" not in case]
    return {(one, other, one in case, other in case) for one, other in chosen}


def wanted():
    states = product(combinations(OPTIONS, 2), (True, False), (True, False))
    clips = set(combinations(CLIPS, 2))
    return {(*pair, *state) for pair, *state in states if not (pair in clips and all(state))}


def deal() -> list[frozenset[str]]:
    """Sets of about half of the options, each the best of some, until every pair was shown in every way."""
    rng, others = np.random.default_rng(0), [name for name in OPTIONS if name not in CLIPS]
    cases, missing = [frozenset()], wanted() - show(())
    while missing:
        drawn = [
            frozenset([CLIPS[rng.integers(3)], *(name for name in others if rng.random() < 0.5)])
            for _ in range(200)
        ]
        cases.append(max(drawn, key=lambda case: len(show(case) & missing)))
        missing -= show(cases[-1])
    return cases


CASES = deal()
FACTORS, FACTORS_OF_TWO = np.array([1.0, 2.0, 0.5]), np.array([1.0, 5.0])
RATE, MOMENTUM, STEPS = 0.5, 0.9, 4


def body(x, net):
    return net.dense(x, 3, name="one")


def head(x, net):
    return net.logits(x, "two")


def make_model(options):
    config = {"body": body, "head": head, "seed": 3, "inputs": {"images": {"shape": (4,)}}, "num_classes": 3}
    optimizer = {"name": "sgd", "learning_rate": RATE, "momentum": MOMENTUM}
    for name in options:
        optimizer.update(OPTIONS[name].get("optimizer", {}))
        config.update({key: item for key, item in OPTIONS[name].items() if key != "optimizer"})
    base = "focal" if "focal" in options else "bce" if "one_output" in options else "ce"
    config["loss"] = [base, {"name": "focal", "weight": 0.5}] if "losses" in options else base
    if "class_weights" in options:
        config["class_weights"] = list(FACTORS_OF_TWO if "one_output" in options else FACTORS)
    return KerasModel({**config, "optimizer": optimizer})


def item_losses(name, z, labels):
    """Loss of each item: of a softmax, or of one output that is a yes or no."""
    if z.shape[1] == 1:
        z = np.concatenate([np.zeros_like(z), z], 1)
    cross = np.log(np.exp(z).sum(-1)) - z[np.arange(len(z)), labels]
    return cross * (1 - np.exp(-cross)) ** 2 if name == "focal" else cross


def forward(weights, x):
    one, one_bias, two, two_bias = weights
    return (x @ one + one_bias) @ two + two_bias


def loss(options, x, labels, items, weights):
    z = forward(weights, x)
    base = "focal" if "focal" in options else "bce" if "one_output" in options else "ce"
    each = item_losses(base, z, labels)
    if "losses" in options:
        each = each + 0.5 * item_losses("focal", z, labels)
    if "class_weights" in options:
        each = each * (FACTORS_OF_TWO if "one_output" in options else FACTORS)[labels]
    return float(np.mean(each * items))


def differentiate(function, weights, delta=1e-6):
    gradients = [np.zeros_like(item) for item in weights]
    for item, gradient in zip(weights, gradients):
        for place in np.ndindex(item.shape):
            kept = item[place]
            item[place] = kept + delta
            above = function(weights)
            item[place] = kept - delta
            gradient[place] = (above - function(weights)) / (2 * delta)
            item[place] = kept
    return gradients


def clip(options, gradients):
    if "clipvalue" in options:
        return [np.clip(item, -0.05, 0.05) for item in gradients]
    norms = [np.sqrt(np.sum(item**2)) for item in gradients]
    if "global_clipnorm" in options:
        norms = [np.sqrt(np.sum(np.square(norms)))] * len(gradients)
    if "clipnorm" in options or "global_clipnorm" in options:
        return [item * 0.1 / max(norm, 0.1) for item, norm in zip(gradients, norms)]
    return gradients


def train_in_numpy(options, weights, batches):
    """Return the weights after all batches, and the averages of them."""
    weights = [item.astype(float) for item in weights]
    learns = [2, 3] if "freeze" in options else [0, 1, 2, 3]
    rates = [0.25, 0.25, 0.5, 0.5] if "rates" in options else [1.0] * 4
    speeds, averages = [np.zeros_like(item) for item in weights], [item.copy() for item in weights]
    gathered, updates = [], 0
    for x, labels, items in batches:
        gathered.append(differentiate(partial(loss, options, x, labels, items), weights))
        if len(gathered) < (2 if "accumulate" in options else 1):
            continue
        mean = [np.mean(parts, 0) for parts in zip(*gathered)]
        mean = dict(zip(learns, clip(options, [mean[number] for number in learns])))
        rate = RATE
        if "schedule" in options:
            rate = 0.1 + (RATE - 0.1) * (1 - min(updates, 4) / 4)
        for number, gradient in mean.items():
            speeds[number] = MOMENTUM * speeds[number] - rate * rates[number] * gradient
            weights[number] += speeds[number]
            share = 1.0 if updates == 0 else 0.5
            averages[number] += share * (weights[number] - averages[number])
        gathered, updates = [], updates + 1
    return weights, averages


@pytest.mark.parametrize("options", CASES, ids=lambda case: "+".join(sorted(case)) or "none")
def test_a_step_is_that_of_numpy(options):
    rng = np.random.default_rng(1)
    model = make_model(options)
    first = [item.numpy() for item in model.network.weights]
    classes = 2 if "one_output" in options else 3
    batches = []
    for _ in range(STEPS):
        x, labels = rng.normal(size=(6, 4)).round(2), rng.integers(0, classes, 6)
        items = rng.random(6) if "item_weights" in options else np.ones(6)
        batches.append((x, labels, items))
        weights = {"sample_weight": items} if "item_weights" in options else {}
        got = model.train(x.astype("f4"), labels, fetches="loss", **weights)
        assert np.isfinite(got)
    expected, averages = train_in_numpy(options, first, batches)
    moved = max(np.abs(new - old).max() for new, old in zip(expected, first))
    tolerance = moved * (0.02 if "float16" in options else 1e-4)
    for item, want in zip(model.network.weights, expected):
        np.testing.assert_allclose(item.numpy(), want, rtol=0, atol=tolerance)
    z = forward(averages if "ema" in options else expected, batches[0][0])
    tolerance = 0.02 if "float16" in options else 1e-3
    np.testing.assert_allclose(model.predict(batches[0][0].astype("f4")), z, rtol=tolerance, atol=tolerance)


def test_every_pair_of_options_meets_or_is_refused():
    assert set().union(*map(show, CASES)) == wanted()
    for pair in combinations(CLIPS, 2):
        with pytest.raises(ValueError, match="clips in one way"):
            make_model(pair)


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"optimizer": {"name": "adam", "loss_scale_factor": 8.0}}, "'precision: float16' scales"),
        ({"optimizer": {"name": "adam", "use_ema": True, "ema_overwrite_frequency": 3}}, "'ema' averages"),
        (
            {"optimizer": {"name": "adam", "gradient_accumulation_steps": 3}, "accumulate": 2},
            "2 in the config and 3",
        ),
        ({"optimizer": {"name": "adam", "use_ema": True}, "ema": 0.5}, "0.5 in the config and 0.99"),
        ({"optimizer": {"name": "sgd", "clipnorm": -1.0}}, "above 0"),
        ({"accumulate": 0}, "from 1 on"),
        ({"accumulate": 2, "strategy": "mirrored"}, "does not go with"),
        ({"microbatch": 2, "strategy": "mirrored"}, "does not go with"),
        ({"microbatch": 2, "jit": True}, "does not go with"),
        ({"class_weights": [1, 2, 3], "loss": "mse"}, "class_weights do not go with"),
    ],
)
def test_what_does_not_go_together_is_refused(config, words):
    with pytest.raises(ValueError, match=words):
        KerasModel({"body": body, "head": head, "num_classes": 3, **config})


def test_a_model_with_nothing_left_to_learn_is_refused():
    model = KerasModel({"body": body, "head": head, "num_classes": 3, "freeze": ["body", "head"]})
    with pytest.raises(ValueError, match="leaves nothing that could learn"):
        model.train(np.ones((2, 4)), np.zeros(2, int))


@pytest.mark.parametrize(
    "name",
    ["adam", "sgd", "rmsprop", "nadam", "lion", "lamb", "adafactor", "muon"],
)
def test_gradients_gather_over_steps_with_every_optimizer(name):
    rng = np.random.default_rng(2)
    x, labels = rng.normal(size=(9, 4)).astype("f4"), rng.integers(0, 3, 9)
    config = {"body": body, "head": head, "num_classes": 3, "seed": 3, "optimizer": {"name": name}}
    whole, parts = KerasModel(config), KerasModel({**config, "accumulate": 3})
    for _ in range(2):
        whole.train(x, labels)
        for part in (slice(0, 2), slice(2, 6), slice(6, 9)):  # items weigh alike, however they are dealt
            parts.train(x[part], labels[part])
    np.testing.assert_allclose(whole.predict(x), parts.predict(x), rtol=1e-3, atol=1e-4)


def test_a_factor_of_the_rate_scales_a_schedule_that_is_an_object():
    import keras

    schedule = keras.optimizers.schedules.ExponentialDecay(0.5, 2, 0.5)
    x, labels = np.eye(4, dtype="f4"), np.array([0, 1, 2, 0])
    moved = []
    for rates in ({}, {"body": 0.5}):
        model = KerasModel(
            {
                "body": body,
                "head": head,
                "num_classes": 3,
                "seed": 3,
                "optimizer": "sgd",
                "schedule": schedule,
                "learning_rates": rates,
            }
        )
        model.build(x)
        before = model.network.weights[0].numpy()
        model.train(x, labels)
        moved.append(model.network.weights[0].numpy() - before)
    np.testing.assert_allclose(moved[1], moved[0] * 0.5, rtol=1e-4, atol=1e-6)
