"""How the public API of indices is typed: read by mypy, not meant to be executed."""

from __future__ import annotations

from typing import Any, assert_type

from numpy.typing import NDArray

from bf_index import BatchIterator, DatasetIndex, FilesIndex, Split, new_seed


def api(index: DatasetIndex, files: FilesIndex) -> None:
    """Use the API; a type checker reads it, nothing runs it."""
    assert_type(DatasetIndex(10), DatasetIndex)
    assert_type(len(index), int)
    assert_type(index.indices, NDArray[Any])
    assert_type(index.subset([1, 2]), DatasetIndex)
    assert_type(files.subset([1, 2]), FilesIndex)  # stays what it is
    assert_type(files.create_subset(["a"]), FilesIndex)
    assert_type(index.filter(lambda item: item > 3), DatasetIndex)
    assert_type(index + index, DatasetIndex)
    assert_type(index.split(0.8).train, DatasetIndex | None)
    assert_type(files.split([0.7, 0.2]), Split[FilesIndex])
    assert_type(index.folds(5)[0], Split[DatasetIndex])
    assert_type(index.shard(0, 4), DatasetIndex)
    assert_type(index.gen_batch(3, shuffle=True, n_epochs=2), BatchIterator[DatasetIndex])
    assert_type(next(iter(files.gen_batch(3))), FilesIndex)
    assert_type(index.next_batch(3), DatasetIndex)
    assert_type(index.content_hash(), str)
    assert_type(new_seed(), int)

    index.gen_batch(3, n_epoch=2)  # type: ignore[call-arg]
    index.split(0.8).trian  # type: ignore[attr-defined]
    index.shard("0", 4)  # type: ignore[arg-type]
