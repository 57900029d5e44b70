"""FCN, DeepLab v3 and LR-ASPP as torchvision has them, under its names.

Long et al. 2014 (arXiv:1411.4038), Chen et al. 2017 (arXiv:1706.05587), Howard et al. 2019
(arXiv:1905.02244). The last strides of their encoders are dilations: maps are an eighth of the image (ResNet)
or a sixteenth (MobileNet).
"""

from __future__ import annotations

from dataclasses import dataclass

from bf_models._backend import keras
from bf_models.nn import Common, Net, Tensor
from bf_models.zoo.segmentation.encoder import Encoder
from bf_models.zoo.segmentation.segmenter import Segmenter, resize_like, restore_size

_RESNET = {"dilated": 2}
_MOBILE = {"dilated": 3}
_BACKBONE, _FEATURES = ("", "backbone."), ("features.", "backbone.")


@dataclass(frozen=True, slots=True)
class DilatedBody:
    """The last map of an encoder, and ``low``, the name of a layer whose map the head reads too."""

    encoder: Encoder = Encoder("resnet50", body=_RESNET, prefix=_BACKBONE)  # noqa: RUF009
    low: str | None = None

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H, W, C) into (N, H/8, W/8, channels)."""
        net.kept["images"] = x
        last, maps = self.encoder.run(x, net)
        if self.low is not None:
            net.kept["low"] = maps[self.low]
        return last


@dataclass(frozen=True, slots=True)
class FCNHead:
    """A 3x3 convolution to a quarter of the channels, and the logits of each place."""

    dropout: float = 0.1

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H/8, W/8, C) into logits (N, H, W, classes)."""
        x = net.conv_norm(x, x.shape[-1] // 4, 3, names=("classifier.0", "classifier.1"))
        x = net.dropout(net.act(x, "classifier.2", "relu"), self.dropout, "classifier.3")
        return restore_size(net.conv(x, net.known_classes, 1, name="classifier.4", bias=True), net)


@dataclass(frozen=True, slots=True)
class DeepLabHead:
    """Dilated convolutions side by side and the mean of the map, a 3x3 convolution, logits of each place."""

    rates: tuple[int, ...] = (12, 24, 36)
    filters: int = 256
    dropout: float = 0.5

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H/8, W/8, C) into logits (N, H, W, classes)."""
        x = self._pyramid(x, net, "classifier.0")
        x = net.conv_norm(x, self.filters, 3, names=("classifier.1", "classifier.2"))
        x = net.act(x, "classifier.3", "relu")
        return restore_size(net.conv(x, net.known_classes, 1, name="classifier.4", bias=True), net)

    def _pyramid(self, x: Tensor, net: Net, name: str) -> Tensor:
        branches = [net.conv_act(x, self.filters, 1, name=f"{name}.convs.0", act="relu")]
        for number, rate in enumerate(self.rates, 1):
            own = f"{name}.convs.{number}"
            branches.append(net.conv_act(x, self.filters, 3, name=own, act="relu", dilation=rate))
        own = f"{name}.convs.{len(self.rates) + 1}"
        mean = keras().layers.GlobalAveragePooling2D(keepdims=True, name=f"{own}.0")(x)
        mean = net.conv_norm(mean, self.filters, 1, names=(f"{own}.1", f"{own}.2"))
        branches.append(resize_like(net.act(mean, f"{own}.3", "relu"), x, f"{own}.resized", "nearest"))
        x = net.concat(branches, f"{name}.concat")
        x = net.conv_act(x, self.filters, 1, name=f"{name}.project", act="relu")
        return net.dropout(x, self.dropout, f"{name}.project.3")


@dataclass(frozen=True, slots=True)
class LRASPPHead:
    """The last map weighed by its mean, and the logits of it and of a larger map summed."""

    filters: int = 128

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Turn (N, H/16, W/16, C) into logits (N, H, W, classes)."""
        mean = keras().layers.GlobalAveragePooling2D(keepdims=True, name="classifier.scale.0")(x)
        mean = net.conv(mean, self.filters, 1, name="classifier.scale.1")
        mean = net.act(mean, "classifier.scale.2", "sigmoid")
        x = net.conv_act(x, self.filters, 1, name="classifier.cbr", act="relu")
        x = keras().layers.Multiply(name="classifier.scaled")([x, mean])
        low, classes = net.kept["low"], net.known_classes
        x = resize_like(x, low, "classifier.resized")
        low = net.conv(low, classes, 1, name="classifier.low_classifier", bias=True)
        high = net.conv(x, classes, 1, name="classifier.high_classifier", bias=True)
        return restore_size(net.add(low, high, "classifier.sum"), net)


_MOBILE_ENCODER = Encoder("mobilenetv3large", body=_MOBILE, prefix=_FEATURES)
# torchvision leaves what stands behind its encoders as torch's layers start
_COMMON = Common(conv_init="torch", conv_bias="torch")


class FCNResNet50(Segmenter):
    """FCN with ResNet-50: 32,957,013 parameters for 3 channels, 21 classes."""

    body = DilatedBody()
    head = FCNHead()
    common = _COMMON


class FCNResNet101(Segmenter):
    """FCN with ResNet-101: 51,949,141 parameters for 3 channels, 21 classes."""

    body = DilatedBody(Encoder("resnet101", body=_RESNET, prefix=_BACKBONE))
    head = FCNHead()
    common = _COMMON


class DeepLabV3ResNet50(Segmenter):
    """DeepLab v3 with ResNet-50: 39,638,869 parameters for 3 channels, 21 classes."""

    body = DilatedBody()
    head = DeepLabHead()
    common = _COMMON


class DeepLabV3ResNet101(Segmenter):
    """DeepLab v3 with ResNet-101: 58,630,997 parameters for 3 channels, 21 classes."""

    body = DilatedBody(Encoder("resnet101", body=_RESNET, prefix=_BACKBONE))
    head = DeepLabHead()
    common = _COMMON


class DeepLabV3MobileNetV3(Segmenter):
    """DeepLab v3 with MobileNet v3 large: 11,025,477 parameters for 3 channels, 21 classes."""

    body = DilatedBody(_MOBILE_ENCODER)
    head = DeepLabHead()
    common = _COMMON


class LRASPPMobileNetV3(Segmenter):
    """LR-ASPP with MobileNet v3 large: 3,221,538 parameters for 3 channels, 21 classes."""

    body = DilatedBody(_MOBILE_ENCODER, low="features.4.block.3.1")
    head = LRASPPHead()
    common = _COMMON
