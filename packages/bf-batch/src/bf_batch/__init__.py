"""BatchFlow: batches of a data set, how one is loaded and processed."""

from bf_batch.actions import ActionSpec, action
from bf_batch.batch import Batch
from bf_batch.data.formats import Format
from bf_batch.dataset import Dataset, DatasetBatches
from bf_batch.errors import ItemError, ItemTimeoutError, SkipBatch, StopPipeline
from bf_batch.images import ImagesBatch
from bf_batch.items import Item
from bf_batch.itemwise.apply import apply_parallel
from bf_batch.itemwise.parallel import any_action_failed, inbatch_parallel
from bf_batch.itemwise.work import PerItem
from bf_batch.pending import Pending
from bf_batch.transforms.normalizer import Normalizer
from bf_batch.transforms.quantizer import Quantizer
from bf_batch.transforms.sample import Sample
from bf_batch.transforms.statistics import Statistics

__all__ = [
    "ActionSpec",
    "Batch",
    "Dataset",
    "DatasetBatches",
    "Format",
    "ImagesBatch",
    "Item",
    "ItemError",
    "ItemTimeoutError",
    "Normalizer",
    "Pending",
    "PerItem",
    "Quantizer",
    "Sample",
    "SkipBatch",
    "Statistics",
    "StopPipeline",
    "action",
    "any_action_failed",
    "apply_parallel",
    "inbatch_parallel",
]
