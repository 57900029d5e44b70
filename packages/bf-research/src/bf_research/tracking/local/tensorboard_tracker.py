"""A tracker that writes event files for TensorBoard, without TensorFlow."""

from __future__ import annotations

import math
import os
import re
import shlex
import socket
import struct
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from bf_research.own_files import open_plain
from bf_research.tracking.local.queued import Metric, QueuedTracker, Record
from bf_research.tracking.tracker import Status

#: The beginning of all names of event files, and the end of ours.
_BEGIN, _END = "events.out.tfevents.", ".bf"
_PICTURES = (".png", ".jpg", ".jpeg", ".gif")
#: Pictures of a folder that are kept, and bytes of one; letters of a text.
_MOST_PICTURES, _LARGEST_PICTURE, _MOST_LETTERS = 200, 16_000_000, 200_000
#: Bytes of an event that is read again.
_LARGEST_EVENT = 64_000_000


class TensorBoardTracker(QueuedTracker):
    """A tracker of event files: metrics as scalars, parameters for the page of hyperparameters, pictures.

    ``folder``: of all runs, each has a folder in it; None: the files are in the run's own folder, such as
    ``outputs/NAME``, or below ``tensorboard`` where a run has none. ``tensorboard --logdir FOLDER`` shows all
    runs below a folder. TensorBoard's own library writes them (``pip install 'bf-research[tensorboard]'``), a
    thread of its own does so every second: TensorFlow is not loaded. Values are of 32 bits there.
    """

    kind, library, default, extra = "tensorboard", "tensorboard", "tensorboard", "bf-research[tensorboard]"

    def __init__(self, folder: str | None = None) -> None:
        super().__init__(folder)
        self._writer: Any = None
        self._file: Any = None
        self._step = 0

    def command(self) -> str:
        """Return what opens the pages of this run and those beside it."""
        return f"tensorboard --logdir {shlex.quote(str(self.folder))}"

    def prepare(self) -> None:
        """Open a new event file; those of an earlier try of the run go, unless it goes on."""
        super().prepare()
        earlier = list_event_files(self.folder)
        if not self.continues:
            for path in earlier:
                path.unlink()
        self._earlier = earlier if self.continues else []
        host = "".join(sign if sign.isalnum() else "-" for sign in socket.gethostname())[:60]
        # TensorBoard reads the files of a run in the order of their names, whatever clock another machine had
        now = max(time.time_ns(), *(_read_time(path) + 1 for path in self._earlier), 0)
        seconds, rest = divmod(now, 1_000_000_000)
        stamp = f"{seconds:010d}.{rest:09d}.{host}.{os.getpid()}"
        # closed by close_run
        self._file = open(self.folder / f"{_BEGIN}{stamp}{_END}", "wb", opener=open_plain)  # noqa: SIM115

    def open_run(self) -> None:
        """Write the head of the file; of a run that goes on, find the points that it has."""
        from tensorboard.compat.proto import event_pb2
        from tensorboard.summary.writer.record_writer import RecordWriter

        self._writer = RecordWriter(self._file)
        self._put_event(event_pb2.Event(wall_time=time.time(), file_version="brain.Event:2"))
        for path in self._earlier:
            self.known.update((name, step) for name, step, _ in read_points(path))
        self._write_tags(self.tags)
        self._file.flush()

    def write(self, records: list[Metric | Record]) -> None:
        """Write events in their order."""
        for record in records:
            if isinstance(record, Metric):
                self.attempt("a point", self._write_scalar, record)
            elif record.kind == "params":
                self.attempt("a set of parameters", self._write_params, record.payload)
            elif record.kind == "tags":
                self.attempt("a set of tags", self._write_tags, {**self.tags, **record.payload})
            elif record.kind == "text":
                text, name = record.payload
                self.attempt("a text", self._write_text, f"files/{name}", _as_code(text))
            elif record.kind == "artifact":
                self.attempt("a folder of pictures", self._write_pictures, *record.payload)
        self._file.flush()

    def give_up(self) -> None:
        """Close the event file."""
        self._file.close()

    def close_run(self, status: Status) -> None:
        """Write how the run ended, and close the file."""
        from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

        try:
            kind = api_pb2.STATUS_SUCCESS if status == "FINISHED" else api_pb2.STATUS_FAILURE
            info = plugin_data_pb2.SessionEndInfo(status=kind, end_time_secs=time.time())
            data = plugin_data_pb2.HParamsPluginData(session_end_info=info)
            self._write_hparams(metadata.SESSION_END_INFO_TAG, data)
        finally:
            self._file.close()

    # Events

    def _put_event(self, event: Any) -> None:
        self._writer.write(event.SerializeToString())

    def _make_event(self, step: int, when: float | None = None) -> Any:
        from tensorboard.compat.proto import event_pb2

        return event_pb2.Event(wall_time=time.time() if when is None else when, step=step)

    def _write_scalar(self, point: Metric) -> None:
        event = self._make_event(point.step, point.when)
        event.summary.value.add(tag=point.name, simple_value=point.value)
        self._put_event(event)
        self._step = max(self._step, point.step)

    def _write_params(self, params: Mapping[str, Any]) -> None:
        from tensorboard.plugins.hparams import metadata, plugin_data_pb2

        info = plugin_data_pb2.SessionStartInfo(start_time_secs=time.time(), group_name=self.run_id)
        for name, value in params.items():
            _set_value(info.hparams[str(name)], value)
        data = plugin_data_pb2.HParamsPluginData(session_start_info=info)
        self._write_hparams(metadata.SESSION_START_INFO_TAG, data)

    def _write_hparams(self, tag: str, data: Any) -> None:
        from tensorboard.plugins.hparams import metadata

        event = self._make_event(0)
        told = metadata.create_summary_metadata(data)
        event.summary.value.add(tag=tag, metadata=told, tensor=metadata.NULL_TENSOR)
        self._put_event(event)

    def _write_tags(self, tags: Mapping[str, str]) -> None:
        self.tags = dict(tags)
        rows = "".join(f"| {_cell(name)} | {_cell(value)} |\n" for name, value in sorted(tags.items()))
        self._write_text("run", f"| tag | value |\n|---|---|\n{rows}")

    def _write_text(self, tag: str, text: str) -> None:
        from tensorboard.compat.proto import tensor_pb2, tensor_shape_pb2, types_pb2
        from tensorboard.plugins.text import metadata

        event = self._make_event(self._step)
        tensor = tensor_pb2.TensorProto(
            dtype=types_pb2.DT_STRING,
            string_val=[text[:_MOST_LETTERS].encode("utf-8", "backslashreplace")],
            tensor_shape=tensor_shape_pb2.TensorShapeProto(),
        )
        event.summary.value.add(tag=tag, metadata=metadata.create_summary_metadata("", ""), tensor=tensor)
        self._put_event(event)

    def _write_pictures(self, path: Path, folder: str | None) -> None:
        """Write the pictures among files; TensorBoard shows no others."""
        found = sorted(path.rglob("*")) if path.is_dir() else [path]
        pictures = [file for file in found if file.suffix.lower() in _PICTURES and file.is_file()]
        for file in pictures[:_MOST_PICTURES]:
            inside = file.relative_to(path if path.is_dir() else path.parent).with_suffix("").as_posix()
            self.attempt("a picture", self._write_picture, file, f"{folder}/{inside}" if folder else inside)

    def _write_picture(self, file: Path, name: str) -> None:
        from PIL import Image

        if file.stat().st_size > _LARGEST_PICTURE:
            raise ValueError(f"{str(file)!r} has more than {_LARGEST_PICTURE:,} bytes")
        with Image.open(file) as picture:
            width, height = picture.size
        event = self._make_event(self._step)
        image = event.summary.value.add(tag=name).image
        image.height, image.width, image.colorspace = height, width, 3
        image.encoded_image_string = file.read_bytes()
        self._put_event(event)


def _read_time(path: Path) -> int:
    """Return the nanoseconds since 1970 in the name of an event file; 0 where they are not told."""
    found = re.match(r"(\d{10})\.(\d{9})\.", path.name.removeprefix(_BEGIN))
    return int(found[1] + found[2]) if found else 0


def list_event_files(folder: Path) -> list[Path]:
    """Return the event files in a folder that this tracker wrote, in the order in which it did."""
    return sorted(folder.glob(f"{_BEGIN}*{_END}"))


def read_points(path: Path, most_bytes: float = math.inf) -> Iterator[tuple[str, int, float]]:
    """Yield name, step and value of each scalar in an event file, up to what a kill cut off.

    ``ValueError`` where more than ``most_bytes`` would be read.
    """
    from google.protobuf.message import DecodeError
    from tensorboard.compat.proto import event_pb2

    with open(path, "rb", opener=open_plain) as file:
        while len(head := file.read(12)) == 12:  # the length of a record, and its checksum
            (length,) = struct.unpack("<Q", head[:8])
            if length > _LARGEST_EVENT:
                return
            if file.tell() + length > most_bytes:
                raise ValueError(f"{str(path)!r}: what stands behind {most_bytes:,} bytes is left out")
            data = file.read(length + 4)
            if len(data) < length + 4:
                return
            try:
                event = event_pb2.Event.FromString(data[:-4])
            except DecodeError:
                return
            for value in event.summary.value:
                if value.HasField("simple_value"):
                    yield value.tag, event.step, value.simple_value


def _set_value(place: Any, value: Any) -> None:
    """Set a hyperparameter: numbers as such, also where they are texts, so that TensorBoard sorts by them."""
    if isinstance(value, bool) or str(value) in ("True", "False", "true", "false"):
        place.bool_value = str(value).lower() == "true"
        return
    try:
        place.number_value = float(value)
    except (TypeError, ValueError):
        place.string_value = str(value)


def _cell(text: str) -> str:
    """Return a text for a cell of a table of Markdown."""
    return " ".join(text.replace("|", "\\|").split())


def _as_code(text: str) -> str:
    """Return a text as Markdown that shows it as it is."""
    return "".join(f"    {line}\n" for line in text.splitlines())
