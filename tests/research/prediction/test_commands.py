"""Training and predicting as a person does it, by two commands."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from mlflow import pyfunc

from bf_batch.opensets import MNIST
from bf_models import LeNet
from bf_research.trained import find_trained

KEEP = "tracking.register=small"
ROOT = Path(__file__).parents[3]


def program(name: str, *arguments: str) -> str:
    return f"""
        import runpy, sys
        sys.argv = ["{name}", *{list(arguments)!r}]
        runpy.run_path({str(ROOT / name)!r}, run_name="__main__")
    """


@pytest.mark.usefixtures("ready_store")
def test_what_was_trained_is_used_by_its_id_as_by_its_folder(run_script, tmp_path: Path) -> None:
    done = run_script(
        program("train.py", "model=lenet", "n_iters=3", "batch_size=32", "bar=false", "name=a", KEEP)
    )
    assert done.code == 0, done.err
    run_id = json.loads((tmp_path / "outputs/a/run.json").read_text())["run_id"]
    before = set(tmp_path.iterdir())
    done = run_script(program("predict.py", f"run={run_id}", "out=table.csv", "bar=false"))
    assert done.code == 0, done.err
    assert "1000 predictions" in done.out
    left = {path.name for path in set(tmp_path.iterdir()) - before if not path.name.startswith("script")}
    assert left == {"table.csv"}
    with open(tmp_path / "table.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    test = MNIST().test
    batch = test.create_batch(test.indices)
    want = LeNet.load(tmp_path / "outputs/a/model.bf").predict(
        batch.images / np.float32(255), fetches="proba"
    )
    got = np.array([[row[f"proba_{digit}"] for digit in range(10)] for row in rows], "f4")
    np.testing.assert_allclose(got, want, atol=1e-5)
    assert [row["label"] for row in rows] == [str(label) for label in batch.labels.tolist()]
    shutil.rmtree(tmp_path / "outputs")
    kept = find_trained(run_id, f"sqlite:///{tmp_path}/mlflow.db")
    loaded = pyfunc.load_model(str(kept.model.parents[2])).predict(batch.images)
    assert loaded["prediction"].tolist() == [row["prediction"] for row in rows]
    version = find_trained("models:/small/1", f"sqlite:///{tmp_path}/mlflow.db")
    assert (version.classes, version.config) == (kept.classes, kept.config)
    assert [row["id"] for row in rows] == [str(id) for id in test.indices.tolist()]
