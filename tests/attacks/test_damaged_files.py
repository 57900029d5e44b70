"""Any bytes under any name: each reader gives its documented error with the file's name, and no other.

Good files are damaged at random. The suite takes a few fixed examples; BF_FUZZ_SECONDS=60 takes others for a
minute a reader, as ``nox -s faults`` does for a shorter time.
"""

from __future__ import annotations

import copy
import functools
import gzip
import io
import itertools
import json
import os
import random
import shutil
import tarfile
import tempfile
import time
import warnings
import wave
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from bf_batch import Batch, Dataset, ImagesBatch, ItemError
from bf_batch.data import blosc, hdf5
from bf_batch.opensets.archives import UnsafeArchiveError, unpack
from bf_batch.opensets.idx import read_idx
from bf_index.errors import StateError
from bf_models import MLP
from bf_models.convert.h5 import read_h5
from bf_models.convert.pth import read_pth
from bf_models.errors import CorruptModel, ModelStateError, UnsafeCheckpoint
from bf_models.safetensors import chunks, load_file
from bf_models.saving import archive
from bf_pipeline import CorruptCheckpoint
from bf_pipeline.run.checkpoint.files import latest, read_checkpoint, write_checkpoint
from bf_research.sweep import journal
from bf_research.sweep.results import Results
from bf_research.sweep.trial import TrialState
from tests.attacks.test_bombs import forge as forge_checkpoint
from tests.attacks.test_bombs_in_models import tensor, text, torch_file

SECONDS = float(os.environ.get("BF_FUZZ_SECONDS", "0"))
EXAMPLES = 12
ARRAY = np.arange(24, dtype="<f4").reshape(4, 6)


class Data(Batch):
    """Batches of one component."""

    components = ("x",)


@dataclass(frozen=True)
class Reader:
    """A reader: makes a good file in a folder and returns its path, reads it, raises only these errors."""

    make: Callable[[Path], Path]
    read: Callable[[Path], Any]
    errors: tuple[type[Exception], ...] = (ItemError,)
    examples: int = EXAMPLES


def written(name: str, write: Callable[[Any], Any]) -> Callable[[Path], Path]:
    """Return what writes a file of that name through an open file."""

    def make(folder: Path) -> Path:
        with open(folder / name, "wb") as file:
            write(file)
        return folder / name

    return make


def item(fmt: str, kind: type[Batch] = Data) -> Callable[[Path], Any]:
    """Return what reads a file as the one item of a batch."""

    def read(path: Path) -> Any:
        name = kind.components[0]
        batch = Dataset([path.name], kind).next_batch(1).load(str(path.parent), fmt, name, target="inline")
        return np.asarray(getattr(batch, name))

    return read


def table(path: Path) -> Any:
    return Dataset(["a", "b"], Data).next_batch(2).load(str(path), dst="x").x


def preloaded(path: Path) -> Any:
    return Dataset(4, Data, preloaded={"x": str(path)}).next_batch(2).x


def picture(fmt: str) -> Callable[[Any], None]:
    def write(file: Any) -> None:
        image = pytest.importorskip("PIL.Image")
        image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(file, fmt)

    return write


def sound(file: Any) -> None:
    with wave.open(file, "wb") as made:
        made.setparams((2, 2, 8000, 0, "NONE", ""))
        made.writeframes(bytes(range(64)))


def zipped(file: Any) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as made:
        made.writestr("a/one", b"one" * 50)
        made.writestr("two", b"two")


def rolled(kind: str) -> Callable[[Any], None]:
    def write(file: Any) -> None:
        with tarfile.open(fileobj=file, mode=f"w:{kind}") as made:
            for name in ("a/one", "two", "long" * 60):
                info = tarfile.TarInfo(name)
                info.size = 5
                made.addfile(info, io.BytesIO(b"bytes"))

    return write


def frame(file: Any) -> None:
    pd = pytest.importorskip("pandas")
    pytest.importorskip("pyarrow")
    pd.DataFrame({"x": [1.0, 2.0]}, index=["a", "b"]).to_parquet(file)


def feather(compression: str) -> Callable[[Any], None]:
    def write(file: Any) -> None:
        pd, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow.feather")
        held = pd.DataFrame({"id": ["a", "b"], "x": [1.0, 2.0], "y": pd.Categorical(["u", "v"])})
        arrow.write_feather(held, file, compression=compression)

    return write


def packed(codec: Any, value: Any, **options: Any) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        with open(folder / "f.h5", "w+b") as file:
            codec.write(file, value, **options)
        return folder / "f.h5"

    return make


def tensors(file: Any) -> None:
    file.writelines(chunks({"w": ARRAY}))


def torch(folder: Path) -> Path:
    data = b"\x80\x02}(" + text("w") + tensor(6, (2, 3), (3, 1)) + b"u."
    return torch_file(folder / "w.pth", data, ARRAY.tobytes()[:24])


def keras(folder: Path) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(folder / "w.h5", "w") as file:
        file.attrs["layer_names"] = ["a"]
        file.create_group("a").attrs["weight_names"] = ["w"]
        file["a"].create_dataset("w", data=ARRAY, compression="gzip")
    return folder / "w.h5"


def checkpoint(folder: Path) -> Path:
    return write_checkpoint(folder, {"n": [1, {"a": 2.5}]}, {"a": ARRAY}, {}) / "arrays.npz"


def state(folder: Path) -> Path:
    return checkpoint(folder).parent / "state.json"


def read_forged(path: Path) -> Any:
    """Read a checkpoint of which a file was changed by somebody who knows how checksums are made."""
    return read_checkpoint(forge_checkpoint(path.parent))


def manifest(folder: Path) -> Path:
    return checkpoint(folder).parent / "manifest.json"


@functools.cache
def trained() -> bytes:
    config = {"inputs": {"images": {"shape": (4,)}}, "num_classes": 2, "loss": "ce", "body": {"units": [3]}}
    with tempfile.TemporaryDirectory() as folder:
        MLP(config).build().save(Path(folder, "m.bfm"))
        return Path(folder, "m.bfm").read_bytes()


def model(folder: Path) -> Path:
    (folder / "m.bfm").write_bytes(trained())
    return folder / "m.bfm"


def description(folder: Path) -> Path:
    held = archive.load(model(folder))
    (folder / "model.json").write_text(json.dumps(held.description))
    return folder / "model.json"


def read_described(path: Path) -> Any:
    """Load a model of which the description was changed, with right checksums."""
    try:
        told = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        told = None
    held = archive.load(path.parent / "m.bfm")
    archive.write(path.parent / "forged.model.json", archive.Saved(told, held.weights, held.optimizer))
    return MLP.load(path.parent / "forged.model.json")


def results(ending: str) -> Callable[[Path], Path]:
    def make(folder: Path) -> Path:
        record = journal.Record("k", 0, {"a": 1}, state=TrialState.DONE, rows=[{"loss": 0.5}])
        Results((record,), declared=("loss",)).save(folder / f"r.{ending}")
        return folder / f"r.{ending}"

    return make


def read_results(path: Path) -> Any:
    return Results.load(path).df


def history(folder: Path) -> Path:
    lines = [{"journal": 1, "total": 1}, {"trial": "k", "state": "RUNNING", "config": {"a": 1}, "attempt": 1}]
    (folder / journal.JOURNAL).write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return folder / journal.JOURNAL


TABLE = (ValueError, KeyError)
ARCHIVE, WEIGHTS = (UnsafeArchiveError,), (CorruptModel, UnsafeCheckpoint)
MODEL = (CorruptModel, UnsafeCheckpoint, ModelStateError, PermissionError)
IDX = bytes((0, 0, 8, 1, 0, 0, 0, 9)) + bytes(9)

READERS = {
    "npy": Reader(written("f.npy", lambda file: np.save(file, ARRAY)), item("npy")),
    "preloaded npy": Reader(written("f.npy", lambda file: np.save(file, ARRAY)), preloaded, (ValueError,)),
    "npz": Reader(written("f.npz", lambda file: np.savez(file, x=ARRAY)), item("npz")),
    "compressed npz": Reader(written("f.npz", lambda file: np.savez_compressed(file, x=ARRAY)), item("npz")),
    "wav": Reader(written("f.wav", sound), item("wav")),
    "csv": Reader(
        written("f.csv", lambda file: file.write(b"id,x\na,1\nb,2\n")), table, (ValueError, KeyError)
    ),
    "parquet": Reader(written("f.parquet", frame), table, (ValueError, KeyError)),
    "feather": Reader(written("f.feather", feather("uncompressed")), table, (ValueError, KeyError)),
    "packed feather": Reader(written("f.feather", feather("zstd")), table, (ValueError, KeyError)),
    "blosc": Reader(packed(blosc, ARRAY), item("blosc")),
    "blosc of several": Reader(packed(blosc, {"x": ARRAY}, compression="zstd"), item("blosc")),
    "hdf5": Reader(packed(hdf5, {"x": ARRAY}, compression="gzip"), item("hdf5")),
    "rows of hdf5": Reader(
        packed(hdf5, {"id": np.array(["a", "b"]), "x": np.arange(2)}), table, (ValueError, KeyError)
    ),
    "idx": Reader(
        written("f.gz", lambda file: file.write(gzip.compress(IDX))), lambda p: read_idx(p, 1), (ValueError,)
    ),
    "zip": Reader(written("f.zip", zipped), lambda path: unpack(path, path.parent / "out"), ARCHIVE),
    **{
        f"tar {kind}": Reader(
            written(f"f.tar.{kind}", rolled(kind)), lambda path: unpack(path, path.parent / "out"), ARCHIVE
        )
        for kind in ("", "gz", "bz2", "xz")
    },
    **{
        f"{fmt} {kind.__name__}": Reader(written("f.png", picture(fmt)), item("image", kind))
        for fmt in ("png", "jpeg", "gif", "tiff", "bmp", "webp")
        for kind in (Data, ImagesBatch)
    },
    "safetensors": Reader(
        written("f.safetensors", lambda file: file.writelines(chunks({"w": ARRAY}))),
        load_file,
        (CorruptModel,),
    ),
    "pth": Reader(torch, read_pth, WEIGHTS),
    "h5": Reader(keras, read_h5, WEIGHTS),
    "model": Reader(model, archive.load, MODEL),
    "description": Reader(description, read_described, MODEL, 4),
    "checkpoint": Reader(checkpoint, lambda path: read_checkpoint(path.parent), (CorruptCheckpoint,)),
    "forged arrays": Reader(checkpoint, read_forged, (CorruptCheckpoint,)),
    "forged state": Reader(state, read_forged, (CorruptCheckpoint, StateError)),
    "manifest": Reader(manifest, lambda path: read_checkpoint(path.parent), (CorruptCheckpoint,)),
    "results": Reader(results("json"), read_results, (StateError,)),
    "results in a table": Reader(results("parquet"), read_results, (StateError,)),
    "journal": Reader(history, lambda path: journal.read(path.parent), (StateError,)),
}

# Ways to damage bytes: each edit is a place from 0 to 1, what is done there, and with what.
PLACES = st.floats(0, 1)
NUMBERS = [b"\0", b"\xff", b"\xff\xff\xff\x7f", b"\xff" * 4, b"\0" * 4, b"\xff" * 8]
SIGNS = [b"9999999999", b"-1", b"[", b"{", b"null"]
WORDS = st.sampled_from([*NUMBERS, *SIGNS]) | st.binary(max_size=8)
KINDS = st.sampled_from(["set", "insert", "remove", "cut", "flip"])
EDITS = st.lists(st.tuples(PLACES, KINDS, WORDS), max_size=4)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)
TREES = st.lists(st.tuples(st.lists(PLACES, max_size=5), JSON), min_size=1, max_size=2)


def damage(data: bytes, edits: list[tuple[float, str, bytes]]) -> bytes:
    """Return bytes after some edits."""
    changed = bytearray(data)
    for place, kind, word in edits:
        at = int(place * len(changed))
        if kind == "set":
            changed[at : at + len(word)] = word
        elif kind == "insert":
            changed[at:at] = word
        elif kind == "remove":
            del changed[at : at + len(word) + 1]
        elif kind == "cut":
            del changed[at:]
        elif at < len(changed):
            changed[at] ^= 1 << (len(word) % 8)
    return bytes(changed)


def graft(tree: Any, path: list[float], value: Any) -> Any:
    """Return a tree of JSON in which another value stands at a path."""
    if not path or not isinstance(tree, list | dict) or not tree:
        return value
    keys = list(tree) if isinstance(tree, dict) else list(range(len(tree)))
    key = keys[min(int(path[0] * len(keys)), len(keys) - 1)]
    tree[key] = graft(tree[key], path[1:], value)
    return tree


def regrown(data: bytes, grafts: list[tuple[list[float], Any]]) -> bytes:
    """Return lines of JSON with other values in them."""
    lines = []
    for line in data.splitlines() if b'"journal"' in data else [data]:
        tree = json.loads(line)
        for path, value in grafts:
            tree = graft(tree, path, copy.deepcopy(value))
        lines.append(json.dumps(tree).encode())
    return b"\n".join(lines) + b"\n"


def attack(reader: Reader, path: Path, data: bytes) -> None:
    """Put bytes under a name and read it: it is read, or refused by its name with one of its errors."""
    path.write_bytes(data)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reader.read(path)
        except reader.errors as error:
            named = path.name if path.name in str(error) else path.parent.name
            assert named in str(error), f"{path.name} is not named: {error!r}"  # noqa: PT017
            assert not isinstance(error, RecursionError | MemoryError)  # noqa: PT017


def rounds(strategy: Any, examples: int, check: Callable[[Any], None]) -> None:
    """Check fixed examples, or others until the time is up."""

    @settings(
        max_examples=examples,
        derandomize=not SECONDS,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(strategy)
    def run(found: Any) -> None:
        check(found)

    end = time.monotonic() + SECONDS
    for number in itertools.count():
        (seed(time.time_ns() + number)(run) if SECONDS else run)()
        if time.monotonic() >= end:
            return


def clean(folder: Path) -> None:
    """Remove what unpacking left."""
    shutil.rmtree(folder / "out", ignore_errors=True)


@pytest.mark.parametrize("name", READERS)
def test_damaged_bytes(name, tmp_path):
    reader = READERS[name]
    path = reader.make(tmp_path)
    good = path.read_bytes()
    reader.read(path)
    for data in (
        b"",
        good[:1],
        good[: len(good) // 2],
        good[:-1],
        b"\0" * len(good),
        random.Random(0).randbytes(64),
    ):
        clean(tmp_path)
        attack(reader, path, data)

    def check(edits: list[tuple[float, str, bytes]]) -> None:
        clean(tmp_path)
        attack(reader, path, damage(good, edits))

    rounds(EDITS, reader.examples, check)


@pytest.mark.parametrize("name", ["description", "forged state", "manifest", "results", "journal"])
def test_data_of_another_form(name, tmp_path):
    """JSON that is whole and says something else."""
    reader = READERS[name]
    path = reader.make(tmp_path)
    good = path.read_bytes()
    rounds(TREES, reader.examples * 2, lambda grafts: attack(reader, path, regrown(good, grafts)))


@pytest.mark.parametrize(
    ("name", "held"),
    [
        *itertools.product(["manifest.json"], ['{"files": []}', "null", '{"files": {"a": 1}}']),
        *itertools.product(["state.json"], ["[]", '{"schema": 1, "models": 1}', '{"n": 1}']),
    ],
)
def test_newest_checkpoint(tmp_path, name, held):
    for number in (1, 2):
        folder = write_checkpoint(tmp_path, {"n": number}, {}, {})
    (folder / name).write_text(held)
    if name == "state.json":
        forge_checkpoint(folder)
    with pytest.warns(RuntimeWarning, match=r"checkpoint-000002.*falling back to .*checkpoint-000001"):
        assert latest(tmp_path).state["n"] == 1
