"""Ready-to-use Keras models with one config; importing this package loads no TensorFlow."""

from bf_models.model import KerasModel
from bf_models.zoo import zoo_names
from bf_models.zoo.resnet import ResNet18, ResNet34, ResNet50, ResNet101, ResNet152
from bf_models.zoo.vgg import VGG7, VGG11, VGG11BN, VGG13, VGG13BN, VGG16, VGG16BN, VGG19, VGG19BN

__all__ = [
    "VGG7",
    "VGG11",
    "VGG11BN",
    "VGG13",
    "VGG13BN",
    "VGG16",
    "VGG16BN",
    "VGG19",
    "VGG19BN",
    "KerasModel",
    "ResNet18",
    "ResNet34",
    "ResNet50",
    "ResNet101",
    "ResNet152",
    "zoo_names",
]
