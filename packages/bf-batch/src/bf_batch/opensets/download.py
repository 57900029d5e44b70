"""Files from the network: https only, checked by sha256, whole or not there at all."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import logging
import os
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any
from urllib.parse import urlsplit

from bf_index.errors import escape

_log = logging.getLogger(__name__)

_PIECE = 1 << 20
_LOCK_POLL = 0.1
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_GIVE_UP = (400, 401, 403, 404, 410)
"""Answers of a server that another try won't change."""
_TEMPORARY = ".part"


class DownloadError(OSError):
    """Error of a file that could not be had from any of its sources, or was not the one expected."""


@dataclass(frozen=True, slots=True)
class RemoteFile:
    """A file with its sources in order of preference and the sha256 of its contents.

    Sources are https; plain http is refused but on this very machine, where tests run their servers.
    """

    name: str
    sha256: str
    sources: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.name != os.path.basename(self.name) or self.name in ("", ".", ".."):
            raise ValueError(f"RemoteFile: name must be a plain file name, got {self.name!r}")
        if not self.sources:
            raise ValueError(f"RemoteFile {self.name!r}: no sources")
        for source in self.sources:
            check_source(source)


@dataclass(frozen=True, slots=True)
class Patience:
    """Patience with a source: ``timeout`` seconds without a byte end a try, ``delay`` doubles after each.

    ``tries=0`` takes what is there and downloads nothing.
    """

    tries: int = 3
    delay: float = 1.0
    timeout: float = 30.0


def check_source(url: str) -> None:
    """Raise ValueError unless a URL is https, or http on this machine."""
    parts = urlsplit(url)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        return
    raise ValueError(f"refused to download from {url!r}: only https is safe; look for an https source")


def cache_folder(folder: str | os.PathLike[str] | None = None) -> Path:
    """Return where downloads are kept: ``folder``, ``$BATCHFLOW_DATA``, or batchflow in the user's cache."""
    if folder is not None:
        return Path(folder).expanduser()
    if named := os.environ.get("BATCHFLOW_DATA"):
        return Path(named).expanduser()
    base = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(base).expanduser() / "batchflow"


def fetch(file: RemoteFile, folder: Path, patience: Patience = Patience()) -> Path:
    """Return the path of a file in a folder, downloaded unless it is there whole.

    Processes that want it at once wait for one of them. DownloadError when no source gives it, OSError when
    the disk is full; nothing but the whole file ever has its name.
    """
    path = folder / file.name
    if _is_whole(path, file.sha256):
        return path
    if patience.tries < 1:
        raise DownloadError(f"{escape(file.name)} is not in {escape(folder)} and was not asked for")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder):
            if not _is_whole(path, file.sha256):
                _remove_leftovers(folder, file.name)
                _download(file, path, patience)
    except DownloadError:
        raise
    except OSError as error:
        raise OSError(
            error.errno,
            f"can't keep {escape(file.name)} in {escape(folder)}: {error.strerror or error}; "
            "make room or name another folder"
            " with folder= or BATCHFLOW_DATA",
        ) from error
    return path


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the lock of a folder: one process at a time; the system frees it however the holder ends."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                time.sleep(_LOCK_POLL)
        yield
    finally:
        os.close(handle)


@contextmanager
def temporary(path: Path) -> Iterator[IO[bytes]]:
    """Open a file beside ``path`` that takes its name, synced, when all went well and vanishes otherwise."""
    with tempfile.NamedTemporaryFile(
        dir=path.parent, prefix=f".{path.name}.", suffix=_TEMPORARY, delete=False
    ) as file:
        try:
            yield file
            file.flush()
            os.fsync(file.fileno())
            os.replace(file.name, path)
        except BaseException:
            with suppress(FileNotFoundError):
                os.unlink(file.name)
            raise


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _is_whole(path: Path, sha256: str) -> bool:
    return path.is_file() and digest(path) == sha256


def _remove_leftovers(folder: Path, name: str) -> None:
    """Remove what a process that was killed in the middle of a download left behind."""
    for path in folder.iterdir():
        if path.name.startswith(f".{name}.") and path.name.endswith(_TEMPORARY):
            path.unlink(missing_ok=True)


class _SourceFailedError(Exception):
    """Error of one source; ``final`` when another try would end the same."""

    def __init__(self, reason: str, final: bool = False) -> None:
        super().__init__(reason)
        self.final = final


def _download(file: RemoteFile, path: Path, patience: Patience) -> None:
    reasons: dict[str, str] = {}
    sources = list(file.sources)
    for number in range(patience.tries):
        if number and sources:
            time.sleep(patience.delay * 2 ** (number - 1))
        for source in tuple(sources):
            try:
                _receive(source, file.sha256, path, patience.timeout)
                return
            except _SourceFailedError as error:
                reasons[source] = str(error)
                if error.final:
                    sources.remove(source)
    said = "; ".join(f"{escape(source)}: {reason}" for source, reason in reasons.items())
    there = " (the file there now has other contents)" if path.exists() else ""
    raise DownloadError(
        f"can't get {escape(file.name)}: {said}. Without a network put the file with sha256 {file.sha256} at"
        f" {escape(path)}{there}, or name the folder that has it with folder= or BATCHFLOW_DATA"
    )


def _receive(source: str, sha256: str, path: Path, timeout: float) -> None:
    """Download one source to a path."""
    _log.info("downloading %s to %s", source, path)
    found = hashlib.sha256()
    with temporary(path) as file:
        for piece in _read_pieces(source, timeout):
            found.update(piece)
            file.write(piece)
        if found.hexdigest() != sha256:
            raise _SourceFailedError(f"sha256 is {found.hexdigest()}, expected {sha256}")


def _read_pieces(source: str, timeout: float) -> Iterator[bytes]:
    """Yield what a URL gives; only failures of the network become _SourceFailedError."""
    request = urllib.request.Request(source, headers={"User-Agent": "batchflow"})
    try:
        with urllib.request.build_opener(_SafeRedirects).open(request, timeout=timeout) as response:
            while piece := response.read(_PIECE):
                yield piece
    except urllib.error.HTTPError as error:
        raise _SourceFailedError(f"answered {error.code} {error.reason}", error.code in _GIVE_UP) from error
    except ValueError as error:
        raise _SourceFailedError(str(error), final=True) from error
    except (http.client.HTTPException, OSError) as error:
        raise _SourceFailedError(f"{type(error).__name__}: {escape(error)}") from error


class _SafeRedirects(urllib.request.HTTPRedirectHandler):
    """Redirects that never lead from https to anything else."""

    def redirect_request(
        self, req: urllib.request.Request, fp: Any, code: int, msg: str, headers: Any, newurl: str
    ) -> urllib.request.Request | None:
        if urlsplit(req.full_url).scheme == "https" and urlsplit(newurl).scheme != "https":
            raise ValueError(f"refused a redirect from https to {newurl!r}")
        check_source(newurl)
        return super().redirect_request(req, fp, code, msg, headers, newurl)
