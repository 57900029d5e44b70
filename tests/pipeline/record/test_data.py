"""The data set of a pipeline that its config names, and what a pipeline tells of its items."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from bf_pipeline import B, BindError, C, F, Pipeline, R, V


@pytest.fixture
def folds(dataset):
    return dataset.folds(5)


def test_a_fold_is_chosen_by_the_config_of_a_run(folds):
    pipeline = Pipeline(None, {"folds": folds}).add(1) << C("folds")[C("fold")].attr("train")
    for fold in range(5):
        found = np.concatenate([batch.indices for batch in pipeline.gen_batch(3, config={"fold": fold})])
        assert found.tolist() == folds[fold].train.indices.tolist()
    by_function = Pipeline().add(1) << F(folds.__getitem__)(C("fold")).attr("test") << {"fold": 3}
    assert by_function.next_batch(2).indices.tolist() == folds[3].test.indices.tolist()


def test_such_pipelines_are_values_like_others(folds):
    pipeline = (Pipeline().add(1) << C("fold").attr("train")) + Pipeline().multiply(2)
    assert repr(pipeline) == "Pipeline().add(1).multiply(2) << C('fold').attr('train')"
    given = pickle.loads(pickle.dumps(pipeline)) << {"fold": folds[0]}
    assert given.next_batch(2).x.tolist() == [6, 8]
    other = Pipeline() << C("fold").attr("train") << {"fold": folds[0]}
    assert Pipeline(folds[0].train).merge(other).next_batch(2).indices.tolist() == [0, 1, 2, 3]


def test_a_missing_fold_is_told_before_the_run(folds):
    pipeline = Pipeline().add(1) << C("fold").attr("train")
    with pytest.raises(BindError, match="unknown config path 'fold'"):
        pipeline.run(2)
    with pytest.raises(TypeError, match="a data set is needed, the config gives 3"):
        (Pipeline() << C("fold") << {"fold": 3}).run(2)
    with pytest.raises(BindError, match="unknown action 'ad'"):
        (Pipeline().ad(1) << C("fold") << {"fold": folds[0]}).run(2)


@pytest.mark.parametrize("expr", [B("x"), V("v"), R("choice", [1, 2]), C("a")[B("i")]])
def test_data_that_need_a_batch_or_a_run_are_refused_at_once(expr):
    with pytest.raises(TypeError, match="the data are chosen before a run starts"):
        Pipeline() << expr


def test_a_pipeline_tells_its_items_as_its_data_set_does(dataset, folds):
    pipeline = Pipeline(dataset).add(1)
    assert (len(pipeline), pipeline.index, pipeline.indices.tolist()) == (10, dataset.index, list(range(10)))
    assert len(Pipeline() << C("fold").attr("test") << {"fold": folds[1]}) == 2
    assert bool(Pipeline())
    with pytest.raises(TypeError, match="the pipeline has no dataset"):
        len(Pipeline())
