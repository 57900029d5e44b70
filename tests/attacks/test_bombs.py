"""Files of data that claim more than they hold: refused by name, before the memory is taken."""

from __future__ import annotations

import gzip
import hashlib
import importlib
import io
import json
import struct
import tarfile
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

from bf_batch import Batch, Dataset, ItemError
from bf_batch.opensets.archives import UnsafeArchiveError, read_members, unpack
from bf_batch.opensets.idx import read_idx
from bf_index import StateError
from bf_index.sizes import FileTooLargeError, check_size, read_json, reading
from bf_pipeline import CorruptCheckpoint
from bf_pipeline.run.checkpoint.files import latest, read_checkpoint, write_checkpoint
from bf_research import Results

LITTLE = 24 << 20
"""Bytes that a refusal may take."""
HUGE = 64 << 20
"""Bytes that a bomb becomes; real ones become more, and are refused before anybody can tell."""


class Data(Batch):
    """Batches of one component."""

    components = ("x",)


def load(path: Path, **options):
    """Read a file as the one item of a batch."""
    dataset = Dataset([path.name], Data)
    return dataset.next_batch(1).load(str(path.parent), path.suffix[1:], "x", target="inline", **options).x


def make_npy(shape: object, dtype: str = "|u1", data: bytes = b"") -> bytes:
    """Return an npy file with a head that may lie."""
    head = repr({"descr": dtype, "fortran_order": False, "shape": shape}).encode()
    head += b" " * (63 - (len(head) + 10) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head + data


def make_zip(path: Path, members: dict[str, bytes], kind: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return path


def make_tar(path: Path, kind: str, size: int = HUGE) -> Path:
    with tarfile.open(path, f"w:{kind}") as archive:
        info = tarfile.TarInfo("zeros")
        info.size = size
        archive.addfile(info, io.BytesIO(bytes(size)))
    return path


@pytest.mark.parametrize("kind", [zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA])
def test_zip_archives(tmp_path, canary, kind):
    path = make_zip(tmp_path / "b.zip", {"zeros": bytes(HUGE)}, kind)
    refuse_archive(path, canary)


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_tar_archives(tmp_path, canary, kind):
    refuse_archive(make_tar(tmp_path / f"b.tar.{kind}", kind), canary)


def refuse_archive(path: Path, canary) -> None:
    for work in (lambda: unpack(path, path.parent / "in/out"), lambda: read_members(path, ["zeros"], None)):
        with canary.memory(LITTLE), pytest.raises(UnsafeArchiveError, match=rf"{path.name}.*claim to become"):
            work()
    assert [entry.name for entry in (path.parent / "in").iterdir() if not entry.name.startswith(".")] == []


def test_heads_of_tar_archives(tmp_path, canary):
    """A long name of 1 GiB: tarfile reads it whole."""
    info = tarfile.TarInfo("././@LongLink")
    info.type, info.size = tarfile.GNUTYPE_LONGNAME, 1 << 30
    with gzip.open(tmp_path / "b.tar.gz", "wb") as file:
        file.write(info.tobuf(tarfile.GNU_FORMAT) + bytes(1 << 20))
    with (
        canary.memory(LITTLE),
        pytest.raises(UnsafeArchiveError, match=r"b\.tar\.gz.*claims 1,073,741,824"),
    ):
        unpack(tmp_path / "b.tar.gz", tmp_path / "out")


def test_overlapping_members(tmp_path, canary):
    """One member of 1 MiB that the list of the archive names a hundred times."""
    path = make_zip(
        tmp_path / "b.zip", {"a.npy": make_npy((1 << 20,), data=bytes(1 << 20))}, zipfile.ZIP_STORED
    )
    data = path.read_bytes()
    start = data.index(b"PK\1\2")
    entry, end = data[start : data.index(b"PK\5\6")], bytearray(data[data.index(b"PK\5\6") :])
    entries = b"".join(entry.replace(b"a.npy", b"%c.npy" % letter) for letter in range(48, 148))
    struct.pack_into("<HHII", end, 8, 100, 100, len(entries), start)
    path.write_bytes(data[:start] + entries + end)
    with (
        canary.memory(LITTLE),
        pytest.raises(UnsafeArchiveError, match=r"b\.zip: its members claim .*overlap"),
    ):
        unpack(path, tmp_path / "out")
    path.rename(tmp_path / "b.npz")
    with canary.memory(LITTLE), pytest.raises(ItemError, match=r"b\.npz: its members claim .* overlap"):
        load(tmp_path / "b.npz")


def test_npz_files(tmp_path, canary):
    path = make_zip(tmp_path / "b.npz", {"x.npy": make_npy((HUGE,), data=bytes(HUGE))})
    with canary.memory(LITTLE), pytest.raises(ItemError, match=r"b\.npz: .* give max_bytes=67108992"):
        load(path)
    assert load(path, max_bytes=1 << 27).shape == (1, HUGE)


def test_what_is_dumped_is_no_bomb(tmp_path):
    for zeros in (np.zeros((1, 6000, 6000), np.uint8), np.zeros((1, 100, 100), np.uint8)):
        batch = Dataset(["z"], Data, preloaded=zeros).next_batch(1)
        packing = {"npz": {}, "blosc": {"compression": "zstd", "level": 9}, "hdf5": {"compression": "gzip"}}
        for fmt, options in packing.items():
            batch.dump(str(tmp_path), fmt, "x", **options)
            again = Dataset(["z"], Data).next_batch(1).load(str(tmp_path), fmt, "x").x
            np.testing.assert_array_equal(again, zeros)


@pytest.mark.parametrize("shape", [(1 << 40,), (1 << 40, 1 << 40), (1 << 30, 0, 5), (-1, 4), (1 << 70,)])
def test_npy_files(tmp_path, canary, shape):
    data = make_npy(shape, "<f8")
    (tmp_path / "b.npy").write_bytes(data)
    make_zip(tmp_path / "b.npz", {"x.npy": data}, zipfile.ZIP_STORED)
    if 0 in shape:
        assert load(tmp_path / "b.npy").shape == (1, *shape)
        return
    with canary.memory(LITTLE):
        for name in ("b.npy", "b.npz"):
            with pytest.raises(ItemError, match=rf"{name}.*shape"):
                load(tmp_path / name)
        with pytest.raises(ValueError, match=r"preloaded x: .*b\.npy.*shape"):
            Dataset(4, Data, preloaded={"x": str(tmp_path / "b.npy")}).next_batch(2).x


def test_wav_files(tmp_path, canary):
    head = b"RIFF\xff\xff\xff\x7fWAVEfmt " + struct.pack("<IHHIIHH", 16, 1, 1, 8000, 16000, 2, 16)
    (tmp_path / "b.wav").write_bytes(head + b"data" + struct.pack("<I", 2_000_000_000) + bytes(100))
    with (
        canary.memory(LITTLE),
        pytest.raises(ItemError, match=r"b\.wav.*claims 2,000,000,000.* holds 100"),
    ):
        load(tmp_path / "b.wav")


def test_csv_files(tmp_path, canary):
    """Columns without a letter, and a little file of zeros."""
    path = tmp_path / "b.csv"
    path.write_text("\n" * 3000 + "id,x" + "," * 2_000_000 + "\na,1\n")
    table = Dataset(["a"], Data).next_batch(1)
    with canary.memory(LITTLE), pytest.raises(ValueError, match=r"b\.csv: .* give max_bytes="):
        table.load(str(path), dst="x")
    for kind in ("gzip", "bz2", "xz"):
        module = importlib.import_module({"xz": "lzma"}.get(kind, kind))
        path.write_bytes(module.compress(b"id,x\na,1\n#" + bytes(HUGE)))
        with canary.memory(96 << 20), pytest.raises(ValueError, match=r"b\.csv: .* give max_bytes="):
            table.load(str(path), dst="x", compression=kind)
        path.write_bytes(module.compress(b"id,x\na,1\n"))
        assert table.load(str(path), dst="x", compression=kind).x.tolist() == [1]
    with pytest.raises(ValueError, match=r"b\.csv.*compression='zip': there are gzip, bz2, xz"):
        table.load(str(path), dst="x", compression="zip")
    path.write_text(f"id,x,{','.join(map(str, range(50_000)))}\na,1{',2' * 50_000}\n")
    assert table.load(str(path), dst="x").x.tolist() == [1]


def test_parquet_files(tmp_path, canary):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    table = pa.table({"x": pa.DictionaryArray.from_arrays(pa.array(np.zeros(HUGE // 8, np.int32)), ["a"])})
    pq.write_table(table, tmp_path / "b.parquet")
    del table
    with pytest.raises(ValueError, match=r"b\.parquet: .* give max_bytes="):
        Dataset(["a"], Data).next_batch(1).load(str(tmp_path / "b.parquet"), dst="x")


def write_feather(path: Path, columns: dict[str, object], compression: str = "zstd") -> Path:
    pa, feather = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.feather")
    feather.write_feather(pa.table(columns), path, compression=compression, chunksize=1 << 30)
    return path


@pytest.mark.parametrize("kind", ["packed", "nulls", "lists", "dictionary", "claims"])
def test_feather_files(tmp_path, canary, kind):
    pa = pytest.importorskip("pyarrow")
    ids, path = pa.array(["a"]), tmp_path / "b.feather"
    if kind == "packed":
        write_feather(path, {"x": pa.array(np.zeros(HUGE // 8))})
    elif kind == "nulls":
        write_feather(path, {"x": pa.nulls(HUGE // 8)}, "uncompressed")
    elif kind == "lists":
        offsets = pa.array(np.zeros(HUGE // 128 + 1, "i4"))
        write_feather(path, {"x": pa.ListArray.from_arrays(offsets, pa.array([1.0]))})
    elif kind == "dictionary":
        words = pa.array(["x" * HUGE])
        write_feather(path, {"id": ids, "x": pa.DictionaryArray.from_arrays(pa.array([0]), words)})
    else:
        write_feather(path, {"id": ids, "x": pa.array(["x" * 1237])})
        path.write_bytes(path.read_bytes().replace(struct.pack("<q", 1237), struct.pack("<q", 1 << 45)))
    with (
        canary.memory(LITTLE),
        pytest.raises(ValueError, match=r"b\.feather: .* claim to become .*max_bytes="),
    ):
        Dataset(["a"], Data).next_batch(1).load(str(path), dst="x")


def test_feather_columns_whose_rows_share_bytes(tmp_path):
    pa = pytest.importorskip("pyarrow")
    path = write_feather(
        tmp_path / "b.feather", {"id": pa.array(["a"]), "x": pa.array(["y"], pa.string_view())}
    )
    with pytest.raises(ValueError, match=r"b\.feather.*type string_view are not read"):
        Dataset(["a"], Data).next_batch(1).load(str(path), dst="x")
    (tmp_path / "old.feather").write_bytes(b"FEA1" + bytes(100))
    with pytest.raises(ValueError, match=r"old\.feather.*version 1"):
        Dataset(["a"], Data).next_batch(1).load(str(tmp_path / "old.feather"), dst="x")


def test_blosc_files(tmp_path, canary):
    numcodecs = pytest.importorskip("numcodecs")
    path = tmp_path / "b.blosc"
    packed = numcodecs.Blosc("zstd", 9).encode(make_npy((HUGE,), data=bytes(HUGE)))
    path.write_bytes(packed)
    with canary.memory(LITTLE), pytest.raises(ItemError, match=r"b\.blosc: .* give max_bytes=67108992"):
        load(path)
    assert load(path, max_bytes=1 << 27).shape == (1, HUGE)
    for place in (4, 8, 12):  # becomes, its blocks, has
        path.write_bytes(packed[:place] + b"\xff\xff\xff\x7f" + packed[place + 4 :])
        with canary.memory(LITTLE), pytest.raises(ItemError, match=r"b\.blosc.*claim"):
            load(path)
    path.write_bytes(numcodecs.Blosc().encode(make_npy((1 << 40,))))
    with canary.memory(LITTLE), pytest.raises(ItemError, match=r"b\.blosc: an array of shape"):
        load(path)


@pytest.mark.parametrize("kind", ["claims", "chunks", "texts", "names", "filters"])
def test_hdf5_files(tmp_path, canary, kind):
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "b.h5"
    with h5py.File(path, "w") as file:
        if kind == "claims":
            file.create_dataset("x", (4, 1 << 30), "f8")
        elif kind == "chunks":
            file.create_dataset("x", (4,), "u1", chunks=((1 << 27),), maxshape=(None,))
        elif kind == "texts":
            file["x"] = ["y" * 100_000, *["z"] * 4000]
        elif kind == "names":  # many arrays that are one
            file["x"] = np.zeros(1 << 20, "u1")
            for number in range(2000):
                file[f"x{number}"] = file["x"]
        else:  # packed twice, so a byte becomes a million
            layout = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
            layout.set_chunk((4,))
            layout.set_deflate(9)
            layout.set_deflate(9)
            h5py.h5d.create(file.id, b"x", h5py.h5t.STD_U8LE, h5py.h5s.create_simple((4,)), layout)
    if kind == "texts":  # all rows refer to the first text
        data = bytearray(path.read_bytes())
        place = data.index(struct.pack("<I", 100_000))
        data[place : place + 16 * 4001] = data[place : place + 16] * 4001
        path.write_bytes(data)
    words = {"filters": "packed by the filters 1, 1"}.get(kind, "claim")
    with (
        canary.memory(300 << 20 if kind == "texts" else LITTLE),
        pytest.raises(ItemError, match=rf"b\.h5.*{words}"),
    ):
        Dataset(["b.h5"], Data).next_batch(1).load(str(tmp_path), "hdf5", "x", target="inline")
    if kind not in ("names", "texts"):
        with canary.memory(LITTLE), pytest.raises(ValueError, match=rf"b\.h5.*{words}"):
            Dataset(4, Data).next_batch(4).load(str(path), dst="x")


def test_hdf5_and_zarr_arrays(tmp_path, canary):
    h5py, zarr = pytest.importorskip("h5py"), pytest.importorskip("zarr")
    with h5py.File(tmp_path / "b.h5", "w") as file:
        file.create_dataset("x", (4, 1 << 40), "u1", chunks=(1, 1 << 20))
    zarr.create_array(str(tmp_path / "b.zarr"), shape=(4, 1 << 40), dtype="u1", chunks=(1, 1 << 20))
    with h5py.File(tmp_path / "b.h5") as file:
        for array, name in (
            (file["x"], r"b\.h5:/x"),
            (zarr.open_array(str(tmp_path / "b.zarr")), "zarr array"),
        ):
            with (
                canary.memory(LITTLE),
                pytest.raises(FileTooLargeError, match=rf"{name}.*claim 2,199,023"),
            ):
                Dataset(4, Data, preloaded={"x": array}).next_batch(2).x


def test_pictures(tmp_path, canary):
    image = pytest.importorskip("PIL.Image")
    image.new("1", (8, 8)).save(tmp_path / "b.png")
    data = bytearray((tmp_path / "b.png").read_bytes())
    struct.pack_into(">II", data, 16, 60_000, 60_000)
    struct.pack_into(">I", data, 29, zlib.crc32(data[12:29]))
    (tmp_path / "b.png").write_bytes(data)
    with canary.memory(LITTLE), warnings.catch_warnings(), pytest.raises(ItemError, match=r"b\.png.*pixels"):
        Dataset(["b.png"], Data).next_batch(1).load(str(tmp_path), "image", "x", target="inline")


def test_pictures_that_are_programs(tmp_path, canary):
    """An EPS file under the name of a PNG file: Pillow would run Ghostscript on it."""
    pytest.importorskip("PIL")
    from bf_batch import ImagesBatch

    text = (
        f"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\n%%EndComments\n(%pipe%{canary.command}) (w) file\n"
    )
    (tmp_path / "b.png").write_text(text)
    for kind in (Data, ImagesBatch):
        batch = Dataset(["b.png"], kind).next_batch(1)
        with pytest.raises(ItemError, match=r"b\.png.*format EPS is a program"):
            batch.load(str(tmp_path), "image", kind.components[0], target="inline")


def test_idx_files(tmp_path, canary):
    head = bytes((0, 0, 8, 3)) + np.array([HUGE, 1, 1], ">i4").tobytes()
    (tmp_path / "b.gz").write_bytes(gzip.compress(head + bytes(HUGE)))
    with (
        canary.memory(LITTLE),
        pytest.raises(FileTooLargeError, match=r"b\.gz: .* claim to become 67,108"),
    ):
        read_idx(tmp_path / "b.gz", 3)


def forge(folder: Path, **files: bytes) -> Path:
    """Change files of a checkpoint and give them right checksums."""
    names = {"state": "state.json", "arrays": "arrays.npz"}
    for name, data in files.items():
        (folder / names[name]).write_bytes(data)
    found = {name: (folder / name).read_bytes() for name in names.values()}
    told = {
        name: {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()} for name, data in found.items()
    }
    (folder / "manifest.json").write_text(json.dumps({"schema": 1, "files": told}))
    return folder


def packed(data: bytes, kind: int) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", kind) as archive:
        archive.writestr("a.npy", data)
    return file.getvalue()


@pytest.mark.parametrize(
    ("files", "words"),
    [
        (
            {"arrays": packed(make_npy((1 << 20,), data=bytes(1 << 20)), zipfile.ZIP_DEFLATED)},
            "is compressed",
        ),
        ({"arrays": packed(make_npy((1 << 40,)), zipfile.ZIP_STORED)}, "takes 1,099,511,627,776 bytes"),
        ({"state": b"[" * 200_000}, "RecursionError"),
        ({"state": b'{"schema": ' + b"1" * 10_000 + b"}"}, "digits"),
    ],
    ids=["compressed", "a tebibyte", "deep", "digits"],
)
def test_checkpoints(tmp_path, canary, files, words):
    write_checkpoint(tmp_path, {"n": 1}, {}, {})
    folder = forge(write_checkpoint(tmp_path, {"n": 2}, {}, {}), **files)
    with canary.memory(LITTLE), pytest.raises(CorruptCheckpoint, match=rf"checkpoint-000002.*{words}"):
        read_checkpoint(folder)
    with pytest.warns(RuntimeWarning, match=r"checkpoint-000002.* falling back to .*checkpoint-000001"):
        assert latest(tmp_path).state["n"] == 1


def test_json_files(tmp_path):
    (tmp_path / "b.json").write_text("[1, 2, 3]")
    assert read_json(tmp_path / "b.json") == [1, 2, 3]
    with pytest.raises(FileTooLargeError, match=r"b\.json has 9 bytes, at most 8"):
        read_json(tmp_path / "b.json", 8)


def test_limits():
    """A thousand times the bytes and not one more, a limit of the caller, and what does no harm."""
    check_size("f", 100_000_000, 100_000)
    check_size("f", 32 << 20, 0)
    check_size("f", 1 << 60, 0, 1 << 60)
    for claimed, stored, most in ((100_000_001, 100_000, None), (2, 1, 1), ((32 << 30) + 1, 1 << 40, None)):
        with pytest.raises(FileTooLargeError, match=r"^f: .* give max_bytes="):
            check_size("f", claimed, stored, most)
    with pytest.raises(ValueError, match="f can't be read: it asks for more memory"), reading("f"):
        raise MemoryError


def test_results_of_a_name_each(tmp_path, canary):
    """Trials that share no option: the table of all would be empty but for its diagonal."""
    pytest.importorskip("pandas")
    trials = [
        {"id": f"a{k}", "number": k, "state": "DONE", "config": {f"k{k}": 1}, "rows": [{f"c{k}": 1}]}
        for k in range(5_000)
    ]
    (tmp_path / "r.json").write_text(json.dumps({"results": 1, "returns": [], "trials": trials}))
    results = Results.load(tmp_path / "r.json")
    with canary.memory(LITTLE), pytest.raises(StateError, match=r"5,000 rows and 10,0.* nearly empty"):
        _ = results.df
