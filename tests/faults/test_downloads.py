"""The DL rows of the catalogue of faults: downloads and archives, against a server on this machine."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import pickle
import shutil
import ssl
import subprocess
import tarfile
import threading
import zipfile
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import SimpleNamespace

import pytest

from bf_batch.opensets import CIFAR10, DownloadError, Patience, RemoteFile, download, fetch
from bf_batch.opensets.archives import UnsafeArchiveError, read_members, unpack
from tests.conftest import PATIENCE

CONTENTS = os.urandom(300_000)
SHA256 = hashlib.sha256(CONTENTS).hexdigest()
QUICK = Patience(tries=3, delay=0.01, timeout=PATIENCE)


class Server:
    """Answers requests by scripts: one function a request, the last one for all that follow."""

    def __init__(self) -> None:
        self.requests: list[str] = []
        self.scripts: list[Callable[[BaseHTTPRequestHandler], None]] = [send(CONTENTS)]
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                number = len(outer.requests)
                outer.requests.append(self.path)
                outer.scripts[min(number, len(outer.scripts) - 1)](self)

            def log_message(self, *args):
                pass

        self.http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.http.daemon_threads = True
        self.thread = threading.Thread(target=self.http.serve_forever, args=(0.02,))
        self.thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.http.server_port}"

    def file(self, name: str = "data.bin", sha256: str = SHA256) -> RemoteFile:
        return RemoteFile(name, sha256, (f"{self.url}/{name}",))

    def stop(self) -> None:
        self.http.shutdown()
        self.thread.join()
        self.http.server_close()


def send(body: bytes, code: int = 200, length: int | None = None, headers: dict[str, str] | None = None):
    """Answer with a body; ``length`` is what the header says of it."""

    def answer(handler: BaseHTTPRequestHandler) -> None:
        handler.send_response(code)
        for name, value in (headers or {}).items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body) if length is None else length))
        handler.end_headers()
        handler.wfile.write(body)

    return answer


def stall(handler: BaseHTTPRequestHandler) -> None:
    """Send half of the body and then nothing, until the caller gives up."""
    handler.send_response(200)
    handler.send_header("Content-Length", str(len(CONTENTS)))
    handler.end_headers()
    handler.wfile.write(CONTENTS[: len(CONTENTS) // 2])
    handler.wfile.flush()
    with contextlib.suppress(ConnectionError):
        handler.connection.recv(1)


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.stop()


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}


def test_a_file_is_downloaded_once_and_whole(server, tmp_path):
    for _ in range(3):
        path = fetch(server.file(), tmp_path, QUICK)
        assert path.read_bytes() == CONTENTS
    assert len(server.requests) == 1
    assert names(tmp_path) == {"data.bin"}


@pytest.mark.faults("DL01", "DL02")
@pytest.mark.parametrize("wrong", [b"something else", CONTENTS[:1000], b"", CONTENTS[:-1] + b"?"])
def test_a_cached_file_of_wrong_contents_is_fetched_again(server, tmp_path, wrong):
    (tmp_path / "data.bin").write_bytes(wrong)
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == CONTENTS
    assert names(tmp_path) == {"data.bin"}


@pytest.mark.faults("DL01")
def test_a_cached_file_of_wrong_contents_is_never_used(server, tmp_path):
    server.scripts = [send(b"gone", 404)]
    (tmp_path / "data.bin").write_bytes(b"something else")
    with pytest.raises(DownloadError, match="the file there now has other contents"):
        fetch(server.file(), tmp_path, QUICK)


@pytest.mark.faults("DL02", "DL06")
def test_a_torn_download_is_tried_again(server, tmp_path):
    server.scripts = [send(CONTENTS[:5000], length=len(CONTENTS)), send(CONTENTS[:7000]), send(CONTENTS)]
    assert fetch(server.file(), tmp_path, QUICK).read_bytes() == CONTENTS
    assert len(server.requests) == 3


@pytest.mark.faults("DL02")
def test_leftovers_of_a_killed_download_are_removed(server, start_script, tmp_path):
    server.scripts = [stall, send(CONTENTS)]
    folder = tmp_path / "cache"
    script = start_script(f"""
        from pathlib import Path
        from bf_batch.opensets import RemoteFile, fetch
        fetch(RemoteFile("data.bin", "{SHA256}", ("{server.url}/data.bin",)), Path("{folder}"))
    """)
    script.wait_until(lambda: server.requests and names(folder), "a part of the file")
    assert len(names(folder)) == 1
    script.kill()
    script.finish()
    assert not (folder / "data.bin").exists()
    assert fetch(server.file(), folder, QUICK).read_bytes() == CONTENTS
    assert names(folder) == {"data.bin"}


@pytest.mark.faults("DL06")
def test_a_page_that_says_404_is_never_stored(server, tmp_path):
    server.scripts = [send(b"<html>not found</html>", 404)]
    with pytest.raises(DownloadError) as caught:
        fetch(server.file(), tmp_path, QUICK)
    for part in ("data.bin", "404", server.url, SHA256, str(tmp_path / "data.bin"), "BATCHFLOW_DATA"):
        assert part in str(caught.value)
    assert names(tmp_path) == set()
    assert len(server.requests) == 1


@pytest.mark.faults("DL06")
def test_a_page_of_apology_with_code_200_is_never_stored(server, tmp_path):
    server.scripts = [send(b"<html>come back later</html>")]
    with pytest.raises(DownloadError, match=r"sha256 is .* expected"):
        fetch(server.file(), tmp_path, QUICK)
    assert names(tmp_path) == set()
    assert len(server.requests) == 3


@pytest.mark.faults("DL06")
def test_a_busy_server_is_asked_three_times_with_growing_pauses(server, tmp_path, monkeypatch):
    pauses: list[float] = []
    monkeypatch.setattr(download, "time", SimpleNamespace(sleep=pauses.append))
    server.scripts = [send(b"busy", 503)]
    with pytest.raises(DownloadError, match="answered 503"):
        fetch(server.file(), tmp_path, Patience(tries=3, delay=0.1, timeout=PATIENCE))
    assert len(server.requests) == 3
    assert pauses == [0.1, 0.2]


@pytest.mark.faults("DL06", "DL08")
def test_a_redirect_to_plain_http_elsewhere_is_refused(server, tmp_path):
    server.scripts = [send(b"", 302, headers={"Location": "http://example.org/data.bin"})]
    with pytest.raises(DownloadError, match="only https is safe"):
        fetch(server.file(), tmp_path, QUICK)
    assert len(server.requests) == 1
    server.requests.clear()
    server.scripts = [send(b"", 302, headers={"Location": "/moved"}), send(CONTENTS)]
    assert fetch(server.file(), tmp_path, QUICK).exists()


@pytest.mark.faults("DL06")
def test_a_redirect_to_a_local_file_is_refused(server, tmp_path):
    server.scripts = [send(b"", 302, headers={"Location": "file:///etc/passwd"})]
    with pytest.raises(DownloadError):
        fetch(server.file(), tmp_path, QUICK)
    assert names(tmp_path) == set()


@pytest.mark.faults("DL06")
def test_a_stalled_server_is_given_up_and_tried_again(server, tmp_path):
    server.scripts = [stall, stall, send(CONTENTS)]
    # more tries than it takes: on a busy machine a server that does answer may be too slow for such a limit
    patience = Patience(tries=30, delay=0, timeout=0.3)
    assert fetch(server.file(), tmp_path, patience).read_bytes() == CONTENTS
    assert len(server.requests) >= 3
    assert names(tmp_path) == {"data.bin"}


@pytest.mark.faults("DL06")
def test_the_next_source_is_taken_when_one_fails(server, tmp_path):
    server.scripts = [send(b"no", 404), send(CONTENTS)]
    file = RemoteFile("data.bin", SHA256, (f"{server.url}/first", f"{server.url}/second"))
    assert fetch(file, tmp_path, QUICK).read_bytes() == CONTENTS
    assert server.requests == ["/first", "/second"]


@pytest.mark.faults("DL07")
def test_processes_that_want_one_file_download_it_once(server, start_script, tmp_path):
    all_want_it = threading.Event()

    def slowly(handler: BaseHTTPRequestHandler) -> None:
        all_want_it.wait(PATIENCE)
        send(CONTENTS)(handler)

    server.scripts = [slowly]
    code = f"""
        from pathlib import Path
        from bf_batch.opensets import RemoteFile, fetch
        from bf_batch.opensets.download import digest
        file = RemoteFile("data.bin", "{SHA256}", ("{server.url}/data.bin",))
        print("wants it", flush=True)
        print(digest(fetch(file, Path("{tmp_path}/cache"))))
    """
    scripts = [start_script(code) for _ in range(4)]
    for script in scripts:
        script.wait_for("wants it")
    all_want_it.set()
    assert [script.finish().out.strip() for script in scripts] == [SHA256] * 4
    assert len(server.requests) == 1
    assert names(tmp_path / "cache") == {"data.bin"}


@pytest.mark.faults("DL07")
def test_the_lock_of_a_killed_process_is_free(server, start_script, tmp_path):
    script = start_script(f"""
        import time
        from pathlib import Path
        from bf_batch.opensets.download import locked
        with locked(Path("{tmp_path}")):
            print("held", flush=True)
            time.sleep(10**6)
    """)
    script.wait_for("held")
    script.kill()
    script.finish()
    assert fetch(server.file(), tmp_path, QUICK).exists()


@pytest.mark.faults("DL08")
@pytest.mark.parametrize(
    "source", ["http://example.org/a", "ftp://example.org/a", "file:///etc/passwd", "a.bin"]
)
def test_sources_other_than_https_are_refused(source):
    with pytest.raises(ValueError, match="only https is safe"):
        RemoteFile("a", SHA256, (source,))


@pytest.mark.faults("DL08")
def test_all_sources_of_the_known_sets_are_https():
    from bf_batch import opensets

    files = [
        opensets.CIFAR10.file, opensets.CIFAR100.file, *opensets.Imagenette.files.values(),
        opensets.Pets.images, opensets.Pets.annotations, *opensets.Imagewoof.files.values(),
        opensets.PascalSegmentation.file, opensets.ADE20K.file, *opensets.COCOSegmentation.files.values(),
    ]  # fmt: skip
    for idx in (opensets.MNIST.files, opensets.FashionMNIST.files):
        files += [idx.train_images, idx.train_labels, idx.test_images, idx.test_labels]
    assert len(files) == 22
    for file in files:
        assert len(file.sha256) == 64
        assert all(source.startswith("https://") for source in file.sources)


@pytest.mark.faults("DL08")
@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl makes the certificate")
def test_a_server_that_can_not_prove_its_name_is_refused(server, tmp_path):
    request = "req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=localhost"
    subprocess.run(["openssl", *request.split()], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "cert.pem", tmp_path / "key.pem")
    server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
    file = RemoteFile("data.bin", SHA256, (server.url.replace("http:", "https:"),))
    with pytest.raises(DownloadError, match="CERTIFICATE_VERIFY_FAILED"):
        fetch(file, tmp_path / "cache", Patience(tries=1))
    assert names(tmp_path / "cache") == set()


@pytest.mark.faults("DL08")
@pytest.mark.parametrize("name", ["../a", "/a", "", "..", "a/b"])
def test_names_that_lead_out_of_the_cache_are_refused(name):
    with pytest.raises(ValueError, match="plain file name"):
        RemoteFile(name, SHA256, ("https://example.org/a",))


@pytest.mark.faults("DL10")
def test_a_full_disk_is_named_and_leaves_nothing(server, run_script, tmp_path):
    done = run_script(f"""
        import resource, signal
        from pathlib import Path
        from bf_batch.opensets import RemoteFile, fetch
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
        file = RemoteFile("data.bin", "{SHA256}", ("{server.url}/data.bin",))
        try:
            fetch(file, Path("{tmp_path}/cache"))
        except OSError as error:
            print(type(error).__name__, error)
    """)
    assert "can't keep data.bin in" in done.out
    assert f"{tmp_path}/cache" in done.out
    assert names(tmp_path / "cache") == set()
    assert len(server.requests) == 1


@pytest.mark.faults("DL10")
def test_a_cache_that_can_not_be_written_is_named(server, tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"can't keep data\.bin in .*file"):
        fetch(server.file(), tmp_path / "file", QUICK)


# Archives


class Payload:
    def __reduce__(self):
        return os.mkdir, ("pwned",)


def tar(path: Path, *members: tuple[tarfile.TarInfo | str, bytes]) -> Path:
    with tarfile.open(path, "w:gz") as packed:
        for member, data in members:
            info = tarfile.TarInfo(member) if isinstance(member, str) else member
            info.size = len(data)
            packed.addfile(info, io.BytesIO(data))
    return path


def link(name: str, target: str, kind: bytes = tarfile.SYMTYPE) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


@pytest.mark.faults("DL03")
def test_a_pickled_set_under_the_name_of_the_binary_one_runs_no_code(server, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    inside = "cifar-10-batches-bin"
    members = [(f"{inside}/data_batch_{number}.bin", pickle.dumps(Payload())) for number in range(1, 6)]
    members += [(f"{inside}/test_batch.bin", pickle.dumps(Payload())), (f"{inside}/batches.meta.txt", b"a b")]
    body = tar(tmp_path / "bad.tar.gz", *members).read_bytes()
    server.scripts = [send(body)]

    class Bad(CIFAR10):
        file = RemoteFile(
            "cifar-10-binary.tar.gz", hashlib.sha256(body).hexdigest(), (f"{server.url}/cifar.tar.gz",)
        )

    with pytest.raises(ValueError, match="no whole number of records"):
        Bad(folder=tmp_path)
    assert not (tmp_path / "pwned").exists()
    (tmp_path / "cifar10").mkdir(exist_ok=True)
    (tmp_path / "cifar10" / "cifar-10-binary.tar.gz").write_bytes(b"pickle")
    server.scripts = [send(b"", 404)]
    with pytest.raises(DownloadError):
        Bad(folder=tmp_path)


@pytest.mark.faults("DL03")
def test_no_source_of_the_opensets_unpickles():
    import bf_batch.opensets

    for path in Path(bf_batch.opensets.__file__).parent.glob("*.py"):
        assert "import pickle" not in path.read_text(), path


@pytest.mark.faults("DL04")
@pytest.mark.parametrize(
    "member",
    [
        "../outside",
        "a/../../outside",
        "/tmp/outside",
        "..",
        "a\\..\\outside",
        "c:/outside",
        link("inside", "/etc/passwd"),
        link("inside", "a", tarfile.LNKTYPE),
        link("inside", "", tarfile.FIFOTYPE),
    ],
    ids=lambda member: member if isinstance(member, str) else f"{member.type!r} to {member.linkname!r}",
)
def test_members_that_lead_outside_are_refused(tmp_path, member):
    archive = tar(tmp_path / "bad.tar.gz", ("a/fine", b"x"), (member, b""))
    with pytest.raises(UnsafeArchiveError, match=r"bad\.tar\.gz"):
        unpack(archive, tmp_path / "in/target")
    assert names(tmp_path / "in") == set()
    assert names(tmp_path) == {"bad.tar.gz", "in"}
    with pytest.raises(UnsafeArchiveError):
        read_members(archive, ["a/fine"])


@pytest.mark.faults("DL04")
@pytest.mark.parametrize("name", ["../outside", "/outside", "a/../../outside"])
def test_zip_members_that_lead_outside_are_refused(tmp_path, name):
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as packed:
        packed.writestr("fine", b"x")
        packed.writestr(name, b"x")
    with pytest.raises(UnsafeArchiveError, match="leads out"):
        unpack(tmp_path / "bad.zip", tmp_path / "in/target")
    assert names(tmp_path / "in") == set()


@pytest.mark.faults("DL04")
def test_zip_links_are_refused(tmp_path):
    info = zipfile.ZipInfo("inside")
    info.external_attr = 0o120777 << 16
    with zipfile.ZipFile(tmp_path / "bad.zip", "w") as packed:
        packed.writestr(info, "/etc/passwd")
    with pytest.raises(UnsafeArchiveError, match="link"):
        unpack(tmp_path / "bad.zip", tmp_path / "target")


@pytest.mark.faults("DL04")
def test_bombs_are_stopped_and_leave_nothing(tmp_path):
    with zipfile.ZipFile(tmp_path / "bomb.zip", "w", zipfile.ZIP_DEFLATED) as packed:
        packed.writestr("zeros", bytes(5_000_000))
    archive = tar(tmp_path / "bomb.tar.gz", ("zeros", bytes(5_000_000)))
    for bomb in (archive, tmp_path / "bomb.zip"):
        with pytest.raises(UnsafeArchiveError, match=r"more than 1,000,000; .* give most_bytes="):
            unpack(bomb, tmp_path / "in/target", most_bytes=1_000_000)
        with pytest.raises(UnsafeArchiveError, match=r"more than 1,000,000; .* give most_bytes="):
            read_members(bomb, ["zeros"], most_bytes=1_000_000)
        assert names(tmp_path / "in") == set()


@pytest.mark.faults("DL04")
def test_a_torn_archive_leaves_nothing(tmp_path):
    archive = tar(tmp_path / "a.tar.gz", ("one", os.urandom(200_000)), ("two", os.urandom(200_000)))
    archive.write_bytes(archive.read_bytes()[:300_000])
    with pytest.raises(UnsafeArchiveError, match=r"a\.tar\.gz can't be read: EOFError"):
        unpack(archive, tmp_path / "in/target")
    assert names(tmp_path / "in") == set()


def test_a_good_archive_is_unpacked_whole_and_once(tmp_path):
    (tmp_path / "in").mkdir()
    (tmp_path / "in/.target.killed.part").mkdir()
    archive = tar(tmp_path / "a.tar.gz", ("x/one", b"1"), ("x/é two", b"2"))
    target = unpack(archive, tmp_path / "in/target")
    assert {str(path.relative_to(target)) for path in target.rglob("*")} == {"x", "x/one", "x/é two"}
    archive.unlink()
    assert unpack(archive, target) == target
    assert names(tmp_path / "in") == {"target"}
    assert target.stat().st_mode & 0o777 == 0o755


def test_a_member_that_is_missing_is_named(tmp_path):
    archive = tar(tmp_path / "a.tar.gz", ("one", b"1"))
    with pytest.raises(KeyError, match="no member 'two'"):
        read_members(archive, ["one", "two"])
