"""The tracker of plain tables, read again by pandas."""

from __future__ import annotations

import json
import logging
import os
from pathlib import Path

import pandas as pd
import pytest

from bf_research.tracking import CSVTracker, Tracker
from bf_research.tracking.store import TrackingError


def read(path: Path) -> dict[str, dict[int, float]]:
    table = pd.read_csv(path, float_precision="round_trip")  # pandas 2 would round the last bit
    assert list(table.columns) == ["step", "metric", "value", "time"]
    assert not table.duplicated(["step", "metric"]).any()
    return {name: dict(zip(part["step"], part["value"])) for name, part in table.groupby("metric")}


def test_points_are_read_again_to_the_last_bit(tmp_path: Path):
    tracker = CSVTracker(str(tmp_path / "metrics"))
    assert isinstance(tracker, Tracker)
    tracker.log_metric("early", 1.0, 0)
    tracker.start("Mine, of 2/3", {"kind": "a"})
    for step in range(100):
        tracker.log_metric("loss", 1 / (step + 3), step)
    tracker.log_metric('odd, "name"\n', float("nan"), 4)
    location = tracker.end()
    assert tracker.end() == location
    found = read(Path(location.page))
    assert found["early"] == {0: 1.0}
    assert found["loss"] == {step: 1 / (step + 3) for step in range(100)}
    assert str(location.page) in str(location)


def test_a_run_that_goes_on_after_a_kill_has_no_point_twice_and_no_half_row(tmp_path: Path):
    first = CSVTracker(str(tmp_path))
    first.start("net", {"a": "1"})
    first.log_params({"lr": 0.1})
    for step in range(5):
        first.log_metric("loss", step / 7, step)
    first.flush()
    run = first.ready().run_id
    with open(first.path, "a") as file:
        file.write("5,loss,0.71")  # what a kill may leave
    again = CSVTracker(str(tmp_path))
    again.start("net", {"b": "2"}, run)
    for step in range(3, 9):
        again.log_metric("loss", step / 7, step)
    again.end()
    assert read(again.path) == {"loss": {step: step / 7 for step in range(9)}}
    about = json.loads(again.path.with_suffix(".json").read_text())
    assert about["params"] == {"lr": "0.1"}
    assert about["tags"] == {"a": "1", "b": "2"}
    assert about["status"] == "FINISHED"
    assert sorted(path.suffix for path in tmp_path.iterdir()) == [".csv", ".json"]


def test_secrets_are_masked(tmp_path: Path):
    tracker = CSVTracker(str(tmp_path))
    tracker.start("net", {"api_key": "geheim"})
    tracker.log_params({"dataset.password": "geheim", "lr": 1})
    tracker.end()
    assert "geheim" not in "".join(path.read_text() for path in tmp_path.iterdir())


def test_a_disk_that_is_full_is_told_once_and_costs_nothing_else(tmp_path: Path, caplog):
    tracker = CSVTracker(str(tmp_path))
    tracker.start("net")
    tracker._file.close()
    tracker._file = open("/dev/full", "w")  # noqa: SIM115 - the kernel's own full disk
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            tracker.log_metric("loss", 1.0, step)
            tracker.flush()
        tracker.end()
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "No space left" in caplog.text


@pytest.mark.parametrize("run", ["../elsewhere", "a/b", "", ".hidden"])
def test_a_run_outside_the_folder_is_refused(tmp_path: Path, run: str):
    with pytest.raises(TrackingError, match="no name of a file"):
        CSVTracker(str(tmp_path)).start("net", None, run)


def test_a_link_in_place_of_the_table_is_not_followed(tmp_path: Path):
    (tmp_path / "victim").write_text("kept\n")
    os.symlink(tmp_path / "victim", tmp_path / "run.csv")
    with pytest.raises(TrackingError, match="link"):
        CSVTracker(str(tmp_path)).start("net", None, "run")
    assert (tmp_path / "victim").read_text() == "kept\n"


def test_a_point_is_in_the_file_before_the_next_one(tmp_path: Path):
    tracker = CSVTracker(str(tmp_path))
    tracker.start("net")
    for step in range(3):
        tracker.log_metric("loss", step / 7, step)
        assert read(tracker.path) == {"loss": {done: done / 7 for done in range(step + 1)}}
    tracker.end()
