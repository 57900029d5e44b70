"""Vision transformer (Dosovitskiy et al. 2020, arXiv:2010.11929) as torchvision has it.

Sizes must be known.
"""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.model import KerasModel
from bf_models.nn import Common, Net, Tensor


@dataclass(frozen=True, slots=True)
class ViTStem:
    """Patches as tokens, a class token before them, places added; ``small``: patches of 4x4 pixels."""

    patch: int = 16
    width: int = 768

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, number of patches + 1, width)."""
        from bf_models.layers import ClassToken, PositionEmbedding  # late: loads TensorFlow

        patch = 4 if net.small else self.patch
        x = net.conv(x, self.width, patch, patch, name="conv_proj", padding=0, bias=True)
        if None in x.shape[1:3]:
            raise ValueError(
                f"{net.name}: a vision transformer needs the size of images; set inputs/images/shape"
            )
        x = keras().layers.Reshape((x.shape[1] * x.shape[2], self.width), name="tokens")(x)
        return PositionEmbedding(name="encoder.pos_embedding")(ClassToken(name="class_token")(x))


@dataclass(frozen=True, slots=True)
class ViTBody:
    """Blocks of self-attention and a perceptron, each on normalised tokens."""

    depth: int = 12
    heads: int = 12
    hidden: int = 3072
    dropout: float = 0.0

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, L, width) into (N, L, width)."""
        for number in range(self.depth):
            x = self._block(x, net, f"encoder.layers.encoder_layer_{number}")
        return net.layer_norm(x, "encoder.ln")

    def _block(self, x: Tensor, net: Net, name: str) -> Tensor:
        from bf_models.layers import SelfAttention  # late: loads TensorFlow

        y = SelfAttention(self.heads, name=f"{name}.self_attention")(net.layer_norm(x, f"{name}.ln_1"))
        x = net.add(x, net.dropout(y, self.dropout, f"{name}.dropout"), f"{name}.attended")
        y = net.dense(net.layer_norm(x, f"{name}.ln_2"), self.hidden, name=f"{name}.mlp.0", bias_init=1e-6)
        y = net.dropout(net.act(y, f"{name}.mlp.1"), self.dropout, f"{name}.mlp.2")
        y = net.dense(y, x.shape[-1], name=f"{name}.mlp.3", bias_init=1e-6)
        return net.add(x, net.dropout(y, self.dropout, f"{name}.mlp.4"), name)


@dataclass(frozen=True, slots=True)
class ViTHead:
    """A dense layer on the class token."""

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Return logits (N, classes)."""
        return net.logits(x[:, 0], "heads.head", init="zeros", bias_init="zeros")


class ViT(KerasModel):
    """Base of the family."""

    initial_block = ViTStem()
    body = ViTBody()
    head = ViTHead()
    common = Common("gelu", conv_init="lecun", dense_init="glorot")


class ViTB16(ViT):
    """ViT-B/16: 86,567,656 parameters for 1000 classes."""


class ViTB32(ViT):
    """ViT-B/32: 88,224,232 parameters for 1000 classes."""

    initial_block = ViTStem(32)


class ViTS16(ViT):
    """ViT-S/16: 22,050,664 parameters for 1000 classes."""

    initial_block = ViTStem(16, 384)
    body = ViTBody(heads=6, hidden=1536)
