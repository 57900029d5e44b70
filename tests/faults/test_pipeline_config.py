"""Faults of a pipeline's configuration: paths that are not there, and copies that are changed."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_pipeline import BindError, C, Pipeline


class Points(Batch):
    components = ("x",)

    @action
    def add(self, value):
        self.x = self.x + value
        return self


@pytest.fixture
def dataset():
    return Dataset(4, Points, preloaded=(np.arange(4),))


@pytest.mark.faults("CF01")
def test_a_misspelt_path_in_the_config_is_told_with_its_close_match(dataset):
    config = {"model": {"head": {"units": 3}}}
    with pytest.raises(BindError, match=r"hed.*head"):
        Pipeline(dataset, config).add(C("model/hed/units")).gen_batch(2)


@pytest.mark.faults("CF02")
def test_a_missing_key_is_an_error_that_names_it_and_a_default_is_taken(dataset):
    pipeline = Pipeline(dataset, {"rate": 1})
    with pytest.raises(KeyError, match="steps"):
        pipeline.config["steps"]
    with pytest.raises(BindError, match="steps"):
        pipeline.add(C("steps")).gen_batch(2)
    assert pipeline.add(C("steps", default=5)).next_batch(2).x.tolist() == [5, 6]


@pytest.mark.faults("CF04")
def test_a_copy_of_a_config_can_be_changed_without_changing_its_source(dataset):
    source = {"model": {"units": 3}}
    pipeline = Pipeline(dataset, source).add(C("model/units"))
    other = pipeline << {"model": {"units": 10}}
    source["model"]["units"] = 100
    assert pipeline.next_batch(2).x.tolist() == [3, 4]
    assert other.next_batch(2).x.tolist() == [10, 11]
