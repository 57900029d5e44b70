"""The catalogue of models: what the zoo fills it with, and how others read it."""

from __future__ import annotations

import pytest

import bf_models
from bf_models.network.catalog import CATALOG, add_models


def test_the_catalogue_is_full_and_loads_no_tensorflow(run_script):
    done = run_script(
        """
        import sys
        from bf_models.network.catalog import CATALOG
        print(len(CATALOG), CATALOG["resnet18"].__name__, "tensorflow" in sys.modules)
        """
    )
    assert done.out.split() == [str(len(CATALOG)), "ResNet18", "False"]


def test_each_model_is_exported_by_its_name_and_described_in_one_line():
    assert bf_models.zoo_names() == CATALOG
    for name, model in CATALOG.items():
        assert getattr(bf_models, model.__name__) is model
        assert name == model.__name__.lower()
        assert model.__doc__.splitlines()[0].endswith(("classes.", "numbers."))


def test_the_names_that_are_given_out_are_a_copy():
    bf_models.zoo_names().clear()
    assert CATALOG


def test_a_name_that_is_taken_is_refused():
    resnet18 = CATALOG["resnet18"]
    add_models([resnet18])
    with pytest.raises(ValueError, match="'resnet18' already"):
        add_models([type("ResNet18", (), {})])
    assert CATALOG["resnet18"] is resnet18
