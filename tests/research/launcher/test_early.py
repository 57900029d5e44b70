"""What is refused before a sweep on other machines begins its first trial."""

from __future__ import annotations

from typing import Any

import pytest
from omegaconf import OmegaConf

from bf_research.launcher.early import refuse_own_store
from bf_research.launcher.errors import SweepRefused

MLFLOW, NONE = "bf_research.tracking.MLflowTracker", "bf_research.tracking.NoTracker"
SLURM: dict[str, Any] = {"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.SlurmLauncher"}


def ray(address: str | None) -> dict[str, Any]:
    """Return the configuration of Ray's launcher, as far as it matters here."""
    kind = "hydra_plugins.hydra_ray_launcher.ray_launcher.RayLauncher"
    return {"_target_": kind, "ray": {"init": {"address": address}}}


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_ADDRESS", "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)


def judge(launcher: dict[str, Any], uri: str | None, tracker: str = MLFLOW) -> None:
    tracking = {"_target_": tracker, "uri": uri}
    refuse_own_store(OmegaConf.create({"tracking": tracking, "hydra": {"launcher": launcher}}))


@pytest.mark.parametrize("uri", [None, "sqlite:////data/mlflow.db", "/data/mlruns", "file:///data/mlruns"])
@pytest.mark.parametrize("launcher", [SLURM, ray("auto"), ray("ray://head:10001")])
def test_a_store_that_is_a_file_is_refused_on_a_cluster(launcher: dict[str, Any], uri: str | None):
    with pytest.raises(SweepRefused, match=r"tracking\.uri=http://HOST:5000"):
        judge(launcher, uri)


def test_a_cluster_that_the_environment_names_counts(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("RAY_ADDRESS", "10.0.0.1:6379")
    with pytest.raises(SweepRefused):
        judge(ray(None), None)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "http://host:5000")
    judge(ray(None), None)


@pytest.mark.parametrize(
    ("launcher", "uri", "tracker"),
    [
        (SLURM, "http://host:5000", MLFLOW),
        (SLURM, "postgresql://host/runs", MLFLOW),
        (SLURM, None, NONE),
        (ray(None), None, MLFLOW),
        ({"_target_": "hydra_plugins.hydra_submitit_launcher.submitit_launcher.LocalLauncher"}, None, MLFLOW),
        ({"_target_": "hydra_plugins.bf_launcher.gpu_launcher.GpuLauncher"}, None, MLFLOW),
    ],
)
def test_a_server_no_tracking_and_this_machine_are_not(
    launcher: dict[str, Any], uri: str | None, tracker: str
):
    judge(launcher, uri, tracker)


def test_the_address_is_shown_without_its_password():
    with pytest.raises(SweepRefused) as refused:
        judge(SLURM, "sqlite://me:hunter2@/data/mlflow.db")
    assert "hunter2" not in str(refused.value)
