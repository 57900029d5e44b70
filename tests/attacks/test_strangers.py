"""Other users of the machine who make a folder or a file first, under a name that can be foreseen."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from bf_research.launcher.errors import LauncherError
from bf_research.launcher.gpu_leases import Leases
from bf_research.launcher.worker import redirect_output
from bf_research.masks import KEY, Masks
from bf_research.own_files import StrangeFile
from bf_research.sweep.journal import JOURNAL, Journal
from tests.attacks.conftest import STRANGER

WORDS = "years of work"


@pytest.fixture
def victim(tmp_path):
    """Return a file that must keep its text."""
    path = tmp_path / "thesis.txt"
    path.write_text(WORDS)
    yield path
    assert path.read_text() == WORDS


@pytest.fixture
def shared(tmp_path):
    """Return a folder that every user may write to, as /tmp."""
    path = tmp_path
    while path != Path("/tmp") and path.parent != path:  # pytest's own folders are closed
        path.chmod(path.stat().st_mode | 0o055)
        path = path.parent
    made = tmp_path / "shared"
    made.mkdir()
    made.chmod(0o1777)
    return made


def test_lease_folder_of_another_user(shared, victim, as_stranger):
    folder = shared / f"bf-leases-{os.getuid()}"

    def prepare():
        folder.mkdir()
        folder.chmod(0o777)
        (folder / "gpu-0.lease").symlink_to(victim)

    as_stranger(prepare)
    with pytest.raises(LauncherError, match=f"belongs to user {STRANGER}, not to you.*lease=false"):
        Leases(["gpu:0"], folder)
    assert (folder / "gpu-0.lease").is_symlink()


@pytest.mark.parametrize("kind", ["link", "second name", "pipe", "link of the folder"])
def test_lease_that_is_another_file(shared, victim, kind):
    folder = shared / "leases"
    if kind == "link of the folder":
        (shared / "elsewhere").mkdir()
        folder.symlink_to(shared / "elsewhere")
    else:
        folder.mkdir()
        path = folder / "gpu-0.lease"
        {"link": path.symlink_to, "second name": path.hardlink_to, "pipe": lambda _: os.mkfifo(path)}[kind](
            victim
        )
    with pytest.raises(LauncherError, match=r"devices can't be leased: .*(link|same file|no plain file)"):
        Leases(["gpu:0"], folder)
    if kind == "link of the folder":
        assert list((shared / "elsewhere").iterdir()) == []


def test_leases_are_closed_to_others(shared, as_stranger):
    folder = shared / "leases"
    folder.mkdir()
    folder.chmod(0o777)  # the user's own, but open
    with Leases(["gpu:0"], folder):
        assert folder.stat().st_mode & 0o777 == 0o700
        with pytest.raises(PermissionError):
            as_stranger(lambda: (folder / "gpu-0.lease").read_text())


@pytest.mark.parametrize("name", [JOURNAL, "journal.lock"])
def test_journal_that_is_a_link(tmp_path, victim, name):
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / name).symlink_to(victim)
    with pytest.raises(StrangeFile, match=f"{name}' is a link.*choose another folder"):
        Journal(folder, {})


def test_output_that_is_a_link(tmp_path, victim):
    (tmp_path / "stdout.txt").symlink_to(victim)
    with pytest.raises(StrangeFile, match="is a link"), redirect_output(tmp_path / "stdout.txt"):
        os.write(1, b"overwritten")


def test_key_of_the_masks(shared, victim, as_stranger):
    shared.chmod(0o755)
    mask = Masks(shared)("hunter2")
    assert Masks(shared)("hunter2") == mask != Masks(shared)("hunter3")
    assert Masks()("hunter2") != mask
    with pytest.raises(PermissionError):
        as_stranger(lambda: (shared / KEY).read_bytes())
    (shared / KEY).unlink()
    (shared / KEY).symlink_to(victim)
    with pytest.raises(StrangeFile, match="is a link"):
        Masks(shared)("hunter2")
