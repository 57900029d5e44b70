"""What a person sees of a sweep: the printed addresses opened in a real browser, on a real MLflow server."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import wait_until

pytestmark = pytest.mark.browser

ROOT = Path(__file__).parents[2]
SWEEP = ["-m", "model=lenet,mlp", "n_iters=3", "batch_size=32", "hydra.sweep.dir=sweep"]
CHROMIUM = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run"]
CHROMIUM += ["--disable-background-networking", "--disable-component-update", "--disable-sync"]
CHROMIUM += ["--window-size=1700,1000", "--virtual-time-budget=20000", "--dump-dom"]


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The lines that a sweep of two trials prints at its end, by their first word."""
    folder = tmp_path_factory.mktemp("sweep")
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *SWEEP],
        cwd=folder,
        capture_output=True,
        text=True,
        check=True,
    )
    return dict(re.findall(r"^(open|charts|compare) +(.+)$", done.stdout, re.MULTILINE))


def answers(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


@contextmanager
def serving(command: str, port: int) -> Iterator[None]:
    """Run the printed command on another port until the block ends."""
    server = subprocess.Popen(
        [*shlex.split(command), "--port", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
        env={**os.environ, "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false"},
    )
    try:
        wait_until(lambda: server.poll() is not None or answers(port), "the server")
        assert server.poll() is None, "the server ended"
        yield
    finally:
        os.killpg(server.pid, 9)
        server.wait()


@pytest.fixture(scope="module")
def page(told: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., str]]:
    """``page("charts", "test/accuracy")`` is what the browser makes of the address that was printed.

    The time in the browser is not that of the server: a page is opened again until it shows the words.
    """
    if shutil.which(CHROMIUM[0]) is None:
        pytest.skip("there is no chromium: nox -s browser installs it")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def opened(name: str, *words: str) -> str:
        profile = tmp_path_factory.mktemp("profile")
        address = told[name].replace(":5000/", f":{port}/")
        for _ in range(4):
            command = [*CHROMIUM, f"--user-data-dir={profile}", address]
            text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
            if all(word in text for word in words):
                return text
        raise AssertionError(f"{address} does not show all of {words}:\n{re.sub('<[^>]+>', ' ', text)}")

    with serving(told["open"], port):
        yield opened


def test_the_charts_show_each_trial_by_its_name_and_each_metric(page: Callable[..., str]) -> None:
    text = page("charts", ">lenet<", ">mlp<", "test/accuracy", "train/loss", "Sort: test/accuracy")
    assert "Model training" in text  # not the menu for language models


def test_the_comparison_shows_what_differs(page: Callable[..., str]) -> None:
    text = page("compare", ">lenet<", ">mlp<", "Parallel Coordinates Plot", "test/accuracy")
    assert "Comparing 2 Runs" in text  # the trials, without the sweep's own run
