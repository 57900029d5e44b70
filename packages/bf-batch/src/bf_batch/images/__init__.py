"""Images: batches of pictures, resampled once by compiled loops. Heavy libraries come in when used."""

from bf_batch.images.batch import ImagesBatch
from bf_batch.images.cache import PictureCache
from bf_batch.images.showing import show

__all__ = ["ImagesBatch", "PictureCache", "show"]
