"""Pickles under the names of files that hold numbers."""

from __future__ import annotations

import hashlib
import json
import pickle
import zipfile

import numpy as np
import pytest

from bf_batch import Batch, Dataset, ItemError
from bf_index import FilesIndex
from bf_pipeline.run.checkpoint.files import CorruptCheckpoint, latest, write_checkpoint


class X(Batch):
    components = ("x",)


@pytest.fixture
def objects(canary):
    """Return an array of objects, which numpy writes as a pickle that kills the canary."""
    held = np.empty(2, object)
    held[:] = canary.pickled
    return held


def test_npy_files(tmp_path, objects):
    np.save(tmp_path / "a.npy", objects, allow_pickle=True)
    with pytest.raises(ItemError, match=r"a\.npy"):
        X(FilesIndex(str(tmp_path / "*.npy"))).load(dst="x")
    with pytest.raises(ValueError, match="object"):
        Dataset(2, X, preloaded={"x": str(tmp_path / "a.npy")}).next_batch(2).x


def test_npz_files(tmp_path, objects):
    np.savez(tmp_path / "a.npz", x=objects)
    with pytest.raises(ItemError, match=r"a\.npz"):
        X(FilesIndex(str(tmp_path / "*.npz"))).load(dst="x")


def test_plain_pickles_under_other_names(tmp_path, canary):
    for name in ("a.npy", "a.npz", "a.csv", "a.parquet", "a.feather", "a.h5", "a.blosc", "a.png", "a.wav"):
        (tmp_path / name).write_bytes(pickle.dumps(canary.pickled))
        with pytest.raises(ItemError, match=name.replace(".", r"\.")):
            X(FilesIndex(str(tmp_path / name))).load(dst="x").x
        (tmp_path / name).unlink()


def test_blosc_files_of_the_older_batchflow(tmp_path, canary):
    """Which were pickles inside."""
    numcodecs = pytest.importorskip("numcodecs")
    (tmp_path / "a.blosc").write_bytes(numcodecs.Blosc().encode(pickle.dumps(canary.pickled)))
    with pytest.raises(
        ItemError, match=r"a\.blosc.*pickles, as the older BatchFlow wrote them, are not read"
    ):
        X(FilesIndex(str(tmp_path / "a.blosc"))).load(dst="x")


def test_checkpoints(tmp_path, objects):
    folder = write_checkpoint(tmp_path, {}, {}, {})
    with zipfile.ZipFile(folder / "arrays.npz", "w") as archive, archive.open("a.npy", "w") as file:
        np.lib.format.write_array(file, objects, allow_pickle=True)
    files = {name: (folder / name).read_bytes() for name in ("state.json", "arrays.npz")}
    told = {
        name: {"bytes": len(held), "sha256": hashlib.sha256(held).hexdigest()} for name, held in files.items()
    }
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": told}))
    with pytest.raises(CorruptCheckpoint, match="checkpoint-000001"):
        latest(tmp_path)


def test_torch_files(tmp_path, canary):
    from bf_models.convert.pth import read_pth

    with zipfile.ZipFile(tmp_path / "w.pth", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps({"weight": canary.pickled}))
        archive.writestr("archive/version", "3")
    with pytest.raises(Exception, match=r"w\.pth.*system"):
        read_pth(tmp_path / "w.pth")
