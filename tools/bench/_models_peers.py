"""The networks whose training step is measured, and the peers that run it by torch.

torch and TensorFlow crash each other in one process: ``Apart`` starts this file as a program for each peer,
and nothing here imports TensorFlow.
"""

from __future__ import annotations

import itertools
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self

import numpy as np
from _cpu import cores

BATCHES = 16
CLASSES = 10
#: Do so many steps; the wall and CPU seconds that one of them took.
Steps = Callable[[int], tuple[float, float]]


@dataclass(frozen=True)
class Network:
    """What is trained: a model of bf_models by name, on images of a shape in batches of a size."""

    model: str
    shape: tuple[int, int, int]
    batch: int
    stem: Literal["imagenet", "small"]

    def __str__(self) -> str:
        shape = "x".join(map(str, self.shape))
        return f"{self.model}, {shape}, stem {self.stem}, batch of {self.batch}"

    def data(self) -> tuple[np.ndarray, np.ndarray]:
        """Images (16 batches, H, W, C) and labels, or for UNet masks, equal for all contenders."""
        rng, count = np.random.default_rng(0), self.batch * BATCHES
        if self.model == "UNet":
            images = rng.random((count, *self.shape), "f4")
            return images, rng.integers(0, CLASSES, (count, *self.shape[:2]), "uint8").astype("int64")
        return rng.integers(0, 255, (count, *self.shape), "uint8"), rng.integers(0, CLASSES, count)


NETWORKS = {
    "resnet18": Network("ResNet18", (28, 28, 1), 64, "imagenet"),
    "vgg7": Network("VGG7", (28, 28, 1), 64, "small"),
    "resnet18-32": Network("ResNet18", (32, 32, 3), 64, "small"),
    "resnet50": Network("ResNet50", (64, 64, 3), 16, "imagenet"),
    "unet": Network("UNet", (128, 128, 1), 8, "imagenet"),
}


def clocked(step: Callable[[], object]) -> Steps:
    """Let a function be called several times under the clock."""

    def run(count: int) -> tuple[float, float]:
        cpu, wall = time.process_time(), time.perf_counter()
        for _ in range(count):
            step()
        wall, cpu = time.perf_counter() - wall, time.process_time() - cpu
        return wall / count, cpu / count

    return run


def vgg7(channels: int) -> Any:
    """bf_models.VGG7 in torch: 3x3 convolutions of 64, 64, 128, 128, 256, 256, one 1x1, three poolings."""
    from torch import nn

    layers: list[nn.Module] = []
    for kernels, filters in (((3, 3), 64), ((3, 3), 128), ((3, 3, 1), 256)):
        for kernel in kernels:
            layers.append(nn.Conv2d(channels, filters, kernel, padding=kernel // 2, bias=False))
            layers += [nn.BatchNorm2d(filters), nn.ReLU(inplace=True)]
            channels = filters
        layers.append(nn.MaxPool2d(2, 2, ceil_mode=True))
    head = [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout(0.2), nn.Linear(channels, CLASSES)]
    return nn.Sequential(*layers, *head)


def unet(channels: int) -> Any:
    """bf_models.UNet in torch: 64 filters and four halvings, 3x3 convolutions with padding, no norms."""
    import torch
    from torch import nn

    def convolve(before: int, width: int) -> nn.Module:
        convolutions = (nn.Conv2d(size, width, 3, padding=1) for size in (before, width))
        return nn.Sequential(*(layer for item in convolutions for layer in (item, nn.ReLU(inplace=True))))

    widths = [64 * 2**stage for stage in range(5)]

    class UNet(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.down = nn.ModuleList(map(convolve, (channels, *widths), widths))
            self.up = nn.ModuleList(nn.ConvTranspose2d(2 * width, width, 2, 2) for width in widths[:-1])
            self.joined = nn.ModuleList(convolve(2 * width, width) for width in widths[:-1])
            self.pool, self.dropout = nn.MaxPool2d(2), nn.Dropout(0.5)
            self.out = nn.Conv2d(widths[0], CLASSES, 1)

        def forward(self, x: Any) -> Any:
            skips: list[Any] = []
            for stage, block in enumerate(self.down):
                x = block(self.pool(x) if stage else x)
                x = self.dropout(x) if stage >= 3 else x
                skips.append(x)
            for stage in reversed(range(4)):
                x = self.joined[stage](torch.cat([skips[stage], self.up[stage](x)], 1))
            return self.out(x)

    return UNet()


def torch_network(network: Network) -> Any:
    """torchvision's network with the stem and the channels that are wanted; VGG7 by hand."""
    import torchvision
    from torch import nn

    channels = network.shape[-1]
    if network.model in ("VGG7", "UNet"):
        return (vgg7 if network.model == "VGG7" else unet)(channels)
    made = getattr(torchvision.models, network.model.lower())(num_classes=CLASSES)
    if network.stem == "small":
        made.conv1, made.maxpool = nn.Conv2d(channels, 64, 3, 1, 1, bias=False), nn.Identity()
    elif channels != 3:
        made.conv1 = nn.Conv2d(channels, 64, 7, 2, 3, bias=False)
    return made


def torch_eager(network: Network) -> tuple[Steps, int]:
    """A plain loop of torch over tensors that are ready; and the number of parameters."""
    import torch

    torch.set_num_threads(cores())
    images, labels = network.data()
    inputs = torch.from_numpy(images).permute(0, 3, 1, 2).float().contiguous().split(network.batch)
    batches = itertools.cycle(zip(inputs, torch.from_numpy(labels).split(network.batch)))
    model = torch_network(network).train()
    optimizer = torch.optim.Adam(model.parameters())

    def step() -> None:
        x, y = next(batches)
        optimizer.zero_grad()
        torch.nn.functional.cross_entropy(model(x), y).backward()
        optimizer.step()

    return clocked(step), sum(item.numel() for item in model.parameters())


def older_batchflow(network: Network) -> tuple[Steps, int]:
    """The older BatchFlow's own pipeline, by torch; and the number of parameters."""
    import batchflow
    import torch
    from batchflow import B
    from batchflow.models import torch as models

    torch.set_num_threads(cores())

    class Images(batchflow.Batch):
        components = "images", "labels"

    images, labels = network.data()
    images = np.ascontiguousarray(images.transpose(0, 3, 1, 2), dtype="float32")
    config: dict[str, Any] = {"classes": CLASSES, "loss": "ce", "optimizer": "Adam", "device": "cpu"}
    config["inputs_shapes"] = images.shape[1:]
    if network.stem == "small" and network.model != "VGG7":
        config["initial_block"] = {"layout": "cna", "channels": 64, "kernel_size": 3, "stride": 1}
    dataset = batchflow.Dataset(len(images), Images, preloaded={"images": images, "labels": labels})
    pipeline = (
        batchflow.Pipeline()
        .init_model("net", getattr(models, network.model), "dynamic", config=config)
        .train_model("net", B.images, B.labels)
        << dataset
    )

    def step() -> None:
        pipeline.next_batch(network.batch, n_epochs=None, shuffle=True, drop_last=True)

    step()
    return clocked(step), sum(item.numel() for item in pipeline.m("net").model.parameters())


PEERS = {"torch": torch_eager, "batchflow": older_batchflow}


class Apart:
    """A peer in a process of its own, which starts at once: its seconds are those of that process."""

    def __init__(self, peer: str, network: str) -> None:
        self.name = f"{peer}, {network}"
        self._said: deque[str] = deque(maxlen=20)
        self._process = subprocess.Popen(
            [sys.executable, __file__, peer, network],
            text=True,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._process.stdin.close()
        self._process.wait()
        self._process.stdout.close()

    def _answer(self) -> list[str]:
        for line in self._process.stdout:
            if line.startswith("answer "):
                return line.split()[1:]
            self._said.append(line)
        raise RuntimeError(f"{self.name} ended with code {self._process.wait()}:\n{''.join(self._said)}")

    def parameters(self) -> int:
        """Return the number of parameters; wait until the network is built, once, before the first run."""
        return int(self._answer()[0])

    def run(self, count: int) -> tuple[float, float]:
        """Do steps there, as ``Steps``."""
        self._process.stdin.write(f"{count}\n")
        self._process.stdin.flush()
        wall, cpu = map(float, self._answer())
        return wall, cpu


def main(peer: str, network: str) -> None:
    """Be the peer: do as many steps as each line of the input says, and answer with the seconds of one."""
    run, parameters = PEERS[peer](NETWORKS[network])
    print("answer", parameters, flush=True)
    for line in sys.stdin:
        print("answer", *run(int(line)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
