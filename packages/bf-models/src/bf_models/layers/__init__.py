"""Keras layers that the zoo needs and Keras lacks; importing this package loads TensorFlow."""

from bf_models.layers.attention import ClassToken, PositionEmbedding, SelfAttention
from bf_models.layers.depth import LayerScale, StochasticDepth
from bf_models.layers.norm import BatchNorm
from bf_models.layers.pooling import AdaptiveAveragePool

__all__ = [
    "AdaptiveAveragePool",
    "BatchNorm",
    "ClassToken",
    "LayerScale",
    "PositionEmbedding",
    "SelfAttention",
    "StochasticDepth",
]
