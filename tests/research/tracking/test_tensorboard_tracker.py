"""The tracker of event files, read again by TensorBoard's own reader."""

from __future__ import annotations

import logging
import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bf_research.tracking import TensorBoardTracker, Tracker
from bf_research.tracking.store import TrackingError

sys.modules.setdefault(
    "tensorboard.compat.notf", types.ModuleType("notf")
)  # TensorBoard's switch: no TensorFlow
accumulator = pytest.importorskip("tensorboard.backend.event_processing.event_accumulator")


def read(folder: Path):
    """What TensorBoard shows of a folder of events."""
    found = accumulator.EventAccumulator(str(folder), size_guidance={"scalars": 0, "images": 0, "tensors": 0})
    return found.Reload()


def scalars(folder: Path) -> dict[str, list[tuple[int, float]]]:
    found = read(folder)
    return {
        name: [(point.step, point.value) for point in found.Scalars(name)] for name in found.Tags()["scalars"]
    }


def text(found, tag: str) -> str:
    return found.Tensors(tag)[-1].tensor_proto.string_val[0].decode()


def test_points_texts_pictures_and_parameters_are_read_again_by_tensorboard(tmp_path: Path):
    from tensorboard.plugins.hparams import metadata

    tracker = TensorBoardTracker(str(tmp_path / "all"))
    assert isinstance(tracker, Tracker)
    tracker.log_metric("early", 1.0, 0)
    tracker.start("Mine, of 2/3", {"kind": "a|b"})
    tracker.log_params({"lr": 0.1, "model": "lenet", "deep": "true", "layers": "18"})
    for step in range(100):
        tracker.log_metric("train/loss", 1 / (step + 3), step)
    tracker.log_metric("odd", float("nan"), 4)
    tracker.log_text("lr: 0.1\napi_key: geheim\n", "config.yaml")
    tracker.log_data("Digits", "abc", 7, "train")
    pixels = np.arange(5 * 7 * 3, dtype=np.uint8).reshape(5, 7, 3)
    (tmp_path / "pictures" / "of").mkdir(parents=True)
    Image.fromarray(pixels).save(tmp_path / "pictures" / "of" / "worst.png")
    (tmp_path / "pictures" / "notes.txt").write_text("no picture")
    tracker.log_artifact(str(tmp_path / "pictures"), "pictures")
    location = tracker.end()
    assert tracker.end() == location
    assert location.tracker == "tensorboard"
    assert Path(location.page).parent == tmp_path / "all"
    assert f"tensorboard --logdir {location.page}" in str(location)

    found = read(Path(location.page))
    losses = scalars(Path(location.page))["train/loss"]
    assert losses == [(step, float(np.float32(1 / (step + 3)))) for step in range(100)]
    assert [point.step for point in found.Scalars("early")] == [0]
    assert np.isnan(found.Scalars("odd")[0].value)
    picture = found.Images("pictures/of/worst")[0]
    assert (picture.height, picture.width, picture.step) == (5, 7, 99)
    (tmp_path / "again.png").write_bytes(picture.encoded_image_string)
    np.testing.assert_array_equal(np.asarray(Image.open(tmp_path / "again.png")), pixels)
    assert found.Tags()["images"] == ["pictures/of/worst"]
    assert "    lr: 0.1\n" in text(found, "files/config.yaml")
    assert "geheim" not in text(found, "files/config.yaml")
    assert "| kind | a\\|b |" in text(found, "run")
    assert "Digits, 7 items, abc" in text(found, "run")
    start = metadata.parse_session_start_info_plugin_data(
        found.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    )
    assert start.hparams["lr"].number_value == 0.1
    assert start.hparams["layers"].number_value == 18
    assert start.hparams["model"].string_value == "lenet"
    assert start.hparams["deep"].bool_value is True
    end = metadata.parse_session_end_info_plugin_data(
        found.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
    )
    assert end.status == 1  # of success


def test_a_run_that_goes_on_after_a_kill_has_no_point_twice(tmp_path: Path):
    program = f"""
import os, signal
from bf_research.tracking import TensorBoardTracker
tracker = TensorBoardTracker()
tracker.start("net", {{"bf.folder": {str(tmp_path)!r}}})
for step in range(50):
    tracker.log_metric("loss", step / 7, step)
tracker.flush()
print(tracker.ready().run_id, flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert done.returncode == -signal.SIGKILL, done.stderr
    (file,) = tmp_path.glob("events.out.tfevents.*")
    file.write_bytes(file.read_bytes()[:-5])  # a kill may leave half a record
    again = TensorBoardTracker()
    again.start("net", {"bf.folder": str(tmp_path)}, done.stdout.strip())
    for step in range(30, 80):
        again.log_metric("loss", step / 7, step)
    again.end()
    assert scalars(tmp_path)["loss"] == [(step, float(np.float32(step / 7))) for step in range(80)]


def test_a_run_goes_on_where_the_clock_is_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """TensorBoard follows files in the order of their names: one that comes before is never looked at."""
    first = TensorBoardTracker(str(tmp_path))
    first.start("net")
    first.log_metric("loss", 1.0, 0)
    first.end()
    loader = read(tmp_path / first.run_id)
    now = time.time_ns()
    monkeypatch.setattr(time, "time_ns", lambda: now - 60_000_000_000)
    second = TensorBoardTracker(str(tmp_path))
    second.start("net", None, first.run_id)
    second.log_metric("loss", 0.5, 1)
    second.end()
    assert [(point.step, point.value) for point in loader.Reload().Scalars("loss")] == [(0, 1.0), (1, 0.5)]


def test_another_try_of_a_trial_takes_the_place_of_the_first(tmp_path: Path):
    (tmp_path / "events.out.tfevents.1.of.others").write_bytes(b"")
    for value in (1.0, 2.0):
        tracker = TensorBoardTracker()
        tracker.start("net", {"bf.folder": str(tmp_path)})
        tracker.log_metric("loss", value, 1)
        tracker.end()
    assert scalars(tmp_path) == {"loss": [(1, 2.0)]}
    assert (tmp_path / "events.out.tfevents.1.of.others").exists()


def test_secrets_are_masked(tmp_path: Path):
    tracker = TensorBoardTracker(str(tmp_path))
    tracker.start("net", {"api_key": "geheim"})
    tracker.log_params({"dataset.password": "geheim", "lr": 1})
    tracker.set_tags({"token": "geheim"})
    folder = Path(tracker.end().page)
    assert b"geheim" not in b"".join(path.read_bytes() for path in folder.iterdir())


def test_a_disk_that_is_full_is_told_once_and_costs_nothing_else(tmp_path: Path, caplog):
    tracker = TensorBoardTracker(str(tmp_path))
    with caplog.at_level(logging.WARNING):
        tracker.start("net")
        tracker.ready()
        tracker._file.close()
        tracker._file = open("/dev/full", "wb")  # noqa: SIM115 - the kernel's own full disk
        tracker._writer._writer = tracker._file
        for step in range(3):
            tracker.log_metric("loss", 1.0, step)
            tracker.flush()
        tracker.end()
    told = [record.message for record in caplog.records if "records are lost" in record.message]
    assert len(told) == 1
    assert "No space left" in told[0]


@pytest.mark.parametrize("run", ["../elsewhere", "a/b", "", ".hidden"])
def test_a_run_outside_the_folder_is_refused(tmp_path: Path, run: str):
    with pytest.raises(TrackingError, match="no name of a file"):
        TensorBoardTracker(str(tmp_path)).start("net", None, run)


def test_a_folder_that_cannot_be_made_is_refused_at_the_start(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(TrackingError, match=r"tracking.tensorboard.folder"):
        TensorBoardTracker(str(tmp_path / "file")).start("net")


def test_events_are_written_without_tensorflow(tmp_path: Path):
    program = f"""
import sys
import types
from bf_research.tracking import TensorBoardTracker
assert not any(name.partition(".")[0] == "tensorboard" for name in sys.modules)
tracker = TensorBoardTracker({str(tmp_path)!r})
tracker.start("net")
tracker.log_params({{"lr": 1}})
tracker.log_metric("loss", 1.0, 1)
tracker.log_text("a", "b")
tracker.end()
again = TensorBoardTracker({str(tmp_path)!r})
again.start("net", None, tracker.run_id)
again.end()
assert again.known == {{("loss", 1)}}
assert "tensorflow" not in sys.modules
"""
    subprocess.run([sys.executable, "-c", program], check=True, env={**os.environ})


def test_without_the_library_it_says_what_to_install(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(TensorBoardTracker, "library", "tensorboard_that_is_not_there")
    with pytest.raises(TrackingError, match=r"pip install 'bf-research\[tensorboard\]'"):
        TensorBoardTracker()


def test_a_record_that_cannot_be_written_costs_no_other(tmp_path: Path, caplog):
    pictures = tmp_path / "pictures"
    pictures.mkdir()
    (pictures / "bad.png").touch()
    Image.fromarray(np.zeros((2, 3, 3), np.uint8)).save(pictures / "good.png")
    tracker = TensorBoardTracker(str(tmp_path / "all"))
    for step in range(3):  # all in one batch
        tracker.log_metric("loss", 1.0, step)
        tracker.log_artifact(str(pictures / "bad.png"))
        tracker.log_artifact(str(pictures / "gone.png"))
        tracker.log_metric("loss", 1.0, 2**63 + step)
    tracker.log_artifact(str(pictures), "pictures")
    tracker.log_text("kept", "kept.txt")
    with caplog.at_level(logging.WARNING):
        tracker.start("net")
        place = Path(tracker.end().page)
    found = read(place)
    assert scalars(place) == {"loss": [(step, 1.0) for step in range(3)]}
    assert found.Tags()["images"] == ["pictures/good"]
    assert text(found, "files/kept.txt") == "    kept\n"
    told = [record.message for record in caplog.records]
    assert sum("a picture is left out" in message for message in told) == 1
    assert sum("64 bits" in message for message in told) <= 1


def test_a_run_that_cannot_be_opened_keeps_nothing_in_memory_and_closes_its_file(tmp_path: Path, monkeypatch):
    def refuse(self):
        raise OSError("broken")

    monkeypatch.setattr(TensorBoardTracker, "open_run", refuse)
    tracker = TensorBoardTracker(str(tmp_path))
    tracker.log_metric("loss", 1.0, 0)
    tracker.start("net")
    with pytest.raises(TrackingError, match="broken"):
        tracker.ready()
    for step in range(100):
        tracker.log_metric("loss", 1.0, step)
        tracker.log_text("text", "name")
    assert tracker._queue == []
    assert tracker._file.closed
    tracker.end()


def test_what_an_end_leaves_is_counted(tmp_path: Path, monkeypatch, caplog):
    go = threading.Event()
    monkeypatch.setattr("bf_research.tracking.local.queued.PATIENCE", 0.2)
    monkeypatch.setattr(TensorBoardTracker, "write", lambda self, records: go.wait(60))
    tracker = TensorBoardTracker(str(tmp_path))
    tracker.start("net")
    tracker.ready()
    for step in range(7):
        tracker.log_metric("loss", 1.0, step)
    with caplog.at_level(logging.WARNING):
        tracker.end()
    go.set()
    assert "up to 7 records were not written" in caplog.text
