"""Pictures of a batch drawn in a grid."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bf_batch import ImagesBatch
from bf_batch.images import show


def digits(n=64, shape=(28, 28), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def test_show_draws_pictures_labels_and_masks_into_a_file(tmp_path):
    images = digits(5, (20, 30, 3))
    batch = ImagesBatch(
        5, preloaded={"images": images, "labels": [0, 1, 2, 1, 0], "masks": images[..., 0] // 128}
    )
    figure = batch.show(
        4, classes=["cat", "dog", "fox, of a " + "long " * 9], columns=3, path=tmp_path / "a.png"
    )
    assert [axes.get_title() for axes in figure.axes] == ["cat", "dog", "fox, of a long long lon…", "dog"]
    assert [len(axes.images) for axes in figure.axes] == [2, 2, 2, 2]
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert figure._repr_png_().startswith(b"\x89PNG")  # what a notebook asks for
    assert len(show(batch.normalize(0.5, 0.2), 2).axes) == 2


def test_show_gives_a_class_of_masks_one_colour_and_draws_boxes_and_keypoints():
    class Scenes(ImagesBatch):
        components = "images", "masks", "boxes", "keypoints"

    masks = np.zeros((2, 20, 30), np.uint8)
    masks[0, 5:9], masks[0, 9:], masks[1, 5:9] = 1, 2, 2
    boxes, points = [np.array([[2.0, 3, 9, 12]]), np.zeros((0, 4))], [np.array([[90.0, 5]]), np.zeros((0, 2))]
    batch = Scenes(
        2, preloaded={"images": digits(2, (20, 30)), "masks": masks, "boxes": boxes, "keypoints": points}
    )
    first, second = show(batch).axes
    colours = [axes.images[1].to_rgba(axes.images[1].get_array()) for axes in (first, second)]
    assert_array_equal(colours[0][12, 0], colours[1][6, 0])
    assert (colours[0][6, 0] != colours[0][12, 0]).any()
    assert colours[0][0, 0, 3] == 0
    assert first.lines[0].get_xydata().tolist() == [
        [1.5, 2.5],
        [8.5, 2.5],
        [8.5, 11.5],
        [1.5, 11.5],
        [1.5, 2.5],
    ]
    assert first.get_xlim() == second.get_xlim() == (-0.5, 29.5)
    assert not second.lines


@pytest.mark.parametrize(
    ("shape", "shown"),
    [
        ((20, 30, 1), (20, 30)),
        ((3, 20, 30), (20, 30, 3)),
        ((20, 30, 2), (20, 30)),
        ((20, 30, 4), (20, 30, 4)),
    ],
)
def test_show_takes_channels_first_and_last_and_many(shape, shown):
    batch = ImagesBatch(1, preloaded={"images": digits(1, shape)})
    assert batch.show().axes[0].images[0].get_array().shape == shown
