"""Models: a training step in a pipeline beside a bare Keras loop, the first step, work on the host."""

from __future__ import annotations

import contextlib
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
CONFIG = {
    "num_classes": 10,
    "stem": "imagenet",
    "optimizer": "adam",
    "inputs": {"images": {"shape": (28, 28, 1)}},
}

FIRST_OURS = """
import numpy as np
from bf_models import ResNet18
images, labels = np.zeros((64, 28, 28, 1), "uint8"), np.zeros(64, "int64")
ResNet18({"num_classes": 10, "stem": "imagenet", "optimizer": "adam"}).train(images, labels, fetches="loss")
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


@contextlib.contextmanager
def apart(contender: str) -> Iterator[Callable[[], tuple[float, float]]]:
    """A contender in a process of its own, since torch and TensorFlow crash each other in one.

    Gives a function that runs it once and returns the wall and CPU seconds that it took there.
    """
    code = (
        "import sys, time, models\n"
        f"run = models.{contender}()\n"
        "for _ in sys.stdin:\n"
        "    cpu, wall = time.process_time(), time.perf_counter()\n"
        "    run()\n"
        "    print('took', time.perf_counter() - wall, time.process_time() - cpu, flush=True)\n"
    )
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    folder = os.path.dirname(os.path.abspath(__file__))
    with subprocess.Popen([sys.executable, "-c", code], text=True, cwd=folder, **pipes) as process:

        def run() -> tuple[float, float]:
            process.stdin.write("go\n")
            process.stdin.flush()
            for line in process.stdout:
                if line.startswith("took "):
                    wall, cpu = map(float, line.split()[1:])
                    return wall, cpu
            raise RuntimeError(f"{contender} ended with code {process.wait()}")

        try:
            yield run
        finally:
            process.stdin.close()


def steps(rounds: int = 5) -> bool:
    """CPU time of a training step of ResNet18 on 28x28x1, all contenders in turn."""
    contenders = {"ours (pipeline)": ours(), "keras train_on_batch": train_on_batch(), "keras fit": fit()}
    old = "batchflow 0.10.1"
    timings = {name: Timing() for name in contenders}
    with contextlib.ExitStack() as stack:
        peer = None
        if have("batchflow") and have("torch"):
            peer, timings[old] = stack.enter_context(apart("batchflow")), Timing()
        for number in range(rounds + 1):
            round_ = measure(contenders, rounds=1, warmup=0)
            if peer is not None:
                wall, cpu = peer()
                round_[old] = Timing([wall], [cpu])
            for name, timing in round_.items() if number else ():
                timings[name].wall += timing.wall
                timings[name].cpu += timing.cpu
    table("ResNet18, 28x28x1, batch of 64: a training step", timings, STEPS, "step", "ours (pipeline)")
    targets = [
        Target("ours (pipeline)", "keras train_on_batch", 1.03, at_least=False, cpu=True),
        Target("ours (pipeline)", "keras fit", 1.0, at_least=False, cpu=True),
        Target("ours (pipeline)", old, 0.9, at_least=False, cpu=True),
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


def overhead(calls: int = 200, rounds: int = 7, goal: float = 150) -> bool:
    """Microseconds that a step takes beside its compiled function, on a network with next to no work.

    ``train`` is compared with a bare loop that calls the very same function with ready numpy arrays, and with
    that function on tensors that are on the device already.
    """
    from bf_models import MLP
    from bf_models._backend import tensorflow

    images, labels = next(parts())
    model = MLP({"num_classes": 10, "body": {"units": [1]}})
    model.train(images, labels)
    (function,) = model._steps._functions.values()
    tensors = [tensorflow().constant(item) for item in (images, labels)]
    contenders = {
        "train": lambda: [model.train(images, labels) for _ in range(calls)],
        "function(arrays)": lambda: [function(images, labels) for _ in range(calls)],
        "function(tensors)": lambda: [function(*tensors) for _ in range(calls)],
    }
    timings = measure(contenders, rounds)
    table("Work of a step on the host, batch of 64", timings, calls, "step", "train")
    held = True
    for peer in ("function(arrays)", "function(tensors)"):
        pairs = zip(timings["train"].wall, timings[peer].wall)
        beside = statistics.median(ours - bare for ours, bare in pairs) * 1e6 / calls
        held &= beside <= goal
        verdict = "holds" if beside <= goal else "FALLS SHORT"
        print(f"- train: {beside:.0f} us more than {peer} (goal <= {goal:g}): {verdict}")
    return held


def main() -> bool:
    """Run the three benchmarks."""
    return all([overhead(), steps(), first_step()])


if __name__ == "__main__":
    sys.exit(not main())
