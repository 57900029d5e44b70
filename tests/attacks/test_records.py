"""Files of kept records and working folders of others: what they may not send, and what git may not run."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from bf_research.tracking.kept import arguments
from bf_research.tracking.replay import replay
from bf_research.tracking.store import open_store
from bf_research.tracking.surroundings import git_changes, git_tags


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
    assert arguments(Path("kept.jsonl"), "sqlite:////home/me/mlflow.db") == "kept.jsonl"


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
    location = replay(path)
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
