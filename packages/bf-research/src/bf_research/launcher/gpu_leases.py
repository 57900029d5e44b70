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

from bf_pipeline.redaction.values import redact_command
from bf_research.launcher.errors import LauncherError
from bf_research.own_files import open_private, open_private_folder


def lease_folder() -> Path:
    """Return the folder of this user's leases."""
    return Path(tempfile.gettempdir()) / f"bf-leases-{os.getuid()}"


class Leases:
    """Leases on devices, all or none; the system drops the locks when the process ends, however it ends.

    ``LauncherError`` names the process that holds a device, and is raised where the folder is a link or
    belongs to another user. A file without a living holder is taken over.
    """

    def __init__(self, devices: Sequence[str], where: Path | None = None) -> None:
        self._files: dict[str, int] = {}
        try:
            folder = open_private_folder(where or lease_folder())
            try:
                for device in devices:
                    self._files[device] = self._take(device, folder)
            finally:
                os.close(folder)
        except OSError as error:
            self.release()
            raise LauncherError(
                f"devices can't be leased: {error}; hydra.launcher.lease=false does without leases"
            ) from error
        except BaseException:
            self.release()
            raise

    def _take(self, device: str, folder: int) -> int:
        file = open_private(re.sub(r"[^\w-]", "-", device) + ".lease", folder)
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
        command = redact_command(sys.argv)[:300]
        os.pwrite(file, f"process {os.getpid()} ({command})".encode(errors="backslashreplace"), 0)
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
