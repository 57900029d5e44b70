"""A network on a real table: what `experiment=tabular` reaches beside scikit-learn's logistic regression."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas
import pytest
from sklearn.datasets import load_breast_cancer, load_diabetes
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bf_batch.opensets import SklearnTable
from bf_research.recipe.data import make_dataset, split_validation
from bf_research.recipe.found import find_out
from bf_research.recipe.pipelines import as_plain
from bf_research.train import train

ROOT = Path(__file__).parents[2]

SMALL = ["experiment=tabular", "tracking=none", "bar=false"]


def test_the_network_is_as_good_as_logistic_regression_on_the_same_rows(configure) -> None:
    reached = train(configure()).metrics["test/accuracy"]
    data = SklearnTable()
    train_rows, test_rows = (
        [np.asarray(part.rows(name, slice(0, len(part)))) for name in ("features", "labels")]
        for part in (data.train, data.test)
    )
    peer = make_pipeline(StandardScaler(), LogisticRegression()).fit(*train_rows).score(*test_rows)
    assert peer > 0.97
    assert reached >= peer - 3 / len(data.test)  # one row of 114 is 0.0088


def test_columns_are_normalised_by_the_rows_to_train_on_alone(configure) -> None:
    config = configure()
    dataset, fold = make_dataset(as_plain(config.dataset))
    rows, _ = split_validation(config, dataset, fold)
    values = load_breast_cancer().data[rows.indices]
    assert len(values) == 410
    found = find_out(config, dataset, rows)
    np.testing.assert_allclose(found.pipeline.mean, values.mean(axis=0), rtol=1e-5)
    np.testing.assert_allclose(found.pipeline.std, values.std(axis=0), rtol=1e-5)


def test_tables_are_those_of_scikit_learn() -> None:
    bunch = load_breast_cancer(as_frame=True)
    data = SklearnTable()
    assert data.features == tuple(bunch.data.columns)
    assert data.classes == ("benign", "malignant")
    for part in (data.train, data.test):
        np.testing.assert_allclose(
            part.rows("features", slice(0, len(part))), bunch.data.to_numpy()[part.indices], rtol=1e-6
        )
        names = np.asarray(data.classes)[part.rows("labels", slice(0, len(part)))]
        assert (names == bunch.target_names[bunch.target[part.indices]]).all()
    assert set(data.train.indices) | set(data.test.indices) == set(range(569))
    raw = load_diabetes(scaled=False, as_frame=True).frame
    numbers = SklearnTable("diabetes", task="regression", categories=["sex"])
    assert sum(numbers.one_hot) == 2
    assert len(numbers.columns) == 11
    np.testing.assert_allclose(
        numbers.train.rows("labels", slice(0, 9)), raw.target[numbers.train.indices[:9]], rtol=1e-6
    )


def test_new_rows_are_a_file_of_the_same_columns(tmp_path: Path) -> None:
    frame = load_breast_cancer(as_frame=True).data.head(7)
    frame.iloc[:, ::-1].to_csv(tmp_path / "new.csv", index=False)
    rows = SklearnTable.unlabelled(tmp_path / "new.csv", features=list(frame.columns), table="breast_cancer")
    np.testing.assert_allclose(rows.rows("features", slice(0, 7)), frame.to_numpy(), rtol=1e-6)
    pandas.DataFrame({"a": [1]}).to_csv(tmp_path / "other.csv", index=False)
    with pytest.raises(KeyError, match="unknown column 'mean radius'"):
        SklearnTable.unlabelled(tmp_path / "other.csv", features=list(frame.columns))


def test_what_there_is_not_is_said() -> None:
    with pytest.raises(ValueError, match=r"unknown table 'winee' of SklearnTable; did you mean 'wine'"):
        SklearnTable("winee")
    with pytest.raises(ValueError, match="targets of 'diabetes' are numbers: task=regression"):
        SklearnTable("diabetes")
    with pytest.raises(ValueError, match="targets of 'iris' are classes: task=classification"):
        SklearnTable("iris", task="regression")
