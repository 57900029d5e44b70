"""Predictions for data of one's own, held against the bare network and what Pillow reads."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet
import pytest
import yaml
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig
from PIL import Image

from bf_batch import Batch
from bf_batch.opensets import Table
from bf_command.schema import register
from bf_index.names import TargetError
from bf_models import MLP, KerasModel
from bf_research.prediction.inputs import refuse_inputs
from bf_research.prediction.predict import Written, predict
from bf_research.prediction.predictor import Predicted
from bf_research.prediction.tables import list_columns
from bf_research.trained import NoModel, find_trained, write_trained

ROOT = Path(__file__).parents[3]
CLASSES = ("ant", "bee", "cat")
INPUTS = {"_target_": "bf_pipeline.B", "_args_": ["images"]}
LABELS = {"_target_": "bf_pipeline.B", "_args_": ["labels"]}
CONFIG: dict[str, Any] = {
    "dataset": {"_target_": "bf_batch.opensets.ImageFolder", "path": "own", "shares": [0.5, 0.5]},
    "model": {"_target_": "bf_models.MLP"},
    "pipeline": {
        "load": [{"load": {"mode": "gray"}}],
        "augment": [{"flip": {"p": 0.5}}],
        "prepare": [{"resize": {"size": [6, 5]}}, {"to_array": {"dtype": "float32", "scale": 1 / 255}}],
        "test": [
            {"predict_model": {"name": "net", "inputs": INPUTS, "targets": LABELS, "fetches": "labels"}}
        ],
    },
}


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DictConfig]]:
    """``configure("run=a")`` composes the settings of a prediction in a new working folder."""
    monkeypatch.chdir(tmp_path)
    register(ROOT / "conf", "predict")
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        yield lambda *overrides: compose("predict", overrides=["bar=false", "run=a", *overrides])


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A saved network for grey pictures of 6 x 5 and three classes."""
    path = tmp_path_factory.mktemp("trained") / "model.bf"
    config = {"inputs": {"images": {"shape": (6, 5, 1)}}, "num_classes": 3, "seed": 5, "body": {"units": [4]}}
    model = MLP(config)
    model.train(np.random.default_rng(0).random((8, 6, 5, 1), "f4"), np.arange(8) % 3)
    model.save(path)
    return path


@pytest.fixture
def run(tmp_path: Path, trained: Path) -> Path:
    """The folder ``a`` of a finished training, and pictures in ``own/CLASS`` and ``new``."""
    rng = np.random.default_rng(1)
    for number in range(12):
        for folder in (tmp_path / "own" / CLASSES[number % 3], tmp_path / "new" / f"day {number % 2}"):
            folder.mkdir(parents=True, exist_ok=True)
            # smooth, so that all ways to make it smaller are equal
            grey = np.full((12, 10), rng.integers(0, 256), np.uint8)
            Image.fromarray(np.stack([grey] * 3, -1)).save(folder / f"{number}.png")
    return make_run(tmp_path / "a", trained)


def make_run(folder: Path, model: Path, config: Any = CONFIG, classes: Any = CLASSES, **record: Any) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / "model.bf").write_bytes(model.read_bytes())
    write_trained(folder, yaml.safe_dump(config), classes)
    (folder / "run.json").write_text(json.dumps({"settings": {}, "state": "finished", **record}))
    return folder


def change(**sections: Any) -> dict[str, Any]:
    return {**CONFIG, "pipeline": {**CONFIG["pipeline"], **sections}}


def read(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def shares_of(trained: Path, files: list[Path]) -> np.ndarray:
    """Return the probabilities that the bare network gives for pictures of one colour each."""
    grey = np.array([np.asarray(Image.open(file).convert("L"))[0, 0] for file in files], "f4") / 255
    return KerasModel.load(trained).predict(np.tile(grey[:, None, None, None], (1, 6, 5, 1)), fetches="proba")


@pytest.mark.parametrize("engine", ["threads", "inline"])
def test_new_files_are_predicted_by_name_as_the_bare_network_does(
    configure, run: Path, trained: Path, engine
):
    done = predict(configure("dataset.path=new", "batch_size=5", f"engine={engine}"))
    assert done == Written(Path("predictions.csv"), 12, 0, done.seconds)
    rows = read(Path("predictions.csv"))
    assert list(rows[0]) == ["id", "prediction", "proba_ant", "proba_bee", "proba_cat"]
    files = [run.parent / "new" / row["id"] for row in rows]
    assert sorted(files) == sorted((run.parent / "new").rglob("*.png"))
    want = shares_of(trained, files)
    got = np.array([[row[f"proba_{name}"] for name in CLASSES] for row in rows], "f4")
    np.testing.assert_allclose(got, want, atol=1e-6)
    assert [row["prediction"] for row in rows] == [CLASSES[number] for number in want.argmax(-1)]


def test_without_data_it_is_the_part_of_the_test_with_its_labels(configure, run: Path):
    done = predict(configure())
    rows = read(done.path)
    assert done.items == len(rows) == 6
    assert [row["label"] for row in rows] == [Path(row["id"]).parts[0] for row in rows]
    assert predict(configure("part=train")).items == 6


def test_parquet_holds_the_same_as_csv(configure, run: Path):
    import pandas

    predict(configure("dataset.path=new", "batch_size=5"))
    predict(configure("dataset.path=new", "batch_size=5", "out=folder/table.parquet"))
    table = pandas.read_parquet("folder/table.parquet")
    texts = pandas.read_csv("predictions.csv")
    assert table.columns.tolist() == texts.columns.tolist()
    assert table["id"].tolist() == texts["id"].tolist()
    assert table["prediction"].tolist() == texts["prediction"].tolist()
    np.testing.assert_array_equal(table["proba_bee"], texts["proba_bee"].astype("f4"))


def test_a_table_is_whole_or_not_there(configure, run: Path):
    Path("predictions.csv").write_text("former")
    bad = run.parent / "new" / "day 1" / "zz.png"
    bad.write_bytes(b"no picture")
    with pytest.raises(Exception, match=r"zz\.png"):
        predict(configure("dataset.path=new", "batch_size=2"))
    assert Path("predictions.csv").read_text() == "former"
    assert [path.name for path in Path().iterdir() if path.name.startswith(".")] == []


def test_bad_files_are_left_out_where_the_steps_say_so(configure, run: Path, trained: Path):
    make_run(run, trained, change(load=[{"load": {"mode": "gray", "on_error": "skip"}}]))
    (run.parent / "new" / "day 1" / "zz.png").write_bytes(b"no picture")
    done = predict(configure("dataset.path=new", "batch_size=5"))
    assert (done.items, done.left_out) == (12, 1)
    assert "1 left out" in str(done)


def test_a_bare_model_file_takes_steps_and_names_from_the_command(configure, run: Path, trained: Path):
    alone = run.parent / "alone.bf"
    alone.write_bytes(trained.read_bytes())
    (run.parent / "here").mkdir()
    alone = alone.rename(run.parent / "here" / "alone.bf")
    with pytest.raises(NoModel, match=r"alone\.bf: no configuration.*pipeline=NAME dataset=NAME"):
        predict(configure(f"run={alone}", "dataset.path=new"))
    steps = json.dumps({**CONFIG["pipeline"], "test": [], "inputs": INPUTS}).replace('"', "")
    data = "dataset={_target_: bf_batch.opensets.ImageFolder, path: new}"
    done = predict(configure(f"run={alone}", f"pipeline={steps}", data, "classes=[x,y,z]"))
    assert {row["prediction"] for row in read(done.path)} <= {"x", "y", "z"}


def test_what_a_bare_model_leaves_open_is_found_or_asked_for(configure, run: Path, trained: Path):
    alone = run.parent / "here" / "alone.bf"
    alone.parent.mkdir()
    alone.write_bytes(trained.read_bytes())
    square = KerasModel({"inputs": {"images": {"shape": (5, 5, 1)}}, "num_classes": 3, "head": HEAD_OF_ONE})
    square.build().save(alone.with_name("square.bf"))

    def use(name: str, *more: str) -> Written:
        return predict(configure(f"run=here/{name}", "dataset.path=new", "pipeline=photos", *more))

    kind, numbers = "dataset=image_folder", ("pipeline.mean=0.5", "pipeline.std=0.5")
    with pytest.raises(ValueError, match=r"alone\.bf: .*dataset=NAME names the kind of data"):
        use("alone.bf")
    with pytest.raises(
        ValueError, match=r"alone\.bf: pipeline\.mean and pipeline\.std: .*not in a model file"
    ):
        use("alone.bf", kind)
    with pytest.raises(ValueError, match=r"alone\.bf: pipeline\.std: the numbers of the training"):
        use("alone.bf", kind, numbers[0])
    with pytest.raises(ValueError, match=r"pipeline\.size: .*\(6, 5, 1\).*give pipeline\.size="):
        use("alone.bf", kind, *numbers)
    with pytest.raises(
        ValueError, match=r"unknown value 'imagnet' of pipeline\.mean; did you mean 'imagenet'"
    ):
        use("square.bf", kind, "pipeline.mean=imagnet", "pipeline.std=1")
    rows = read(use("square.bf", kind, *numbers, "classes=[ant,bee,cat]").path)
    greys = [np.asarray(Image.open(run.parent / "new" / row["id"]).convert("L"))[0, 0] for row in rows]
    pictures = np.tile((np.array(greys, "f4") / 255 - 0.5)[:, None, None, None] / 0.5, (1, 5, 5, 1))
    want = square.predict(pictures, fetches="proba")[:, 1]
    np.testing.assert_allclose([float(row["proba_bee"]) for row in rows], want, atol=1e-5)
    with pytest.raises(ValueError, match=r"pipeline=\.\.\. is for a model file alone"):
        predict(configure("dataset.path=new", "pipeline=photos"))


def test_labels_of_data_that_lack_a_class_keep_their_names(configure, run: Path):
    for number in range(2):
        (run.parent / "few" / "cat").mkdir(parents=True, exist_ok=True)
        Image.new("L", (12, 10), 90 * number).save(run.parent / "few" / "cat" / f"{number}.png")
    rows = read(predict(configure("dataset.path=few", "part=test")).path)
    assert [row["label"] for row in rows] == ["cat"]


def test_new_files_that_are_no_pictures_are_named_or_left_out_at_the_start(configure, run: Path, trained):
    make_run(run, trained, {**CONFIG, "dataset": {**CONFIG["dataset"], "unreadable": "raise"}})
    (run.parent / "new" / "day 1" / "zz.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1 of 13 files are no pictures.*zz\.png.*unreadable=leave_out"):
        predict(configure("dataset.path=new"))
    assert predict(configure("dataset.path=new", "dataset.unreadable=leave_out")).items == 12


def test_numbers_that_were_learnt_scaled_are_told_in_their_unit(configure, run: Path, tmp_path: Path):
    network = MLP({"inputs": {"images": {"shape": (6, 5, 1)}}, "loss": "mse", "num_classes": 2, "seed": 1})
    network.build().save(tmp_path / "numbers.bf")
    task = {"name": "regression", "mean": [100.0, -3.0], "std": [10.0, 0.5]}
    (run / "classes.json").unlink()
    make_run(run, tmp_path / "numbers.bf", {**CONFIG, "task": task}, classes=None)
    rows = read(predict(configure("dataset.path=new")).path)
    greys = [np.asarray(Image.open(run.parent / "new" / row["id"]).convert("L"))[0, 0] for row in rows]
    learnt = network.predict(np.tile((np.array(greys, "f4") / 255)[:, None, None, None], (1, 6, 5, 1)))
    got = np.array([[row["prediction_0"], row["prediction_1"]] for row in rows], "f4")
    np.testing.assert_allclose(got, learnt * [10, 0.5] + [100, -3], rtol=1e-5)
    make_run(run, tmp_path / "numbers.bf", {**CONFIG, "task": {**task, "mean": ["a"]}}, classes=None)
    with pytest.raises(ValueError, match=r"task\.mean and task\.std are no numbers"):
        predict(configure("dataset.path=new"))


def test_labels_of_several_targets_are_all_there(configure, run: Path, tmp_path: Path):
    rng = np.random.default_rng(3)
    rows = rng.normal(size=(10, 5)).round(3)
    lines = ["a,b,c,far,near", *(",".join(map(str, row)) for row in rows)]
    (tmp_path / "rows.csv").write_text("\n".join(lines))
    network = MLP({"inputs": {"features": {"shape": (3,)}}, "loss": "mse", "num_classes": 2, "seed": 1})
    network.build().save(tmp_path / "numbers.bf")
    features = {"_target_": "bf_pipeline.B", "_args_": ["features"]}
    config = {
        "dataset": {"_target_": "bf_batch.opensets.Table", "path": "rows.csv", "target": ["far", "near"]},
        "task": {"name": "regression"},
        "model": {"_target_": "bf_models.MLP"},
        "pipeline": {"inputs": features, "targets": LABELS, "prepare": []},
    }
    config["dataset"] |= {"task": "regression", "features": ["a", "b", "c"]}
    (run / "classes.json").unlink()
    make_run(run, tmp_path / "numbers.bf", config, classes=None)
    found = read(predict(configure("part=train")).path)
    assert list(found[0]) == ["id", "prediction_0", "prediction_1", "label_0", "label_1"]
    got = np.array([[row["label_0"], row["label_1"]] for row in found], "f4")
    np.testing.assert_array_equal(got, rows[[int(row["id"]) for row in found], 3:].astype("f4"))


def test_several_classes_of_a_label_have_their_names(tmp_path: Path):
    answers, known = np.array([[1, 0, 1], [0, 0, 0]]), np.array([[0, 1, 1], [1, 1, 1]])
    columns = list_columns(Predicted(Batch(2), ["x", "y"], answers, None, known), CLASSES)
    assert columns == {"id": ["x", "y"], "prediction": ["ant|cat", ""], "label": ["bee|cat", "ant|bee|cat"]}


def test_names_that_are_no_utf8_cost_no_prediction(configure, run: Path):
    """Files and folders from a Windows archive: the table has the bytes that the disk has."""
    name = os.fsdecode(b"gr\xfcn.png")
    (run.parent / "new" / "day 0" / "0.png").rename(run.parent / "new" / name)
    path = predict(configure("dataset.path=new")).path
    assert b"\ngr\xfcn.png," in path.read_bytes()
    told = pyarrow.parquet.read_table(predict(configure("dataset.path=new", "out=new.parquet")).path)
    assert "gr\\udcfcn.png" in told.column("id").to_pylist()
    write_trained(run, yaml.safe_dump(CONFIG), (name, "b", "grün"))
    assert find_trained("a").classes == (name, "b", "grün")


def test_a_prediction_takes_the_place_of_no_data(configure, run: Path, tmp_path: Path):
    """Of the pictures, of a table, of masks in the folder that the training read."""
    before = {path: path.read_bytes() for path in sorted(tmp_path.glob("*/*/*.png"))}
    assert len(before) == 24
    maps = KerasModel({"inputs": {"images": {"shape": (6, 5, 1)}}, "num_classes": 3, "seed": 2, "head": HEAD})
    maps.build().save(tmp_path / "maps.bf")
    dataset = {**CONFIG["dataset"], "masks": "own"}
    make_run(
        run,
        tmp_path / "maps.bf",
        {**CONFIG, "dataset": dataset, "model": {"_target_": "bf_models.KerasModel"}},
    )
    with pytest.raises(ValueError, match=r"out=new is dataset\.path: predictions would take the place"):
        predict(configure("dataset.path=new", "out=new"))
    with pytest.raises(ValueError, match=r"out=own is dataset\.masks"):
        predict(configure("dataset.path=new", "out=own"))
    with pytest.raises(ValueError, match=r"would take the place of new/day 0/\d+\.png, which the data have"):
        predict(configure("dataset.path='new/day 0/*.png'", "out='new/day 0'"))
    assert {path: path.read_bytes() for path in before} == before
    predict(configure("dataset.path=new", "out=masks"))
    assert predict(configure("dataset.path=new", "out=masks")).items == 12, "older predictions may go"


def test_a_table_is_not_written_over_the_one_it_is_made_from(tmp_path: Path):
    (tmp_path / "rows.csv").write_text("a,b\n1,2\n")
    data = Table.unlabelled(tmp_path / "rows.csv")
    for key in ("path", "labels", "table"):
        with pytest.raises(ValueError, match=rf"rows\.csv is dataset\.{key}"):
            refuse_inputs(tmp_path / "rows.csv", {key: str(tmp_path / "rows.csv")}, data)
    refuse_inputs(tmp_path / "other.csv", {"path": str(tmp_path / "rows.csv")}, data)


def test_numbers_and_pictures_of_predictions_are_written(configure, run: Path, tmp_path: Path):
    regression = MLP({"inputs": {"images": {"shape": (6, 5, 1)}}, "loss": "mse", "num_classes": 2, "seed": 1})
    regression.build().save(tmp_path / "numbers.bf")
    make_run(run, tmp_path / "numbers.bf", classes=None)
    (run / "classes.json").unlink()
    rows = read(predict(configure("dataset.path=new")).path)
    assert list(rows[0]) == ["id", "prediction_0", "prediction_1"]
    maps = KerasModel({"inputs": {"images": {"shape": (6, 5, 1)}}, "num_classes": 3, "seed": 2, "head": HEAD})
    maps.build().save(tmp_path / "maps.bf")
    make_run(run, tmp_path / "maps.bf", {**CONFIG, "model": {"_target_": "bf_models.KerasModel"}})
    shares = read(predict(configure("dataset.path=new")).path)
    assert list(shares[0]) == ["id", "share_ant", "share_bee", "share_cat"]
    predict(configure("dataset.path=new", "out=masks"))
    files = sorted((run.parent / "new").rglob("*.png"))
    grey = [np.asarray(Image.open(file).convert("L"))[:6, :5, None] / 255 for file in files]
    want = maps.predict(np.stack(grey), fetches="labels")[:, :1, :1]
    written = [
        np.asarray(Image.open(tmp_path / "masks" / file.relative_to(tmp_path / "new"))) for file in files
    ]
    np.testing.assert_array_equal(np.stack(written), np.broadcast_to(want, (12, 12, 10)))


HEAD_OF_ONE = {"_target_": "bf_models.nn.Classifier"}
HEAD = {"_target_": "bf_models.blocks.ConvBlock", "layout": "c", "filters": 3, "kernel_size": 1}

WRONG = {
    "another number of channels": (
        {"load": [{"load": {"mode": "rgb"}}]}, ValueError,
        r"day 0/0\.png.*3 channels, and the network takes 1; load pictures of that many",
    ),
    "another shape": (
        {"prepare": [{"resize": {"size": [7, 5]}}, {"to_array": {"dtype": "float32"}}]}, ValueError,
        r"day 0/0\.png.*the shape \(7, 5, 1\), and the network takes \(6, 5, 1\)",
    ),
    "a step that writes": (
        {"prepare": [{"dump": {"dst": "/tmp/elsewhere"}}]}, TargetError,
        r"config\.yaml: the step dump .*refused: a prediction writes nothing but its own file",
    ),
    "no step that predicts": ({"test": []}, NoModel, "no step of pipeline.test or pipeline.train"),
}  # fmt: skip


@pytest.mark.parametrize(("sections", "error", "message"), WRONG.values(), ids=WRONG)
def test_steps_that_do_not_fit_are_told_with_the_file(
    configure, run: Path, trained, sections, error, message
):
    make_run(run, trained, change(**sections))
    with pytest.raises(error, match=message):
        predict(configure("dataset.path=new"))
    assert not Path("predictions.csv").exists()


def test_what_is_no_finished_run_is_told_with_the_way_on(configure, run: Path, trained: Path):
    make_run(run, trained, state="running", iteration=7)
    with pytest.raises(NoModel, match=r"not finished \(iteration 7\).*goes on.*unfinished=true"):
        predict(configure("dataset.path=new"))
    assert predict(configure("dataset.path=new", "unfinished=true")).items == 12
    make_run(run, trained)
    (run / "model.bf").unlink()
    with pytest.raises(NoModel, match=r"there is no model\.bf: a training without checkpoints"):
        predict(configure())
    with pytest.raises(NoModel, match="run=nowhere: it is no folder and no name of a run"):
        predict(configure("run=nowhere"))
    with pytest.raises(ValueError, match=r"out=x\.txt: a table ends in \.csv or \.parquet"):
        predict(configure("out=x.txt"))
    make_run(run, trained)
    with pytest.raises(FileNotFoundError, match="no pictures below"):
        predict(configure("dataset.path=a"))


def test_classes_that_the_model_does_not_know_are_named(configure, run: Path, trained: Path):
    (run.parent / "own" / "dog").mkdir()
    for number in range(2):
        Image.new("RGB", (12, 10)).save(run.parent / "own" / "dog" / f"{number}.png")
    with pytest.raises(ValueError, match=r"unknown class 'dog'.*dataset\.path=FOLDER predicts without"):
        predict(configure())
    make_run(run, trained, classes=("ant", "bee"))
    with pytest.raises(ValueError, match=r"has 3 outputs, and there are 2 names of classes"):
        predict(configure("dataset.path=new"))


def test_a_run_of_somebody_else_is_data(configure, run: Path, trained: Path):
    secret = {**CONFIG, "dataset": {**CONFIG["dataset"], "path": "***"}}
    make_run(run, trained, secret)
    with pytest.raises(ValueError, match=r"dataset\.path is a secret.*dataset\.path="):
        predict(configure())
    assert predict(configure("dataset.path=new")).items == 12
    make_run(run, trained, {**CONFIG, "dataset": {"_target_": "bf_batch.opensets.MNIST", "folder": "/srv"}})
    with pytest.raises(TargetError, match=r"dataset\.folder: '/srv' is refused"):
        predict(configure())
    make_run(run, trained, {**CONFIG, "model": {"_target_": "os.system"}})
    with pytest.raises(TargetError, match=r"model\._target_.*os"):
        predict(configure("dataset.path=new"))
    (run / "config.yaml").write_text("a: &a [1]\nb: *a\n")
    with pytest.raises(ValueError, match=r"config\.yaml: no configuration of a run: an alias"):
        predict(configure("dataset.path=new"))
    (run / "classes.json").write_text('["a", "a", "b"]')
    make_run(run, trained, classes=("a", "a", "b"))
    with pytest.raises(ValueError, match=r"classes\.json: a list of different names"):
        find_trained(str(run))


def test_another_kind_of_data_brings_no_steps_of_its_own(configure, run: Path):
    same = read(predict(configure("dataset.path=new")).path)
    for kind in ("image_folder", "masks"):  # whose files choose a pipeline for trainings
        rows = read(predict(configure(f"dataset={kind}", "dataset.path=new", f"out={kind}.csv")).path)
        assert rows == same


@pytest.mark.parametrize("data", [[], ["dataset=image_folder"]])
def test_files_for_a_network_of_arrays_are_refused_with_the_way_on(configure, run: Path, trained: Path, data):
    steps = {**CONFIG["pipeline"], "load": [], "prepare": [{"to_array": {}}]}
    digits = {"dataset": {"_target_": "bf_batch.opensets.Digits"}, "pipeline": steps}
    make_run(run.parent / "arrays", trained, digits)
    with pytest.raises(ValueError, match=r"arrays in memory.*copy .*arrays/model\.bf .*pipeline=photos"):
        predict(configure("run=arrays", "dataset.path=new", *data))
