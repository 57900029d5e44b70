"""Pending geometry: a value that can be resampled without the class that adds steps."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bf_batch import Dataset, ImagesBatch
from bf_batch.images.geometry.pending import PendingGeometry
from bf_batch.images.geometry.resample import resample
from bf_batch.images.geometry.warp import Warp

DIGITS = np.random.default_rng(0).integers(0, 256, (6, 28, 28), dtype=np.uint8)


@pytest.mark.parametrize("kind", [PendingGeometry, Warp])
def test_pixels_follow_from_the_value_alone(kind):
    value = kind(DIGITS, (28, 28))
    assert resample(value) is DIGITS
    value.matrices = np.tile(np.diag([1.0, -1, 1]), (6, 1, 1))
    value.matrices[:, 1, 2] = 27
    assert_array_equal(resample(value), DIGITS[:, :, ::-1])
    assert value.weight == DIGITS.size
    assert value.stored_dtypes == {np.dtype(np.uint8)}
    assert not value.is_scaled


def test_rows_in_memory_are_resampled_where_they_are_and_read_for_all_else():
    dataset = Dataset(6, ImagesBatch, preloaded={"images": DIGITS})
    batch = dataset.next_batch(4).flip()
    value = batch.peek("images")
    assert not isinstance(value.source, np.ndarray)
    read = value.read()
    assert type(read) is Warp
    assert_array_equal(read.source, DIGITS[:4])
    assert not isinstance(value.source, np.ndarray)
    assert_array_equal(batch.images, DIGITS[:4, :, ::-1])
