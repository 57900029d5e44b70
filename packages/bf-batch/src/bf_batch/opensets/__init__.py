"""Data sets that everybody knows, ready to train on; MNIST and Digits need no network."""

from bf_batch.opensets.base import Openset
from bf_batch.opensets.cifar import CIFAR10, CIFAR100
from bf_batch.opensets.coins import Coins
from bf_batch.opensets.digits import Digits
from bf_batch.opensets.download import DownloadError, Patience, RemoteFile, cache_folder, fetch
from bf_batch.opensets.fashion_mnist import FashionMNIST
from bf_batch.opensets.image_folder import ImageFolder
from bf_batch.opensets.imagenette import Imagenette, Imagewoof
from bf_batch.opensets.mnist import MNIST
from bf_batch.opensets.own.array_files import ArrayFiles
from bf_batch.opensets.own.image_files import ImageFiles
from bf_batch.opensets.own.image_masks import ImageMasks
from bf_batch.opensets.own.masks_batch import MasksBatch
from bf_batch.opensets.own.rows import RowsBatch
from bf_batch.opensets.own.signals import SignalsBatch
from bf_batch.opensets.own.table import Table
from bf_batch.opensets.pets import Pets
from bf_batch.opensets.recordings import BasicMotions, GunPoint
from bf_batch.opensets.scenes.ade20k import ADE20K
from bf_batch.opensets.scenes.coco import COCOSegmentation
from bf_batch.opensets.scenes.pascal import PascalClassification, PascalSegmentation
from bf_batch.opensets.sklearn_table import SklearnTable

__all__ = [
    "ADE20K",
    "CIFAR10",
    "CIFAR100",
    "MNIST",
    "ArrayFiles",
    "BasicMotions",
    "COCOSegmentation",
    "Coins",
    "Digits",
    "DownloadError",
    "FashionMNIST",
    "GunPoint",
    "ImageFiles",
    "ImageFolder",
    "ImageMasks",
    "Imagenette",
    "Imagewoof",
    "MasksBatch",
    "Openset",
    "PascalClassification",
    "PascalSegmentation",
    "Patience",
    "Pets",
    "RemoteFile",
    "RowsBatch",
    "SignalsBatch",
    "SklearnTable",
    "Table",
    "cache_folder",
    "fetch",
]
