"""A tracker of Weights & Biases that writes files of this machine, and sends nothing unless asked."""

from __future__ import annotations

import math
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
from bf_research.tracking.run_scope import STATE, TRIAL, SweepContext
from bf_research.tracking.tracker import Status

Mode = Literal["offline", "online"]
#: The axis of all curves.
AXIS = "iteration"
_PICTURES = (".png", ".jpg", ".jpeg")
_LARGEST_FILE = 1_000_000_000
#: Bytes of a row that is read again.
_LARGEST_ROW = 8_000_000
#: Tags that we set begin like this; of these only some are sent: others tell of the machine, its folders, the
#: command.
_OURS = ("bf.", "mlflow.")
_SENT = frozenset({"bf.model", TRIAL, "bf.job", "bf.sweep", "bf.kind", STATE})
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
            config=_for_others(self.tags),
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
                self.attempt("a row of points", self._log, row)
                row = {}
            if isinstance(record, Metric):
                row |= {name: record.value, AXIS: record.step, "_timestamp": record.when}
            elif record.kind == "params":
                self.attempt("a set of parameters", self._configure, record.payload)
            elif record.kind == "tags":
                self.attempt("a set of tags", self._configure, _for_others(record.payload))
            elif record.kind == "text":
                self.attempt("a text", self._keep_text, *record.payload)
            elif record.kind == "artifact":
                self.attempt("a folder of files", self._keep_files, *record.payload)
        if row:
            self.attempt("a row of points", self._log, row)

    def close_run(self, status: Status) -> None:
        """End the run as W&B counts: 0 for one that finished."""
        self._run.finish(exit_code=_EXIT_CODES[status])

    def _log(self, row: Mapping[str, Any]) -> None:
        self._run.log(dict(row), step=self._row)
        self._row += 1

    def _configure(self, values: Mapping[str, Any]) -> None:
        self._run.config.update(dict(values), allow_val_change=True)

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
        found = [file for file in sorted(path.rglob("*")) if file.is_file()] if path.is_dir() else [path]
        for file in found:
            inside = file.relative_to(path if path.is_dir() else path.parent)
            name = f"{folder}/{inside.as_posix()}" if folder else inside.as_posix()
            self.attempt("a file", self._keep_file, file, name)

    def _keep_file(self, file: Path, name: str) -> None:
        import wandb

        if file.stat().st_size > _LARGEST_FILE:
            raise ValueError(f"{str(file)!r} has more than {_LARGEST_FILE:,} bytes")
        if file.suffix.lower() in _PICTURES:
            self._log({name.rpartition(".")[0]: wandb.Image(str(file))})
            return
        kept = Path(self._run.dir) / clean_path(name)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, kept)
        self._run.save(str(kept), base_path=self._run.dir, policy="now", glob=False)


def _for_others(tags: Mapping[str, str]) -> dict[str, str]:
    """Return the tags that leave this machine: a person's own, and of ours those that tell nothing of it."""
    return {name: value for name, value in tags.items() if name in _SENT or not name.startswith(_OURS)}


def read_rows(path: Path, most_bytes: float = math.inf) -> Iterator[dict[str, str]]:
    """Yield the rows of metrics in a file of W&B, values as JSON; what a kill cut off is left out.

    The file is a log of LevelDB: blocks of 32 KiB with pieces of records behind checksum, length and kind.
    Nothing is read behind a damage, nor behind a record that is longer than any row. ``ValueError`` where
    more than ``most_bytes`` would be read.
    """
    from google.protobuf.message import DecodeError
    from wandb.proto import wandb_internal_pb2

    block, head = 32_768, 7
    pieces: list[bytes] = []
    size = 0
    with open(path, "rb", opener=open_plain) as file:
        at = len(file.read(head))
        while True:
            left = block - at % block
            if left < head:
                if len(file.read(left)) < left:
                    return
                at += left
                continue
            if at > most_bytes:
                raise ValueError(f"{str(path)!r}: what stands behind {most_bytes:,} bytes is left out")
            told = file.read(head)
            if len(told) < head:
                return
            _, length, kind = struct.unpack("<IHB", told)
            piece = file.read(length)
            if kind == 0 or len(piece) < length:
                return
            at += head + length
            if kind in (1, 2):  # 1: whole, 2: first, 3: middle, 4: last
                pieces, size = [], 0
            pieces.append(piece)
            size += length
            if size > _LARGEST_ROW:
                return
            if kind in (1, 4):
                try:
                    history = wandb_internal_pb2.Record.FromString(b"".join(pieces)).history
                except DecodeError:
                    return
                if history.item:
                    yield {".".join(item.nested_key) or item.key: item.value_json for item in history.item}
