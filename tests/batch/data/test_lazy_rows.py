"""Rows that wait to be read know their shape, and those of one column are joined unread."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch.data.columns import ArrayColumn, ListColumn
from bf_batch.data.lazy_rows import LazyRows, concatenate, leave_unread


@pytest.fixture
def column():
    return ArrayColumn(np.arange(20).reshape(10, 2))


@pytest.mark.parametrize("rows", [slice(2, 5), np.array([4, 0, 9])])
def test_rows_are_left_unread(column, rows):
    lazy = leave_unread(column, rows)
    assert (len(lazy), lazy.ndim, lazy.shape, lazy.dtype) == (3, 2, (3, 2), np.arange(1).dtype)
    assert lazy.read().tolist() == column.array[rows].tolist()
    assert lazy.numbers().tolist() == np.arange(10)[rows].tolist()


def test_values_without_a_shape_must_be_read():
    assert leave_unread(ListColumn([1, 2]), slice(0, 1)) is None
    assert leave_unread(ArrayColumn(np.array([None, "a"])), slice(0, 1)) is None


def test_rows_of_one_column_are_joined_unread(column):
    first, second = leave_unread(column, slice(0, 2)), leave_unread(column, np.array([7]))
    joined = concatenate([first, second])
    assert type(joined) is LazyRows
    assert joined.numbers().tolist() == [0, 1, 7]
    other = leave_unread(ArrayColumn(np.zeros((3, 2), int)), slice(0, 1))
    assert concatenate([second, other]).tolist() == [[14, 15], [0, 0]]
    assert concatenate([first, np.array([[8, 9]])]).tolist() == [[0, 1], [2, 3], [8, 9]]
