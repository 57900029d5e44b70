"""Secrets in settings, commands, files and errors: none of them is in anything that is recorded or shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from bf_pipeline import C
from bf_research import Option, Research
from bf_research.masks import KEY
from bf_research.sweep import journal
from tests.conftest import PATIENCE


def words(text: str) -> list[str]:
    return text.split()


ROOT = Path(__file__).resolve().parents[2]
PEM = "-----BEGIN PRIVATE " + "KEY-----MIIEvQIBADANBgkqhkiG9w0-----END PRIVATE KEY-----"
#: Each is a word of its own, so that it is found wherever it went.
SETTINGS = {
    "+dataset.api_key": "canary1name",
    "+dataset.auth": "{user: canary2below, more: {who: canary3deeper}}",
    "+dataset.url": "postgresql://me:canary4address@127.0.0.1:1/db",
    "+dataset.headers": "['X-Id: canary5listed']",
    "+dataset.note": "AKIA" + "CANARY6LOOKSABCD",
    "+dataset.notes": "[ghp_" + "canary7listed0123456789012345678901]",
    "+dataset.pem": f"'{PEM}'",
    "+dataset.hidden": "${oc.env:BF_TEST_SECRET}",
    "+dataset.far": "to-${dataset.hidden}",
    "+dataset.fallback": "${oc.env:BF_TEST_NONE,canary8fallback}",
    "+dataset.bearer": "'Bearer canary9bearer'",
    "+dataset.number_password": "81547093",
    "+dataset.num_tokens": "4321",
    "+dataset.tokenizer": "harmless",
}
#: A data set of somebody's own, which is told how to reach a service.
REMOTE = """
from bf_batch.opensets import MNIST

class Remote(MNIST):
    def __init__(self, **service):
        super().__init__()
"""
SECRETS = words(
    """
    canary1 canary2 canary3 canary4 CANARY6 canary7 MIIEvQ canary5 canary8 canary9 81547093 canaryenv
    canaryswept1 canaryswept2 canaryfile canarycode
    """
)


def found(folder: Path, *shown: str) -> list[str]:
    """Return which secrets are in which files of a folder, their names, or what was shown."""
    held = {
        path: path.read_bytes() for path in folder.rglob("*") if path.is_file() and ".git" not in path.parts
    }
    return [
        f"{secret} in {path}" for path, text in held.items() for secret in SECRETS if secret.encode() in text
    ] + [f"{secret} in {text}" for text in (*shown, *map(str, held)) for secret in SECRETS if secret in text]


@pytest.fixture
def checkout(tmp_path):
    """Return a git checkout whose changes hold secrets, and where a training is recorded."""
    (tmp_path / "conf.yaml").write_text("lr: 1\n")
    (tmp_path / "remote_digits.py").write_text(REMOTE)
    git = ["git", "-c", "user.name=x", "-c", "user.email=x@x"]
    for words in (["init", "-q"], ["add", "."], ["commit", "-qm", "first"]):
        subprocess.run([*git, *words], cwd=tmp_path, check=True)
    (tmp_path / "conf.yaml").write_text(
        "lr: 1\ndb:\n  passphrase: two canaryfile words\n# token='canarycode'\n"
    )
    return tmp_path


def train(folder: Path, *words: str) -> str:
    environment = {
        **os.environ,
        "BF_TEST_SECRET": "canaryenv",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "TMPDIR": str(folder.parent),
        "PYTHONPATH": str(folder),
    }
    settings = [f"{name}={value}" for name, value in SETTINGS.items()]
    settings += ["dataset._target_=remote_digits.Remote", "targets=[remote_digits]"]
    short = ["model=lenet", "n_iters=2", "batch_size=32", "bar=false"]
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), *words, *short, *settings],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_a_sweep(checkout, monkeypatch):
    sweep = ["+dataset.token=canaryswept1,canaryswept2", "hydra/launcher=gpu", "hydra.sweep.dir=sweep"]
    devices = ["hydra.launcher.devices=[cpu:0]", "hydra.launcher.workers=1"]
    shown = train(checkout, "-m", *sweep, *devices)
    records = journal.read(checkout / "sweep").records
    assert [record.state for record in records.values()] == ["DONE", "DONE"]
    masks = [record.config["dataset.token"] for record in records.values()]
    assert len(set(masks)) == 2  # told apart, so that the summary does not take them for repetitions
    shown += train(checkout, "-m", *sweep, *devices)
    assert "holds 2 that are finished already" in shown
    assert len(journal.read(checkout / "sweep").records) == 2
    (checkout / "conf.yaml").unlink()
    assert found(checkout, shown) == []
    stored = (checkout / "mlflow.db").read_bytes()
    for kept in (b"dataset.num_tokens", b"4321", b"harmless", b"BF_TEST_SECRET", b"127.0.0.1:1/db"):
        assert kept in stored
    assert (checkout / "sweep" / KEY).stat().st_mode & 0o077 == 0


def test_a_printed_configuration(checkout):
    shown = train(checkout, "--cfg", "job", "--resolve")
    assert "num_tokens: 4321" in shown
    assert [
        text for text in found(checkout, shown) if "conf.yaml" not in text and "canaryenv" not in text
    ] == []


def fail(password):
    raise ConnectionError(f"no answer of postgresql://me:canary4x@host with {password=}")


def test_errors_of_trials(tmp_path, caplog, capfd):
    research = Research().init_domain(Option("password", ["canary1a", "canary2b"]) * Option("lr", [1]))
    research = research.add_callable(fail, C("password"), name="connect", returns="x")
    research.run(
        1, name=tmp_path / "sweep", parallel=False, tracking={"uri": f"sqlite:///{tmp_path}/mlflow.db"}
    )
    assert [record.state for record in research.trials.failures] == ["FAILED", "FAILED"]
    assert "ConnectionError: no answer of postgresql://me:***@host" in research.trials.failures[0].reason
    assert sorted(research.results["password"]) == ["canary1a", "canary2b"]  # values stay in the process
    research.trials.save(tmp_path / "results.json")
    assert len({text for record in research.trials.records for text in record.config.values()}) == 3
    assert found(tmp_path, caplog.text, *capfd.readouterr(), repr(research.domain)) == []
