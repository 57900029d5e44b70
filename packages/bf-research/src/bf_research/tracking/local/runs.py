"""The names of runs that are files or folders of this machine."""

from __future__ import annotations

import re
import time
import uuid
from pathlib import Path

from bf_index.errors import escape
from bf_research.tracking.store import TrackingError

_RUN = re.compile(r"[\w][\w.=-]{0,200}")


def new_run(name: str) -> str:
    """Return a name that no other run has: day, time, the run's name as far as files take it, digits."""
    plain = re.sub(r"[^\w.-]", "_", name)[:80] or "run"
    return f"{time.strftime('%Y-%m-%d_%H-%M-%S')}_{plain.lstrip('.-')}_{uuid.uuid4().hex[:8]}"


def check_run(run_id: str | None, folder: Path) -> None:
    """Refuse the id of a run that is no name of a file in a folder: ``TrackingError``."""
    if run_id is not None and not _RUN.fullmatch(run_id):
        raise TrackingError(f"run {escape(run_id)!r} is no name of a file in {escape(folder)}")
