"""Faults of saved models: damaged and hostile files, deaths in the middle of a save."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bf_models import VGG7, KerasModel, ResNet18
from bf_models.errors import CorruptModel, ModelStateError, UnsafeCheckpoint

CONFIG = {
    "inputs": {"images": {"shape": (8, 8, 1)}, "labels": {"classes": 3}},
    "body": {"stages": [[1, 0, 4]]},
    "seed": 1,
}
X, Y = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 1)).astype("uint8"), np.array([0, 1, 2, 0, 1, 2])


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """File of a model that was trained for a step."""
    path = tmp_path_factory.mktemp("saved") / "model.bfm"
    model = VGG7(CONFIG)
    model.train(X, Y)
    model.save(path)
    return path


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewritten(path: Path, parts: dict[str, bytes], how: int = zipfile.ZIP_STORED) -> Path:
    """A file of the given members, checksums made right, so that only the injected fault is there."""
    import hashlib

    manifest = json.loads(parts["manifest.json"])
    for name, told in manifest["members"].items():
        if name in parts:
            told.update(sha256=hashlib.sha256(parts[name]).hexdigest(), size=len(parts[name]))
    with zipfile.ZipFile(path, "w", how) as archive:
        for name, content in parts.items():
            archive.writestr(name, json.dumps(manifest) if name == "manifest.json" else content)
    return path


@pytest.mark.slow
@pytest.mark.faults("CK01")
def test_full_disk_is_an_error_with_the_path_and_the_old_file_stays(saved, tmp_path, run_script):
    path = tmp_path / "model.bfm"
    path.write_bytes(saved.read_bytes())
    done = run_script(
        f"""
        import resource, signal
        from bf_models import VGG7
        model = VGG7.load({str(path)!r})
        # a limit on the size of files stands for a full disk: the write fails half-way with an OSError
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (2000, 2000))
        try:
            model.save({str(path)!r})
        except OSError as error:
            print("refused", error.filename, error)
        """
    )
    assert f"refused {path}" in done.out, done.err
    assert path.read_bytes() == saved.read_bytes()
    assert [item.name for item in tmp_path.glob("*.bfm*")] == ["model.bfm"]
    assert not list(tmp_path.glob(".model*"))


@pytest.mark.slow
@pytest.mark.faults("CK02")
def test_killed_at_random_points_of_a_save_the_last_whole_file_is_there(saved, tmp_path, start_script):
    path = tmp_path / "model.bfm"
    path.write_bytes(saved.read_bytes())
    script = start_script(
        f"""
        import os, random, signal, threading, time
        from pathlib import Path
        from bf_models.saving import archive
        saved = archive.load(Path({str(path)!r}))
        print("ready", flush=True)
        for round in range(20):
            child = os.fork()
            if child == 0:
                while True:
                    archive.write(Path({str(path)!r}), saved)
            time.sleep(random.uniform(0.001, 0.05))
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
            archive.load(Path({str(path)!r}))
        print("survived", flush=True)
        """
    )
    done = script.finish()
    assert "survived" in done.out, done.err
    assert np.array_equal(VGG7.load(path).predict(X), VGG7.load(saved).predict(X))


@pytest.mark.faults("CK03")
@pytest.mark.parametrize("share", [0.0, 0.1, 0.5, 0.9, 0.999])
def test_truncated_file_is_named_corrupt(saved, tmp_path, share):
    data = saved.read_bytes()
    path = tmp_path / "cut.bfm"
    path.write_bytes(data[: int(len(data) * share)])
    with pytest.raises(CorruptModel, match=r"cut\.bfm"):
        VGG7.load(path)


@pytest.mark.faults("CK03")
def test_one_changed_bit_anywhere_is_noticed(saved, tmp_path):
    data = bytearray(saved.read_bytes())
    with zipfile.ZipFile(saved) as archive:
        info = archive.getinfo("weights.safetensors")
    place = info.header_offset + 30 + len(info.filename) + info.file_size // 2
    data[place] ^= 1
    path = tmp_path / "bit.bfm"
    path.write_bytes(data)
    with pytest.raises(CorruptModel):
        VGG7.load(path)


@pytest.mark.faults("CK05")
def test_hostile_keras_file_is_refused_and_nothing_of_it_runs(tmp_path):
    from bf_models._backend import keras

    layers = keras().layers
    network = keras().Sequential([keras().Input((2,)), layers.Lambda(lambda x: x)])
    network.save(tmp_path / "evil.keras")
    with pytest.raises(UnsafeCheckpoint, match="not loaded"):
        KerasModel.load(tmp_path / "evil.keras")


@pytest.mark.faults("CK05")
@pytest.mark.parametrize(
    "target", ["stranger.Body", "os.system", "builtins.eval", "bf_models.errors.__builtins__"]
)
def test_foreign_class_in_a_saved_config_is_refused_before_import(saved, tmp_path, monkeypatch, target):
    (tmp_path / "stranger.py").write_text("raise SystemExit('imported')")
    monkeypatch.syspath_prepend(tmp_path)
    parts = members(saved)
    told = json.loads(parts["model.json"])
    told["config"] = {**told["config"], "body": {"_target_": target}, "allow": ["stranger", "os", "builtins"]}
    path = rewritten(tmp_path / "foreign.bfm", {**parts, "model.json": json.dumps(told).encode()})
    with pytest.raises(PermissionError, match="_target_"):
        VGG7.load(path)


@pytest.mark.faults("CK06")
def test_smuggled_pickle_is_never_read(saved, tmp_path):
    import pickle

    class Evil:
        def __reduce__(self):
            return Path.touch, (tmp_path / "ran",)

    parts = members(saved)
    path = rewritten(tmp_path / "more.bfm", {**parts, "state.pkl": pickle.dumps(Evil())})
    with pytest.raises(UnsafeCheckpoint, match=r"state\.pkl"):
        VGG7.load(path)
    path = rewritten(tmp_path / "instead.bfm", {**parts, "weights.safetensors": pickle.dumps(Evil())})
    with pytest.raises(CorruptModel):
        VGG7.load(path)
    assert not (tmp_path / "ran").exists()


@pytest.mark.faults("CK07")
@pytest.mark.parametrize("name", ["../outside", "/etc/outside", "a/../../outside", "link"])
def test_member_outside_of_the_archive_is_refused(saved, tmp_path, name):
    path = rewritten(tmp_path / "traversal.bfm", {**members(saved), name: b"x"})
    with pytest.raises(UnsafeCheckpoint, match=r"outside|link"):
        VGG7.load(path)
    assert not (tmp_path.parent / "outside").exists()


@pytest.mark.faults("CK07")
def test_bombs_are_refused_before_they_are_unpacked(saved, tmp_path):
    parts = members(saved)
    path = rewritten(tmp_path / "zipped.bfm", {**parts, "model.json": b" " * 10**7}, zipfile.ZIP_DEFLATED)
    with pytest.raises(UnsafeCheckpoint, match="compressed"):
        VGG7.load(path)
    header = json.dumps({"a": {"dtype": "F32", "shape": [2**40], "data_offsets": [0, 2**42]}}).encode()
    bomb = len(header).to_bytes(8, "little") + header
    path = rewritten(tmp_path / "claim.bfm", {**parts, "weights.safetensors": bomb})
    with pytest.raises(CorruptModel, match="does not fit"):
        VGG7.load(path)


@pytest.mark.faults("CK09")
def test_newer_format_names_both_versions(saved, tmp_path):
    parts = members(saved)
    manifest = {**json.loads(parts["manifest.json"]), "format": 7}
    path = rewritten(tmp_path / "newer.bfm", {**parts, "manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(ModelStateError, match=r"format 7.*up to 1"):
        VGG7.load(path)


@pytest.mark.faults("CK10")
def test_training_goes_on_bit_by_bit_from_a_saved_model(tmp_path):
    straight, halted = VGG7(CONFIG), VGG7(CONFIG)
    for _ in range(4):
        straight.train(X, Y)
    for _ in range(2):
        halted.train(X, Y)
    halted.save(tmp_path / "half.bfm")
    resumed = VGG7.load(tmp_path / "half.bfm")
    for _ in range(2):
        resumed.train(X, Y)
    assert np.array_equal(straight.predict(X), resumed.predict(X))


@pytest.mark.faults("CK12")
def test_folders_with_spaces_and_unicode_work_and_a_file_in_the_way_is_named(saved, tmp_path):
    path = tmp_path / "ein Ordner ü 模型" / "model.bfm"
    model = VGG7.load(saved)
    model.save(path)
    assert np.array_equal(VGG7.load(path).predict(X), model.predict(X))
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="not saved") as caught:
        model.save(tmp_path / "file" / "model.bfm")
    assert caught.value.filename == str(tmp_path / "file" / "model.bfm")


@pytest.mark.faults("CK")
def test_another_architecture_is_refused_with_the_first_differences(saved, tmp_path):
    with pytest.raises(ModelStateError, match="ResNet18"):
        ResNet18.load(saved)
    parts = members(saved)
    told = json.loads(parts["model.json"])
    told["config"]["body"] = {"stages": [[1, 0, 5]]}
    path = rewritten(tmp_path / "other.bfm", {**parts, "model.json": json.dumps(told).encode()})
    with pytest.raises(ModelStateError, match=r"features\.0/kernel"):
        VGG7.load(path)
