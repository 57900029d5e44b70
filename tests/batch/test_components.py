"""Descriptors of components need of a batch no more than the few names of a holder."""

from __future__ import annotations

import inspect

import numpy as np
import pytest

from bf_batch import Batch, Dataset
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


WORDS = sorted(
    {word for word in dir(Batch(2)) if not word.startswith("_")}
    | {word for base in Batch.__mro__ for word in inspect.get_annotations(base) if not word.startswith("_")}
)


@pytest.mark.parametrize("word", [*WORDS, "id", "batch", "position", "values", "name", "x", "path"])
def test_a_component_named_as_a_word_of_the_class_is_refused_or_works(word):
    try:
        kind = type("Odd", (Batch,), {"components": (word, "other")})
    except ValueError as error:
        assert f"Odd.components: {word!r} is already an attribute" in str(error)  # noqa: PT017
        assert word in WORDS
        return
    assert word not in WORDS
    dataset = Dataset(4, kind, preloaded={word: np.arange(4) * 10})
    for batch in (dataset.next_batch(2), dataset.next_batch(2).copy()):
        start = batch.indices[0] * 10
        assert getattr(batch, word).tolist() == [start, start + 10]
        assert [getattr(item, word) for item in batch] == [start, start + 10]
        setattr(batch.items[1], word, 7)
        assert getattr(batch, word).tolist() == [start, 7]
        assert 0 <= batch.rng().random() < 1
        assert "item" in repr(batch.items[0])
        assert [item.rng().random() for item in batch] != []
        with pytest.raises(ValueError, match="item "):
            setattr(batch.items[0], word, [1, 2])
    with pytest.raises(ValueError, match="already an attribute"):
        Batch(2).add_components("seed")


@pytest.mark.parametrize("body", [{"images": None}, {"images": property(lambda batch: 1)}])
def test_a_subclass_cannot_hide_a_component(body):
    class Pictures(Batch):
        components = ("images",)

    with pytest.raises(ValueError, match="'images' is a component, and the class has an attribute"):
        type("Hidden", (Pictures,), body)
