"""The model that MLflow keeps takes raw pictures or rows, by Python and as a server."""

from __future__ import annotations

import contextlib
import io
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import mlflow
import numpy as np
import pandas
import pytest
import yaml
from PIL import Image

from bf_batch import Dataset
from bf_batch.images import ImagesBatch
from bf_index.names import TargetError
from bf_models import MLP
from bf_research.prediction.kept import KeptModel
from bf_research.trained import find_trained
from tests.conftest import wait_until

CLASSES = ("ant", "bee", "cat")
INPUTS = {"_target_": "bf_pipeline.B", "_args_": ["images"]}
PREPARE = [{"to_array": {"dtype": "float32", "scale": 1 / 255}}]
SETTINGS: dict[str, Any] = {
    "dataset": {"_target_": "bf_batch.opensets.MNIST"},
    "model": {"_target_": "bf_models.MLP"},
}


@pytest.fixture(scope="module")
def model() -> MLP:
    return MLP({"inputs": {"images": {"shape": (6, 5, 1)}}, "num_classes": 3, "seed": 5}).build()


def keep(model: MLP, path: Path, **pipeline: Any) -> Path:
    """Write a kept model as a training does."""
    config = {**SETTINGS, "pipeline": {"inputs": INPUTS, "prepare": PREPARE, **pipeline}}
    images = np.zeros((4, 6, 5, 1), "u1")
    dataset = Dataset(4, ImagesBatch, {"images": images, "labels": np.zeros(4, "i8")})
    path.parent.mkdir()
    KeptModel(model, yaml.safe_dump(config), CLASSES, dataset).write(path)
    return path


def pictures(count: int) -> np.ndarray:
    return np.random.default_rng(3).integers(0, 256, (count, 6, 5, 1), np.uint8)


def test_raw_pictures_give_names_and_probabilities(model: MLP, tmp_path: Path) -> None:
    loaded = mlflow.pyfunc.load_model(str(keep(model, tmp_path / "kept" / "model")))
    images = pictures(300)  # more than go through at once
    table = loaded.predict(images)
    want = model.predict(images / np.float32(255), fetches="proba")
    assert table.columns.tolist() == ["prediction", "proba_ant", "proba_bee", "proba_cat"]
    np.testing.assert_allclose(table[[f"proba_{name}" for name in CLASSES]], want, atol=1e-6)
    assert table["prediction"].tolist() == [CLASSES[number] for number in want.argmax(-1)]
    with pytest.raises(Exception, match=r"\(7, 5, 1\)|shape"):
        loaded.predict(np.zeros((2, 7, 5, 1), "u1"))


def test_files_are_given_as_bytes_where_the_steps_read_files(model: MLP, tmp_path: Path) -> None:
    path = keep(model, tmp_path / "kept" / "model", load=[{"load": {"mode": "gray"}}])
    images = pictures(12)
    files = [io.BytesIO() for _ in images]
    for file, image in zip(files, images):
        Image.fromarray(image[..., 0]).save(file, "PNG")
    loaded = mlflow.pyfunc.load_model(str(path))
    table = loaded.predict(pandas.DataFrame({"file": [file.getvalue() for file in files]}))
    want = model.predict(images / np.float32(255), fetches="proba")
    np.testing.assert_allclose(table[[f"proba_{name}" for name in CLASSES]], want, atol=1e-6)
    assert not list(path.rglob("uv.lock"))
    assert find_trained(str(path)).classes == CLASSES


def test_a_kept_model_does_not_say_whom_to_trust(model: MLP, tmp_path: Path) -> None:
    path = keep(model, tmp_path / "kept" / "model")
    (path / "data/files/served.json").write_text(json.dumps({"batch_class": "os.PathLike"}))
    with pytest.raises(TargetError, match=r"batch_class.*os"):
        mlflow.pyfunc.load_model(str(path))


def test_a_server_of_mlflow_answers(model: MLP, tmp_path: Path) -> None:
    path = keep(model, tmp_path / "kept" / "model")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-m", "mlflow", "models", "serve", "-m", str(path), "--env-manager", "local"]
    # MLflow starts uvicorn by its name
    env = {**os.environ, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    log = open(tmp_path / "server.log", "wb")  # noqa: SIM115
    server = subprocess.Popen(
        [*command, "-h", "127.0.0.1", "-p", str(port), "-w", "1"],
        stdout=log,
        stderr=log,
        start_new_session=True,
        env=env,
    )
    try:
        wait_until(lambda: server.poll() is not None or _answers(port), "the server")
        assert server.poll() is None, (tmp_path / "server.log").read_text()
        images = pictures(3)
        body = json.dumps({"inputs": images.tolist()}).encode()
        request = urllib.request.Request(
            f"http://127.0.0.1:{port}/invocations", body, {"Content-Type": "application/json"}
        )
        with urllib.request.urlopen(request) as answer:
            told = json.load(answer)["predictions"]
        want = model.predict(images / np.float32(255), fetches="proba")
        assert [row["prediction"] for row in told] == [CLASSES[number] for number in want.argmax(-1)]
        np.testing.assert_allclose([row["proba_bee"] for row in told], want[:, 1], atol=1e-6)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(server.pid, signal.SIGKILL)
        server.wait()
        log.close()


def _answers(port: int) -> bool:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ping") as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
