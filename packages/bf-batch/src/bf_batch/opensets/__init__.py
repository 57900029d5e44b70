"""Data sets that everybody knows, ready to train on; MNIST and Digits need no network."""

from bf_batch.opensets.digits import Digits
from bf_batch.opensets.mnist import MNIST
from bf_batch.opensets.openset import Openset

__all__ = ["MNIST", "Digits", "Openset"]
