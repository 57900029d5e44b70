"""Autoencoders: networks that learn to tell items again from a code of a few numbers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import numpy as np

from bf_index.seeding import rng_at
from bf_models._backend import keras
from bf_models.losses.terms import LossTerm
from bf_models.model import KerasModel
from bf_models.nn import Common, Identity, Part
from bf_models.training.fetches import Fetches, list_names
from bf_models.zoo.generative.code import LATENT, LOGITS, CodeBody, Decoder, VariationalBody

_SIGMOID = "sigmoid"
_PRICE = "GaussianKL"
_BATCH = 256


class AutoEncoder(KerasModel):
    """Autoencoder of two convolutions and a layer: 878,641 parameters for 28x28x1, a code of 16 numbers.

    Predictions are the items told again, of the shape and in the unit of the inputs, with which they are
    compared unless there are targets. Losses are those of numbers: ``mse``, ``mae``, ``gaussian``, or
    ``bernoulli`` for items from 0 to 1, which the last layer then stays within.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"loss": "mse"}
    common: ClassVar[Common] = Common(conv_init="he_in")
    initial_block: ClassVar[Part] = Identity()
    body: ClassVar[Part] = CodeBody()
    head: ClassVar[Part] = Decoder()

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        super().__init__(config)
        self._check_losses()
        head = self._parts["head"]
        if isinstance(head, Decoder) and any(term.meaning == "intensities" for term in self._losses):
            if head.activation not in (None, _SIGMOID):
                raise ValueError(
                    f"{self.name}: loss Bernoulli is of shares from 0 to 1, which head.activation "
                    f"{head.activation!r} does not give; leave it out"
                )
            self._parts["head"] = replace(head, activation=_SIGMOID)
            self._losses = tuple(_read_logits(term) for term in self._losses)

    def _check_losses(self) -> None:
        for term in self._losses:
            if not term.of_numbers and term.meaning != "own":
                raise ValueError(
                    f"{self.name}: loss {term.name} is of classes, and an item that is told again has "
                    "numbers: 'mse', 'mae', 'gaussian', or 'bernoulli' for numbers from 0 to 1 "
                    "(task=reconstruction on the command line)"
                )
        priced = any(term.name == _PRICE for term in self._losses)
        draws = isinstance(self._parts["body"], VariationalBody)
        if priced and not draws:
            raise ValueError(
                f"{self.name}: loss elbo, or kl, is of a distribution of codes, and its body has none; take "
                "the model VAE, or another loss such as 'mse'"
            )
        if draws and self._losses and not priced:
            raise ValueError(
                f"{self.name}: loss {self._losses[0].name} alone lets the distribution of codes shrink to "
                "points; take 'elbo', {name: elbo, likelihood: gaussian}, or beside it {name: kl, output: "
                "posterior} (task=variational on the command line)"
            )

    def _count_outputs(self, batch: Mapping[str, Any], shapes: Mapping[str, Any]) -> int | None:
        """Return None: outputs have the shape of the inputs, and no classes."""
        return None

    def train(self, inputs: Any = None, targets: Any = None, **more: Any) -> Any:
        """Make one training step, as ``KerasModel.train``; arrays without targets are their own."""
        return super().train(inputs, _choose_targets(inputs, targets), **more)

    def predict(
        self, inputs: Any = None, targets: Any = None, *, fetches: Fetches = "predictions", **more: Any
    ) -> Any:
        """Return the items told again, or what ``fetches`` name, of which ``latent`` are the codes.

        As ``KerasModel.predict``; for a ``loss`` arrays without targets are their own.
        """
        if "loss" in list_names(fetches):
            targets = _choose_targets(inputs, targets)
        return super().predict(inputs, targets, fetches=fetches, **more)

    def encode(self, inputs: Any, *, batch_size: int = _BATCH) -> np.ndarray:
        """Return the codes (N, latent), float32, of items; of a distribution their means."""
        parts = [self.predict(part, fetches=LATENT) for part in _cut(inputs, batch_size, self.name)]
        return np.concatenate(parts)

    def decode(self, codes: Any, *, batch_size: int = _BATCH) -> np.ndarray:
        """Return the items (N, ...), float32, that codes (N, latent) stand for; ValueError for others."""
        network = self.averaged_network
        latent = network.get_layer(LATENT).output
        codes = np.asarray(codes, np.float32)
        if codes.ndim != 2 or codes.shape[1] != latent.shape[-1]:
            raise ValueError(
                f"{self.name}.decode: codes have the shape (N, {latent.shape[-1]}), got {codes.shape}"
            )
        with self._lock:
            half = keras().Model(latent, network.outputs[0])
            return np.concatenate(
                [np.asarray(half(part, training=False)) for part in _cut(codes, batch_size, self.name)]
            )


class VAE(AutoEncoder):
    """Variational autoencoder (Kingma and Welling 2013): 880,705 parameters for 28x28x1, codes of 16 numbers.

    Its loss is minus the evidence bound, in nats an item: ``{name: elbo, likelihood: bernoulli, beta: 1}``.
    Training draws a code from the distribution of each item, by a stream that is seeded and saved with the
    weights; predictions, and the loss in ``predict``, are those of the mean.
    """

    defaults: ClassVar[Mapping[str, Any]] = {"loss": "elbo"}
    body: ClassVar[Part] = VariationalBody()

    def sample(self, count: int, *, seed: int = 0, batch_size: int = _BATCH) -> np.ndarray:
        """Return new items (count, ...), float32, of codes drawn from the standard normal distribution."""
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise ValueError(f"{self.name}.sample: count is a number from 1 on, got {count!r}")
        latent = self.network.get_layer(LATENT).output.shape[-1]
        return self.decode(rng_at(seed).standard_normal((count, latent)), batch_size=batch_size)


def _choose_targets(inputs: Any, targets: Any) -> Any:
    """Return the inputs where there are no targets; what is fed by names says its targets itself."""
    return inputs if targets is None and not isinstance(inputs, Mapping) else targets


def _read_logits(term: LossTerm) -> LossTerm:
    """Return a term that takes logits where it would have taken shares."""
    chosen = term.meaning == "intensities" and term.output is None
    return replace(term, output=LOGITS) if chosen else term


def _cut(arrays: Any, size: int, owner: str) -> Iterator[Any]:
    """Yield parts of at most ``size`` items; ValueError where there are none."""
    if not len(arrays):
        raise ValueError(f"{owner}: there are no items")
    return (arrays[start : start + size] for start in range(0, len(arrays), size))
