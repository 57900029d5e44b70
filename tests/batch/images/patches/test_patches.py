"""Patches of pictures, and pictures of patches, against numpy's windows."""

from __future__ import annotations

import pickle
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
import skimage.data
from numpy.lib.stride_tricks import sliding_window_view
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image

from bf_batch import Dataset, ImagesBatch, ItemError
from bf_batch.images import Mosaic
from bf_index import FilesIndex
from bf_pipeline import B, BindError, Pipeline, build

PHOTOS = np.stack([skimage.data.astronaut()[y : y + 40, 180:230] for y in (0, 60, 120)])


class Detection(ImagesBatch):
    components = "images", "masks", "labels", "boxes", "keypoints"


def batch_of(pictures, kind=ImagesBatch, **others):
    return kind(len(pictures), preloaded={"images": pictures, **others})


def windows(picture, size, stride):
    """Return numpy's patches of one picture (h, w, c), row by row."""
    found = sliding_window_view(picture, size, axis=(0, 1))[:: stride[0], :: stride[1]]
    return np.moveaxis(found, 2, -1).reshape(-1, *size, picture.shape[2])


@pytest.mark.parametrize(
    ("size", "stride"), [((10, 10), None), ((10, 25), None), ((20, 10), (5, 8)), ((40, 50), 3)]
)
@pytest.mark.parametrize("dtype", [np.uint8, np.float32, np.int64])
def test_patches_that_fit_are_the_windows_of_numpy(size, stride, dtype):
    pictures = PHOTOS.astype(dtype)
    steps = size if stride is None else stride if isinstance(stride, tuple) else (stride, stride)
    ours = batch_of(pictures).split_to_patches(size, stride)
    theirs = np.concatenate([windows(one, size, steps) for one in pictures])
    assert_array_equal(ours.images, theirs)
    assert ours.images.dtype == dtype
    assert len(ours) == len(theirs)
    assert_array_equal(batch_of(pictures).split_to_patches(size, stride, drop_last=True).images, theirs)


def test_an_exact_fit_has_no_patch_twice():
    squares = np.arange(16).reshape(1, 4, 4)
    assert batch_of(squares).split_to_patches((2, 2)).images.tolist() == [
        [[0, 1], [4, 5]],
        [[2, 3], [6, 7]],
        [[8, 9], [12, 13]],
        [[10, 11], [14, 15]],
    ]


def test_a_rest_is_laid_at_the_edge_or_dropped_or_filled():
    split = batch_of(PHOTOS).split_to_patches((16, 16))
    assert [split.places[:12][name].tolist() for name in ("top", "left")] == [
        [0] * 4 + [16] * 4 + [24] * 4,
        [0, 16, 32, 34] * 3,
    ]
    assert_array_equal(split.images[11], PHOTOS[0, 24:, 34:])
    assert len(batch_of(PHOTOS).split_to_patches((16, 16), drop_last=True)) == 3 * 2 * 3
    for fill, mode in ((7, "constant"), ("edge", "edge"), ("reflect", "reflect"), ("wrap", "wrap")):
        wide = np.pad(
            PHOTOS, [(0, 0), (0, 8), (0, 14), (0, 0)], mode, **({"constant_values": 7} if fill == 7 else {})
        )
        ours = batch_of(PHOTOS).split_to_patches((16, 16), fill=fill).images
        assert_array_equal(ours, batch_of(wide).split_to_patches((16, 16)).images)
    larger = batch_of(PHOTOS).split_to_patches((64, 64), fill=0).images
    assert_array_equal(larger[:, :40, :50], PHOTOS)


def test_masks_boxes_and_points_follow_and_labels_are_repeated():
    batch = batch_of(
        PHOTOS,
        Detection,
        masks=PHOTOS[..., 0] // 64,
        labels=np.array([5, 6, 7]),
        boxes=[np.array([[10.0, 15, 30, 38]])] * 3,
        keypoints=[np.array([[33.0, 21.0]])] * 3,
    )
    everything = ["images", "masks", "boxes", "keypoints"]
    split = batch.split_to_patches((20, 25), src=everything)
    assert split.labels.tolist() == [5] * 4 + [6] * 4 + [7] * 4
    assert_array_equal(split.masks, split.images[..., 0] // 64)
    assert [box.tolist() for box in split.boxes[:4]] == [
        [[10, 15, 25, 20]],
        [[0, 15, 5, 20]],
        [[10, 0, 25, 18]],
        [[0, 0, 5, 18]],
    ]
    assert [point.tolist() for point in split.keypoints[:4]] == [[[33, 21]], [[8, 21]], [[33, 1]], [[8, 1]]]
    assert_array_equal(
        batch_of(PHOTOS, masks=PHOTOS[..., 0]).split_to_patches((20, 25)).masks[7], PHOTOS[1, ..., 0]
    )


def test_pictures_of_many_sizes_and_pending_geometry_are_split():
    ragged = [PHOTOS[0], PHOTOS[1, :20, :30]]
    split = batch_of(ragged).flip("lr").split_to_patches((20, 25))
    assert split.places["id"].tolist() == [0] * 4 + [1] * 2
    assert_array_equal(split.images[4], PHOTOS[1, :20, 29:4:-1])
    with pytest.raises(ItemError, match=r"item 1 .* 20 x 30 pixels has no room for a patch of 30 x 30"):
        batch_of(ragged).split_to_patches((30, 30))
    assert len(batch_of(ragged).split_to_patches((30, 30), drop_last=True)) == 1
    with pytest.raises(ValueError, match="no picture of the batch has room"):
        batch_of(ragged).split_to_patches((60, 60), drop_last=True)


@pytest.mark.parametrize("overlap", ["mean", "smooth", "last"])
@pytest.mark.parametrize("how", [{}, {"stride": (7, 9)}, {"fill": "reflect"}])
@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_what_is_split_is_stitched_to_what_it_was(overlap, how, dtype):
    ragged = [PHOTOS[0].astype(dtype), PHOTOS[1, :29, :33].astype(dtype)]
    batch = batch_of(ragged, labels=[3, 4]).split_to_patches((16, 16), **how).stitch_patches(overlap)
    assert batch.components == ("images", "labels", "masks")
    assert batch.labels == [3, 4]
    for ours, was in zip(batch.images, ragged):
        assert ours.dtype == dtype
        assert_allclose(ours, was, rtol=1e-6)


def test_overlaps_are_means_and_other_components_can_be_stitched():
    split = batch_of(np.zeros((1, 4, 6), np.float32)).split_to_patches((4, 4), (4, 2))
    split.add_components("scores", np.array([[1.0, 0], [3.0, 8]]).reshape(2, 1, 1, 2) * np.ones((1, 4, 4, 1)))
    whole = split.stitch_patches(src="scores", dst="masks")
    assert_allclose(whole.masks[0, 0], [[1, 0], [1, 0], [2, 4], [2, 4], [3, 8], [3, 8]])
    last = Mosaic("last").add(split.scores, split.places)[0]
    assert_allclose(last[0, :, 0], [1, 1, 3, 3, 3, 3])
    smooth = Mosaic("smooth").add(split.scores, split.places)[0]
    assert_allclose(smooth[0, :, 0], [1, 1, (2 * 1 + 1 * 3) / 3, (1 * 1 + 2 * 3) / 3, 3, 3], rtol=1e-6)


def test_patches_left_out_are_zero_and_missing_ones_are_named():
    whole = batch_of(PHOTOS).split_to_patches((16, 16), drop_last=True).stitch_patches().images
    assert_array_equal(whole[:, :32, :48], PHOTOS[:, :32, :48])
    assert not whole[:, 32:].any()
    split = batch_of(PHOTOS).split_to_patches((16, 16))
    with pytest.raises(ValueError, match="1 of the 12 patches of the picture 1 are in the batch"):
        split.subset(slice(0, 13)).stitch_patches()
    with pytest.raises(ValueError, match="3 of 12 patches of the picture 0 came"):
        Mosaic().add(split.images[:3], split.places[:3])[0]
    with pytest.raises(ValueError, match="no component 'places'"):
        batch_of(PHOTOS).stitch_patches()
    with pytest.raises(ValueError, match="overlap must be one of"):
        split.stitch_patches("max")


STEPS = Pipeline().split_to_patches((16, 16), (8, 8)).rebatch(7).flip("ud")


@pytest.mark.parametrize("run", [{}, {"prefetch": 2}, {"prefetch": 2, "engine": "processes", "workers": 2}])
def test_rebatch_makes_small_batches_of_patches_in_every_engine(run):
    photos = (STEPS << Dataset(["a", "b", "c"], ImagesBatch, preloaded={"images": PHOTOS})).gen_batch(
        2, **run
    )
    mosaic, sizes = Mosaic(), []
    for batch in photos:
        sizes.append(len(batch))
        mosaic.add(batch.images[:, ::-1], batch.places)
    assert set(sizes[:-1]) == {7}
    assert mosaic.complete == ["a", "b", "c"]
    assert_array_equal([mosaic[id] for id in "abc"], PHOTOS)


def _open_scene(kind, tmp_path):
    scene = np.random.default_rng(0).integers(0, 255, (1, 2048, 2048, 3), np.uint8)
    if kind == "npy":
        np.save(tmp_path / "scene.npy", scene)
        return scene, str(tmp_path / "scene.npy")
    if kind == "list":
        np.save(tmp_path / "scene.npy", scene[0])
        return scene, [np.load(tmp_path / "scene.npy", mmap_mode="r")]
    if kind == "zarr":
        import zarr

        made = zarr.create_array(
            str(tmp_path / "scene.zarr"), shape=scene.shape, chunks=(1, 256, 256, 3), dtype="u1"
        )
        made[:] = scene
        return scene, made
    import h5py

    with h5py.File(tmp_path / "scene.h5", "w") as file:
        file.create_dataset("scene", data=scene, chunks=(1, 256, 256, 3))
    return scene, h5py.File(tmp_path / "scene.h5")["scene"]


@pytest.mark.parametrize("kind", ["npy", "list", "zarr", "hdf5"])
def test_of_a_picture_in_a_file_only_the_patches_at_hand_are_read(kind, tmp_path):
    scene, container = _open_scene(kind, tmp_path)
    pipeline = Pipeline().split_to_patches((200, 200)).rebatch(4) << Dataset(
        1, ImagesBatch, preloaded={"images": container}
    )
    mosaic = Mosaic("last", tmp_path / "stitched")
    tracemalloc.start()
    for batch in pipeline.gen_batch(1):
        mosaic.add(batch.images, batch.places)
        del batch
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < scene.nbytes / 4
    assert_array_equal(np.load(tmp_path / "stitched" / "0.npy"), scene[0])


def test_patches_of_files_travel_as_their_place_and_others_as_pixels(tmp_path):
    np.save(tmp_path / "scene.npy", np.zeros((1, 2000, 1000), np.uint8))
    for container, most in (
        (str(tmp_path / "scene.npy"), 200_000),
        (np.zeros((1, 2000, 1000), np.uint8), 3e6),
    ):
        batch = Dataset(1, ImagesBatch, preloaded={"images": container}).create_batch([0])
        sent = pickle.dumps(batch.split_to_patches((100, 100)).settle())
        assert len(sent) < most
        assert pickle.loads(sent).images.shape == (200, 100, 100)


def test_smooth_means_are_gathered_in_files(tmp_path):
    floats = (PHOTOS / 255).astype(np.float32)
    split = batch_of(floats).split_to_patches((16, 16), (9, 9))
    mosaic = Mosaic("smooth", tmp_path).add(split.images, split.places)
    assert_allclose(np.load(tmp_path / "2.npy"), floats[2], atol=1e-6)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["0.npy", "1.npy", "2.npy"]
    assert_allclose(mosaic.pop(1), floats[1], atol=1e-6)
    assert list(mosaic) == [0, 2]
    with pytest.raises(ValueError, match="means of uint8 need floats"):
        Mosaic("mean", tmp_path).add(PHOTOS[:1, :16, :16], split.places[:1])


@pytest.mark.parametrize("id", ["../up", "a/b", ".hidden", "a\\b"])
def test_ids_are_no_ways_out_of_the_folder(id, tmp_path):
    split = ImagesBatch([id], preloaded={"images": PHOTOS[:1]}).split_to_patches((40, 50))
    with pytest.raises(ValueError, match="can't be the name of a file"):
        Mosaic("last", tmp_path / "inside").add(split.images, split.places)
    assert list(tmp_path.iterdir()) == []


def test_photos_in_files_are_split_by_a_pipeline_of_yaml(tmp_path):
    for number, photo in enumerate(PHOTOS):
        Image.fromarray(photo).save(tmp_path / f"{number}.png")
    steps = [
        {"load": {"fmt": "image"}},
        {"split_to_patches": {"size": [20, 25]}},
        {"rebatch": 12},
        {"stitch_patches": {"dst": "masks"}},
    ]
    index = FilesIndex(str(Path(tmp_path) / "*.png"), no_ext=True)
    batch = next((build({"steps": steps}) << Dataset(index, ImagesBatch)).gen_batch(2))
    assert_array_equal(batch.masks, PHOTOS)


def test_places_are_a_component_from_the_split_on():
    seen = []
    dataset = Dataset(3, ImagesBatch, preloaded={"images": PHOTOS})
    steps = Pipeline().split_to_patches((40, 50)).call(seen.append, B("places"))
    (steps << dataset).next_batch(3)
    assert seen[0]["id"].tolist() == [0, 1, 2]
    with pytest.raises(BindError, match="places"):
        (Pipeline().call(seen.append, B("places")) << dataset).next_batch(3)
