"""Building blocks, each a part of a network: by letters, attention, context, upsampling."""

from bf_models.blocks.attention import CBAM, SelfAttention2D, SpatialSqueezeExcite, SqueezeExcite
from bf_models.blocks.context import ASPP, PyramidPooling
from bf_models.blocks.conv_block import Chain, ConvBlock
from bf_models.blocks.letters import LETTERS
from bf_models.blocks.upsample import Upsample

__all__ = [
    "ASPP",
    "CBAM",
    "LETTERS",
    "Chain",
    "ConvBlock",
    "PyramidPooling",
    "SelfAttention2D",
    "SpatialSqueezeExcite",
    "SqueezeExcite",
    "Upsample",
]
