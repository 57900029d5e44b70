"""A real browser, Debian's chromium: what it makes of a page, as text and as a picture that is kept."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
#: Pictures of what was seen, to be looked at.
KEPT = ROOT / "build" / "browser"
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM += [
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
]


@pytest.fixture(scope="module")
def browse(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., str]:
    """``browse(address, "--dump-dom")`` runs the browser once, and returns what it writes."""
    if shutil.which(CHROMIUM[0]) is None:
        pytest.skip("there is no chromium: nox -s browser installs it")

    def browsed(address: str, *options: str) -> str:
        profile = tmp_path_factory.mktemp("profile")
        command = [*CHROMIUM, f"--user-data-dir={profile}", *options, address]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout

    return browsed


@pytest.fixture(scope="module")
def photograph(browse: Callable[..., str]) -> Callable[..., Path]:
    """``photograph(address, name)`` keeps a picture of a page and returns its path."""

    def photographed(address: str, name: str, *options: str, size: str = "1200,2600") -> Path:
        KEPT.mkdir(parents=True, exist_ok=True)
        browse(address, f"--window-size={size}", f"--screenshot={KEPT / name}", *options)
        return KEPT / name

    return photographed
