"""Losses of classes: of each place, of areas, of boundaries; importing this package loads no TensorFlow."""

from bf_models.losses.areas import Lovasz, SoftDice, SoftIoU, SoftTversky
from bf_models.losses.boundary import Boundary
from bf_models.losses.places import CrossEntropy, Focal

__all__ = ["Boundary", "CrossEntropy", "Focal", "Lovasz", "SoftDice", "SoftIoU", "SoftTversky"]
