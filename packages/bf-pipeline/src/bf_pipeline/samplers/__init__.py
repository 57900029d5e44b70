"""Samplers: random values as an algebra of frozen values; all randomness comes with the call."""

from bf_pipeline.samplers.algebra import Sampler, concatenate
from bf_pipeline.samplers.distributions import (
    ConstantSampler,
    HistogramSampler,
    HistoSampler,
    NumpySampler,
    ScipySampler,
    as_sampler,
)

__all__ = [
    "ConstantSampler",
    "HistoSampler",
    "HistogramSampler",
    "NumpySampler",
    "Sampler",
    "ScipySampler",
    "as_sampler",
    "concatenate",
]
