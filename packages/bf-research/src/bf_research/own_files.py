"""Files and folders under names that others can foresee: the user's own, and no links to elsewhere."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
from pathlib import Path

_ADVICE = "somebody put it there; remove it, or choose another folder"


class StrangeFile(PermissionError):
    """What stands under a name is a link, no plain file, or belongs to another user."""


def open_plain(path: str | os.PathLike[str], flags: int, folder: int | None = None) -> int:
    """Open a plain file, made if ``flags`` say so, and return its descriptor; an ``opener`` of ``open``.

    ``StrangeFile`` for a link, which is not followed, and for a device or a pipe. ``folder`` is a descriptor.
    """
    # without O_NONBLOCK a pipe would be waited for
    flags |= os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        file = os.open(path, flags & ~os.O_TRUNC, 0o666 if folder is None else 0o600, dir_fd=folder)
    except OSError as error:
        if os.path.islink(path) or (folder is not None and _is_link(path, folder)):
            raise StrangeFile(
                f"{str(path)!r} is a link, and links are not followed here: {_ADVICE}"
            ) from error
        raise
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise StrangeFile(f"{str(path)!r} is no plain file: {_ADVICE}")
        if flags & os.O_TRUNC:
            os.ftruncate(file, 0)
        os.set_blocking(file, True)
    except BaseException:
        os.close(file)
        raise
    return file


def write_whole(path: Path, text: str) -> None:
    """Write a text file, which takes its place only when it is whole and on the disk."""
    part = path.with_name(f".{path.name}.tmp")
    with open(part, "w", encoding="utf-8", opener=open_plain) as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    os.replace(part, path)


def open_private_folder(path: Path) -> int:
    """Return a descriptor of a folder of this user alone, which is made if it is not there.

    ``StrangeFile`` for a link and for a folder of another user.
    """
    path.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        folder = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        raise StrangeFile(f"{str(path)!r} is a link or no folder: {_ADVICE}") from error
    told = os.fstat(folder)
    if told.st_uid != os.getuid():
        os.close(folder)
        raise StrangeFile(
            f"the folder {str(path)!r} belongs to user {told.st_uid}, not to you ({os.getuid()}): somebody "
            "made it first; have it removed, or set TMPDIR to a folder of your own"
        )
    if told.st_mode & 0o077:
        os.fchmod(folder, 0o700)
    return folder


def open_private(name: str, folder: int) -> int:
    """Return a descriptor of a file of this user in a private folder, made if it is not there.

    ``StrangeFile`` for a link, a file of another user, and one that has a second name elsewhere.
    """
    file = open_plain(name, os.O_RDWR | os.O_CREAT, folder)
    told = os.fstat(file)
    if told.st_uid != os.getuid() or told.st_nlink > 1:
        os.close(file)
        raise StrangeFile(f"{name!r} belongs to another user, or is the same file as another: {_ADVICE}")
    return file


def take_lock(file: int, path: Path, inherited: bool = True) -> bool:
    """Lock an open file, unless another process has locked it; return whether that was done.

    ``inherited``: whether children that keep the file open hold the lock as well. ``OSError`` where the file
    system has no locks.
    """
    try:
        (fcntl.flock if inherited else fcntl.lockf)(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        if error.errno in (errno.EAGAIN, errno.EACCES):
            return False
        raise OSError(
            error.errno,
            f"can't be locked: {error.strerror}; this file system has no locks, choose a folder on another "
            "(Lustre has to be mounted with flock, NFS needs its lock daemon)",
            str(path),
        ) from error
    return True


def _is_link(path: str | os.PathLike[str], folder: int) -> bool:
    try:
        return stat.S_ISLNK(os.stat(path, dir_fd=folder, follow_symlinks=False).st_mode)
    except OSError:
        return False
