"""Models: a training step of four networks beside Keras, torch and batchflow, the first step, the host."""

from __future__ import annotations

import functools
import os
import statistics
import subprocess
import sys
import time

from _models_peers import NETWORKS
from _models_steps import step
from common import Target, Timing, judge, measure, run_parts, table, verdicts

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


def first_step(rounds: int = 3) -> bool:
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

    images, labels = (array[:64] for array in NETWORKS["resnet18"].data())
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
    held, told = True, verdicts()
    for peer in ("function(arrays)", "function(tensors)"):
        pairs = zip(timings["train"].wall, timings[peer].wall)
        beside = statistics.median(ours - bare for ours, bare in pairs) * 1e6 / calls
        held &= beside <= goal
        print(f"- train: {beside:.0f} us more than {peer} (goal <= {goal:g}): {told[beside <= goal]}")
    return held


PARTS = {
    "host": overhead,
    **{name: functools.partial(step, name) for name in NETWORKS},
    "start": first_step,
}


def main(*parts: str) -> bool:
    """Run those parts, or all."""
    return run_parts(PARTS, parts)


if __name__ == "__main__":
    sys.exit(not main(*sys.argv[1:]))
