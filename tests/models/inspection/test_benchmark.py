"""Benchmarks by the relations of their numbers, and the largest batch by a real limit of a real process."""

from __future__ import annotations

import json

import numpy as np
import pytest

from bf_models import MLP, UNet
from bf_models.inspection import benchmark, find_batch_size, tabulate_layers
from bf_models.inspection.batch_size import _search
from bf_models.inspection.memory import find_free_memory
from bf_models.inspection.samples import make_batch, make_model

WIDE = {"num_classes": 2, "inputs/images/shape": (50_000,), "body": {"units": [4]}, "loss": "ce"}


def test_numbers_go_together(tiny, batch) -> None:
    model = tiny()
    model.train(*batch)
    before = [item.numpy() for item in model.network.weights]
    found = benchmark(model, (1, 3), seconds=0.02)
    for was, item in zip(before, model.network.weights):
        np.testing.assert_array_equal(was, item.numpy())
    assert model.iterations == 1
    table = tabulate_layers(model)
    assert (found.parameters, found.operations) == (table.parameters, table.operations)
    assert found.weights == 4 * sum(item.size for item in before)
    assert [(one.kind, one.batch_size) for one in found.timings] == [
        ("predict", 1),
        ("predict", 3),
        ("train", 1),
        ("train", 3),
    ]
    for one in found.timings:
        assert one.steps >= 5
        assert one.throughput == pytest.approx(one.batch_size / one.latency)
        assert one.latency <= one.latency_p90
        times = {"predict": 1, "train": 3}[one.kind]
        assert one.operations == pytest.approx(times * table.operations * one.throughput)
        assert one.peak_share == pytest.approx(one.operations / found.peak)
    assert json.loads(json.dumps(found.to_dict()))["timings"][1]["batch_size"] == 3
    assert found.list_metrics()["train_3/throughput"] == found.timings[3].throughput
    assert len(str(found).splitlines()) == 3 + 4


def test_memory_counts_what_a_step_holds() -> None:
    small, large = benchmark(MLP(WIDE), (1, 500), training=False, seconds=0.02).timings
    if small.memory is not None:
        # the batch itself: here, and as a tensor
        assert large.memory - small.memory > 0.8 * 500 * 50_000 * 4


@pytest.mark.parametrize(
    ("config", "shape", "kind"),
    [
        ({"loss": "ce", "num_classes": 3}, (4,), "i"),
        ({"loss": "bce", "num_classes": 3}, (4, 3), "f"),
        ({"loss": "mse", "num_classes": 2}, (4, 2), "f"),
    ],
)
def test_random_targets_are_those_of_the_loss(config, shape, kind) -> None:
    model = make_model(MLP({"inputs/images/shape": (5,), "body": {"units": [4]}, **config}))
    arrays = make_batch(model, 4)
    assert arrays["labels"].shape == shape
    assert arrays["labels"].dtype.kind == kind
    before = [item.numpy() for item in model.network.weights]
    assert np.isfinite(model.train(feed_dict=arrays, fetches="loss"))
    for was, item in zip(before, model.network.weights):
        np.testing.assert_allclose(was, item.numpy(), atol=1e-7)


def test_places_and_samples() -> None:
    config = {"num_classes": 2, "inputs/images/shape": (16, 16, 1), "body": {"filters": 4, "depth": 2}}
    assert make_batch(make_model(UNet(config)), 3)["labels"].shape == (3, 16, 16)
    own = MLP({**WIDE, "inputs/images/shape": (2,), "loss": lambda targets, outputs: outputs[:, 0] - targets})
    with pytest.raises(ValueError, match=r"what targets of the loss .* are is not known; give a batch"):
        benchmark(own, seconds=0.01)
    sample = {"images": np.eye(2, dtype="float32"), "labels": np.zeros(2, "float32")}
    assert benchmark(own, (3,), seconds=0.01, sample=sample).timings[1].batch_size == 3


def test_what_cannot_be_measured_is_said(tiny) -> None:
    for wrong in ((), (0,), (True,), (2.5,)):
        with pytest.raises(ValueError, match="batch_sizes are whole numbers"):
            benchmark(tiny(), wrong)
    with pytest.raises(ValueError, match="seconds is a number above 0"):
        benchmark(tiny(), seconds=0)
    with pytest.raises(TypeError, match="got Functional"):
        benchmark(tiny().network)
    with pytest.raises(TypeError, match="a KerasModel can be tried out, got Functional"):
        find_batch_size(tiny().network)
    with pytest.raises(ValueError, match="limit is a whole number"):
        find_batch_size(tiny(), limit=0)


@pytest.mark.parametrize("largest", [0, 1, 7, 100, 1000])
def test_the_search_comes_as_near_as_it_says(largest: int) -> None:
    asked = []

    def attempt(size: int) -> tuple[bool, int]:
        asked.append(size)
        return size <= largest, size

    found = _search(attempt, 10, True, 512, exact=True)
    assert found.size == min(largest, 512)
    assert found.next == (None if largest >= 512 else largest + 1)
    near = _search(attempt, 10, True, 512, exact=False)
    assert near.size <= largest
    assert near.next is None or near.next > largest
    assert near.next is None or near.next - near.size <= max(1, near.size // 8)
    assert sorted(near.tried) == sorted(set(near.tried))


@pytest.mark.skipif(find_free_memory() is None, reason="this system does not tell its memory")
def test_a_limit_of_none_and_one_of_plenty() -> None:
    assert find_batch_size(MLP(WIDE), 50 * 2**20).size == 0  # TensorFlow alone takes more
    found = find_batch_size(MLP(WIDE), 4 * 2**30, most=3)
    assert (found.size, found.next) == (3, None)
    assert 100 * 2**20 < found.tried[1] <= found.tried[3] < 4 * 2**30


@pytest.mark.slow
@pytest.mark.skipif(find_free_memory() is None, reason="this system does not tell its memory")
def test_a_batch_beyond_the_limit_does_not_fit_and_takes_nothing_down() -> None:
    """An item is 200 kB, a batch of 8,192 alone is 1.6 GB: a process of 1.2 GB ends there, this one not."""
    limit = 1_200 * 2**20
    found = find_batch_size(MLP(WIDE), limit, training=False, most=8192)
    assert 64 <= found.size < 6_000
    assert found.next is not None
    assert found.tried[found.size] <= limit
    assert found.next - found.size <= found.size // 8
    assert str(found).startswith(f"the largest batch for predictions within 1,200 MiB: {found.size}")
    json.dumps(found.to_dict())
