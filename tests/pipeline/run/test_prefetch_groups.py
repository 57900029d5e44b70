"""Pipelines whose steps only record: the caller records, threads compute several batches a task."""

import threading
import weakref
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from bf_batch import Dataset, ImagesBatch, SkipBatch, StopPipeline, action
from bf_batch.data.columns import ArrayColumn, MappedColumn
from bf_batch.data.lazy_rows import LazyRows
from bf_index import Place
from bf_pipeline import P, Pipeline, R
from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.prefetch.groups import Group, only_records
from bf_pipeline.run.run import Run

DEPTHS = [1, 2, 3, 5, 8, 16, 40]


def pictures(shape=(50, 12, 12), dtype=np.uint8):
    return np.random.default_rng(0).integers(0, 256, shape).astype(dtype)


def augmentation():
    return (
        Pipeline()
        .rotate(angle=P(R("uniform", -30, 30)), p=0.8)
        .crop(size=(10, 10), origin="random")
        .scale(factor=P(R("uniform", 0.8, 1.2)), preserve_size=True, p=0.5)
        .to_array("float32", scale=1 / 255)
    )


def bound(pipeline, images, batch_class=ImagesBatch, **more):
    return pipeline << Dataset(len(images), batch_class, preloaded={"images": images, **more})


def started(pipeline, **options):
    return Run(
        pipeline, RunOptions.of({"batch_size": 8, "prefetch": 2, "engine": "threads", **options}, "run")
    )


def all_of(pipeline, **options):
    return [batch.images for batch in pipeline.gen_batch(8, shuffle=True, seed=3, n_epochs=2, **options)]


@pytest.mark.parametrize("depth", DEPTHS)
@pytest.mark.parametrize(
    "images",
    [
        pictures(),
        pictures((50, 12, 12, 3)),
        pictures((50, 12, 12), np.float32),
        pictures((50, 12, 12, 2), np.uint16),
        [picture[: 10 + i % 3] for i, picture in enumerate(pictures())],
    ],
    ids=["bytes", "colour", "floats", "words", "ragged"],
)
def test_batches_recorded_ahead_have_the_pixels_of_batches_made_one_by_one(images, depth):
    pipeline = bound(augmentation(), images)
    assert only_records(started(pipeline))
    one_by_one, ahead = all_of(pipeline), all_of(pipeline, prefetch=depth, workers=2)
    assert len(one_by_one) == len(ahead) == 14
    assert all(np.array_equal(a, b) for a, b in zip(one_by_one, ahead))


def test_a_strided_data_set_is_not_copied_whole_for_each_batch():
    images = pictures((50, 24, 24))[:, ::2, ::2]
    batch = next(bound(augmentation(), images).gen_batch(8, shuffle=True, seed=0))
    assert LazyRows(ArrayColumn(images), np.arange(8), 8, (12, 12), np.uint8).whole is None
    same = next(bound(augmentation(), images.copy()).gen_batch(8, shuffle=True, seed=0))
    assert np.array_equal(batch.images, same.images)


def test_positions_outside_the_data_never_reach_the_compiled_loop():
    dataset = Dataset(50, ImagesBatch, preloaded={"images": pictures()})
    with pytest.raises(IndexError):
        dataset.create_batch(Place(0, 0, np.array([3, 50]))).rotate(10).settle()


def test_masks_and_labels_come_along_with_joined_batches():
    images, masks = pictures(), pictures() // 64
    labels = np.arange(50)
    pipeline = bound(
        Pipeline().rotate(P(R("uniform", -30, 30)), src=["images", "masks"]).flip("lr", p=0.5),
        images,
        masks=masks,
        labels=labels,
    )
    for a, b in zip(
        pipeline.gen_batch(8, shuffle=True, seed=1),
        pipeline.gen_batch(8, shuffle=True, seed=1, prefetch=6),
        strict=True,
    ):
        assert np.array_equal(a.images, b.images)
        assert np.array_equal(a.masks, b.masks)
        assert np.array_equal(a.labels, b.labels)
        assert set(np.unique(b.masks)) <= {0, 1, 2, 3}


@pytest.mark.parametrize(
    "pipeline",
    [
        Pipeline().rotate(10, fuse=False),
        Pipeline().resize((6, 6), antialias=True),
        Pipeline().rotate(10).normalize(),
        Pipeline().noise(0.1),
        Pipeline().rotate(10) @ 0.5,
    ],
    ids=["at once", "antialias", "each its own mean", "noise", "coin"],
)
def test_steps_that_work_at_once_are_done_by_the_threads(pipeline):
    assert not only_records(started(bound(pipeline, pictures())))


def test_an_action_of_ones_own_is_done_by_the_threads():
    class Mine(ImagesBatch):
        @action
        def rotate(self, angle):
            return super().rotate(angle)

    assert not only_records(started(bound(Pipeline().rotate(10), pictures(), Mine)))


def test_preloaded_files_are_read_by_the_threads(tmp_path, monkeypatch):
    np.save(tmp_path / "images.npy", pictures())
    pipeline = bound(augmentation(), np.load(tmp_path / "images.npy", mmap_mode="r"))
    take, readers = MappedColumn.take, set()

    def noted(self, rows):
        readers.add(threading.current_thread().name)
        return take(self, rows)

    monkeypatch.setattr(MappedColumn, "take", noted)
    run = started(pipeline, prefetch=4, workers=1)
    group = Group(run.runner.preparer, iter([run.places.next_place() for _ in range(3)]), 3)
    assert not readers  # nothing is read while batches are recorded
    with ThreadPoolExecutor(1, "reader") as pool:
        pool.submit(group.compute, run.runner.preparer).result()
    assert readers == {"reader_0"}
    assert [one.result().images.shape for one in group.deliver()] == [(8, 10, 10, 1)] * 3


def failing_at(number, error):
    count = iter(range(1000))

    def draw(size, rng):
        if next(count) == number:
            raise error
        return rng.uniform(-10, 10, size)

    return Pipeline().rotate(angle=P(R(draw)))


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_error_of_recording_comes_in_the_turn_of_its_batch(depth):
    stream = bound(failing_at(3, ValueError("bad draw")), pictures()).gen_batch(8, prefetch=depth, seed=0)
    for _ in range(3):
        assert next(stream).images.shape == (8, 12, 12)
    with pytest.raises(ValueError, match="bad draw") as caught:
        next(stream)
    assert any("batch 3 of epoch 0" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("depth", DEPTHS)
def test_an_error_of_pixels_names_its_own_batch(depth):
    images = list(pictures((50, 12, 12, 3)))
    images[20] = images[20][..., :2]  # in batch 5, of other channels than there are means
    pipeline = bound(Pipeline().rotate(10).normalize([0.5] * 3, [0.5] * 3), images)
    stream = pipeline.gen_batch(4, prefetch=depth, seed=0)
    for _ in range(5):
        next(stream)
    with pytest.raises(ValueError, match="3 values") as caught:
        next(stream)
    assert any("batch 5 of epoch 0" in note for note in caught.value.__notes__)
    skipping = pipeline.gen_batch(4, prefetch=depth, seed=0, on_error="skip")
    with pytest.warns(UserWarning, match="left out"):
        delivered = [batch.indices.tolist() for batch in skipping]
    assert [20, 21, 22, 23] not in delivered
    assert len(delivered) == 12
    assert [place.batch for place in skipping.run.left_out] == [5]


@pytest.mark.parametrize("depth", DEPTHS)
def test_skip_and_stop_mean_the_same_as_without_work_ahead(depth):
    pipeline = bound(failing_at(2, SkipBatch()), pictures())
    assert [batch.indices[0] for batch in pipeline.gen_batch(8, prefetch=depth)] == [0, 8, 24, 32, 40, 48]
    pipeline = bound(failing_at(2, StopPipeline()), pictures())
    assert [batch.indices[0] for batch in pipeline.gen_batch(8, prefetch=depth)] == [0, 8]


@pytest.mark.parametrize("depth", DEPTHS)
def test_no_more_batches_are_alive_than_were_asked_for(depth):
    alive, most = weakref.WeakSet(), 0

    class Counted(ImagesBatch):
        @classmethod
        def _bf_at(cls, *args, **kwargs):
            batch = super()._bf_at(*args, **kwargs)
            alive.add(batch)
            return batch

    pipeline = bound(augmentation(), pictures((240, 12, 12)), Counted)
    for _ in pipeline.gen_batch(8, prefetch=depth):
        most = max(most, len(alive))
    assert 1 <= most <= depth + 1


def test_batches_held_while_the_run_goes_on_keep_their_pixels():
    pipeline = bound(augmentation(), pictures((640, 12, 12)))
    held = [batch.images for batch in pipeline.gen_batch(8, seed=5, prefetch=16)]
    fresh = [batch.images.copy() for batch in pipeline.gen_batch(8, seed=5)]
    assert all(np.array_equal(a, b) for a, b in zip(held, fresh, strict=True))


def test_leaving_the_loop_early_leaves_no_thread():
    before = threading.active_count()
    for number, _ in enumerate(bound(augmentation(), pictures((400, 12, 12))).gen_batch(8, prefetch=16)):
        if number == 3:
            break
    assert threading.active_count() == before


def test_a_run_goes_on_from_its_state_with_the_same_pixels():
    pipeline = bound(augmentation(), pictures())
    stream = pipeline.gen_batch(8, shuffle=True, seed=3, n_epochs=2, prefetch=16)
    first = [next(stream).images.copy() for _ in range(5)]
    state = stream.state()
    stream.close()
    rest = [
        batch.images for batch in pipeline.gen_batch(8, shuffle=True, n_epochs=2, prefetch=8, resume=state)
    ]
    assert all(np.array_equal(a, b) for a, b in zip(first + rest, all_of(pipeline), strict=True))
