"""The tracker of Weights & Biases with its real service, its files read again record by record."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_pipeline import C
from bf_research import Option, Research
from bf_research.tracking import Tracker, WandbTracker
from bf_research.tracking.local.wandb_tracker import read_rows
from bf_research.tracking.run_scope import process_mark, record_run
from bf_research.tracking.store import TrackingError
from bf_research.tracking.summaries.places import tell_places

wandb = pytest.importorskip("wandb")


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("WANDB_API_KEY", "geheim" * 7)
    monkeypatch.setenv("WANDB_MODE", "online")  # no word of the person's in this program
    return tmp_path


def records(path: Path) -> Iterator[Any]:
    """Read a file of W&B as LevelDB describes its logs, each checksum tested."""
    from wandb.proto import wandb_internal_pb2

    data, at, pieces = path.read_bytes(), 7, b""
    assert data[:4] == b":W&B"
    while at < len(data):
        if 32768 - at % 32768 < 7:
            at += 32768 - at % 32768
            continue
        checksum, length, kind = struct.unpack_from("<IHB", data, at)
        body = data[at + 7 : at + 7 + length]
        assert zlib.crc32(bytes([kind]) + body) == checksum
        at += 7 + length
        pieces = body if kind in (1, 2) else pieces + body
        if kind in (1, 4):
            yield wandb_internal_pb2.Record.FromString(pieces)


def files(folder: Path) -> list[Path]:
    return sorted(folder.glob("wandb/offline-run-*/run-*.wandb"))


def history(folder: Path) -> list[dict[str, float]]:
    """The rows of all files of a run in the order in which they are sent."""
    return [
        {".".join(item.nested_key) or item.key: json.loads(item.value_json) for item in record.history.item}
        for file in files(folder)
        for record in records(file)
        if record.WhichOneof("record_type") == "history"
    ]


def series(folder: Path, metric: str) -> list[tuple[int, float]]:
    return [(row["iteration"], row[metric]) for row in history(folder) if metric in row]


def config(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for record in records(files(folder)[-1]):
        for part in (record.config, record.run.config):
            found |= {
                item.key or ".".join(item.nested_key): json.loads(item.value_json) for item in part.update
            }
    return found


def test_a_run_is_in_files_of_this_machine(here: Path):
    from PIL import Image

    tracker = WandbTracker(project="digits")
    assert isinstance(tracker, Tracker)
    tracker.log_metric("early", 1.0, 0)
    tracker.start("Mine", {"kind": "a", "bf.folder": str(here / "run")})
    tracker.log_params({"lr": "0.1", "dataset.password": "geheim"})
    for step in range(3000):  # more than a block of the file
        tracker.log_metric("train/loss", 1 / (step + 3), step)
        tracker.log_metric("train/rate", 0.5, step)
    tracker.log_metric("odd", float("nan"), 4)
    tracker.log_metric("iteration", 7.0, 5)
    tracker.log_text("lr: 0.1\napi_key: geheim\n", "config.yaml")
    tracker.log_data("Digits", "abc", 7, "train")
    (here / "pictures").mkdir()
    Image.fromarray(np.zeros((5, 7, 3), np.uint8)).save(here / "pictures" / "worst.png")
    (here / "pictures" / "notes.txt").write_text("not a picture")
    tracker.log_artifact("pictures", "pictures")
    location = tracker.end("FAILED")
    assert tracker.end() == location
    (file,) = files(here / "run")
    assert location.page == str(file.parent.parent)
    assert f"wandb sync {location.page}" in str(location)
    assert series(here / "run", "train/loss") == [(step, 1 / (step + 3)) for step in range(3000)]
    assert series(here / "run", "early") == [(0, 1.0)]
    assert np.isnan(series(here / "run", "odd")[0][1])
    assert series(here / "run", "iteration#2") == [(5, 7.0)]
    # points of one step are one row
    assert [row["train/rate"] for row in history(here / "run") if "train/loss" in row] == [0.5] * 3000
    found = config(here / "run")
    assert found["lr"] == "0.1"
    assert found["kind"] == "a"
    assert found["data.train"] == "Digits, 7 items, abc"
    (begun,) = [record.run for record in records(file) if record.WhichOneof("record_type") == "run"]
    assert (begun.run_id, begun.project, begun.display_name) == (location.run_id, "digits", "Mine")
    (ended,) = [record.exit for record in records(file) if record.WhichOneof("record_type") == "exit"]
    assert ended.exit_code == 1
    kept = {path.name for path in (file.parent / "files").rglob("*") if path.is_file()}
    assert {"config.yaml", "notes.txt"} <= kept
    assert any(re.fullmatch(r"worst_\d+_\w+\.png", name) for name in kept), kept
    assert any(name.startswith("pictures/worst") for name in history(here / "run")[-1])


def test_no_secret_and_no_command_line_is_in_any_file(here: Path):
    program = f"""
from bf_research.tracking import WandbTracker
tracker = WandbTracker({str(here)!r})
tracker.start("net", {{"api_key": "geheim"}})
tracker.log_params({{"dataset.password": "geheim"}})
tracker.log_text("token: geheim", "config.yaml")
tracker.end()
"""
    (here / "program.py").write_text(program)
    command = [sys.executable, "program.py", "dataset.password=geheim"]
    subprocess.run(command, check=True)
    written = [path for path in (here / "wandb").rglob("*") if path.is_file()]
    assert any(path.suffix == ".wandb" for path in written)
    for path in written:
        assert b"geheim" not in path.read_bytes(), path


@pytest.mark.skipif(shutil.which("strace") is None, reason="strace tells who asks the network")
def test_nobody_asks_the_network(here: Path):
    program = "from bf_research.tracking import WandbTracker\nt = WandbTracker()\nt.start('net')\n"
    program += "t.log_metric('a', 1.0, 1)\nt.end()"
    command = ["strace", "-f", "-e", "trace=connect,sendto", "-o", "calls.txt", sys.executable, "-c", program]
    subprocess.run(command, check=True)
    calls = (here / "calls.txt").read_text()
    assert "wandb" in calls or "AF_UNIX" in calls  # the service was asked
    assert not re.findall(r".*AF_INET.*", calls)


def test_a_run_that_goes_on_after_a_kill_keeps_its_id_and_has_no_point_twice(here: Path):
    program = """
import os, signal
from bf_research.tracking import WandbTracker
tracker = WandbTracker(".")
tracker.start("net")
for step in range(50):
    tracker.log_metric("loss", step / 7, step)
tracker.flush()
print(tracker.ready().run_id, flush=True)
import time
time.sleep(2)  # W&B's own service writes each second
os.kill(os.getpid(), signal.SIGKILL)
"""
    # a service of its own, as a process has that no process with W&B has started
    environment = {name: value for name, value in os.environ.items() if name != "WANDB_SERVICE"}
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    run_id = done.stdout.strip()
    first = series(here, "loss")
    assert [step for step, _ in first] == list(range(len(first)))
    assert len(first) > 30
    again = WandbTracker(".")
    again.start("net", None, run_id)
    for step in range(30, 80):
        again.log_metric("loss", step / 7, step)
    assert again.end().run_id == run_id
    assert series(here, "loss") == [(step, step / 7) for step in range(80)]
    steps = [row["_step"] for row in history(here)]
    assert steps == sorted(set(steps))  # W&B takes rows in this order
    assert len(files(here)) == 2


def test_rows_are_read_up_to_a_damage(here: Path):
    tracker = WandbTracker(".")
    tracker.start("net")
    for step in range(3000):
        tracker.log_metric("loss", step / 7, step)
    tracker.end()
    (file,) = files(here)
    data = file.read_bytes()
    whole = list(read_rows(file))
    assert [json.loads(row["iteration"]) for row in whole if "loss" in row] == list(range(3000))
    for size in (0, 3, 7, 13, 32768, 40000, len(data) - 1):
        (here / "cut.wandb").write_bytes(data[:size])
        rows = list(read_rows(here / "cut.wandb"))
        assert rows == whole[: len(rows)]


@pytest.mark.parametrize("mode", ["on", "shared", ""])
def test_an_unknown_mode_is_refused(mode: str):
    with pytest.raises(ValueError, match="unknown mode"):
        WandbTracker(mode=mode)


@pytest.mark.parametrize("run", ["../elsewhere", "a/b", ""])
def test_a_run_outside_the_folder_is_refused(run: str):
    with pytest.raises(TrackingError, match="no name of a file"):
        WandbTracker(".").start("net", None, run)


def double(lr):
    return 2 * lr


def test_trials_of_a_sweep_are_a_group(here: Path):
    research = Research(Option("lr", [0.1, 0.2])).add_callable(double, C("lr"), returns="value")
    research.run(n_iters=2, name="s", workers=2, tracking="wandb")
    for record in research.trials.records:
        folder = here / "s" / "trials" / record.id
        assert series(folder, "value") == [(step, 2 * record.config["lr"]) for step in range(2)]
        runs = [found.run for found in records(files(folder)[0]) if found.run.run_id]
        assert (runs[0].run_group, runs[0].display_name) == ("s", record.id)
    assert not os.environ.get("BF_SWEEP")
    # W&B's own command finds them, and asks nobody as long as it is asked to send nothing
    assert tell_places({"wandb": "s"}) == "send    wandb sync s/trials/*/wandb\n"
    command = [sys.executable, "-m", "wandb", "sync", "--dry-run", *map(str, here.glob("s/trials/*/wandb"))]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Would sync 2 run(s)" in done.stdout + done.stderr


def test_nothing_of_the_machine_is_sent(here: Path):
    ours = {"bf.overrides": "dataset.path=/srv/patients", "bf.device": "card-7", "bf.folder": str(here / "r")}
    tracker = WandbTracker()
    with record_run(tracker, "net", {"bf.model": "LeNet", "kind": "mine", **ours}):
        tracker.set_tags(ours)
    found = config(here / "r")
    assert (found["bf.model"], found["kind"]) == ("LeNet", "mine")
    assert not {"bf.host", "bf.process", "bf.folder", "bf.overrides", "bf.device"} & set(found)
    (file,) = files(here / "r")
    for text in ("/srv/patients", "card-7", process_mark(os.getpid())):
        assert text.encode() not in file.read_bytes()


def test_a_record_that_cannot_be_written_costs_no_other(here: Path, caplog):
    (here / "pictures").mkdir()
    (here / "pictures" / "bad.png").touch()
    (here / "pictures" / "notes.txt").write_text("kept")
    tracker = WandbTracker(".")
    for step in range(3):
        tracker.log_metric("loss", 1.0, step)
        tracker.log_artifact("pictures/bad.png")
        tracker.log_artifact("pictures/gone.txt")
        tracker.log_metric("loss", 1.0, 2**63 + step)
    tracker.log_artifact("pictures")
    tracker.start("net")
    tracker.end()
    assert series(here, "loss") == [(step, 1.0) for step in range(3)]
    assert [path.name for path in files(here)[0].parent.rglob("notes.txt")] == ["notes.txt"]
    assert sum("a file is left out" in record.message for record in caplog.records) == 1
