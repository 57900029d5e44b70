"""FilesIndex over fsspec: in memory, local and a real S3 protocol server on loopback."""

from __future__ import annotations

import pickle

import pytest

from bf_index import FilesIndex

fsspec = pytest.importorskip("fsspec")


@pytest.fixture
def memory():
    store = fsspec.filesystem("memory")
    for name in ("photos/a/1.png", "photos/b/2.png", "photos/b/notes.txt", "photos/b/deep/3.png"):
        store.pipe(f"/{name}", name.encode())
    yield store
    store.rm("/photos", recursive=True)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("memory://photos/*/*.png", ["1.png", "2.png"]),
        ("memory://photos/**/*.png", ["1.png", "2.png", "3.png"]),
        ("memory://photos/b/2.png", ["2.png"]),
        (["memory://photos/a/*", "memory://photos/b/*.png"], ["1.png", "2.png"]),
    ],
)
def test_patterns_in_memory(memory, pattern, expected):
    index = FilesIndex(pattern)
    assert list(index) == expected
    assert index.fullpath("2.png") == "memory:///photos/b/2.png" if "2.png" in index else True
    assert index.open(expected[0]).read().endswith(expected[0].encode())


def test_folders_and_relative_ids_in_memory(memory):
    assert list(FilesIndex("memory://photos/*", dirs=True)) == ["a", "b"]
    index = FilesIndex("memory://photos/**/*.png", relative=True)
    assert list(index) == ["a/1.png", "b/2.png", "b/deep/3.png"]
    assert (
        pickle.loads(pickle.dumps(index.subset([2]))).open("b/deep/3.png", "r").read()
        == "photos/b/deep/3.png"
    )


def test_nothing_found_and_collisions_are_errors_there_too(memory):
    with pytest.raises(FileNotFoundError, match=r"memory://photos/\*\.jpg"):
        FilesIndex("memory://photos/*.jpg")
    with pytest.raises(FileNotFoundError, match=r"memory://nowhere/1\.png"):
        FilesIndex("memory://nowhere/1.png")
    memory.pipe("/photos/c/1.png", b"x")
    with pytest.raises(ValueError, match=r"two files have the id '1.png'"):
        FilesIndex("memory://photos/*/*.png")


def test_changed_remote_files_are_refused_when_verified(memory):
    index = FilesIndex("memory://photos/a/*.png", verify=True)
    assert index.open("1.png").read()
    memory.pipe("/photos/a/1.png", b"longer than before")
    with pytest.raises(OSError, match="has changed since it was indexed"):
        index.fullpath("1.png")


def test_local_urls(tmp_path):
    (tmp_path / "a b").mkdir()
    (tmp_path / "a b" / "1.png").write_bytes(b"one")
    index = FilesIndex(f"file://{tmp_path}/*/*.png")
    assert list(index) == ["1.png"]
    assert index.open("1.png").read() == b"one"


def test_an_unknown_protocol_is_an_error():
    with pytest.raises(ValueError, match="nosuch"):
        FilesIndex("nosuch://bucket/*.png")


@pytest.mark.slow
def test_s3_through_a_server_on_loopback(monkeypatch):
    pytest.importorskip("s3fs")
    server_module = pytest.importorskip("moto.server")
    for name, value in (
        ("ACCESS_KEY_ID", "test"),
        ("SECRET_ACCESS_KEY", "test"),
        ("DEFAULT_REGION", "us-east-1"),
    ):
        monkeypatch.setenv(f"AWS_{name}", value)
    server = server_module.ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    try:
        host, port = server.get_host_and_port()
        options = {"client_kwargs": {"endpoint_url": f"http://{host}:{port}"}}
        store = fsspec.filesystem("s3", **options)
        store.mkdir("photos")
        for number in range(5):
            store.pipe(f"photos/train/{number}.png", str(number).encode())
        index = FilesIndex("s3://photos/train/*.png", storage_options=options)
        assert list(index) == [f"{number}.png" for number in range(5)]
        assert index.fullpath("3.png") == "s3://photos/train/3.png"
        assert index.open("3.png").read() == b"3"
        assert [batch.open(name).read() for batch in index.gen_batch(2) for name in batch] == [
            b"0",
            b"1",
            b"2",
            b"3",
            b"4",
        ]
        assert list(FilesIndex("s3://photos/*", dirs=True, storage_options=options)) == ["train"]
    finally:
        server.stop()
