"""Trainings on pictures beside masks, and what their networks make of new pictures."""

from __future__ import annotations

import csv
import io
import logging
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas
import pytest
import yaml
from omegaconf import DictConfig
from PIL import Image

from bf_batch import Dataset
from bf_batch.opensets import Coins, MasksBatch, RowsBatch
from bf_batch.opensets.coins import read_photo
from bf_models import KerasModel
from bf_models.metrics import SegmentationMetrics
from bf_research import targets
from bf_research.prediction.kept import KeptModel
from bf_research.prediction.maps import label_maps, read_legend
from bf_research.prediction.predict import predict
from bf_research.prediction.steps import make_steps
from bf_research.recipe.data import make_dataset, split_validation
from bf_research.recipe.found import balance, choose_sides, find_out
from bf_research.recipe.names import parameters
from bf_research.recipe.pipelines import as_plain
from bf_research.train import train
from bf_research.trained import Trained, write_trained

ROOT = Path(__file__).parents[2]
SMALL = ["tracking=none", "n_iters=2", "batch_size=4", "bar=false", "prefetch=0", "model.body.filters=2"]
CLASSES = ("table", "coin")
HEAD = {"_target_": "bf_models.blocks.ConvBlock", "layout": "c", "filters": 2, "kernel_size": 1}


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Cuts of a photo of coins of several sizes in ``photos``, masks of 7 and 9 in ``masks``."""
    photo, mask = read_photo()
    numbers = np.where(mask == 255, 255, np.where(mask == 1, 9, 7)).astype(np.uint8)
    for name in ("photos", "masks"):
        (tmp_path / name).mkdir()
    for number in range(12):
        cut = (slice(20 * number, 20 * number + 60), slice(20 * number, 20 * number + 80 + 2 * number))
        Image.fromarray(np.stack([photo[cut]] * 3, -1)).save(tmp_path / "photos" / f"{number}.png")
        picture = Image.fromarray(numbers[cut])
        picture.putpalette([0] * 21 + [1, 2, 3, 0, 0, 0, 200, 100, 0] + [0] * 738)
        picture.save(tmp_path / "masks" / f"{number}.png")
    return tmp_path


MASKS = ("dataset=masks", "dataset.path=photos", "dataset.masks=masks")


def found_out(config: DictConfig) -> tuple[DictConfig, Any]:
    dataset = make_dataset(as_plain(config.dataset))[0]
    return find_out(config, dataset, split_validation(config, dataset)[0]), dataset


def test_pictures_beside_masks_train_at_the_first_try(configure, data: Path, caplog) -> None:
    caplog.set_level(logging.INFO)
    outcome = train(configure(*MASKS, "class_weights=balanced"))
    assert set(outcome.metrics) >= {
        "validation/mean_iou",
        "test/mean_iou",
        "test/pixel_accuracy",
        "test/loss",
    }
    assert "2 classes: 7, 9" in caplog.text
    assert "dataset.classes={7: 7, 9: 9}, dataset.ignore=255" in caplog.text
    assert "class_weights=[" in caplog.text


def test_what_is_found_out_stands_in_the_configuration(configure, data: Path) -> None:
    done, dataset = found_out(configure(*MASKS, "dataset.classes={table: 7, coin: 9}", "validation=null"))
    assert as_plain(done.dataset.classes) == {"table": 7, "coin": 9}
    assert list(done.dataset.palette) == ["#010203", "#c86400"]
    assert (list(done.pipeline.size), done.pipeline.mode) == ([48, 64], "rgb")
    assert as_plain(done.pipeline.load) == [
        {"load": {"fmt": "image", "mode": "rgb"}},
        {"load_masks": {"dst": "masks"}},
    ]
    assert as_plain(done.loss) == {"name": "ce", "ignore": 255}
    names = [Path(str(name)).with_suffix(".png") for name in dataset.train.indices]
    pixels = np.concatenate([np.asarray(Image.open(data / "masks" / name)).ravel() for name in names])
    pixels = pixels[pixels != 255]
    weights = [len(pixels) / (2 * np.count_nonzero(pixels == value)) for value in (7, 9)]
    np.testing.assert_allclose(balance(dataset, dataset.train), weights, rtol=1e-5)
    square, _ = found_out(configure(*MASKS, "pipeline.size=40"))
    assert list(square.pipeline.size) == [40, 40]
    for file in (data / "masks").iterdir():
        numbers = np.asarray(Image.open(file))
        Image.fromarray(np.where(numbers == 9, 255, 0).astype(np.uint8)).save(file)
    listed, _ = found_out(configure(*MASKS, "dataset.classes=[a,b]"))
    assert as_plain(listed.dataset.classes) == {"a": 0, "b": 255}
    assert listed.dataset.ignore is None


def test_weights_of_masks_at_hand_are_those_of_their_pixels() -> None:
    dataset = Coins()
    masks = np.asarray(dataset.train.rows("masks", slice(0, len(dataset.train))))
    counts = [np.count_nonzero(masks == number) for number in (0, 1)]
    np.testing.assert_allclose(
        balance(dataset, dataset.train), [sum(counts) / (2 * count) for count in counts], rtol=1e-5
    )


def test_what_a_task_chooses_is_recorded_as_a_number_and_may_be_said(configure) -> None:
    written = parameters(configure("experiment=segmentation"))
    assert (written["test_batch_size"], written["loss.ignore"]) == ("16", "255")
    other = parameters(configure("experiment=segmentation", "test_batch_size=3", "loss=dice"))
    assert (other["test_batch_size"], other["loss"]) == ("3", "dice")


@pytest.mark.parametrize(
    ("sizes", "sides"),
    [
        ([[64, 80]] * 3, [64, 80]),
        ([[375, 500], [375, 500], [500, 375]], [224, 288]),
        ([[500, 375]] * 3, [288, 224]),
        ([[100, 900]], [96, 192]),
        ([[20, 20]], [32, 32]),
    ],
)
def test_sides_of_pictures(sizes: list[list[int]], sides: list[int]) -> None:
    assert choose_sides(np.array(sizes)) == sides


def test_a_mask_of_another_size_is_told_before_the_first_iteration(configure, data: Path) -> None:
    Image.fromarray(np.zeros((60, 81), np.uint8)).save(data / "masks" / "0.png")
    with pytest.raises(ValueError, match=r"masks/0\.png is 60 x 81, its picture 60 x 80"):
        train(configure(*MASKS))


def make_run(folder: Path, **sections: Any) -> KerasModel:
    """Write a run whose network has a linear class for each pixel of 12 x 16."""
    model = KerasModel(
        {"inputs": {"images": {"shape": (12, 16, 3)}}, "num_classes": 2, "seed": 4, "head": HEAD}
    ).build()
    both = ["images", "masks"]
    pipeline = {
        "inputs": {"_target_": "bf_pipeline.B", "_args_": ["images"]},
        "targets": {"_target_": "bf_pipeline.B", "_args_": ["masks"]},
        "load": [{"load": {"fmt": "image", "mode": "rgb"}}, {"load_masks": {"dst": "masks"}}],
        "prepare": [
            {"resize": {"size": [12, 16], "src": both}},
            {"normalize": {"mean": [0.4] * 3, "std": [0.2] * 3}},
        ],
    }
    dataset = {
        "_target_": "bf_batch.opensets.ImageMasks",
        "path": "photos",
        "masks": "masks",
        "classes": {"table": 7, "coin": 9},
        "ignore": 255,
        "palette": ["#010203", "#c86400"],
    }
    config = {
        "task": {"name": "segmentation"},
        "dataset": {**dataset, **sections.get("dataset", {})},
        "model": {"_target_": "bf_models.KerasModel"},
        "pipeline": {**pipeline, **sections.get("pipeline", {})},
    }
    folder.mkdir()
    model.save(folder / "model.bf")
    write_trained(folder, yaml.safe_dump(config, sort_keys=False), CLASSES)
    (folder / "run.json").write_text('{"settings": {}, "state": "finished"}')
    return model


def expect(model: KerasModel, file: Path) -> np.ndarray:
    """Return labels of a picture by Pillow alone: resized both ways without a filter."""
    with Image.open(file) as picture:
        width, height = picture.size
        rows = [Image.fromarray(np.asarray(picture)[..., k].astype("f4")) for k in range(3)]
    small = [one.transform((16, 12), Image.Transform.AFFINE, sample(one.size, (16, 12)), 2) for one in rows]
    pixels = (np.stack([np.asarray(one) for one in small], -1) / 255 - 0.4) / 0.2
    proba = model.predict(pixels[None].astype("f4"), fetches="proba")[0]
    grown = [
        np.asarray(Image.fromarray(proba[..., k]).resize((width, height), Image.Resampling.BILINEAR))
        for k in range(2)
    ]
    return np.stack(grown, -1).argmax(-1)


def sample(before: tuple[int, int], after: tuple[int, int]) -> tuple[float, ...]:
    return (before[0] / after[0], 0, 0, 0, before[1] / after[1], 0)


def test_masks_have_the_size_of_the_pictures_and_the_numbers_of_the_training(configure, data: Path) -> None:
    model = make_run(data / "run")
    (data / "new" / "day").mkdir(parents=True)
    for number in (3, 8):
        (data / "photos" / f"{number}.png").rename(data / "new" / "day" / f"{number}.png")
    Image.open(data / "photos" / "5.png").convert("RGB").save(data / "new" / "5.jpg", quality=100)
    done = predict(configure("run=run", "dataset.path=new", "out=predicted", name="predict"))
    assert done.items == 3
    written = sorted(path.relative_to("predicted").as_posix() for path in Path("predicted").rglob("*.png"))
    assert written == ["5.png", "day/3.png", "day/8.png"]
    shares = {row["id"]: row for row in csv.DictReader(Path("predicted/shares.csv").read_text().splitlines())}
    for name in ("day/3.png", "day/8.png"):
        with Image.open(Path("predicted") / name) as mask, Image.open(Path("new") / name) as picture:
            assert mask.size == picture.size
            assert mask.mode == "P"
            assert mask.getpalette()[21:24] + mask.getpalette()[27:30] == [1, 2, 3, 200, 100, 0]
            numbers = np.asarray(mask)
        assert set(np.unique(numbers)) <= {7, 9}
        want = expect(model, Path("new") / name)
        assert np.mean((numbers == 9) == want) > 0.98  # the same but where both classes are about as likely
        assert float(shares[name]["share_coin"]) == pytest.approx(np.mean(numbers == 9))
        assert float(shares[name]["share_table"]) == pytest.approx(np.mean(numbers == 7))
    again = predict(configure("run=run", "dataset.path=new", "out=shares.csv", name="predict"))
    assert again.path.read_text() == Path("predicted/shares.csv").read_text()
    strange = ("dataset.classes={a: 7, b: 9}", "dataset.unmatched=leave_out")
    with pytest.raises(ValueError, match=r"unknown class 'a'.*the data have 2 classes that the model"):
        predict(configure("run=run", *strange, "out=x", name="predict"))


def test_the_part_of_the_test_is_predicted_without_reading_its_masks(configure, data: Path) -> None:
    make_run(data / "run")
    done = predict(configure("run=run", "out=predicted", "dataset.scan=false", name="predict"))
    assert done.items == 2
    with Image.open(next(Path("predicted").glob("*.png"))) as mask:
        assert mask.size[1] == 60


def test_steps_that_cut_are_told_and_masks_stay_as_they_are(configure, data: Path, caplog) -> None:
    make_run(data / "run", pipeline={"prepare": [{"fit": {"size": [12, 16], "src": ["images", "masks"]}}]})
    predict(configure("run=run", "dataset.path=photos", "out=predicted", name="predict"))
    assert "fit in its steps cannot be undone" in caplog.text
    with Image.open("predicted/1.png") as mask:
        assert mask.size == (16, 12)


def test_the_model_of_mlflow_answers_with_masks(data: Path) -> None:
    model = make_run(data / "run")
    text = (data / "run" / "config.yaml").read_text()
    files = sorted((data / "photos").glob("*.png"))[:2]
    (data / "kept").mkdir()
    KeptModel(model, text, CLASSES, Dataset(2, MasksBatch)).write(data / "kept" / "model")
    loaded = mlflow.pyfunc.load_model(str(data / "kept" / "model"))
    table = loaded.predict(pandas.DataFrame({"file": [file.read_bytes() for file in files]}))
    assert table.columns.tolist() == ["mask", "share_table", "share_coin"]
    for row, file in enumerate(files):
        mask, picture = Image.open(io.BytesIO(table["mask"][row])), Image.open(file)
        assert mask.size == picture.size
        numbers = np.asarray(mask)
        assert np.mean((numbers == 9) == expect(model, file)) > 0.98
        assert table["share_coin"][row] == pytest.approx(np.mean(numbers == 9))


@pytest.mark.parametrize("batches", [MasksBatch, RowsBatch])
def test_classes_of_batches_of_data_sets_may_be_named(batches) -> None:
    name = f"{batches.__module__}.{batches.__qualname__}"
    assert targets.resolve(name, "batch_class") is batches


def test_labels_are_enlarged_in_strips_as_in_one(monkeypatch: pytest.MonkeyPatch) -> None:
    proba = np.random.default_rng(0).random((1, 7, 9, 4), "f4")
    whole = label_maps(proba, np.array([[50, 61]]))[0]
    grown = [np.asarray(Image.fromarray(proba[0, ..., k]).resize((61, 50), 2)) for k in range(4)]
    assert np.mean(whole == np.stack(grown, -1).argmax(-1)) > 0.999
    monkeypatch.setattr("bf_research.prediction.maps._AT_ONCE", 61 * 4 * 7)
    np.testing.assert_array_equal(label_maps(proba, np.array([[50, 61]]))[0], whole)
    yes = label_maps(proba[..., :1], None)[0]
    np.testing.assert_array_equal(yes, proba[0, ..., 0] >= 0.5)


@pytest.mark.parametrize(
    ("dataset", "values", "mode"),
    [
        ({"classes": {"table": 0, "coin": 255}}, [0, 255], "P"),
        (
            {"classes": {"table": "#804080", "coin": "#ffffff"}, "palette": ["#804080", "#ffffff"]},
            [0, 1],
            "P",
        ),
        ({"classes": {"coin": 1, "table": 2}}, [0, 1], "P"),
        ({"classes": {"table": 3, "coin": 700}}, [3, 700], "I;16"),
        ({"classes": {"table": -3, "coin": 1 << 40}, "palette": ["red", 5]}, [0, 1], "P"),
        ({}, [0, 1], "P"),
        (["strange"], [0, 1], "P"),
    ],
)
def test_masks_are_written_by_what_the_record_says_if_it_makes_sense(dataset, values, mode) -> None:
    legend = read_legend(Trained("here", Path("model.bf"), {"dataset": dataset}), CLASSES)
    labels = np.array([[0, 1], [1, 0]], np.uint8)
    with Image.open(io.BytesIO(legend.encode(labels))) as picture:
        assert picture.mode == mode
        np.testing.assert_array_equal(np.asarray(picture), np.array(values)[labels])
        if isinstance(dataset, dict) and "#804080" in str(dataset):
            assert picture.convert("RGB").getpixel((0, 0)) == (128, 64, 128)


@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        ([{"load": {"src": "masks", "dst": "images"}}], [{"load": {"src": "masks", "dst": "images"}}]),
        ([{"load": {"src": "files", "dst": "masks"}}], []),
        ([{"load_masks": {"dst": "masks"}}, {"flip": {"src": "masks"}}], []),
        (
            [{"rotate": {"angle": 1, "fill": {"images": 0, "masks": 255}, "src": ["images", "masks"]}}],
            [{"rotate": {"angle": 1, "fill": {"images": 0}, "src": ["images"]}}],
        ),
    ],
)
def test_steps_leave_alone_what_new_data_have_not(steps, kept) -> None:
    def repr_of(listed: Any, without: str | None) -> str:
        return repr(make_steps(Trained("here", Path("m"), {"pipeline": {"load": listed}}), "load", without))

    assert repr_of(steps, "masks") == repr_of(kept, None)


@pytest.mark.slow
def test_the_experiment_tells_coins_from_their_table(configure) -> None:
    settings = ("experiment=segmentation", "model.body.filters=16", "batch_size=16", "n_iters=null")
    outcome = train(configure(*settings))
    photo, _ = read_photo()
    test = Coins().test
    images, masks = (np.asarray(test.rows(name, slice(0, len(test)))) for name in ("images", "masks"))
    threshold = np.median(photo)
    plain = SegmentationMetrics(
        masks, (images > threshold).astype("u1"), "labels", 2, ignore=255, by_image=False
    )
    assert outcome.metrics["test/mean_iou"] > max(0.97, plain.evaluate("mean_iou"))


@pytest.mark.parametrize(
    ("dataset", "task", "message"),
    [
        ("mnist", "segmentation", r"class of each pixel.* B\('labels'\), have the shape \('N',\)"),
        ("coins", "regression", r"a number an item.* B\('masks'\), have the shape \('N', 64, 64\)"),
    ],
)
def test_targets_that_are_none_of_the_task_are_refused(configure, dataset, task, message) -> None:
    config = configure(f"dataset={dataset}", f"task={task}", "model=small_unet")
    with pytest.raises(ValueError, match=f"task={task} learns .*{message}"):
        train(config)
