"""Keras layers that the zoo needs and Keras lacks; importing this package loads TensorFlow."""

from bf_models.layers.channels import (
    AdaptiveAveragePool,
    ChannelStatistics,
    DropBlock,
    GroupMax,
    GroupSum,
    SoftSum,
    Subpixel,
)
from bf_models.layers.depth import LayerScale, StochasticDepth
from bf_models.layers.norm import BatchNorm
from bf_models.layers.vit import ClassToken, PositionEmbedding, SelfAttention

__all__ = [
    "AdaptiveAveragePool",
    "BatchNorm",
    "ChannelStatistics",
    "ClassToken",
    "DropBlock",
    "GroupMax",
    "GroupSum",
    "LayerScale",
    "PositionEmbedding",
    "SelfAttention",
    "SoftSum",
    "StochasticDepth",
    "Subpixel",
]
