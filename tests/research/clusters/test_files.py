"""The files between a driver and its trials: torn lines, garbage, links, drivers that are gone."""

from __future__ import annotations

import json
import math
import os
import threading
from pathlib import Path

import pytest

from bf_research.clusters import files, link
from bf_research.clusters.files import LONGEST, Tail, append
from bf_research.clusters.link import FileLink, linked
from bf_research.clusters.listener import Asked, Began, Listener, Progress
from bf_research.launcher.channel import ask, is_connected, report, stopping, watched
from bf_research.launcher.errors import JobStopped
from tests.conftest import wait_until


@pytest.fixture
def listener(tmp_path: Path) -> Listener:
    """The driver's side in ``tmp_path``, with a trial named ``one``."""
    made = Listener(tmp_path, "token")
    made.open("one")
    return made


def serve(listener: Listener, answers: dict[int, str | None]) -> threading.Thread:
    """Answer as many questions as there are answers, each by its step."""

    def work() -> None:
        left = set(answers)
        while left:
            for said in wait_until(listener.hear, "a question"):
                if isinstance(said, Asked):
                    listener.answer(said, answers[said.step])
                    left.discard(said.step)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    return thread


def test_a_trial_tells_where_it_runs_how_far_it_is_and_hears_the_answer(tmp_path: Path, listener: Listener):
    with linked(tmp_path, "one", "token"), watched("loss"):
        assert is_connected()
        report(1, 5, accuracy=0.5)
        said = wait_until(listener.hear)
        assert isinstance(said[0], Began)
        assert said[1:] == [Progress("one", 1, 5, {"accuracy": 0.5})]
        thread = serve(listener, {1: None, 2: "others are better"})
        assert ask(1, 0.5) is None
        assert not stopping()
        assert ask(2, 0.4, final=True) == "others are better"
        assert stopping()
        thread.join()
    assert not is_connected()


def test_values_that_are_no_numbers_come_through(listener: Listener):
    trial = FileLink(listener.folder, "one")
    heard: list[Asked] = []

    def work() -> None:
        while not heard:
            heard.extend(said for said in listener.hear() if isinstance(said, Asked))
        listener.answer(heard[0], None)

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    assert trial.ask(3, math.nan, False) is None
    thread.join()
    assert math.isnan(heard[0].value)
    assert heard[0].step == 3


def test_a_trial_that_is_tried_again_ends_the_line_that_its_first_process_left_torn(listener: Listener):
    path = listener.folder / "one.up"
    FileLink(listener.folder, "one")
    with open(path, "ab") as file:
        file.write(b'{"ask": "1-1", "st')
    assert [type(said) for said in listener.hear()] == [Began]
    FileLink(listener.folder, "one")
    assert [type(said) for said in listener.hear()] == [Began]
    assert listener.hear() == []


def test_many_lines_come_whole_and_in_order(tmp_path: Path):
    path = tmp_path / "file"
    path.touch()
    for number in range(3000):
        append(path, {"number": number, "text": "x" * 40})
    tail, found = Tail(path), []
    while some := list(tail.read()):
        found += some
    assert [entry["number"] for entry in found] == list(range(3000))
    with pytest.raises(ValueError, match="a line has 4096 bytes at most"):
        append(path, {"text": "x" * LONGEST})


def test_a_folder_of_somebody_else_stays(tmp_path: Path, listener: Listener):
    (listener.folder / "notes.txt").write_text("mine")
    kept = tmp_path / files.FOLDER / "kept"
    kept.symlink_to(tmp_path)
    Listener(tmp_path, "next")
    assert (listener.folder / "notes.txt").read_text() == "mine"
    assert kept.is_symlink()


def test_a_stopped_sweep_is_heard_by_what_runs_and_by_what_begins_later(
    tmp_path: Path, listener: Listener, monkeypatch
):
    monkeypatch.setattr(link, "LOOK_SECONDS", 0.0)
    trial = FileLink(listener.folder, "one")
    assert not trial.stopping()
    listener.stop()
    assert trial.stopping()
    assert trial.ask(1, 0.5, False) is None
    listener.close()
    with pytest.raises(JobStopped, match="was stopped before"), linked(tmp_path, "one", "token"):
        pass


def test_trials_of_a_driver_that_was_followed_by_another_stop(
    tmp_path: Path, listener: Listener, monkeypatch
):
    monkeypatch.setattr(link, "LOOK_SECONDS", 0.0)
    trial = FileLink(listener.folder, "one")
    Listener(tmp_path, "next")
    assert trial.stopping()
    trial.report(1, 2, {})
    assert trial.ask(1, 0.5, False) is None
    with pytest.raises(JobStopped, match="another driver"), linked(tmp_path, "one", "token"):
        pass


def test_a_driver_that_is_silent_costs_a_trial_its_answers_only(listener: Listener, monkeypatch, caplog):
    monkeypatch.setattr(link, "SILENT_SECONDS", 0.0)
    trial = FileLink(listener.folder, "one")
    assert trial.ask(1, 0.5, False) is None
    assert trial.ask(2, 0.5, False) is None
    assert not trial.stopping()
    assert len([text for text in caplog.messages if "has not been heard" in text]) == 1
    listener._next_beat = 0.0
    listener.beat()
    monkeypatch.setattr(link, "SILENT_SECONDS", 600.0)
    thread = serve(listener, {1: None, 2: None, 3: "enough"})  # heard again
    assert trial.ask(3, 0.5, False) == "enough"
    thread.join()


def test_a_trial_that_does_not_see_the_folder_is_refused_what_it_asks(tmp_path: Path):
    with linked(tmp_path / "elsewhere", "one", "token"), watched("loss"):
        assert not is_connected()
        with pytest.raises(RuntimeError, match="on a file system that all nodes see"):
            report(1, 2, loss=0.5)


def test_files_go_with_their_trials_and_their_driver(tmp_path: Path, listener: Listener):
    FileLink(listener.folder, "one")
    listener.open("one")  # tried again: what it said before is not heard twice
    assert len(listener.hear()) == 1
    listener.open("one")
    assert listener.hear() == []
    listener.forget("one")
    listener.answer(Asked("one", "1", 1, 1.0, False), None)
    assert sorted(os.listdir(listener.folder)) == [files.DRIVER]
    listener.close()
    assert not (tmp_path / files.FOLDER).exists()


def test_the_driver_counts_so_that_all_know_it_alive(listener: Listener):
    first = files.read_driver(listener.folder)
    listener.beat()
    assert files.read_driver(listener.folder) == first  # it is not time yet
    listener._next_beat = 0.0
    listener.beat()
    assert files.read_driver(listener.folder) == (first[0] + 1, False)
    path = listener.folder / files.DRIVER
    assert json.loads(path.read_text()) == {"beat": 2, "stop": False}
    path.write_text('{"beat": 3, "st')  # a torn write is as if it had not come
    assert files.read_driver(listener.folder) is None
