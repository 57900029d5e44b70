"""Writing to a run through MLflow's client, one method a kind of record, without global state."""

from __future__ import annotations

import json
import math
import re
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from bf_pipeline.redaction.texts import redact_file
from bf_research.tracking.backlog import Point

#: What MLflow takes in one call.
POINTS_A_CALL, PARAMS_A_CALL = 1000, 100
_FORBIDDEN = re.compile(r"[^\w\-./ :]")
GIT_SECONDS = 10
#: Of a larger change only the beginning is kept.
LONGEST_DIFF = 1_000_000
#: MLflow refuses longer digests of data.
_LONGEST_DIGEST = 36


class Writer:
    """A writer to one run of a store; every method may raise what the store raises."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id
        self._nonfinite: set[str] = set()

    def write(self, kind: str, payload: Any) -> None:
        """Write a record of a kind that is the name of a method."""
        getattr(self, kind)(payload)

    def params(self, params: Mapping[str, str]) -> None:
        """Write parameters."""
        from mlflow.entities import Param

        pairs = [Param(name, value) for name, value in params.items()]
        for start in range(0, len(pairs), PARAMS_A_CALL):
            self._client.log_batch(self._run_id, params=pairs[start : start + PARAMS_A_CALL])

    def tags(self, tags: Mapping[str, str]) -> None:
        """Write tags."""
        from mlflow.entities import RunTag

        self._client.log_batch(self._run_id, tags=[RunTag(name, value) for name, value in tags.items()])

    def text(self, item: Sequence[str]) -> None:
        """Write a text, given with the name of its file."""
        self._client.log_text(self._run_id, item[0], item[1])

    def artifact(self, item: Sequence[str | None]) -> None:
        """Copy a file or a folder, given with the folder of the run that it goes to."""
        path, folder = Path(str(item[0])), item[1]
        log = self._client.log_artifacts if path.is_dir() else self._client.log_artifact
        log(self._run_id, str(path), folder)

    def points(self, points: Sequence[Point]) -> None:
        """Write points of metrics; a metric that was NaN or infinite is named in a tag."""
        from mlflow.entities import Metric

        metrics = [Metric(_FORBIDDEN.sub("_", p.name), p.value, p.when, p.step) for p in points]
        self._client.log_batch(self._run_id, metrics=metrics)
        if odd := {point.name for point in points if not math.isfinite(point.value)} - self._nonfinite:
            self._nonfinite |= odd
            self.tags({"bf.nonfinite": ", ".join(sorted(self._nonfinite))})

    def data(self, data: Mapping[str, Any]) -> None:
        """Write which data were used, for what."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = json.dumps({"items": data["items"]})
        dataset = Dataset(
            data["name"], data["digest"][:_LONGEST_DIGEST], "code", data["source"], None, profile
        )
        context = InputTag("mlflow.data.context", data["context"])
        self._client.log_inputs(self._run_id, [DatasetInput(dataset, [context])])

    def surroundings(self, folder: str) -> None:
        """Write the state of the code and the environment."""
        self.tags(git_tags(folder))
        self.text((packages(), "environment.txt"))
        if changes := git_changes(folder):
            self.text((changes, "changes.diff"))

    def model(self, item: Mapping[str, Any]) -> None:
        """Write a model's signature; the model itself and its registration if asked for."""
        from mlflow.models import infer_signature

        signature = infer_signature(item["inputs"], item["outputs"])
        self.text((json.dumps(signature.to_dict(), indent=1), "signature.json"))
        if not item["keep"]:
            return
        from mlflow import keras

        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            # MLflow would take ten seconds to find the requirements out
            needs = ["tensorflow", "keras"]
            keras.save_model(item["network"], str(path), signature=signature, pip_requirements=needs)
            self.artifact((str(path), "model"))
        if item["register"]:
            self._register(str(item["register"]))

    def _register(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(self._run_id).info.artifact_uri}/model"
        self._client.create_model_version(name, source, self._run_id)

    def close(self, status: str) -> None:
        """End the run."""
        self._client.set_terminated(self._run_id, status)


@cache
def packages() -> str:
    """Return Python, the system and every package with its version, as a requirements file has them."""
    import platform
    from importlib.metadata import distributions

    found = {str(one.metadata["Name"]): one.version for one in distributions()}
    head = [f"# Python {sys.version.split()[0]}, {platform.platform()}"]
    return "\n".join([*head, *(f"{name}=={found[name]}" for name in sorted(found, key=str.lower))]) + "\n"


def git_tags(folder: str) -> dict[str, str]:
    """Return tags with commit, branch and whether files were changed; none outside a git checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "bf.git.changed": str(bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))).lower(),
    }


def git_changes(folder: str) -> str:
    """Return the changes that are in no commit yet, without secrets."""
    return redact_file(_git(folder, "diff", "HEAD")[:LONGEST_DIFF])


def _git(folder: str, *arguments: str) -> str:
    """Return git's answer; empty without git, outside a checkout, or when it takes too long."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
