"""Batches of signals: numbers over time, of one channel or several, and the label of each."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from os import PathLike
from typing import Any, Literal, Self, get_args

import numpy as np
from numpy.typing import NDArray

from bf_batch.actions import action
from bf_batch.batch import Batch
from bf_batch.itemwise.run import choose_items
from bf_batch.itemwise.work import PerItem
from bf_batch.transforms.normalizer import Normalizer, choose_normalizer

Number = float | PerItem
Origin = Literal["random", "center", "start"]
Signal = NDArray[Any]


class SignalsBatch(Batch):
    """Signals, ``signals`` (n, length, channels) or (n, length), with ``labels``.

    Signals of unequal length are a list of arrays (length, channels); ``crop`` and ``pad`` bring them to one.
    Augmenting actions take ``p``, the share of items that they change, and ``P(...)`` for one value an item.

    >>> batch = SignalsBatch(2, preloaded=([np.ones((5, 1)), np.ones((9, 1))], [0, 1]))
    >>> batch.crop(6, origin="start").pad(6).signals.shape
    (2, 6, 1)
    """

    components = "signals", "labels"

    @action
    def normalize(
        self,
        mean: float | Sequence[float] | None = None,
        std: float | Sequence[float] | None = None,
        *,
        by: Normalizer | Mapping[str, Any] | str | PathLike[str] | None = None,
    ) -> Self:
        """Replace signals by float32 ``(signal - mean) / std``; numbers are one for all or one a channel.

        ``by`` is a ``Normalizer``, its state or its file, in place of numbers.
        """
        normalizer = choose_normalizer(mean, std, by)

        def change(signal: Signal) -> Signal:
            return normalizer(signal[..., None])[..., 0] if signal.ndim == 1 else normalizer(signal)

        signals = self._read("normalize")
        ready = isinstance(signals, np.ndarray) and signals.dtype != object and signals.ndim == 3
        self.signals = normalizer(signals) if ready else _join([change(signal) for signal in signals])
        return self

    @action(itemwise=True)
    def noise(self, deviation: Number, *, p: Number = 1.0) -> Self:
        """Add Gauss noise of a deviation in the unit of the signals."""
        rng = self.rng()

        def change(signal: Signal, deviation: float) -> Signal:
            drawn = rng.standard_normal(signal.shape, np.float32)
            return np.asarray(signal + np.float32(deviation) * drawn, np.float32)

        return self._change("noise", change, p, deviation=deviation)

    @action(itemwise=True)
    def scale(self, factor: Number, *, p: Number = 1.0) -> Self:
        """Multiply signals by a factor."""
        return self._change(
            "scale",
            lambda signal, factor: np.asarray(signal * np.float32(factor), np.float32),
            p,
            factor=factor,
        )

    @action(itemwise=True)
    def shift(self, offset: Number, *, fill: float | Literal["wrap"] = "wrap", p: Number = 1.0) -> Self:
        """Move signals by so many values to later times; what leaves comes in again, or ``fill`` does."""
        if isinstance(fill, str) and fill != "wrap":
            raise ValueError(f"shift: fill is 'wrap' or a number, got {fill!r}")

        def change(signal: Signal, offset: float) -> Signal:
            steps = round(offset)
            moved = np.roll(signal, steps, axis=0)
            if fill != "wrap" and steps:
                moved[slice(0, steps) if steps > 0 else slice(steps, None)] = fill
            return moved

        return self._change("shift", change, p, offset=offset)

    @action
    def crop(self, length: int, *, origin: Origin = "random") -> Self:
        """Cut a piece of so many values out of each signal; shorter ones stay as they are."""
        _check_length(length, "crop")
        if origin not in get_args(Origin):
            raise ValueError(f"crop: origin is 'random', 'center' or 'start', got {origin!r}")
        rng = self.rng()
        cut = []
        for signal in self._read("crop"):
            room = max(0, len(signal) - length)
            first = {"start": 0, "center": room // 2}.get(origin)
            first = int(rng.integers(room + 1)) if first is None else first
            cut.append(signal[first : first + length])
        self.signals = _join(cut)
        return self

    @action
    def pad(self, length: int, *, fill: float = 0.0) -> Self:
        """Lengthen each signal to so many values by ``fill`` at its end; longer ones stay as they are."""
        _check_length(length, "pad")
        padded = []
        for signal in self._read("pad"):
            longer = [(0, max(0, length - len(signal))), *[(0, 0)] * (signal.ndim - 1)]
            padded.append(np.pad(signal, longer, constant_values=fill))
        self.signals = _join(padded)
        return self

    def _read(self, what: str) -> Any:
        signals = self.signals
        if signals is None:
            raise ValueError(f"{type(self).__name__}.{what}: component 'signals' is empty; load it first")
        if not isinstance(signals, np.ndarray) or signals.dtype == object:
            signals = [np.asarray(signal) for signal in signals]
        shapes = {signal.shape[1:] for signal in signals}
        if len(shapes) > 1 or any(len(shape) > 1 for shape in shapes):
            raise ValueError(
                f"{type(self).__name__}.{what}: signals are (length, channels) or (length,), all of one "
                f"number of channels, got items of shape {' and '.join(str(s.shape) for s in signals[:2])}"
            )
        return signals

    def _change(self, what: str, change: Callable[..., Signal], p: Number, **numbers: Number) -> Self:
        """Replace the chosen signals by what a function makes of each, with its own numbers."""
        signals, chosen = self._read(what), choose_items(self, None if p == 1 else p, len(self), what)
        of_items = {name: _spread(value, len(self), f"{what}: {name}") for name, value in numbers.items()}
        made = []
        for place, signal in enumerate(signals):
            taken = chosen is None or bool(np.broadcast_to(chosen, len(self))[place])
            own = {name: float(values[place]) for name, values in of_items.items()}
            made.append(change(signal, **own) if taken else signal)
        self.signals = _join(made)
        return self


def _join(signals: list[Signal]) -> Any:
    """Return signals as one array where all have one shape, else as the list that they are."""
    return np.stack(signals) if len({signal.shape for signal in signals}) == 1 else signals


def _spread(value: Number, n: int, what: str) -> NDArray[np.float64]:
    """Return a number for each item."""
    given = np.asarray(value.values if isinstance(value, PerItem) else value)
    if given.dtype.kind not in "iuf" or given.shape not in ((), (n,)):
        raise TypeError(f"{what}: got {value!r}; give a number, or P(...) for one an item")
    return np.broadcast_to(given.astype(np.float64), (n,))


def _check_length(length: Any, what: str) -> None:
    if isinstance(length, bool) or not isinstance(length, int | np.integer) or length < 1:
        raise ValueError(f"{what}: length is a whole number from 1 on, got {length!r}")
