"""Images: batches of pictures, resampled once by compiled loops. Heavy libraries come in when used."""

from bf_batch.images.batch import ImagesBatch
from bf_batch.images.drawing import show
from bf_batch.images.files.pictures import PictureCache
from bf_batch.images.patches.mosaic import Mosaic

__all__ = ["ImagesBatch", "Mosaic", "PictureCache", "show"]
