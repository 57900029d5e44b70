"""What tests of pipelines share: a class of batches, a data set of ten points, a model that counts."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset, SkipBatch, StopPipeline, action, inbatch_parallel


class Points(Batch):
    """Ten numbers and their labels."""

    components = "x", "y"

    @action
    def add(self, value, times=1):
        self.x = self.x + value * times
        return self

    @action
    def multiply(self, factor):
        self.x = self.x * factor
        return self

    @action
    def noise(self):
        self.x = self.x + self.rng().normal(size=len(self))
        return self

    @action
    @inbatch_parallel(init="x_of_items", post="take_x", target="inline")
    def shift(self, item, by=1.0):
        return item + by

    def x_of_items(self, *args, **kwargs):
        return self.x

    def take_x(self, results, *args, **kwargs):
        self.x = np.array(results)
        return self

    @action
    def skip_if(self, first):
        if self.x[0] == first:
            raise SkipBatch
        return self

    @action
    def stop_if(self, first):
        if self.x[0] == first:
            raise StopPipeline
        return self

    @action
    def fail_if(self, first):
        if self.x[0] == first:
            raise ValueError(f"x is {first}")
        return self

    @action
    def forget(self):
        self.x = self.x + 1

    @action(resizes=True)
    def double(self):
        return type(self)(
            2 * len(self), preloaded=(np.concatenate([self.x, self.x]), np.concatenate([self.y] * 2))
        )

    def plain(self):
        return self


class Net:
    """A model that adds up what it is given."""

    def __init__(self, config: Any = None) -> None:
        self.config = config
        self.seen: list[float] = []

    def train(self, inputs=None, targets=None, *, fetches=None, feed_dict=None, rate=1.0):
        given = feed_dict["x"] if feed_dict is not None else inputs
        loss = float(np.sum(given)) * rate
        self.seen.append(loss)
        outputs = {"loss": loss, "mean": float(np.mean(given))}
        if fetches is None:
            return None
        if isinstance(fetches, str):
            return outputs[fetches]
        if isinstance(fetches, dict):
            return {key: outputs[name] for key, name in fetches.items()}
        return [outputs[name] for name in fetches]

    def predict(self, inputs=None, targets=None, *, fetches=None, feed_dict=None):
        return np.asarray(inputs) * 10

    def save(self, path: Any) -> None:
        Path(path).write_text(" ".join(map(str, self.seen)))

    @classmethod
    def load(cls, path: Any) -> Net:
        net = cls()
        net.seen = [float(word) for word in Path(path).read_text().split()]
        return net


class Counts:
    """Metrics that count what is right."""

    def __init__(self, targets: Any, predictions: Any, scale: int = 1) -> None:
        self.right = int(np.sum(np.asarray(targets) == np.asarray(predictions))) * scale
        self.all = len(targets)

    def update(self, other: Counts) -> None:
        self.right += other.right
        self.all += other.all

    def evaluate(self, name: str, agg: str = "mean") -> float:
        return self.right / self.all


@pytest.fixture
def batch_class() -> type[Points]:
    return Points


@pytest.fixture
def dataset() -> Dataset:
    return Dataset(10, Points, preloaded=(np.arange(10.0), np.arange(10) % 2), classes=2)


@pytest.fixture
def net_class() -> type[Net]:
    return Net


@pytest.fixture
def counts_class() -> type[Counts]:
    return Counts
