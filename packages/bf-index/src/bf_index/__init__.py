"""BatchFlow's index: the ids of your data, split, shuffled and cut into batches."""

from bf_index.batches import BatchIterator, Place
from bf_index.errors import FileChangedError, StateError, Suggests, unknown
from bf_index.files.files_index import FilesIndex
from bf_index.index import DatasetIndex
from bf_index.order import Balanced, Order, Positions, Sequential, Shuffled, Weighted
from bf_index.seeding import new_seed, rng_at
from bf_index.split import Split, fold_positions, shard_positions, split_positions

__all__ = [
    "Balanced",
    "BatchIterator",
    "DatasetIndex",
    "FileChangedError",
    "FilesIndex",
    "Order",
    "Place",
    "Positions",
    "Sequential",
    "Shuffled",
    "Split",
    "StateError",
    "Suggests",
    "Weighted",
    "fold_positions",
    "new_seed",
    "rng_at",
    "shard_positions",
    "split_positions",
    "unknown",
]
