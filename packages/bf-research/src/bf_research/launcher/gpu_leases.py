"""One sweep a GPU: a lease is a locked file that names its holder and ends with the holder's process."""

from __future__ import annotations

import fcntl
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from bf_research.launcher.errors import LauncherError


def lease_folder() -> Path:
    """Return the folder of this user's leases."""
    return Path(tempfile.gettempdir()) / f"bf-leases-{os.getuid()}"


class Leases:
    """Leases on devices, all or none; the system drops the locks when the process ends, however it ends.

    ``LauncherError`` names the process that holds a device. A file without a living holder is taken over.
    """

    def __init__(self, devices: Sequence[str], where: Path | None = None) -> None:
        self._where = where or lease_folder()
        self._files: dict[str, int] = {}
        self._where.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            for device in devices:
                self._files[device] = self._take(device)
        except BaseException:
            self.release()
            raise

    def _take(self, device: str) -> int:
        path = self._where / (re.sub(r"[^\w-]", "-", device) + ".lease")
        file = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(file, 500).decode(errors="replace").strip() or "another process"
            os.close(file)
            raise LauncherError(
                f"{device} is used by {holder}: wait for it, choose other devices, "
                "or say hydra.launcher.lease=false to share"
            ) from None
        os.ftruncate(file, 0)
        os.pwrite(file, f"process {os.getpid()} ({' '.join(sys.argv)[:300]})".encode(), 0)
        return file

    def release(self) -> None:
        """Give all leases back."""
        for file in self._files.values():
            os.ftruncate(file, 0)
            os.close(file)
        self._files.clear()

    def __enter__(self) -> Leases:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.release()
