"""What a sweep notes in its folder: its run in MLflow, and where other trackers have its trials."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bf_research.own_files import open_plain, write_whole
from bf_research.targets import find_part
from bf_research.tracking.run_scope import MEMORY

_MOST_LETTERS = 100_000
_CLASSES = {"csv": "CSVTracker", "tensorboard": "TensorBoardTracker", "wandb": "WandbTracker"}


def find_places(tracking: Any, sweep: str) -> dict[str, str]:
    """Return the folders below which trials of a sweep are recorded in files, by the kind of tracker."""
    places = {"csv": "metrics", "tensorboard": sweep, "wandb": sweep}
    parts = {kind: find_part(tracking, name) for kind, name in _CLASSES.items()}
    return {kind: str(part.get("folder") or places[kind]) for kind, part in parts.items() if part is not None}


def read_memory(folder: Path) -> dict[str, Any]:
    """Return what a sweep noted in its folder; nothing where it did not or the file is damaged."""
    try:
        with open(folder / MEMORY, encoding="utf-8", opener=open_plain) as file:
            found = json.loads(file.read(_MOST_LETTERS))
    except (OSError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def read_places(folder: Path) -> dict[str, str]:
    """Return the folders that a sweep noted, by the kind of tracker."""
    places = read_memory(folder).get("places")
    return {
        kind: place
        for kind, place in (places.items() if isinstance(places, dict) else ())
        if kind in _CLASSES and isinstance(place, str)
    }


def note(folder: Path, **changes: Any) -> None:
    """Change what a sweep noted in its folder."""
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / MEMORY, json.dumps({**read_memory(folder), **changes}))


def tell_places(places: Mapping[str, str]) -> str:
    """Return where to look at the trials of a sweep that are recorded in files, a line each."""
    told = {
        "csv": "tables  {}: one for each trial",
        "tensorboard": "open    tensorboard --logdir {}",
    }
    lines = [
        f"send    {sync_command(place)}" if kind == "wandb" else told[kind].format(shlex.quote(place))
        for kind, place in places.items()
    ]
    return "".join(f"{line}\n" for line in lines)


def sync_command(place: str) -> str:
    """Return what sends the runs of Weights & Biases in the folders of a sweep's trials, or in one folder."""
    inside = {"wandb": "wandb", "trials": "trials/*/wandb"}
    found = next((inner for name, inner in inside.items() if _is_folder(Path(place, name))), "*/wandb")
    return f"wandb sync {shlex.quote(place)}/{found}"


def _is_folder(path: Path) -> bool:
    """Whether a folder is there; one that can't be looked at is not, nor what is no path at all."""
    try:
        return path.is_dir()
    except (OSError, ValueError):
        return False
