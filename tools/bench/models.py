"""Models: a training step in a pipeline beside a bare Keras loop, the first step, work on the host."""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator

import numpy as np
from common import Target, Timing, have, judge, measure, table

BATCH, STEPS = 64, 8
CONFIG = {"num_classes": 10, "optimizer": "adam", "inputs": {"images": {"shape": (28, 28, 1)}}}

FIRST_OURS = """
import numpy as np
from bf_models import ResNet18
images, labels = np.zeros((64, 28, 28, 1), "uint8"), np.zeros(64, "int64")
ResNet18({"num_classes": 10, "optimizer": "adam"}).train(images, labels, fetches="loss")
"""
FIRST_BARE = """
import numpy as np, tensorflow as tf, keras
L = keras.layers
def conv(x, filters, kernel, strides):
    if strides > 1:
        x = L.ZeroPadding2D(kernel // 2)(x)
    x = L.Conv2D(filters, kernel, strides, "valid" if strides > 1 else "same", use_bias=False)(x)
    return L.BatchNormalization(momentum=0.9, epsilon=1e-5)(x)
inputs = keras.Input((28, 28, 1))
x = L.MaxPooling2D(3, 2)(L.ZeroPadding2D(1)(L.ReLU()(conv(inputs, 64, 7, 2))))
for stage, filters in enumerate((64, 128, 256, 512)):
    for number in range(2):
        strides = 2 if stage and not number else 1
        y = conv(L.ReLU()(conv(x, filters, 3, strides)), filters, 3, 1)
        x = conv(x, filters, 1, strides) if strides > 1 else x
        x = L.ReLU()(L.Add()([x, y]))
model = keras.Model(inputs, L.Dense(10)(L.GlobalAveragePooling2D()(x)))
loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
model.compile("adam", loss, jit_compile=False)
model.train_on_batch(np.zeros((64, 28, 28, 1), "uint8"), np.zeros(64, "int64"))
"""


def data() -> tuple[np.ndarray, np.ndarray]:
    """Images (1024, 28, 28, 1) and labels."""
    rng = np.random.default_rng(0)
    return rng.integers(0, 255, (1024, 28, 28, 1)).astype("uint8"), rng.integers(0, 10, 1024)


def ours() -> Callable[[], object]:
    """train_model in a pipeline over a dataset of arrays."""
    from bf_batch import Batch, Dataset
    from bf_models import ResNet18
    from bf_pipeline import B, Pipeline

    class Digits(Batch):
        components = "images", "labels"

    images, labels = data()
    pipeline = (
        Pipeline()
        .init_model("static", ResNet18, "net", config=CONFIG)
        .train_model("net", inputs=B("images"), targets=B("labels"))
    ) << Dataset(len(images), Digits, preloaded=(images, labels))
    batches = pipeline.gen_batch(BATCH, shuffle=True, n_epochs=10**6, drop_last=True, seed=0)
    return lambda: [next(batches) for _ in range(STEPS)]


def parts() -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Ready batches, for ever."""
    images, labels = data()
    ready = [(images[i : i + BATCH], labels[i : i + BATCH]) for i in range(0, len(images), BATCH)]
    return itertools.cycle(ready)


def keras_network() -> object:
    """The very same network, compiled by Keras with its own Adam and without XLA."""
    import keras

    from bf_models import ResNet18

    network = ResNet18(CONFIG).network
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    network.compile("adam", loss, jit_compile=False)
    return network


def train_on_batch() -> Callable[[], object]:
    """A bare loop over ready arrays."""
    network, batches = keras_network(), parts()
    return lambda: [network.train_on_batch(*next(batches)) for _ in range(STEPS)]


def fit() -> Callable[[], object]:
    """model.fit on the same arrays."""
    network = keras_network()
    images, labels = (array[: BATCH * STEPS] for array in data())
    return lambda: network.fit(images, labels, batch_size=BATCH, verbose=0)


def batchflow() -> Callable[[], object]:
    """The older BatchFlow's own pipeline, by torch."""
    from batchflow import B, Batch, Dataset, Pipeline
    from batchflow.models.torch import ResNet18

    class Digits(Batch):
        components = "images", "labels"

    images, labels = data()
    images = images.transpose(0, 3, 1, 2).astype("float32")
    config = {"classes": 10, "loss": "ce", "optimizer": "Adam", "device": "cpu"}
    config["inputs_shapes"] = (1, 28, 28)
    dataset = Dataset(len(images), Digits, preloaded={"images": images, "labels": labels})
    pipeline = (
        Pipeline()
        .init_model("net", ResNet18, "dynamic", config=config)
        .train_model("net", B.images, B.labels)
        << dataset
    )
    return lambda: [
        pipeline.next_batch(BATCH, n_epochs=None, shuffle=True, drop_last=True) for _ in range(STEPS)
    ]


def steps() -> bool:
    """CPU time of a training step of ResNet18 on 28x28x1."""
    contenders = {"ours (pipeline)": ours(), "keras train_on_batch": train_on_batch(), "keras fit": fit()}
    if have("batchflow") and have("torch"):
        contenders["batchflow 0.10.1"] = batchflow()
    timings = measure(contenders, rounds=5, warmup=1)
    table("ResNet18, 28x28x1, batch of 64: a training step", timings, STEPS, "step", "ours (pipeline)")
    targets = [
        Target("ours (pipeline)", "keras train_on_batch", 1.03, at_least=False, cpu=True),
        Target("ours (pipeline)", "keras fit", 1.0, at_least=False, cpu=True),
        Target("ours (pipeline)", "batchflow 0.10.1", 0.9, at_least=False, cpu=True),
    ]
    return judge(timings, targets)


def first_step(rounds: int = 5) -> bool:
    """Seconds from the start of a process to the end of its first training step."""
    timings = {"ours": Timing(), "bare": Timing()}
    for number in range(rounds + 1):
        for name, code in (("ours", FIRST_OURS), ("bare", FIRST_BARE)):
            before, wall = os.times(), time.perf_counter()
            subprocess.run([sys.executable, "-c", code], check=True, stderr=subprocess.DEVNULL)
            after = os.times()
            if number:
                timings[name].wall.append(time.perf_counter() - wall)
                cpu = (
                    after.children_user
                    - before.children_user
                    + after.children_system
                    - before.children_system
                )
                timings[name].cpu.append(cpu)
    table("Start of the process to the first step of ResNet18", timings, 1, "start", "ours")
    return judge(timings, [Target("ours", "bare", 1.15, at_least=False)])


def overhead(calls: int = 200) -> bool:
    """Microseconds that a step takes beside its compiled function, on a network with next to no work."""
    from bf_models import MLP
    from bf_models._backend import tensorflow

    images, labels = next(parts())
    model = MLP({"num_classes": 10, "body": {"units": [1]}})
    model.train(images, labels)
    (function,) = model._steps._functions.values()
    ready = [tensorflow().convert_to_tensor(item) for item in (images, labels)]
    whole, compiled = [], []
    for _ in range(calls):
        for kept, call in (
            (whole, lambda: model.train(images, labels)),
            (compiled, lambda: function(*ready)),
        ):
            began = time.perf_counter()
            call()
            kept.append(time.perf_counter() - began)
    beside = (statistics.median(whole) - statistics.median(compiled)) * 1e6
    verdict = "holds" if beside <= 150 else "FALLS SHORT"
    inside = statistics.median(compiled) * 1e6
    print("\n## Work of a step on the host\n")
    print(f"- {beside:.0f} us beside the compiled step of {inside:.0f} us (goal <= 150): {verdict}")
    return beside <= 150


def main() -> bool:
    """Run the three benchmarks."""
    return all([overhead(), steps(), first_step()])


if __name__ == "__main__":
    sys.exit(not main())
