"""Files of kept records and working folders of others: what they may not send, and what git may not run."""

from __future__ import annotations

import json
import os
import struct
import subprocess
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_index import StateError
from bf_index.names import TargetError
from bf_programs.recorded import tell_places, tell_runs, tell_sweep_run
from bf_research.own_files import StrangeFile
from bf_research.prediction.predict import make_data
from bf_research.prediction.predictor import load_model
from bf_research.prediction.steps import make_steps
from bf_research.report.recorded import read_trial
from bf_research.sweep import journal
from bf_research.sweep.hydra_trial import RESULT, recover_result
from bf_research.tracking import CSVTracker, TensorBoardTracker
from bf_research.tracking.callback import _find_earlier_run
from bf_research.tracking.kept import arguments
from bf_research.tracking.local.tensorboard_tracker import read_points
from bf_research.tracking.local.wandb_tracker import read_rows
from bf_research.tracking.replay import replay
from bf_research.tracking.run_scope import MEMORY
from bf_research.tracking.store import TrackingError, open_store
from bf_research.tracking.surroundings import git_changes, git_tags
from bf_research.trained import Trained, read_classes, read_config


def forge(path: Path, store: str, *records: Any) -> Path:
    """Write a file of kept records by hand."""
    head = {"store": store, "experiment": "e", "name": "r", "tags": {}, "run_id": None, "given": {}}
    lines = [["start", head], *records, ["end", "FINISHED"]]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return path


def test_records_for_the_machine_of_a_stranger(tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    path = forge(tmp_path / "kept.jsonl", "http://127.0.0.1:9")
    with pytest.raises(ValueError, match=r"kept\.jsonl was kept for http://127\.0\.0\.1:9.*second argument"):
        replay(path)
    assert arguments(Path("kept.jsonl"), "http://mine:5000") == "kept.jsonl http://mine:5000"
    assert arguments(Path("kept.jsonl"), "sqlite:////me/mlflow.db") == "kept.jsonl sqlite:////me/mlflow.db"


@pytest.mark.parametrize("prefix", ["sqlite:///", "file://", ""])
def test_records_for_a_store_that_a_file_names(tmp_path, monkeypatch, prefix):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    for name in ("mine", "sent", "other"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "mine")
    path = forge(tmp_path / "sent" / "kept.jsonl", f"{prefix}{tmp_path}/other/x.db")
    with pytest.raises(ValueError, match=r"kept for .*other/x\.db, and a file does not say.*mine/mlflow\.db"):
        replay(path)
    for head in ([], {"store": 1}, {"store": f"sqlite:///{tmp_path}/mine/mlflow.db", "experiment": "e"}):
        path.write_text(json.dumps(["start", head]) + "\n")
        with pytest.raises(ValueError, match=r"line 1: '(store|name)' of the run is missing or no str"):
            replay(path)
    assert [found for name in ("mine", "other") for found in (tmp_path / name).iterdir()] == []


def test_records_that_lead_out_of_their_store(tmp_path, monkeypatch, ready_store):
    """The default store is written without a word; texts and files of the run stay in its folder."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.chdir(tmp_path)
    sent = tmp_path / "sent"
    sent.mkdir()
    (sent / "evil.txt").write_text("evil")
    outside = f"{tmp_path}/outside"
    texts = [f"{folder}/evil.txt" for folder in ("../../../outside", outside, "a")]
    records: list[Any] = [["text", ["evil", name]] for name in texts]
    records += [["artifact", [str(sent / "evil.txt"), name]] for name in ("../../../outside", outside)]
    path = forge(sent / "kept.jsonl", f"sqlite:///{ready_store}", *records)
    location = replay(path)
    assert location is not None
    root = Path(open_store(location.store).get_run(location.run_id).info.artifact_uri.removeprefix("file://"))
    assert root.is_relative_to(tmp_path / "mlartifacts")
    written = [found for found in tmp_path.rglob("evil.txt") if not found.is_relative_to(sent)]
    assert written
    assert all(found.is_relative_to(root) for found in written)


def test_records_of_files_that_are_not_theirs(tmp_path, monkeypatch, caplog):
    home, sent = tmp_path / "home", tmp_path / "home" / "sent"
    (home / ".ssh").mkdir(parents=True)
    sent.mkdir()
    secret = home / ".ssh" / "id_rsa"
    secret.write_text("a private key")
    (tmp_path / "outside").write_text("a private text")
    (sent / "good.txt").write_text("good")
    (sent / "link.txt").symlink_to(secret)
    (sent / "folder").mkdir()
    (sent / "folder" / "link.txt").symlink_to(secret)
    named = [secret, tmp_path / "outside", sent / "link.txt", sent / "folder", sent / "good.txt"]
    records = [["artifact", [str(path), None]] for path in named]
    store = f"sqlite:///{tmp_path / 'mlflow.db'}"
    path = forge(sent / "kept.jsonl", store, *records, ["surroundings", str(tmp_path)])
    monkeypatch.chdir(home)
    location = replay(path, store)
    assert location is not None
    root = Path(open_store(store).get_run(location.run_id).info.artifact_uri.removeprefix("file://"))
    assert [found.name for found in root.rglob("*") if found.is_file()] == ["good.txt"]
    assert caplog.text.count("is left out") == 5


def test_git_runs_no_program_of_a_folder(tmp_path, canary):
    def git(*arguments: str) -> None:
        user = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", tmp_path, *user, *arguments], check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "a.txt").write_text("one\n")
    git("add", ".")
    git("commit", "-qm", "one")
    script = tmp_path / ".git" / "run.sh"
    script.write_text(f"#!/bin/sh\n{canary.command}\ncat\n")
    script.chmod(0o755)
    for setting in (
        "core.fsmonitor",
        "filter.x.clean",
        "filter.x.process",
        "diff.x.textconv",
        "diff.external",
    ):
        git("config", setting, str(script))
    git("config", "diff.x.command", str(script))
    git("config", "filter.x.required", "true")
    (tmp_path / ".git" / "hooks" / "post-index-change").write_bytes(script.read_bytes())
    (tmp_path / ".git" / "hooks" / "post-index-change").chmod(0o755)
    (tmp_path / ".gitattributes").write_text("*.txt filter=x diff=x\n")
    (tmp_path / "a.txt").write_text("two\n")
    assert git_tags(str(tmp_path))["bf.git.changed"] == "true"
    assert "+two" in git_changes(str(tmp_path))
    assert not canary.dead
    subprocess.run(["git", "-C", tmp_path, "status"], check=False, capture_output=True)
    assert canary.dead, "git itself runs them"
    canary.bury()


def test_a_folder_of_a_run_is_data(tmp_path, monkeypatch):
    """What a sent folder of a run may name: no code, no file elsewhere, no reference, no step that writes."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SECRET_OF_MINE", "a secret")
    folder = tmp_path / "sent"
    folder.mkdir()
    texts = {
        "a reference": ("dataset: {path: '${oc.env:SECRET_OF_MINE}'}\n", None),
        "an alias": ("a: &a [1]\nb: *a\n", "an alias"),
        "a tag of Python": ("a: !!python/object/apply:os.system [x]\n", "no configuration of a run"),
        "a list": ("[1, 2]\n", "a mapping was expected"),
    }
    for text, message in texts.values():
        (folder / "config.yaml").write_text(text)
        if message is None:
            assert read_config(folder / "config.yaml")["dataset"]["path"] == "${oc.env:SECRET_OF_MINE}"
            continue
        with pytest.raises(ValueError, match=message):
            read_config(folder / "config.yaml")
    for name, read in (("config.yaml", read_config), ("classes.json", read_classes)):
        (folder / name).unlink(missing_ok=True)
        (folder / name).symlink_to("/etc/hostname")
        with pytest.raises(StrangeFile, match="is a link"):
            read(folder / name)
    steps = {
        "steps that write": {"dump": {"dst": "x"}},
        "models": {"save_model": {"name": "net", "path": "x"}},
    }
    for step in steps.values():
        trained = Trained("sent", folder / "model.bf", {"pipeline": {"prepare": [step]}})
        with pytest.raises(TargetError, match="refused: a prediction writes nothing but its own file"):
            make_steps(trained, "prepare")
    trained = Trained("sent", folder / "model.bf", {"pipeline": {}, "model": {"_target_": "os.system"}})
    with pytest.raises(TargetError, match="os"):
        load_model(trained, ())
    for key, value in (("folder", "/srv"), ("folder", "~/x"), ("folder", "a/../../x")):
        dataset = {"_target_": "bf_batch.opensets.MNIST", key: value}
        with pytest.raises(TargetError, match=r"dataset\.folder: .* is refused"):
            make_data(Trained("sent", folder / "model.bf", {"dataset": dataset}), {}, None, ())


def test_git_shows_no_files_of_another_folder(tmp_path):
    def git(*arguments: str) -> None:
        user = ("-c", "user.name=a", "-c", "user.email=a@b")
        subprocess.run(["git", "-C", str(sent), *user, *arguments], check=True, capture_output=True)

    mine, sent = tmp_path / "mine", tmp_path / "sent"
    for folder in (mine, sent):
        folder.mkdir()
        (folder / "notes.txt").write_text("one")
    git("init", "-q")
    git("add", ".")
    git("commit", "-qm", "a")
    (mine / "notes.txt").write_text("a private text")
    (sent / "notes.txt").write_text("two")
    assert "+two" in git_changes(str(sent))
    assert git_tags(str(sent))["bf.git.changed"] == "true"
    for place in (mine, tmp_path, "/"):
        git("config", "core.worktree", str(place))
        assert git_changes(str(sent)) == ""
        assert git_tags(str(sent)) == {}


def read_again(file: Path) -> None:
    """Read a file of a run as its tracker does when the run goes on."""
    if file.suffix == ".csv":
        tracker = CSVTracker(str(file.parent))
        tracker.start("net", None, file.stem)
        tracker.end()
        return
    reader = read_rows if file.suffix == ".wandb" else read_points
    for _ in reader(file):
        pass


@pytest.mark.parametrize("name", ["events.out.tfevents.1.bf", "run-a.wandb", "run.csv"])
def test_files_of_runs_that_are_damaged(tmp_path, name):
    pytest.importorskip("tensorboard")
    if name.endswith("wandb"):
        pytest.importorskip("wandb")
    file, random = tmp_path / name, np.random.default_rng(7)
    huge = struct.pack("<QI", 2**62, 0)
    texts = [
        b"",
        b"\0" * 4,
        b"\0" * 100_000,
        huge,
        b"1,loss," + b"9" * 200_000 + b"\n1,2\n",
        b":W&B\xe1\xbe\0" + b"\xff" * 40_000,
    ]
    for data in (*texts, *(random.bytes(50_000) for _ in range(50))):
        file.write_bytes(data)
        tracemalloc.start()
        read_again(file)
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 20 * 2**20


def test_files_of_runs_that_are_links(tmp_path):
    pytest.importorskip("tensorboard")
    (tmp_path / "theirs").write_bytes(b"")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "events.out.tfevents.1.bf").symlink_to(tmp_path / "theirs")
    tracker = TensorBoardTracker(str(tmp_path))
    tracker.start("net", None, "run")
    with pytest.raises(TrackingError, match="link"):
        tracker.ready()
    tracker.end()
    assert (tmp_path / "theirs").read_bytes() == b""


def test_a_journal_that_is_a_link_a_pipe_or_has_no_end(tmp_path, monkeypatch):
    """A sweep of somebody else: no other file is read, nothing is waited for, memory is bounded."""
    (tmp_path / "theirs").write_text(json.dumps({"journal": 1, "secret": 1}) + "\n")
    path = tmp_path / journal.JOURNAL
    result = tmp_path / "trial" / RESULT
    result.parent.mkdir()
    for name in (path, result):
        name.symlink_to(tmp_path / "theirs")
    for read in (journal.read, journal.read_head):
        with pytest.raises(StrangeFile, match="is a link"):
            read(tmp_path)
    assert recover_result(result.parent) is None
    for name in (path, result):
        name.unlink()
        os.mkfifo(name)
    for read in (journal.read, journal.read_head):
        with pytest.raises(StrangeFile, match="no plain file"):
            read(tmp_path)
    assert recover_result(result.parent) is None
    os.mkfifo(tmp_path / MEMORY)
    assert _find_earlier_run(tmp_path, "sqlite:///mlflow.db", None) is None
    monkeypatch.setattr(journal, "MOST_JSON", 1 << 20)
    path.unlink()
    with open(path, "wb") as file:
        file.truncate(1 << 30)  # takes nothing on the disk
    for read in (journal.read, journal.read_head):
        tracemalloc.start()
        with pytest.raises(StateError, match="a line of more than 1,048,576 bytes"):
            read(tmp_path)
        assert tracemalloc.get_traced_memory()[1] < 8 << 20
        tracemalloc.stop()


def test_commands_of_a_folder():
    runs = {
        "tensorboard": {"run_id": "a", "page": "x; touch evil"},
        "wandb": {"run_id": "b", "page": "$(evil)\x1b"},
    }
    told = tell_runs({"run_id": "a", "runs": runs})
    assert "open      tensorboard --logdir 'x; touch evil'" in told
    assert "send      wandb sync '$(evil)\\x1b'" in told
    noted = {"run_id": "\x1b[2J", "store": "https://me:hunter2@host\x07"}
    assert tell_sweep_run(noted) == ["MLflow    run \\x1b[2J, in https://me:***@host\\x07"]
    assert tell_sweep_run({"run_id": ["a"], "store": 1}) == []
    assert tell_places({"tensorboard": "-x `evil`"}) == ["open      tensorboard --logdir '-x `evil`'"]


def test_a_file_of_wandb_is_read_in_bounds(tmp_path):
    pytest.importorskip("wandb")
    file, head = tmp_path / "run-a.wandb", b":W&B\xe1\xbe\0"
    # one record of pieces without end: once quadratic in time, and as large as the file in memory
    begin = struct.pack("<IHB", 0, 32_754, 2) + b"x" * 32_754
    file.write_bytes(head + begin + (struct.pack("<IHB", 0, 32_761, 3) + b"x" * 32_761) * 1000)
    tracemalloc.start()
    assert list(read_rows(file)) == []
    assert tracemalloc.get_traced_memory()[1] < 20 * 2**20
    tracemalloc.stop()
    # a file that ends in the last bytes of a block once was read for ever
    for end in range(32_761, 32_769):
        file.write_bytes(head + struct.pack("<IHB", 0, end - 14, 2) + b"\0" * (end - 14))
        assert list(read_rows(file)) == []
    file.write_bytes(head + struct.pack("<IHB", 0, 0, 1) * 1000)
    with pytest.raises(ValueError, match="behind 100 bytes"):
        list(read_rows(file, 100))


@pytest.mark.parametrize(
    "text",
    ["1,loss,0.5,0\n" + "9" * 10**7, "\n" * 2_100_000, "x,y,z,0\n" * 2_100_000],
    ids=["line", "empty", "bad"],
)
def test_a_table_of_somebody_else_is_read_in_bounds(tmp_path, caplog, text):
    trial = tmp_path / "t"
    trial.mkdir()
    (trial / "run.csv").write_text("step,metric,value,time\n" + text)
    runs = {"csv": {"run_id": "run", "page": str(trial / "run.csv")}}
    (trial / "run.json").write_text(json.dumps({"settings": {}, "runs": runs}))
    found = read_trial(tmp_path, "t")
    assert found == ({"loss": {1: 0.5}} if text[0] == "1" else {})
    assert "left out" in caplog.text
