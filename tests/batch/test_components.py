"""Descriptors of components need of a batch no more than the few names of a holder."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch.components import Component


class Shelf:
    """Not a batch, but it holds values as one does."""

    books = Component("books")

    def __init__(self, n):
        self._bf_data = {}
        self._n = n

    def __len__(self):
        return self._n

    def _bf_fetch(self, name):
        value = self._bf_data[name] = np.arange(self._n)
        return value

    @classmethod
    def _bf_owner(cls):
        return cls.__name__


class Late:
    """A pending value."""

    def __len__(self):
        return 2

    def resolve(self):
        return [7, 8]


def test_a_component_is_fetched_once_and_checked_when_assigned():
    shelf = Shelf(2)
    assert shelf.books is shelf.books
    assert shelf.books.tolist() == [0, 1]
    shelf.books = (5, 6)
    assert shelf.books == [5, 6]
    with pytest.raises(ValueError, match=r"Shelf.books: got 3 values for a batch of 2 items"):
        shelf.books = [1, 2, 3]


def test_a_pending_component_is_stored_as_what_it_resolves_to():
    shelf = Shelf(2)
    shelf.books = Late()
    assert shelf.books == [7, 8]
    assert shelf._bf_data["books"] == [7, 8]
