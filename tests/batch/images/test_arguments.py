"""Arguments of image actions: what they may be, and what a wrong one is told."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from bf_batch import Batch, ImagesBatch, PerItem
from bf_batch.images.arguments import (
    ALL,
    NONE,
    as_numbers,
    as_pairs,
    as_size,
    choose_items,
    pair_names,
    role_of,
    widen_pairs,
)


def test_a_number_is_for_all_items_and_per_item_values_are_for_each():
    assert_array_equal(as_numbers(3, 4, "f: x"), [3.0])
    assert_array_equal(as_numbers(PerItem([1, 2]), 2, "f: x"), [1.0, 2.0])
    assert_array_equal(as_numbers(PerItem(np.array([[1], [2]])), 2, "f: x"), [1.0, 2.0])
    for wrong in (True, "1", (1, 2)):
        with pytest.raises(TypeError, match=r"f: x: got .*; give a number"):
            as_numbers(wrong, 4, "f: x")


def test_a_pair_has_one_or_two_columns_until_it_is_widened():
    assert as_pairs(2, 3, "f: x").shape == (1, 1)
    assert as_pairs((1, 2), 3, "f: x").shape == (1, 2)
    assert as_pairs(PerItem([(1, 2)] * 3), 3, "f: x").shape == (3, 2)
    assert_array_equal(widen_pairs(as_pairs(2, 3, "f: x")), [[2.0, 2.0]])


def test_a_size_is_two_positive_ints():
    assert as_size([3, np.int64(4)], "f: shape") == (3, 4)
    for wrong in ((3,), (3, 4, 5), (0, 4), (2.5, 4)):
        with pytest.raises(ValueError, match=r"f: shape: got .*; give"):
            as_size(wrong, "f: shape")


def test_items_are_chosen_for_sure_or_by_the_address_of_the_batch():
    assert choose_items(ImagesBatch(3), 1, "f") is ALL
    assert choose_items(ImagesBatch(3), 0.0, "f") is NONE
    one, two = ImagesBatch(1000, seed=7), ImagesBatch(1000, seed=7)
    chosen = choose_items(one, 0.3, "f")
    assert_array_equal(chosen, choose_items(two, 0.3, "f"))
    assert chosen.mean() == pytest.approx(0.3, abs=0.05)
    assert (chosen != choose_items(one, 0.3, "f")).any()
    assert_array_equal(choose_items(ImagesBatch(2), PerItem([0, 1]), "f"), [False, True])


def test_sources_and_targets_are_as_many():
    assert pair_names("a", None, "f") == (["a"], ["a"])
    assert pair_names(["a", "b"], ["c", "d"], "f") == (["a", "b"], ["c", "d"])
    with pytest.raises(ValueError, match="f: got 2 components in src and 1 in dst; give as many"):
        pair_names(["a", "b"], "c", "f")


def test_what_a_batch_says_nothing_of_is_an_image():
    assert [role_of(ImagesBatch(1), name) for name in ("masks", "views")] == ["mask", "image"]
    assert role_of(Batch(1), "masks") == "image"
