"""Losses of classes and of items that are told again; importing this package loads no TensorFlow."""

from bf_models.losses.areas import Lovasz, SoftDice, SoftIoU, SoftTversky
from bf_models.losses.boundary import Boundary
from bf_models.losses.evidence import Bernoulli, Gaussian, GaussianKL
from bf_models.losses.places import CrossEntropy, Focal

__all__ = [
    "Bernoulli",
    "Boundary",
    "CrossEntropy",
    "Focal",
    "Gaussian",
    "GaussianKL",
    "Lovasz",
    "SoftDice",
    "SoftIoU",
    "SoftTversky",
]
