"""Which part of the data a training validates on: folds that the configuration names."""

from __future__ import annotations

import numpy as np
import pytest
from omegaconf import OmegaConf

from bf_batch import Batch, Dataset
from bf_research.recipe.data import Fold, make_dataset, split_fold, split_validation

DIGITS = {"_target_": "bf_batch.opensets.Digits"}


class Labelled(Batch):
    components = "x", "labels"


@pytest.fixture
def dataset():
    labels = np.arange(40) % 4
    return Dataset(40, Labelled, preloaded=(np.arange(40.0), labels)).split(0.75, shuffle=True, seed=1)


def make_config(validation=None, seed=0):
    return OmegaConf.create({"validation": validation or {"part": "auto", "share": 0.1}, "seed": seed})


def test_folds_share_no_item_and_have_all_classes(dataset):
    parts = [split_validation(make_config(), dataset, Fold(number, 3)) for number in range(3)]
    validated = [set(validation.indices.tolist()) for _, validation in parts]
    assert set().union(*validated) == set(dataset.train.indices.tolist())
    assert sum(map(len, validated)) == len(dataset.train)
    for training, validation in parts:
        assert set(training.indices) | set(validation.indices) == set(dataset.train.indices)
        assert np.bincount(validation.rows("labels", slice(0, len(validation)))).min() >= 2
    again = split_validation(make_config(), dataset, Fold(1, 3))[1]
    assert again.indices.tolist() == parts[1][1].indices.tolist()
    other = split_validation(make_config(seed=5), dataset, Fold(1, 3))[1]
    assert other.indices.tolist() != again.indices.tolist()


def test_the_configuration_names_the_fold_and_the_data_set_does_not_see_it():
    dataset, fold = make_dataset({**DIGITS, "fold": 2, "folds": 4})
    assert (fold, len(dataset)) == (Fold(2, 4), 1797)
    assert split_fold({**DIGITS, "fold": None, "folds": 5}) == (DIGITS, None)
    assert split_fold(DIGITS) == (DIGITS, None)


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"fold": 5, "folds": 5}, r"dataset.fold must be 0 to 4 with dataset.folds=5, or null, got 5"),
        ({"fold": -1}, r"must be 0 to 4"),
        ({"fold": True}, r"must be 0 to 4"),
        ({"fold": "first"}, r"must be 0 to 4"),
        ({"fold": 0, "folds": 1}, r"dataset.folds must be a whole number above 1, got 1"),
    ],
)
def test_a_fold_that_there_is_not_is_refused(options, reason):
    with pytest.raises(ValueError, match=reason):
        split_fold({**DIGITS, **options})


def test_two_answers_to_what_is_validated_on_are_refused(dataset):
    with pytest.raises(ValueError, match="both say what to validate on"):
        split_validation(make_config({"part": "test"}), dataset, Fold(0, 3))
    config = OmegaConf.create({"validation": None, "seed": 0})
    with pytest.raises(ValueError, match="validation=null is for none"):
        split_validation(config, dataset, Fold(0, 3))
    with pytest.raises(ValueError, match=r"dataset\.folds=31: there are 30 items to train on"):
        split_validation(make_config(), dataset, Fold(0, 31))


@pytest.mark.parametrize("fold", [None, Fold(1, 3)])
def test_a_yes_or_no_of_each_class_is_split_as_numbers_are(fold) -> None:
    """Labels of several classes at once, whole numbers, have no class of an item to be dealt out by."""
    labels = (np.random.default_rng(0).random((40, 3)) < 0.5).astype(np.int64)
    dataset = Dataset(40, Labelled, preloaded=(np.arange(40.0), labels)).split(0.75, shuffle=True, seed=1)
    training, validation = split_validation(make_config(), dataset, fold)
    assert len(validation) == (3 if fold is None else 10)
    assert set(training.indices) | set(validation.indices) == set(dataset.train.indices)
