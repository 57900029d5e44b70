"""How the public API of batches and data sets is typed: read by mypy, not meant to be executed."""

from __future__ import annotations

from typing import Any, assert_type

from bf_batch import Batch, Dataset, DatasetBatches, Normalizer, action, inbatch_parallel


class Points(Batch):
    components = ("x",)
    x: Any

    @action
    def scale(self, factor: float) -> Points:
        return self

    @action
    @inbatch_parallel(init="indices", post="_join", target="threads")
    def move(self, item: Any, by: float = 1.0) -> Any:
        return item + by

    def _join(self, results: list[Any], by: float = 1.0) -> Points:
        return self


def api(dataset: Dataset, points: Points) -> None:
    """Use the API; a type checker reads it, nothing runs it."""
    assert_type(Dataset(10, Points), Dataset)
    assert_type(len(dataset), int)
    assert_type(dataset.split(0.8).train, Dataset)
    assert_type(dataset.train, Dataset)
    assert_type(dataset.subset([1, 2]), Dataset)
    assert_type(dataset.shard(0, 2), Dataset)
    assert_type(dataset.gen_batch(3, shuffle=True), DatasetBatches)
    assert_type(next(iter(dataset.gen_batch(3))), Batch)
    assert_type(dataset.next_batch(3), Batch)
    assert_type(dataset.create_batch([1, 2]), Batch)
    assert_type(Normalizer.fit(points.x), Normalizer)

    dataset.gen_batch(3, n_epoch=2)  # type: ignore[call-arg]
    Normalizer()  # type: ignore[call-arg]
    points.scale("2")  # type: ignore[arg-type]
