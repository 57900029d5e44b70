"""A tracker of Weights & Biases that writes files of this machine, and sends nothing unless asked."""

from __future__ import annotations

import os
import shlex
import shutil
import struct
import uuid
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

from bf_index.errors import unknown
from bf_research.own_files import open_plain
from bf_research.tracking.local.queued import Metric, QueuedTracker, Record
from bf_research.tracking.names import clean_path
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.tracker import Status

Mode = Literal["offline", "online"]
#: The axis of all curves.
AXIS = "iteration"
_PICTURES = (".png", ".jpg", ".jpeg")
_LARGEST_FILE = 1_000_000_000
#: What W&B would find out by itself: the command line may hold a secret, the rest is nobody's business.
_KEPT_OUT: Mapping[str, Any] = {
    "console": "off",
    "silent": True,
    "host": "",
    "program": "",
    "disable_code": True,
    "disable_git": True,
    "disable_job_creation": True,
    "save_code": False,
    "x_disable_machine_info": True,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_save_requirements": False,
    "x_transaction_log_flush_interval": 1.0,
}
_EXIT_CODES: Mapping[str, int] = {"FINISHED": 0, "FAILED": 1, "KILLED": 255}


class WandbTracker(QueuedTracker):
    """A tracker of Weights & Biases: with ``mode='offline'`` it writes files and speaks to no network.

    ``folder``: where ``wandb/offline-run-...`` is made; None for the run's own folder, or the working folder
    where a run has none. ``wandb sync`` with the folder ``wandb`` sends them later. ``mode='online'`` sends
    all while it is made: that has to be said by the person. ``project`` and ``entity`` are where the run
    belongs. Trials of a sweep are a group. Command line, environment, code and machine are not recorded.
    Curves are drawn by ``iteration``; a run that goes on keeps its id, and no point is there twice. W&B's own
    service, a process that ends with this one, writes the files: ``pip install 'bf-research[wandb]'``.
    """

    kind, library, default, extra = "wandb", "wandb", ".", "bf-research[wandb]"

    def __init__(
        self,
        folder: str | None = None,
        project: str = "batchflow",
        entity: str | None = None,
        mode: Mode = "offline",
    ) -> None:
        super().__init__(folder)
        if mode not in get_args(Mode):
            raise ValueError(unknown("mode", mode, get_args(Mode), "tracking.wandb"))
        self.project, self.entity, self.mode = project, entity, mode
        self._run: Any = None
        self._row = 0

    def new_id(self, name: str) -> str:
        """Return an id that no other run has."""
        return uuid.uuid4().hex[:12]

    def choose_folder(self, root: Path | None, own: Path | None) -> Path:
        """Return where W&B makes its folder ``wandb``."""
        return root or own or Path(self.default)

    def command(self) -> str:
        """Return what sends the run."""
        return "" if self.mode == "online" else f"wandb sync {shlex.quote(str(self.place))}"

    def open_run(self) -> None:
        """Begin the run at W&B's service; of one that goes on, find the points that it has."""
        if self.mode == "offline":
            os.environ["WANDB_ERROR_REPORTING"] = "false"  # else it looks up its server in any mode
        import wandb

        if self.continues:
            for path in sorted(self.folder.glob(f"wandb/*run-*-{self.run_id}/run-{self.run_id}.wandb")):
                self._read_again(path)
        sweep = SweepContext.current()
        self._run = wandb.init(
            project=self.project,
            entity=self.entity,
            dir=str(self.folder.absolute()),
            id=self.run_id,
            name=self.name,
            group=sweep.tags.get("bf.sweep") if sweep else None,
            mode=self.mode,
            resume="allow",
            reinit="create_new",
            config=dict(self.tags),
            settings=wandb.Settings(root_dir=str(self.folder.absolute()), mode=self.mode, **_KEPT_OUT),
        )
        self._run.define_metric(AXIS, hidden=True)
        self._run.define_metric("*", step_metric=AXIS)
        self.place = Path(self._run.dir).parent.parent

    def write(self, records: list[Metric | Record]) -> None:
        """Write points of one step as one row, and others in their order."""
        row: dict[str, Any] = {}
        for record in records:
            name = f"{AXIS}#2" if isinstance(record, Metric) and record.name == AXIS else record[0]
            if row and not (isinstance(record, Metric) and record.step == row[AXIS] and name not in row):
                self._log(row)
                row = {}
            if isinstance(record, Metric):
                row |= {name: record.value, AXIS: record.step, "_timestamp": record.when}
            elif record.kind in ("params", "tags"):
                self._run.config.update(dict(record.payload), allow_val_change=True)
            elif record.kind == "text":
                self._keep_text(*record.payload)
            elif record.kind == "artifact":
                self._keep_files(*record.payload)
        if row:
            self._log(row)

    def close_run(self, status: Status) -> None:
        """End the run as W&B counts: 0 for one that finished."""
        self._run.finish(exit_code=_EXIT_CODES[status])

    def _log(self, row: Mapping[str, Any]) -> None:
        self._run.log(dict(row), step=self._row)
        self._row += 1

    def _read_again(self, path: Path) -> None:
        import json

        for row in read_rows(path):
            step = row.pop(AXIS, None)
            self._row = max(self._row, int(json.loads(row.pop("_step", "-1"))) + 1)
            if step is not None:
                whole = int(json.loads(step))
                self.known |= {(AXIS if name == f"{AXIS}#2" else name, whole) for name in row}

    # Files

    def _keep_text(self, text: str, name: str) -> None:
        path = Path(self._run.dir) / clean_path(name)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8", errors="backslashreplace")
        self._run.save(str(path), base_path=self._run.dir, policy="now", glob=False)

    def _keep_files(self, path: Path, folder: str | None) -> None:
        """Keep files of a run: pictures as W&B shows them, others as they are."""
        import wandb

        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        for file in found:
            if not file.is_file() or file.stat().st_size > _LARGEST_FILE:
                continue
            inside = file.relative_to(path if path.is_dir() else path.parent)
            name = f"{folder}/{inside.as_posix()}" if folder else inside.as_posix()
            if file.suffix.lower() in _PICTURES:
                self._log({name.rpartition(".")[0]: wandb.Image(str(file))})
                continue
            kept = Path(self._run.dir) / clean_path(name)
            kept.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, kept)
            self._run.save(str(kept), base_path=self._run.dir, policy="now", glob=False)


def read_rows(path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of metrics in a file of W&B, values as JSON; what a kill cut off is left out.

    The file is a log of LevelDB: blocks of 32 KiB with pieces of records behind checksum, length and kind.
    """
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    block, head = 32_768, 7
    record = b""
    with open(path, "rb", opener=open_plain) as file:
        at = len(file.read(head))
        while True:
            left = block - at % block
            if left < head:
                at += len(file.read(left))
                continue
            told = file.read(head)
            if len(told) < head:
                return
            _, length, kind = struct.unpack("<IHB", told)
            piece = file.read(length)
            if kind == 0 or len(piece) < length:
                return
            at += head + length
            record = piece if kind in (1, 2) else record + piece  # 1: whole, 2: first, 3: middle, 4: last
            if kind in (1, 4):
                try:
                    history = wandb_internal_pb2.Record.FromString(record).history
                except DecodeError:
                    return
                if history.item:
                    yield {".".join(item.nested_key) or item.key: item.value_json for item in history.item}
