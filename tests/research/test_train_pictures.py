"""Pictures at the end of a training: as the command leaves them, against what the kept model predicts."""

from __future__ import annotations

import csv
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from bf_batch.opensets import Digits
from bf_models import KerasModel
from bf_research.recipe.pictures import PictureOptions, Shown, draw_items, read_pictures

ROOT = Path(__file__).parents[2]


def test_the_command_leaves_pictures_and_a_table_of_the_worst(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "train.py"), "dataset=digits", "n_iters=40", "validation=null"]
    command += ["tracking=none", "bar=false", "pictures={worst: 5}", f"hydra.run.dir={tmp_path}/out"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    place = tmp_path / "out" / "pictures"
    assert sorted(path.name for path in place.iterdir()) == [
        "confusion.png",
        "samples.png",
        "worst.csv",
        "worst.png",
    ]
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in place.glob("*.png"))
    # the same by the model that was kept
    test = Digits().test
    images = np.asarray(test.rows("images", slice(0, len(test))), "float32") / 16
    labels = np.asarray(test.rows("labels", slice(0, len(test))))
    shares = KerasModel.load(tmp_path / "out" / "model.bf").predict(images, fetches="proba")
    losses = -np.log(shares[np.arange(len(labels)), labels])
    worst = np.argsort(-losses)[:5]
    with open(place / "worst.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["id"]) for row in rows] == test.indices[worst].tolist()
    assert [int(row["target"]) for row in rows] == labels[worst].tolist()
    assert [int(row["predicted"]) for row in rows] == shares[worst].argmax(-1).tolist()
    np.testing.assert_allclose([float(row["loss"]) for row in rows], losses[worst], atol=1e-3)


def test_options_are_read(configure) -> None:
    assert read_pictures(configure()) is None
    assert read_pictures(configure("pictures=true")) == PictureOptions()
    assert read_pictures(configure("pictures={worst: 3}")) == PictureOptions(worst=3)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (["pictures=7"], "pictures must be null, true or a mapping"),
        (["pictures={wurst: 3}"], "unknown setting 'wurst' of pictures; did you mean 'worst'"),
        (["pictures={worst: -1}"], r"pictures.worst must be a whole number of at least 0"),
        (["pictures={confusion: 2}"], r"pictures.confusion must be true or false"),
        (
            ["pictures=true", "task=regression", "pipeline=regression"],
            "pictures are of task=classification, .* or reconstruction",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(configure, given, told) -> None:
    with pytest.raises(ValueError, match=told):
        read_pictures(configure(*given))


def test_losses_of_items_are_cross_entropies() -> None:
    shown = Shown()
    shown.add([5, 6], np.zeros((2, 4, 4, 1)), [0, 1], np.array([[0.25, 0.75], [0.0, 1.0]]))
    np.testing.assert_allclose(shown.losses, [np.log(4), 0])
    assert shown.take([1]).ids == [6]
    figure = draw_items(shown, ["$a", "b"])
    assert [axes.get_title() for axes in figure.axes] == ["\\$a\nas b 0.75", "b 1.00"]
