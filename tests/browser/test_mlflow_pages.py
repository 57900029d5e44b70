"""What a person sees of a sweep: the printed addresses opened in a real browser, on a real MLflow server."""

from __future__ import annotations

import os
import re
import shlex
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
MODELS = ["lenet", "mlp", "mobilenetv3small", "resnet18", "vgg7"]
SWEEP = ["-m", f"model={','.join(MODELS)}", "n_iters=4", "validation={every: 2}", "batch_size=16"]
SWEEP += ["bar=false", "hydra.sweep.dir=sweep"]
OTHER = ["-m", "model=mlp", "seed=1,2", "n_iters=1", "validation=null", "bar=false", "hydra.sweep.dir=other"]
#: Time of the page, not of the server: it makes its charts in it.
WAITING = "--virtual-time-budget=20000"


def run(folder: Path, arguments: list[str]) -> str:
    """Run the script in a folder and return what it prints."""
    command = [sys.executable, str(ROOT / "train.py"), *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The lines that a sweep of five models prints at its end, by their first word; another is beside it."""
    folder = tmp_path_factory.mktemp("sweep")
    run(folder, OTHER)
    text = run(folder, SWEEP)
    lines = dict(re.findall(r"^(open|list|charts|compare) +(.+)$", text, re.MULTILINE))
    accuracies = dict(re.findall(r"^ *\d +(\w+) +([\d.]+) +- +1$", text, re.MULTILINE))
    assert sorted(accuracies) == MODELS
    return {**lines, **accuracies}


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
def page(
    told: dict[str, str], browse: Callable[..., str], photograph: Callable[..., Path]
) -> Iterator[Callable[..., str]]:
    """``page("charts", "test/accuracy")`` is what the browser makes of the address that was printed.

    The time in the browser is not that of the server: a page is opened again until it shows the words. Its
    picture is kept.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]

    def opened(name: str, *words: str) -> str:
        address = told[name].replace(":5000/", f":{port}/")
        for _ in range(4):
            text = browse(address, WAITING, "--window-size=1700,1000", "--dump-dom")
            if all(word in text for word in words):
                photograph(address, f"mlflow_{name}.png", WAITING, size="1700,1000")
                return text
        raise AssertionError(f"{address} does not show all of {words}:\n{re.sub('<[^>]+>', ' ', text)}")

    with serving(told["open"], port):
        yield opened


def check_order(told: dict[str, str], text: str) -> None:
    """Check that a list has every model once, the best first by the accuracies that were printed."""
    found: dict[int, str] = {}
    for part in re.split(r'(?=row-index=")', text)[1:]:
        row = re.match(r'row-index="(\d+)"', part)
        name = re.search(rf">({'|'.join(MODELS)})</", part)
        if row and name:
            found.setdefault(int(row[1]), name[1])
    names = [found[row] for row in sorted(found)]
    assert sorted(names) == MODELS
    accuracies = [float(told[name]) for name in names]
    assert accuracies == sorted(accuracies, reverse=True)


def test_the_list_has_this_sweep_the_best_first_and_the_columns_that_matter(
    told: dict[str, str], page: Callable[..., str]
) -> None:
    text = page("list", *(f">{model}<" for model in MODELS), "Sort: test/accuracy")
    check_order(told, text)
    heads = re.findall(r'col-id="([^"]+)"', text)
    for column in ("metrics.`test/accuracy`", "metrics.`validation/accuracy.best`", "params.`model`"):
        assert any(column in head for head in heads), sorted(set(heads))
    assert "5</" in text[text.rindex("matching runs") - 60 :]  # not those of the other sweep, nor the parents
    assert "Model training" in text  # not the menu for language models


def test_the_charts_show_each_trial_by_its_name_and_each_metric(
    told: dict[str, str], page: Callable[..., str]
) -> None:
    text = page(
        "charts", *(f">{model}<" for model in MODELS), "test/accuracy", "train/loss", "Sort: test/accuracy"
    )
    check_order(told, text)
    first = text.index(">curves")
    places = [
        text.index(f">{name}<", first) for name in ("validation/accuracy", "train/loss", "test/accuracy")
    ]
    assert places == sorted(places)


def test_the_comparison_has_the_metric_against_the_options(
    told: dict[str, str], page: Callable[..., str]
) -> None:
    words = ["Parallel Coordinates", "test/accuracy by option", "Sort: test/accuracy"]
    text = page("compare", *(f">{model}<" for model in MODELS), *words)
    check_order(told, text)
    chart = text[text.index("Parallel Coordinates") :]
    axes = re.findall(r'class="label"[^>]*>([^<]+)<', chart)
    assert axes[:2] == ["model", "test/accuracy"], axes
