"""Losses of what is told again: numbers of an item given what stands for it, and the price of that."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from bf_models._backend import tensorflow
from bf_models.errors import unknown
from bf_models.losses.weighing import multiply

Likelihood: TypeAlias = Literal["bernoulli", "gaussian"]
_LIKELIHOODS: Mapping[str, tuple[str, ...]] = {"bernoulli": (), "gaussian": ("deviation",)}
#: The layer of mean and logarithm of the variance, (N, 2 * latent).
POSTERIOR = "posterior"


def _sum_items(values: Any, sample_weight: Any) -> Any:
    """Return the mean over items of sums over their places, weighted by items or by places."""
    tf = tensorflow()
    values = multiply(values, sample_weight)
    return tf.reduce_mean(tf.reduce_sum(tf.reshape(values, [tf.shape(values)[0], -1]), -1))


class Bernoulli:
    """Minus the log-likelihood of numbers from 0 to 1, in nats an item: cross-entropy summed over places.

    Outputs (N, ...) are logits, of the shape of the targets.
    """

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None) -> Any:
        """Return the mean over items, weighted if weights (N,) or (N, ...) are given."""
        tf = tensorflow()
        targets = tf.cast(targets, outputs.dtype)
        return _sum_items(
            tf.nn.sigmoid_cross_entropy_with_logits(labels=targets, logits=outputs), sample_weight
        )


class Gaussian:
    """Minus the log-likelihood of numbers around the outputs, in nats an item, summed over places.

    ``deviation`` is that of the noise, in the unit of the targets; constants are counted.
    """

    def __init__(self, deviation: float = 1.0) -> None:
        if isinstance(deviation, bool) or not isinstance(deviation, int | float) or not deviation > 0:
            raise ValueError(f"loss gaussian: deviation is a number above 0, got {deviation!r}")
        self.deviation = float(deviation)

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None) -> Any:
        """Return the mean over items, weighted if weights (N,) or (N, ...) are given."""
        tf = tensorflow()
        away = (tf.cast(targets, outputs.dtype) - outputs) / self.deviation
        constant = math.log(self.deviation) + 0.5 * math.log(2 * math.pi)
        return _sum_items(0.5 * tf.square(away) + constant, sample_weight)


class GaussianKL:
    """Divergence of normal distributions from the standard one, in nats an item (Kingma and Welling 2013).

    Outputs (N, 2 * latent) are means and logarithms of variances: half the sum of mean^2 + variance - 1 -
    log(variance). Targets take no part.
    """

    def __call__(self, targets: Any, outputs: Any, sample_weight: Any = None) -> Any:
        """Return the mean over items, weighted if weights (N,) are given."""
        tf = tensorflow()
        if outputs.shape.rank != 2 or outputs.shape[-1] % 2:
            raise ValueError(
                f"loss kl: outputs are means and logarithms of variances, (N, 2 * latent), got the shape "
                f"{tuple(outputs.shape)}; name the layer that has them by 'output'"
            )
        mean, log_variance = tf.split(outputs, 2, -1)
        terms = tf.square(mean) + tf.exp(log_variance) - 1.0 - log_variance
        return tf.reduce_mean(multiply(0.5 * tf.reduce_sum(terms, -1), sample_weight))


def split_evidence(options: Mapping[str, Any], owner: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the two terms of ``{name: elbo, likelihood: bernoulli, beta: 1}``, minus the evidence bound.

    They are the likelihood of the targets and, times ``beta`` (Higgins et al. 2017), the divergence of the
    layer ``posterior``. ``likelihood`` gaussian takes ``deviation``; ``weight`` and ``target`` are those of
    any term.
    """
    given = {name: value for name, value in options.items() if name != "name"}
    likelihood, beta = given.pop("likelihood", "bernoulli"), given.pop("beta", 1.0)
    if likelihood not in _LIKELIHOODS:
        raise ValueError(unknown("likelihood", str(likelihood), _LIKELIHOODS, f"{owner}: loss elbo"))
    if isinstance(beta, bool) or not isinstance(beta, int | float) or not 0 <= beta < math.inf:
        raise ValueError(f"{owner}: loss elbo: beta is a number from 0 on, got {beta!r}")
    known = ("weight", "target", *_LIKELIHOODS[likelihood])
    for name in given:
        if name not in known:
            raise TypeError(
                unknown("argument of the loss", name, ("likelihood", "beta", *known), f"{owner}: loss elbo")
            )
    price = {"name": "kl", "output": POSTERIOR, "weight": beta * given.get("weight", 1.0)}
    if "target" in given:
        price["target"] = given["target"]
    return {**given, "name": likelihood}, price
