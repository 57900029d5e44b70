"""Frames: sizes of pictures before and after a step that some of them take."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bf_batch.images.geometry.frames import centres_of, select_sizes, simplify, sizes_of

MANY = np.array([[10, 20], [30, 40], [50, 60]])


def test_sizes_are_one_pair_when_they_agree():
    assert sizes_of(np.zeros((3, 4, 5, 2))) == (4, 5)
    assert sizes_of([np.zeros((4, 5)), np.zeros((4, 5, 3))]) == (4, 5)
    assert_array_equal(sizes_of([np.zeros((4, 5)), np.zeros((6, 7))]), [[4, 5], [6, 7]])
    assert simplify(MANY) is MANY


@pytest.mark.parametrize("before", [(7, 8), MANY], ids=["one", "many"])
@pytest.mark.parametrize("after", [(3, 5), MANY + 1], ids=["one", "many"])
def test_only_chosen_items_get_the_new_size(before, after):
    sizes = select_sizes(np.array([True, False, True]), after, before, 3)
    rows = [np.broadcast_to(value, (3, 2)) for value in (before, after)]
    assert_array_equal(sizes, [rows[1][0], rows[0][1], rows[1][2]])
    assert select_sizes(np.ones(1, bool), after, before, 3) is after
    assert select_sizes(np.zeros(1, bool), after, before, 3) is before


def test_centres_are_those_of_pixels_at_the_ends():
    assert_array_equal(centres_of((3, 5), (7, 8)), [[1, 2, 3, 3.5]])
    assert_array_equal(centres_of((3, 5), MANY)[:, 2:], (MANY - 1) / 2)
