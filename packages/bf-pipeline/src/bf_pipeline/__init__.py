"""BatchFlow pipelines: actions recorded as a value, bound to data with every mistake reported, and run."""

from bf_batch import SkipBatch, StopPipeline
from bf_pipeline.errors import BindError, SkippedBatches
from bf_pipeline.expressions.base import Expr
from bf_pipeline.expressions.named import B, C, D, F, I, L, M, V, W, Where
from bf_pipeline.expressions.random import PP, P, R
from bf_pipeline.model import Metrics, Model
from bf_pipeline.pipeline import Pipeline, zip_batches
from bf_pipeline.run.checkpoint.files import CorruptCheckpoint
from bf_pipeline.run.run import Batches, Run
from bf_pipeline.samplers import (
    ConstantSampler,
    HistogramSampler,
    HistoSampler,
    NumpySampler,
    Sampler,
    ScipySampler,
    concatenate,
)
from bf_pipeline.yaml import build, register_resolvers

__all__ = [
    "PP",
    "B",
    "Batches",
    "BindError",
    "C",
    "ConstantSampler",
    "CorruptCheckpoint",
    "D",
    "Expr",
    "F",
    "HistoSampler",
    "HistogramSampler",
    "I",
    "L",
    "M",
    "Metrics",
    "Model",
    "NumpySampler",
    "P",
    "Pipeline",
    "R",
    "Run",
    "Sampler",
    "ScipySampler",
    "SkipBatch",
    "SkippedBatches",
    "StopPipeline",
    "V",
    "W",
    "Where",
    "build",
    "concatenate",
    "register_resolvers",
    "zip_batches",
]
