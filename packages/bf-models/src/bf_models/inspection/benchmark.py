"""How fast a model is and what it takes: latency, throughput, memory, and its share of the machine's peak."""

from __future__ import annotations

import dataclasses
import math
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from bf_models._backend import tensorflow
from bf_models.inspection.layers import tabulate_layers
from bf_models.inspection.memory import PeakMeter
from bf_models.inspection.samples import describe_model, make_batch, make_model
from bf_models.model import KerasModel

Kind = Literal["predict", "train"]
#: A training step goes forward once and backward by two products as large.
_OPERATIONS: Mapping[Kind, int] = {"predict": 1, "train": 3}
_SIDE, _SIDE_ON_GPU = 1024, 8192


@dataclass(frozen=True, slots=True)
class Timing:
    """Steps of one kind on batches of one size.

    ``latency`` is the median of ``steps`` times and ``latency_p90`` what nine of ten stay below, seconds of
    a call with numpy arrays to its answer; ``throughput`` items a second; ``operations`` multiply-adds a
    second, for a training step three times those of the way forward; ``peak_share`` their share of the
    machine's ``peak``. ``memory`` is the peak, bytes beyond what there was before the benchmark, on
    a GPU all that was taken. None where it is not known.
    """

    kind: Kind
    batch_size: int
    steps: int
    latency: float
    latency_p90: float
    throughput: float
    operations: float | None
    peak_share: float | None
    memory: int | None


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What was measured of a model: ``str`` is a table for people, ``to_dict`` plain values.

    ``parameters`` are all of them, ``weights`` their bytes, ``operations`` multiply-adds of an item on the
    way forward, ``peak`` what ``measure_peak`` found in the same process and precision, ``without`` layers
    whose operations are not counted.
    """

    name: str
    device: str
    precision: str
    parameters: int
    weights: int
    operations: int | None
    peak: float
    timings: tuple[Timing, ...]
    without: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as dicts, lists and plain values."""
        found = dataclasses.asdict(self)
        return {**found, "timings": list(found["timings"]), "without": list(self.without)}

    def list_metrics(self) -> dict[str, float]:
        """Return the numbers by name, such as ``predict_32/latency``, as a tracker logs them."""
        found: dict[str, float] = {"parameters": self.parameters, "weights": self.weights, "peak": self.peak}
        for one in self.timings:
            values = dataclasses.asdict(one)
            found.update(
                {
                    f"{one.kind}_{one.batch_size}/{name}": float(value)
                    for name, value in values.items()
                    if name not in ("kind", "batch_size") and value is not None
                }
            )
        return found

    def __str__(self) -> str:
        done = (
            "" if self.operations is None else f", {self.operations / 1e6:,.1f} million multiply-adds an item"
        )
        lines = [
            f"{self.name} on {self.device}, {self.precision}: {self.parameters:,} parameters "
            f"({self.weights / 2**20:,.1f} MiB){done}",
            f"peak: {self.peak / 1e9:,.1f} billion multiply-adds a second, the best of a product of "
            "matrices and a convolution",
        ]
        heads = ("", "batch", "median ms", "p90 ms", "items/s", "billion/s", "of peak", "memory MiB")
        rows = [heads]
        for one in self.timings:
            share = "?" if one.peak_share is None else f"{one.peak_share:.1%}"
            speed = "?" if one.operations is None else f"{one.operations / 1e9:,.1f}"
            memory = "?" if one.memory is None else f"{one.memory / 2**20:,.0f}"
            times = f"{one.latency * 1e3:,.2f}", f"{one.latency_p90 * 1e3:,.2f}"
            rows.append(
                (one.kind, str(one.batch_size), *times, f"{one.throughput:,.0f}", speed, share, memory)
            )
        widths = [max(map(len, column)) for column in zip(*rows)]
        lines += ["  ".join(cell.rjust(width) for cell, width in zip(row, widths)) for row in rows]
        if self.without:
            lines.append(f"without the operations of {', '.join(self.without)}")
        return "\n".join(lines)


def benchmark(
    model: Any,
    batch_sizes: Sequence[int] = (1, 32),
    *,
    training: bool = True,
    seconds: float = 1.0,
    warmup: int = 3,
    sample: Mapping[str, Any] | None = None,
) -> Benchmark:
    """Measure predictions and training steps of a model like this one, which stays as it is.

    Each kind and size runs ``warmup`` steps that are not measured (the first traces its graph), then for
    ``seconds``, five steps at least. Inputs are random numbers, or the arrays of a ``sample`` batch by name
    over and over. TypeError for what is no KerasModel; ValueError for sizes that are none, shapes that are
    not known, and a training without a loss.
    """
    sizes = _check(batch_sizes, seconds, warmup)
    describe_model(model)
    table = tabulate_layers(model)
    gpu = _is_on_gpu(model)
    meter = PeakMeter(gpu)
    copy = make_model(model)
    precision = _find_precision(copy)
    peak = measure_peak(precision, gpu)
    counted = None if table.uncounted else table.operations
    kinds: tuple[Kind, ...] = ("predict", "train") if training else ("predict",)
    timings = []
    for kind in kinds:
        for size in sizes:
            batch = make_batch(copy, size, kind == "train", sample)
            step = _make_step(copy, kind, batch)
            meter.restart()
            times = _time(step, warmup, seconds)
            work = None if counted is None else counted * _OPERATIONS[kind] * size
            timings.append(_summarize(kind, size, times, work, peak, meter.read()))
    weights = sum(math.prod(item.shape) * np.dtype(item.dtype).itemsize for item in copy.network.weights)
    device = "GPU" if gpu else "CPU"
    return Benchmark(
        copy.name,
        device,
        precision,
        table.parameters,
        weights,
        counted,
        peak,
        tuple(timings),
        table.uncounted,
    )


def _summarize(
    kind: Kind, size: int, times: Sequence[float], work: float | None, peak: float, memory: int | None
) -> Timing:
    """Return what steps of one kind and size took; ``work`` are the operations of one, if they are known."""
    latency = float(np.median(times))
    speed = None if work is None else work / latency
    share = None if speed is None else speed / peak
    slow = float(np.percentile(times, 90))
    return Timing(kind, size, len(times), latency, slow, size / latency, speed, share, memory)


@dataclass(frozen=True, slots=True)
class Benchmarking:
    """``benchmark`` with its arguments, for a configuration."""

    batch_sizes: Sequence[int] = (1, 32)
    training: bool = True
    seconds: float = 1.0
    warmup: int = 3

    def inspect(self, model: Any) -> Benchmark:
        """Measure a model."""
        how: dict[str, Any] = {"training": self.training, "seconds": self.seconds, "warmup": self.warmup}
        return benchmark(model, self.batch_sizes, **how)


def measure_peak(precision: str = "float32", gpu: bool = False) -> float:
    """Return the multiply-adds a second that this process reaches at best, in a precision.

    The most of a product of two square matrices and of a 3x3 convolution, the fastest of five runs of each.
    """
    tf = tensorflow()
    side, images = (_SIDE_ON_GPU, 256) if gpu else (_SIDE, 8)
    size, channels = 56, 64
    square, maps, kernel = (
        tf.cast(tf.random.stateless_uniform(shape, (0, 1)), precision)
        for shape in ((side, side), (images, size, size, channels), (3, 3, channels, channels))
    )
    product = tf.function(lambda x: tf.reduce_sum(tf.matmul(x, square)[:1]), autograph=False)
    convolution = tf.function(
        lambda x: tf.reduce_sum(tf.nn.conv2d(x, kernel, 1, "SAME")[:1, :1]), autograph=False
    )
    return max(
        side**3 / min(_time(lambda: product(square).numpy(), 1, 0)),
        images * size**2 * 9 * channels**2 / min(_time(lambda: convolution(maps).numpy(), 1, 0)),
    )


def _check(batch_sizes: Sequence[int], seconds: float, warmup: int) -> list[int]:
    sizes: list[Any] = [batch_sizes] if isinstance(batch_sizes, int) else list(batch_sizes)
    wrong = [size for size in sizes if isinstance(size, bool) or not isinstance(size, int) or size < 1]
    if wrong or not sizes:
        raise ValueError(f"benchmark: batch_sizes are whole numbers from 1 on, got {batch_sizes!r}")
    if not seconds > 0:
        raise ValueError(f"benchmark: seconds is a number above 0, got {seconds!r}")
    if isinstance(warmup, bool) or not isinstance(warmup, int) or warmup < 1:
        raise ValueError(f"benchmark: warmup is a whole number from 1 on, got {warmup!r}")
    return sizes


def _is_on_gpu(model: KerasModel) -> bool:
    device = (model.spec.device or "").lower().lstrip("/")
    return not device.startswith("cpu") and bool(tensorflow().config.list_logical_devices("GPU"))


def _find_precision(model: KerasModel) -> str:
    """Return the dtype that the layers compute in."""
    found = [layer.compute_dtype for layer in model.network.layers if layer.weights]
    return str(found[0]) if found else "float32"


def _make_step(model: KerasModel, kind: Kind, batch: Mapping[str, Any]) -> Callable[[], Any]:
    if kind == "train":
        return lambda: model.train(feed_dict=batch, fetches="loss")
    given = {name: batch[name] for name in model.spec.input_names}
    return lambda: model.predict(feed_dict=given)


def _time(step: Callable[[], Any], warmup: int, seconds: float, least: int = 5) -> list[float]:
    for _ in range(warmup):
        step()
    times: list[float] = []
    while len(times) < least or sum(times) < seconds:
        began = time.perf_counter()
        step()
        times.append(time.perf_counter() - began)
    return times
