"""Keras layers that the zoo needs and Keras lacks; importing this package loads TensorFlow."""

from bf_models.layers.channels import (
    AdaptiveAveragePool,
    ChannelStatistics,
    DropBlock,
    GroupMax,
    GroupSum,
    LayerScale,
    SoftSum,
    StochasticDepth,
    Subpixel,
)
from bf_models.layers.conv import Conv2D
from bf_models.layers.norm import BatchNorm
from bf_models.layers.sampling import SampleNormal
from bf_models.layers.sizes import CropLike, PadToMultiple, ResizeLike
from bf_models.layers.vit import ClassToken, PositionEmbedding, SelfAttention

__all__ = [
    "AdaptiveAveragePool",
    "BatchNorm",
    "ChannelStatistics",
    "ClassToken",
    "Conv2D",
    "CropLike",
    "DropBlock",
    "GroupMax",
    "GroupSum",
    "LayerScale",
    "PadToMultiple",
    "PositionEmbedding",
    "ResizeLike",
    "SampleNormal",
    "SelfAttention",
    "SoftSum",
    "StochasticDepth",
    "Subpixel",
]
