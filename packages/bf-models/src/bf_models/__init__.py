"""Ready-to-use Keras models with one config; importing this package loads no TensorFlow."""

from bf_models.model import KerasModel
from bf_models.sklearn_model import SklearnModel
from bf_models.zoo import zoo_names
from bf_models.zoo.convnext import ConvNeXtBase, ConvNeXtSmall, ConvNeXtTiny
from bf_models.zoo.densenet import DenseNet121, DenseNet161, DenseNet169, DenseNet201
from bf_models.zoo.efficientnet import (
    EfficientNetB0,
    EfficientNetB1,
    EfficientNetB2,
    EfficientNetB3,
    EfficientNetB4,
    EfficientNetB5,
    EfficientNetB6,
    EfficientNetB7,
)
from bf_models.zoo.generative.autoencoder import VAE, AutoEncoder
from bf_models.zoo.inception import GoogLeNet, InceptionV1, InceptionV3
from bf_models.zoo.inception_v4 import InceptionResNetV2, InceptionV4
from bf_models.zoo.lenet_mlp import MLP, LeNet
from bf_models.zoo.mobilenet import MobileNet, MobileNetV2, MobileNetV3Large, MobileNetV3Small
from bf_models.zoo.resnet import (
    ResNet18,
    ResNet34,
    ResNet50,
    ResNet101,
    ResNet152,
    ResNeXt50,
    ResNeXt101,
    ResNeXt101x64,
    SEResNet18,
    SEResNet34,
    SEResNet50,
    SEResNet101,
    SEResNet152,
    SEResNeXt26,
    SEResNeXt50,
    SEResNeXt101,
    WideResNet50,
    WideResNet101,
)
from bf_models.zoo.resnet_v2 import (
    PyramidNet18,
    PyramidNet34,
    PyramidNet50,
    PyramidNet101,
    PyramidNet110,
    PyramidNet200,
    ResNet18V2,
    ResNet34V2,
    ResNet50V2,
    ResNet101V2,
    ResNet152V2,
    ResNetAttention56,
    ResNetAttention92,
)
from bf_models.zoo.segmentation.context import GCN, DeepLabV3Plus, PSPNet, RefineNet
from bf_models.zoo.segmentation.deeplab import (
    DeepLabV3MobileNetV3,
    DeepLabV3ResNet50,
    DeepLabV3ResNet101,
    FCNResNet50,
    FCNResNet101,
    LRASPPMobileNetV3,
)
from bf_models.zoo.segmentation.encoder_decoder import EncoderDecoder
from bf_models.zoo.segmentation.fcn import FCN8, FCN16, FCN32
from bf_models.zoo.segmentation.fpn import FPN
from bf_models.zoo.segmentation.linknet import LinkNet
from bf_models.zoo.segmentation.tiramisu import DenseNetFC56, DenseNetFC67, DenseNetFC103
from bf_models.zoo.segmentation.unet import UNet, UNetPP
from bf_models.zoo.segmentation.vnet import VNet
from bf_models.zoo.squeezenet import SqueezeNet1_0, SqueezeNet1_1
from bf_models.zoo.vgg import VGG7, VGG11, VGG11BN, VGG13, VGG13BN, VGG16, VGG16BN, VGG19, VGG19BN
from bf_models.zoo.vit import ViTB16, ViTB32, ViTS16
from bf_models.zoo.xception import Xception

__all__ = [
    "FCN8",
    "FCN16",
    "FCN32",
    "FPN",
    "GCN",
    "MLP",
    "VAE",
    "VGG7",
    "VGG11",
    "VGG11BN",
    "VGG13",
    "VGG13BN",
    "VGG16",
    "VGG16BN",
    "VGG19",
    "VGG19BN",
    "AutoEncoder",
    "ConvNeXtBase",
    "ConvNeXtSmall",
    "ConvNeXtTiny",
    "DeepLabV3MobileNetV3",
    "DeepLabV3Plus",
    "DeepLabV3ResNet50",
    "DeepLabV3ResNet101",
    "DenseNet121",
    "DenseNet161",
    "DenseNet169",
    "DenseNet201",
    "DenseNetFC56",
    "DenseNetFC67",
    "DenseNetFC103",
    "EfficientNetB0",
    "EfficientNetB1",
    "EfficientNetB2",
    "EfficientNetB3",
    "EfficientNetB4",
    "EfficientNetB5",
    "EfficientNetB6",
    "EfficientNetB7",
    "EncoderDecoder",
    "FCNResNet50",
    "FCNResNet101",
    "GoogLeNet",
    "InceptionResNetV2",
    "InceptionV1",
    "InceptionV3",
    "InceptionV4",
    "KerasModel",
    "LRASPPMobileNetV3",
    "LeNet",
    "LinkNet",
    "MobileNet",
    "MobileNetV2",
    "MobileNetV3Large",
    "MobileNetV3Small",
    "PSPNet",
    "PyramidNet18",
    "PyramidNet34",
    "PyramidNet50",
    "PyramidNet101",
    "PyramidNet110",
    "PyramidNet200",
    "RefineNet",
    "ResNeXt50",
    "ResNeXt101",
    "ResNeXt101x64",
    "ResNet18",
    "ResNet18V2",
    "ResNet34",
    "ResNet34V2",
    "ResNet50",
    "ResNet50V2",
    "ResNet101",
    "ResNet101V2",
    "ResNet152",
    "ResNet152V2",
    "ResNetAttention56",
    "ResNetAttention92",
    "SEResNeXt26",
    "SEResNeXt50",
    "SEResNeXt101",
    "SEResNet18",
    "SEResNet34",
    "SEResNet50",
    "SEResNet101",
    "SEResNet152",
    "SklearnModel",
    "SqueezeNet1_0",
    "SqueezeNet1_1",
    "UNet",
    "UNetPP",
    "VNet",
    "ViTB16",
    "ViTB32",
    "ViTS16",
    "WideResNet50",
    "WideResNet101",
    "Xception",
    "zoo_names",
]
