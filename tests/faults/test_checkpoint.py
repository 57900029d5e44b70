"""Faults of checkpoints (CK): full disks, kills in the middle of a save, damaged and hostile files."""

from __future__ import annotations

import io
import json
import os
import pickle
import subprocess
import warnings
from pathlib import Path

import numpy as np
import pytest

from bf_index.errors import StateError
from bf_pipeline.run.checkpoint.files import (
    CorruptCheckpoint,
    latest,
    open_folder,
    read_checkpoint,
    write_checkpoint,
)
from bf_pipeline.run.checkpoint.values import Decoder

BIG = np.arange(200_000)


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 1 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", str(folder)]
    if subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.faults("CK01")
def test_a_full_disk_names_the_path_and_keeps_the_previous_checkpoint(small_disk):
    write_checkpoint(small_disk, {"n": 1}, {}, {})
    with pytest.raises(OSError, match="intact") as caught:
        write_checkpoint(small_disk, {"n": 2}, {"big": BIG}, {})
    assert caught.value.filename == str(small_disk / "checkpoint-000002")
    assert os.listdir(small_disk) == ["checkpoint-000001"]
    assert latest(small_disk).state["n"] == 1


SAVES = """
    import sys
    from pathlib import Path
    import numpy as np
    from bf_pipeline.run.checkpoint.files import write_checkpoint
    class Model:
        def save(self, path):
            path.write_bytes(bytes(300_000))
    for n in range(10**9):
        write_checkpoint(Path("saved"), {"n": n}, {"array": np.full(50_000, n)}, {"m": Model()})
        if n == 1:
            print("saves", flush=True)
"""


@pytest.mark.slow
@pytest.mark.faults("CK02")
def test_a_kill_at_any_point_of_a_save_leaves_the_last_complete_one(start_script, tmp_path):
    import random
    import time

    seen = -1
    for attempt in range(20):
        script = start_script(SAVES)
        script.wait_for("saves")
        time.sleep(random.Random(attempt).uniform(0.02, 0.2))
        script.kill()
        script.finish()
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            if (tmp_path / "saved").exists() and any((tmp_path / "saved").glob("checkpoint-*")):
                found = latest(tmp_path / "saved")
                assert found.arrays["array"].tolist() == [found.state["n"]] * 50_000
                seen = max(seen, found.state["n"])
    assert seen > 0
    write_checkpoint(tmp_path / "saved", {}, {}, {})
    assert not list((tmp_path / "saved").glob(".*")), "what killed saves left is swept by the next save"


@pytest.mark.faults("CK03")
@pytest.mark.parametrize("name", ["state.json", "arrays.npz", "manifest.json"])
def test_a_truncated_file_falls_back_to_the_checkpoint_before_and_says_so(tmp_path, name):
    first = write_checkpoint(tmp_path, {"n": 1}, {"array": BIG}, {})
    second = write_checkpoint(tmp_path, {"n": 2}, {"array": BIG}, {})
    file = second / name
    os.truncate(file, file.stat().st_size // 2)
    with pytest.raises(CorruptCheckpoint, match="checkpoint-000002"):
        read_checkpoint(second)
    with pytest.warns(RuntimeWarning, match=r"checkpoint-000002.*falling back to .*checkpoint-000001"):
        assert latest(tmp_path).folder == first
    os.truncate(first / name, 1)
    with pytest.raises(CorruptCheckpoint, match=r"checkpoint-000002.*checkpoint-000001"):
        latest(tmp_path)


@pytest.mark.faults("CK03")
def test_one_changed_byte_is_noticed(tmp_path):
    made = write_checkpoint(tmp_path, {}, {"array": BIG}, {})
    data = bytearray((made / "arrays.npz").read_bytes())
    data[5000] ^= 1
    (made / "arrays.npz").write_bytes(data)
    with pytest.raises(CorruptCheckpoint, match=r"arrays\.npz"):
        latest(tmp_path)


class Bomb:
    """What a pickle could do."""

    def __reduce__(self):
        return os.mkdir, ("exploded",)


def _forge(made: Path, name: str, data: bytes) -> None:
    """Replace a file and its checksum, as an attacker would."""
    import hashlib

    (made / name).write_bytes(data)
    manifest = json.loads((made / "manifest.json").read_text())
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    (made / "manifest.json").write_text(json.dumps(manifest))


@pytest.mark.faults("CK06")
def test_a_smuggled_pickle_is_never_read(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    made = write_checkpoint(tmp_path / "saved", {}, {"a": np.arange(3)}, {})
    file = io.BytesIO()
    np.savez(file, a=np.array([Bomb()], dtype=object))
    for data in (file.getvalue(), pickle.dumps(Bomb())):
        _forge(made, "arrays.npz", data)
        with pytest.raises(CorruptCheckpoint, match=r"holds objects, which are pickles|can't be read"):
            read_checkpoint(made)
    assert not Path("exploded").exists()


@pytest.mark.faults("CK06")
@pytest.mark.parametrize(
    "tree", [{"$": "os.system"}, {"$": "object", "class": "os.system", "attributes": {}}]
)
def test_a_smuggled_kind_of_value_is_refused(tree):
    with pytest.raises(ValueError, match=r"os\.system"):
        Decoder().decode([tree])


@pytest.mark.faults("CK07")
def test_a_model_outside_of_the_checkpoint_and_links_are_refused(tmp_path):
    made = write_checkpoint(tmp_path, {}, {}, {})
    for place in ("../../secret", "/etc/passwd", "models/../../x"):
        state = {**json.loads((made / "state.json").read_text()), "models": {"net": place}}
        _forge(made, "state.json", json.dumps(state).encode())
        with pytest.raises(CorruptCheckpoint, match="outside"):
            read_checkpoint(made).model_path("net")
    (made / "models").symlink_to("/etc")
    with pytest.raises(CorruptCheckpoint, match="link"):
        read_checkpoint(made)


@pytest.mark.faults("CK07")
def test_a_file_outside_of_the_checkpoint_is_not_one_of_its_files(tmp_path):
    made = write_checkpoint(tmp_path, {}, {}, {})
    (tmp_path / "x").write_bytes(b"x")
    _forge(made, "../x", b"x")
    with pytest.raises(CorruptCheckpoint, match=r"\.\./x"):
        read_checkpoint(made)


@pytest.mark.faults("CK09")
def test_a_newer_schema_is_refused_with_both_versions(tmp_path):
    made = write_checkpoint(tmp_path, {}, {}, {})
    state = json.loads((made / "state.json").read_text())
    _forge(made, "state.json", json.dumps({**state, "schema": 99}).encode())
    with pytest.raises(StateError, match=r"schema 99 .* up to 1"):
        latest(tmp_path)


@pytest.mark.faults("CK12")
def test_folders_with_spaces_and_unicode_work(tmp_path):
    folder = tmp_path / "мои точки" / "check points"
    write_checkpoint(folder, {"n": 1}, {}, {})
    assert latest(folder).state["n"] == 1


@pytest.mark.faults("CK12")
def test_a_folder_that_can_not_be_written_is_a_clear_error(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(OSError, match="checkpoints cannot be written") as caught:
        open_folder(tmp_path / "file")
    assert caught.value.filename == str(tmp_path / "file")
