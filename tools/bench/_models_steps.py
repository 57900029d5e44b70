"""A training step of one network: ours in a pipeline, beside Keras, torch and batchflow 0.10.1."""

from __future__ import annotations

import contextlib
import itertools
import math
import time
from collections.abc import Mapping
from typing import Any

from _cpu import kind
from _models_peers import CLASSES, NETWORKS, Apart, Network, Steps, clocked
from common import Target, Timing, have, judge, table

OURS, KERAS, SAME, FIT = "ours (pipeline)", "keras train_on_batch", "keras, our layers", "keras fit"
TORCH, OLDER = "torch eager", "batchflow 0.10.1"
#: A network takes about so many seconds, by the number of rounds and of steps in each; least rounds.
SECONDS, ROUNDS, STEPS, LEAST = 24.0, 5, 8, 3
#: How many times faster than torch, by kind of CPU: the first network, and the others.
FASTER = {"AVX-512": (1.2, 1.0), "AVX2": (2.5, 1.3)}


def ours(network: Network) -> tuple[Steps, Any]:
    """train_model in a pipeline over a dataset of arrays; and the network."""
    import bf_models
    from bf_batch import Batch, Dataset
    from bf_pipeline import B, Pipeline

    class Images(Batch):
        components = "images", "labels"

    images, labels = network.data()
    config = {
        "num_classes": CLASSES,
        "stem": network.stem,
        "optimizer": "adam",
        "inputs": {"images": {"shape": network.shape}},
    }
    pipeline = (
        Pipeline()
        .init_model("static", getattr(bf_models, network.model), "net", config=config)
        .train_model("net", inputs=B("images"), targets=B("labels"))
    ) << Dataset(len(images), Images, preloaded=(images, labels))
    batches = pipeline.gen_batch(network.batch, shuffle=True, n_epochs=10**6, drop_last=True, seed=0)
    made = getattr(bf_models, network.model)(config).network
    return clocked(lambda: next(batches)), made


def plain_layer(layer: Any) -> Any:
    """A layer of ours as the layers of Keras that compute the same; layers of Keras as they are."""
    import keras

    cls, config = type(layer), layer.get_config()
    pads = config.pop("pads", (0, 0))  # rows and columns of zeros, where a convolution of ours pads by itself
    if cls.__name__ == "BatchNorm":
        cls = keras.layers.BatchNormalization
    elif not cls.__module__.startswith("keras."):
        cls = next(base for base in cls.__mro__ if base.__module__.startswith("keras.src.layers."))
    made = cls.from_config(config)
    return keras.Sequential([keras.layers.ZeroPadding2D(pads), made]) if any(pads) else made


def plain(made: Any) -> Any:
    """The same network of Keras's own layers: what a user of Keras would have written."""
    import keras

    return keras.models.clone_model(made, clone_function=plain_layer)


def compiled(made: Any) -> Any:
    """Compile by Keras with its own Adam and without XLA."""
    import keras

    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    made.compile("adam", loss, jit_compile=False)
    return made


def train_on_batch(network: Network, made: Any) -> Steps:
    """A bare loop over ready arrays."""
    images, labels = network.data()
    starts = range(0, len(images), network.batch)
    ready = [(images[i : i + network.batch], labels[i : i + network.batch]) for i in starts]
    batches = itertools.cycle(ready)
    return clocked(lambda: made.train_on_batch(*next(batches)))


def fit(network: Network, made: Any) -> Steps:
    """model.fit on the same arrays."""
    images, labels = network.data()

    def run(count: int) -> tuple[float, float]:
        size = network.batch * count
        whole = clocked(lambda: made.fit(images[:size], labels[:size], batch_size=network.batch, verbose=0))
        wall, cpu = whole(1)
        return wall / count, cpu / count

    return run


def alternate(contenders: Mapping[str, Steps]) -> dict[str, Timing]:
    """Let each do some steps in turn, round after round; seconds of one step."""
    timings = {name: Timing() for name in contenders}

    def go_round(count: int) -> float:
        began = time.perf_counter()
        for name, run in contenders.items():
            wall, cpu = run(count)
            timings[name].wall.append(wall)
            timings[name].cpu.append(cpu)
        return time.perf_counter() - began

    for run in contenders.values():
        run(1)  # built and traced
    each = go_round(1)
    count = max(1, min(STEPS, int(SECONDS / ROUNDS / each)))
    if count > 1:
        timings.update({name: Timing() for name in contenders})
    end = time.perf_counter() + SECONDS
    rounds = count == 1
    while rounds < LEAST or (rounds < ROUNDS and time.perf_counter() + each * count < end):
        go_round(count)
        rounds += 1
    return timings


def step(name: str) -> bool:
    """Time a training step of the network of that name; whether every target held."""
    network, first = NETWORKS[name], name == "resnet18"
    with contextlib.ExitStack() as stack:
        peers = {}
        if have("torch") and have("torchvision"):
            peers[TORCH] = stack.enter_context(Apart("torch", name))
            # the older BatchFlow has norms in its U-Net
            if have("batchflow") and network.model != "UNet":
                peers[OLDER] = stack.enter_context(Apart("batchflow", name))
        contenders: dict[str, Steps] = {}
        contenders[OURS], made = ours(network)
        contenders[KERAS] = train_on_batch(network, compiled(plain(made)))
        if first:
            contenders[FIT] = fit(network, compiled(plain(made)))
            contenders[SAME] = train_on_batch(network, compiled(made))
        parameters = {OURS: sum(math.prod(item.shape) for item in made.trainable_variables)}
        for peer, process in peers.items():
            contenders[peer], parameters[peer] = process.run, process.parameters()
        timings = alternate(contenders)
    table(f"{network}: a training step", timings, 1, "step", OURS)
    equal = len({number for who, number in parameters.items() if who != OLDER}) == 1
    counts = ", ".join(f"{who} {number:,}" for who, number in parameters.items())
    print(f"- parameters: {counts} (goal: equal): {'holds' if equal else 'FALLS SHORT'}")
    if parameters.get(OLDER, parameters[OURS]) != parameters[OURS]:
        print(f"- {OLDER} calls another network by this name: its time is no comparison")
    targets = [
        Target(OURS, TORCH, 1.0 if name == "unet" else FASTER[kind()][0 if first else 1]),
        Target(OURS, KERAS, 0.95 if name == "unet" else 0.9, at_least=False),
        Target(OURS, FIT, 1.0, at_least=False, cpu=True),
    ]
    if first:
        targets.append(Target(OURS, OLDER, 0.9, at_least=False, cpu=True))
    return judge(timings, targets) and equal
