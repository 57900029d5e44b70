"""Trainings on sets that everybody knows, from small folders of the same make."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hydra import compose, initialize_config_dir
from PIL import Image

from bf_batch.opensets.scenes.pascal import _CLASSES
from bf_command.schema import register
from bf_research.recipe.data import make_dataset, split_validation
from bf_research.recipe.found import find_out
from bf_research.recipe.pipelines import as_plain
from bf_research.train import train

ROOT = Path(__file__).parents[2]
SMALL = ["tracking=none", "n_iters=2", "batch_size=4", "bar=false", "prefetch=0", "dataset.path=voc"]


@pytest.fixture
def voc(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a set like PASCAL VOC, of ten photos of 40 x 48."""
    monkeypatch.chdir(tmp_path)
    root, rng = tmp_path / "voc", np.random.default_rng(0)
    names = [f"2007_{number:06}" for number in range(10)]
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Main", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for number, name in enumerate(names):
        mask = np.zeros((40, 48), np.uint8)
        mask[5:25, 5 + number : 25 + number] = 1 + number % 2
        mask[4] = 255
        photo = rng.integers(0, 60, (40, 48, 3)) + 90 * (mask == 1)[..., None]
        Image.fromarray(photo.astype(np.uint8)).save(root / f"JPEGImages/{name}.jpg")
        Image.fromarray(mask).save(root / f"SegmentationClass/{name}.png")
    for part, own in (("train", names[:6]), ("val", names[6:])):
        for kind in ("Main", "Segmentation"):
            (root / f"ImageSets/{kind}/{part}.txt").write_text("\n".join(own))
        for number, kind in enumerate(_CLASSES):
            lines = [f"{name} {1 if int(name) % 5 == number % 5 else -1}" for name in own]
            (root / f"ImageSets/Main/{kind}_{part}.txt").write_text("\n".join(lines))
    return root


def configure(*overrides: str):
    register(ROOT / "conf", "train")
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        return compose("train", overrides=[*SMALL, *overrides])


@pytest.mark.parametrize(
    ("name", "target"),
    [
        ("pascal_segmentation", "PascalSegmentation"),
        ("ade20k", "ADE20K"),
        ("coco_segmentation", "COCOSegmentation"),
    ],
)
def test_sets_with_masks_bring_the_task_of_segmentation(name: str, target: str) -> None:
    config = configure(f"dataset={name}")
    assert config.dataset._target_ == f"bf_batch.opensets.{target}"
    assert config.task.name == "segmentation"
    assert config.model._target_ == "bf_models.UNet"
    assert "load_masks" not in str(config.pipeline.load)  # found out from the data


@pytest.mark.parametrize("classes", ["null", "[background,aeroplane]"])
def test_what_is_found_out_of_a_known_set_makes_the_set_again(voc: Path, classes: str) -> None:
    config = configure("dataset=pascal_segmentation", f"dataset.classes={classes}")
    dataset, _ = make_dataset(as_plain(config.dataset))
    done = find_out(config, dataset, split_validation(config, dataset)[0])
    assert done.dataset.classes.background == 0
    assert done.dataset.classes.aeroplane == 1
    assert len(done.dataset.classes) == len(done.dataset.palette) == (21 if classes == "null" else 2)
    again, _ = make_dataset(as_plain(done.dataset))
    assert again.mask_labels == dataset.mask_labels
    assert again.palette == dataset.palette
    assert list(done.pipeline.size) == [40, 48]


def test_masks_of_a_known_set_are_trained_on(voc: Path) -> None:
    small = [
        "model.body.filters=2",
        "+model.body.depth=1",
        "validation=null",
        "dataset.classes=[background,aeroplane,bicycle]",
    ]
    outcome = train(configure("dataset=pascal_segmentation", *small))
    assert {"test/mean_iou", "test/pixel_accuracy"} <= set(outcome.metrics)
    assert 0 < outcome.metrics["test/pixel_accuracy"] <= 1


def test_several_kinds_at_once_are_trained_on(voc: Path) -> None:
    config = configure("dataset=pascal_classification", "model=vgg7", "validation=null")
    assert (config.loss, config.task.name) == ("bce", "classification")
    outcome = train(config)
    assert 0 < outcome.metrics["test/accuracy"] <= 1
    answers = outcome.metrics["test/accuracy"] * 4 * 20  # four photos, a yes or no for each kind
    assert answers == pytest.approx(round(answers))
    assert outcome.metrics["test/loss"] < 2  # about ln 2 for each, not ln 20 of one
