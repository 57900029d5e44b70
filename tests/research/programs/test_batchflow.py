"""The command ``batchflow``: a project, a sweep that is killed and goes on, and what is told about it."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import subprocess
import sys
import time
import types
from pathlib import Path

import pytest

from bf_programs.batchflow import COMMANDS
from bf_programs.project import files, init
from bf_programs.records import NothingThere, list_folders, read_entries, read_run
from bf_programs.resumption import resume
from bf_programs.showing import best, compare, show
from bf_research.training.folder import read_record, read_runs

# TensorBoard's own switch, so that its reader loads no TensorFlow
sys.modules.setdefault("tensorboard.compat.notf", types.ModuleType("notf"))

ROOT = Path(__file__).parents[3]
START = "from bf_programs.batchflow import main; main()"
SWEEP = ["-m", "model=mlp", "optimizer.learning_rate=0.001,0.01,0.1", "hydra.sweep.dir=multirun/s"]
SHORT = ["n_iters=2", "bar=false", "tracking=[csv,tensorboard]", "validation=null"]


def steps_of(table: Path, metric: str) -> list[int]:
    with open(table, newline="") as file:
        return [int(row["step"]) for row in csv.DictReader(file) if row["metric"] == metric]


def event_steps(folder: Path, metric: str) -> list[int]:
    accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")
    found = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0}).Reload()
    return [point.step for point in found.Scalars(metric)]


def start(folder: Path, *arguments: str) -> subprocess.Popen[str]:
    """Start ``batchflow`` in a folder."""
    return subprocess.Popen(
        [sys.executable, "-c", START, *arguments],
        cwd=folder,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    )


def run(folder: Path, *arguments: str, code: int = 0, **environment: str) -> str:
    """Run ``batchflow`` in a folder and return what it wrote."""
    done = subprocess.run(
        [sys.executable, "-c", START, *arguments],
        cwd=folder,
        text=True,
        capture_output=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), **environment},
        check=False,
    )
    assert done.returncode == code, done.stdout + done.stderr
    return done.stdout + done.stderr


@pytest.fixture(scope="module")
def place(tmp_path_factory) -> Path:
    """A working folder with a sweep that was killed after a trial and went on, and one training."""
    folder = tmp_path_factory.mktemp("place")
    driver = start(folder, "train", *SWEEP, *SHORT)
    while not (ended := list(folder.glob("multirun/s/*/result.json"))):
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    (folder / "killed").touch()
    assert len(ended) < 3
    run(folder, "resume", "multirun/s")
    run(folder, "train", "model=mlp", "name=one", *SHORT)
    return folder


def test_a_killed_sweep_goes_on_by_its_folder_alone(place):
    entries = read_entries(place / "multirun/s")
    assert [entry.state for entry in entries] == ["DONE"] * 3
    assert [entry.settings["optimizer.learning_rate"] for entry in entries] == [0.001, 0.01, 0.1]
    assert {entry.settings["n_iters"] for entry in entries} == {"2"}
    # what had ended before was not run again
    files = {entry.folder: (entry.folder / "result.json").stat().st_mtime for entry in entries}
    assert min(files.values()) < (place / "killed").stat().st_mtime < max(files.values())


def test_each_trial_is_recorded_once_by_each_tracker(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    entries = read_entries(Path("multirun/s"))
    for entry in entries:
        runs = read_runs(read_record(entry.folder))
        assert list(runs) == ["csv", "tensorboard"]
        about = json.loads(Path(runs["csv"]["page"]).with_suffix(".json").read_text())
        assert float(about["params"]["optimizer.learning_rate"]) == entry.settings["optimizer.learning_rate"]
        assert about["params"]["tracking"] == "csv, tensorboard"
        # the name says what is its own, not what was said for all
        assert about["name"] == f"learning_rate={entry.settings['optimizer.learning_rate']}"
        assert about["status"] == "FINISHED"
        assert steps_of(Path(runs["csv"]["page"]), "train/loss") == [1, 2]
        assert Path(runs["tensorboard"]["page"]) == place / entry.folder
        assert event_steps(entry.folder, "train/loss") == [1, 2]
    show(Path("multirun/s"))
    text = capsys.readouterr().out
    assert "csv       in metrics\n" in text
    assert "open      tensorboard --logdir multirun/s\n" in text
    best(Path("multirun/s"))
    text = capsys.readouterr().out
    assert re.search(r"^csv       run \S+", text, re.MULTILINE)
    assert re.search(rf"^open      tensorboard --logdir {place}/multirun/s/\S+$", text, re.MULTILINE)


def test_show_lists_what_is_there(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    show()
    text = capsys.readouterr().out
    assert [line.split()[0] for line in text.splitlines()[1:]] == ["outputs/one", "multirun/s"]
    assert "3 of 3 trials done" in text
    assert list_folders(place) == [place / "outputs/one", place / "multirun/s"]


def test_the_best_trial_is_the_one_with_the_best_number(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    numbers = {
        entry.folder: json.loads((entry.folder / "result.json").read_text())[0]["test/accuracy"]
        for entry in read_entries(Path("multirun/s"))
    }
    best(Path("multirun/s"), as_json=True)
    told = json.loads(capsys.readouterr().out)
    assert numbers[Path(told["folder"])] == max(numbers.values())
    best(Path("multirun/s"), metric="test/loss", as_json=True)  # less is better by its name
    lowest = json.loads(capsys.readouterr().out)["metrics"]["test/loss"]
    assert lowest == min(entry.metrics["test/loss"] for entry in read_entries(Path("multirun/s")))
    best(Path("multirun/s"), metric="test/loss", minimize=False, as_json=True)
    assert json.loads(capsys.readouterr().out)["metrics"]["test/loss"] > lowest


def test_compare_ranks_runs_beside_trials_by_what_differs(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    compare([Path("multirun/s"), Path("outputs/one")])
    head, *rows = capsys.readouterr().out.splitlines()
    assert head.split() == ["optimizer.learning_rate", "test/accuracy", "test/loss", "train/loss", "state"]
    accuracies = [float(row.split()[2]) for row in rows]
    assert len(rows) == 4
    assert accuracies == sorted(accuracies, reverse=True)


def test_a_finished_training_and_its_use(place, monkeypatch, capsys):
    monkeypatch.chdir(place)
    show(Path("outputs/one"))
    text = capsys.readouterr().out
    assert "outputs/one: finished" in text
    assert re.search(rf"^csv       run (\S+), {place}/metrics/\1\.csv$", text, re.MULTILINE)
    assert re.search(rf"^tensorboard run \S+, {place}/outputs/one$", text, re.MULTILINE)
    assert f"tensorboard --logdir {place}/outputs/one\n" in text
    show(Path("outputs/one"), as_json=True)
    assert list(json.loads(capsys.readouterr().out)["runs"]) == ["csv", "tensorboard"]
    assert "batchflow predict run=outputs/one" in text
    with pytest.raises(ValueError, match="is finished"):
        resume(Path("outputs/one"))
    with pytest.raises(ValueError, match="one run"):
        best(Path("outputs/one"))


def test_errors_are_one_message_and_an_exit_code(place):
    assert "nosuch is not there; batchflow show lists" in run(place, "show", "nosuch", code=1)
    told = run(place, "best", "multirun/s", "--metric", "test/acuracy", code=1)
    assert "did you mean 'test/accuracy'" in told
    assert "Traceback" not in told
    assert "unknown command 'trian'; did you mean 'train'?" in run(place, "trian", code=2)
    assert "unknown model 'lenett'" in run(place, "train", "model=lenett", code=1)


def test_help_loads_nothing(place):
    code = "import sys\nfrom bf_programs.batchflow import main\ntry: main(['--help'])\n"
    code += "finally: print(*sys.modules)"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert all(name in told for name in COMMANDS)
    assert not {"numpy", "hydra", "yaml", "bf_research", "tensorflow"} & set(told.split())


@pytest.mark.parametrize(
    ("line", "offered"),
    [
        ("batchflow tr", ["train "]),
        ("batchflow train datas", ["dataset="]),
        (
            "batchflow train model=resnet1",
            ["resnet101", "resnet101v2", "resnet152", "resnet152v2", "resnet18"],
        ),
        ("batchflow train -m model=mlp,len", ["mlp,lenet"]),
        ("batchflow predict pre", ["prefetch="]),
    ],
)
def test_the_shell_is_told_what_may_follow(tmp_path, line, offered):
    told = run(tmp_path, "complete", COMP_LINE=line, COMP_POINT=str(len(line))).splitlines()
    assert [word for word in told if word in offered] == [word.rstrip("\n") for word in offered]


def test_a_project_has_what_a_checkout_has_and_its_own_settings(tmp_path, capsys):
    init(tmp_path / "demo")
    assert "python train.py experiment=first" in capsys.readouterr().out
    for name in ("train.py", "predict.py", "conf/train.yaml", "conf/predict.yaml"):
        assert (tmp_path / "demo" / name).read_text() == (ROOT / name).read_text(), name
    command = [sys.executable, "train.py", "--cfg", "job", "experiment=first"]
    done = subprocess.run(command, cwd=tmp_path / "demo", capture_output=True, text=True, check=True)
    assert "_target_: bf_models.LeNet" in done.stdout
    assert "learning_rate: 0.002" in done.stdout
    with pytest.raises(FileExistsError, match="demo is not empty"):
        init(tmp_path / "demo")


def test_a_file_of_the_project_takes_the_place_of_ours(tmp_path):
    for path, text in files("demo").items():
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)
    (tmp_path / "conf/optimizer").mkdir()
    (tmp_path / "conf/optimizer/sgd.yaml").write_text("name: sgd\nlearning_rate: 0.125\n")
    (tmp_path / "conf/model").mkdir()
    (tmp_path / "conf/model/mine.yaml").write_text("_target_: bf_models.MLP\nbody: {layout: fa}\n")
    told = run(tmp_path, "train", "--cfg", "job", "optimizer=sgd", "model=mine")
    assert "learning_rate: 0.125" in told
    assert "layout: fa" in told
    helped = run(tmp_path, "train", "--help")
    assert "usage: batchflow train" in helped
    assert "mine" in helped
    assert "resnet18" in helped


def test_a_training_that_was_cut_off_goes_on_in_its_folder(tmp_path):
    folder = tmp_path / "outputs/cut"
    driver = start(
        tmp_path,
        *("train", "model=mlp", "name=cut", "n_iters=400", "bar=false", "validation=null"),
        *("checkpoint.every=20", "tracking=[csv,tensorboard]"),
    )
    while not any(folder.glob("checkpoints/*")):
        assert driver.poll() is None, driver.communicate()[0]
        time.sleep(0.05)
    driver.send_signal(signal.SIGKILL)
    driver.communicate()
    assert read_run(folder).state == "running"
    before = read_run(folder).settings
    refused = run(tmp_path, "resume", "outputs/cut", "n_iters=500", code=1)
    assert "n_iters was '400' and is '500'" in refused
    assert "Traceback" not in refused
    run(tmp_path, "resume", "outputs/cut")
    assert read_run(folder).state == "finished"
    assert read_run(folder).settings == before
    # each tracker has each point once, from both starts
    (table,) = tmp_path.glob("metrics/*.csv")
    assert steps_of(table, "train/loss") == list(range(1, 401))
    assert event_steps(folder, "train/loss") == list(range(1, 401))
    runs = json.loads((folder / "run.json").read_text())["runs"]
    assert {kind: Path(run["page"]) for kind, run in runs.items()} == {"csv": table, "tensorboard": folder}


def test_a_folder_with_neither_run_nor_sweep(tmp_path):
    with pytest.raises(NothingThere, match="holds neither a run nor a sweep"):
        show(tmp_path)


def test_the_doctor_tells_what_does_not_fit(tmp_path):
    told = run(tmp_path, "doctor", code=1, CUDA_VISIBLE_DEVICES="99")
    assert "keras is missing" not in told  # it may be a build of the night
    assert "trackers: csv, tensorboard " in told
    for part in ("system", "packages", "devices", "TensorFlow", "Hydra", "store", "folder"):
        assert f"\n{part} " in f"\n{told}"
    mended = told.partition("this has to be mended:")[2]
    assert "\n  CUDA_VISIBLE_DEVICES has 99, which is no GPU here" in mended
