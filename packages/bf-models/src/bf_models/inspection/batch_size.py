"""The largest batch that fits into memory, by doubling and bisection."""

from __future__ import annotations

import contextlib
import dataclasses
import logging
import multiprocessing
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from bf_models._backend import tensorflow
from bf_models.inspection.memory import find_free_memory, read_status
from bf_models.inspection.samples import describe_model, make_batch, make_model
from bf_models.model import KerasModel

log = logging.getLogger(__name__)

#: The share of what is free that is taken where no limit is given.
_SHARE = 0.9
_LOOK_EVERY, _END_WAIT = 0.01, 10.0
#: Bytes of address space that may be asked for beyond the limit before the process is refused more.
_SLACK = 1 << 28


@dataclass(frozen=True, slots=True)
class FoundBatchSize:
    """The largest batch that fits, and each size that was tried.

    ``size`` is 0 where not even one item fits; ``next`` is the least size that was found too large, None
    where the largest that was asked for fits. ``limit`` is in bytes, None on a GPU, whose whole memory it is.
    ``tried`` has by the size the peak in bytes, None for one that did not fit or whose peak is not told.
    """

    size: int
    next: int | None
    limit: int | None
    training: bool
    tried: Mapping[int, int | None]

    def to_dict(self) -> dict[str, Any]:
        """Return all of it as plain values; sizes are texts, as in JSON."""
        tried = {str(size): peak for size, peak in self.tried.items()}
        return {**dataclasses.asdict(self), "tried": tried}

    def list_metrics(self) -> dict[str, float]:
        """Return the numbers by name, as a tracker logs them."""
        limit = {} if self.limit is None else {"limit": float(self.limit)}
        return {"size": float(self.size), **limit}

    def __str__(self) -> str:
        work = "training steps" if self.training else "predictions"
        within = "the memory of the GPU" if self.limit is None else f"{self.limit / 2**20:,.0f} MiB"
        lines = [f"the largest batch for {work} within {within}: {self.size}"]
        if self.next is not None:
            lines[0] += f" ({self.next} is too large)"
        for size, peak in sorted(self.tried.items()):
            fits = size <= self.size
            told = "" if peak is None else f", at most {peak / 2**20:,.0f} MiB"
            lines.append(f"{size:>8,}  {'fits' if fits else 'does not fit'}{told}")
        return "\n".join(lines)


def find_batch_size(
    model: Any,
    limit: int | None = None,
    *,
    training: bool = True,
    most: int = 65_536,
    exact: bool = False,
    sample: Mapping[str, Any] | None = None,
) -> FoundBatchSize:
    """Find the largest batch whose training step, or prediction, fits into memory.

    It doubles from one item until something does not fit, then bisects to within an eighth, or to the item
    with ``exact``. ``limit`` is in bytes, of all that a process with TensorFlow and this model takes; by
    default nine tenths of what is free, on the machine or in its cgroup. On a CPU steps run in a process of
    their own, which is ended when it goes beyond the limit, so that a lack of memory takes nothing else
    down; its script must be importable, as ``multiprocessing`` asks. On a GPU they run here on a copy of the
    model. Leave room for the data that is loaded beside a training. ``sample`` is a batch by name, else
    inputs are random. TypeError and ValueError for what can't be tried, OSError where nothing tells memory.
    """
    _check(limit, most)
    cls, config = describe_model(model)
    make_targets = training and sample is None
    if make_targets and not model.spec.loss:
        raise ValueError(f"{model.name}: a model without a loss cannot be trained; give training=False")
    if _uses_gpu(model):
        if limit is not None:
            raise ValueError("find_batch_size: a GPU's limit is its memory; limit is for a CPU")
        return _search(_try_here(model, training, sample), None, training, most, exact)
    if limit is None:
        free = find_free_memory()
        if free is None:
            raise OSError("this machine does not tell how much memory is free; give limit= in bytes")
        limit = int(free * _SHARE)
    if read_status("VmRSS") is None:
        raise OSError("the memory of a process is read from /proc, which this system lacks")
    with _Trials(cls, config, limit, training, sample) as trials:
        return _search(trials.attempt, limit, training, most, exact)


@dataclass(frozen=True, slots=True)
class BatchSizeSearch:
    """``find_batch_size`` with its arguments, for a configuration."""

    limit: int | None = None
    training: bool = True
    most: int = 65_536
    exact: bool = False

    def inspect(self, model: Any) -> FoundBatchSize:
        """Find the size for a model."""
        return find_batch_size(model, self.limit, training=self.training, most=self.most, exact=self.exact)


def _check(limit: Any, most: Any) -> None:
    for name, value in (("limit", limit), ("most", most)):
        whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
        if value is not None and not (whole and value >= 1):
            raise ValueError(f"find_batch_size: {name} is a whole number from 1 on, got {value!r}")


def _uses_gpu(model: KerasModel) -> bool:
    device = (model.spec.device or "").lower().lstrip("/")
    return not device.startswith("cpu") and bool(tensorflow().config.list_physical_devices("GPU"))


#: Whether a batch of a size fits, and its peak in bytes.
Attempt = Callable[[int], tuple[bool, int | None]]


def _search(attempt: Attempt, limit: int | None, training: bool, most: int, exact: bool) -> FoundBatchSize:
    """Double and bisect; fewer sizes that do not fit are tried than those that do."""
    tried: dict[int, int | None] = {}

    def fits(size: int) -> bool:
        good, tried[size] = attempt(size)
        log.info("find_batch_size: a batch of %d %s", size, "fits" if good else "does not fit")
        return good

    low, high = 0, None
    while high is None and low < most:
        size = min(max(2 * low, 1), most)
        if fits(size):
            low = size
        else:
            high = size
    while high is not None and high - low > (1 if exact else max(1, low // 8)):
        middle = (low + high) // 2
        low, high = (middle, high) if fits(middle) else (low, middle)
    return FoundBatchSize(low, high, limit, training, tried)


def _try_here(model: Any, training: bool, sample: Mapping[str, Any] | None) -> Attempt:
    copy = make_model(model)

    def attempt(size: int) -> tuple[bool, int | None]:
        try:
            step(copy, size, training, sample)
        except MemoryError:
            return False, None
        return True, int(tensorflow().config.experimental.get_memory_info("GPU:0")["peak"])

    return attempt


def step(model: KerasModel, size: int, training: bool, sample: Mapping[str, Any] | None) -> None:
    """Make two steps on a batch; the second has all that the first one left behind."""
    batch = make_batch(model, size, training, sample)
    for _ in range(2):
        if training:
            model.train(feed_dict=batch, fetches="loss")
        else:
            model.predict(feed_dict={name: batch[name] for name in model.spec.input_names})


class _Trials:
    """Steps in a process of their own, begun anew after a size that did not fit."""

    def __init__(self, cls: type[KerasModel], *how: Any) -> None:
        config, self._limit, training, sample = how
        self._arguments = (cls, config, self._limit, training, sample)
        self._process: Any = None
        self._pipe: Any = None

    def __enter__(self) -> _Trials:
        return self

    def __exit__(self, *error: object) -> None:
        self._end()

    def attempt(self, size: int) -> tuple[bool, int | None]:
        """Return whether a batch fits, and its peak."""
        if self._process is None:
            self._begin()
        with contextlib.suppress(OSError):  # it may have ended
            self._pipe.send(size)
        answer = self._wait()
        if isinstance(answer, BaseException):
            self._end()
            raise answer
        if answer is None or answer > self._limit:
            self._end()
            return False, None if answer is None else int(answer)
        return True, int(answer)

    def _begin(self) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, theirs = context.Pipe()
        self._process = context.Process(target=serve, args=(theirs, *self._arguments), daemon=True)
        self._process.start()
        theirs.close()

    def _wait(self) -> Any:
        """Return the peak, an error, or None for a process that went too far; it is ended there."""
        while not self._pipe.poll(_LOOK_EVERY):
            taken = read_status("VmRSS", self._process.pid)
            if taken is not None and taken > self._limit:
                return None
            if not self._process.is_alive() and not self._pipe.poll(0):
                return None
        try:
            return self._pipe.recv()
        except (EOFError, ConnectionError):
            return None

    def _end(self) -> None:
        if self._process is None:
            return
        self._process.kill()
        self._process.join(_END_WAIT)
        self._pipe.close()
        self._process = None


def serve(
    pipe: Any,
    cls: type[KerasModel],
    config: Mapping[str, Any],
    limit: int,
    training: bool,
    sample: Mapping[str, Any] | None,
) -> None:
    """Answer sizes by the peak of this process in bytes, None for a lack of memory, or by an error."""
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where memory lacks, this process is the one to end
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # C++ says there what the pipe tells
    model: KerasModel | None = None
    with contextlib.suppress(EOFError, ConnectionError):
        while True:
            size = pipe.recv()
            try:
                if model is None:
                    model = make_model(cls(config))
                    _bound(limit)
                step(model, size, training, sample)
                pipe.send(read_status("VmHWM"))
            except MemoryError:
                pipe.send(None)
            except Exception as error:  # noqa: BLE001 - raised where the size was asked for
                pipe.send(error)


def _bound(limit: int) -> None:
    """Have the system refuse memory beyond a limit, before a watcher could see it."""
    import resource

    held, taken = read_status("VmData") or 0, read_status("VmRSS") or 0
    most = held + max(limit - taken, 0) + _SLACK
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (most, hard))
