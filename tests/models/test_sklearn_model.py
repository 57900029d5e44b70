"""Estimators of scikit-learn fit the protocol of models."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models.sklearn_model import SklearnModel

pytest.importorskip("sklearn")
SGD = {"estimator": {"_target_": "sklearn.linear_model.SGDClassifier", "random_state": 0}, "num_classes": 3}


def test_classifier_learns_by_batches(batch):
    model = SklearnModel(SGD)
    for _ in range(20):
        loss = model.train(*batch, fetches="loss")
    assert loss < 0.2
    assert model.predict(batch[0], fetches={"kinds": "labels"})["kinds"].shape == (12,)


def test_estimator_without_partial_fit_learns_once(batch):
    from sklearn.tree import DecisionTreeClassifier

    model = SklearnModel({"estimator": DecisionTreeClassifier()})
    model.train(*batch)
    assert np.array_equal(model.predict(batch[0]), batch[1])
    with pytest.raises(ValueError, match="learns once"):
        model.train(*batch)


def test_saved_estimator_predicts_and_learns_on(batch, tmp_path):
    model = SklearnModel(SGD)
    model.train(*batch)
    model.save(tmp_path / "sgd.bfm")
    loaded = SklearnModel.load(tmp_path / "sgd.bfm")
    assert np.array_equal(model.predict(batch[0]), loaded.predict(batch[0]))
    loaded.train(feed_dict={"images": batch[0], "labels": batch[1]})


def test_what_is_wrong_is_named(batch):
    with pytest.raises(TypeError, match=r"'estimatr'.*'estimator'"):
        SklearnModel({"estimatr": 1})
    with pytest.raises(ValueError, match="num_classes"):
        SklearnModel({"estimator": SGD["estimator"]}).train(*batch)
    with pytest.raises(PermissionError, match="os"):
        SklearnModel({"estimator": {"_target_": "os.system"}})
    with pytest.raises(ValueError, match=r"'probs'.*'proba'"):
        SklearnModel(SGD).predict(batch[0], fetches="probs")


@pytest.mark.parametrize(
    "name", ["linear_model.Perceptron", "naive_bayes.GaussianNB", "linear_model.SGDRegressor"]
)
def test_estimators_learn_by_batches_and_come_back(name, batch, tmp_path):
    model = SklearnModel({"estimator": {"_target_": f"sklearn.{name}"}, "num_classes": 3})
    images = batch[0] / 255
    for _ in range(2):
        model.train(images, batch[1])
    model.save(tmp_path / "model.bfm")
    loaded = SklearnModel.load(tmp_path / "model.bfm")
    assert np.array_equal(loaded.predict(images), model.predict(images))
    loaded.train(images, batch[1])
    assert loaded.iterations == 3
