"""Curves of what the machine does, beside those of a training."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from bf_research.tracking import MLflowTracker
from bf_research.tracking.store import open_store
from tests.conftest import wait_until


def test_processors_and_memory_are_curves_of_the_run(
    tmp_path: Path, empty_store: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.2")
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLES_BEFORE_LOGGING", "1")
    uri = f"sqlite:///{shutil.copy(empty_store, tmp_path / 'mlflow.db')}"
    tracker = MLflowTracker(uri, system_metrics=True, folder=str(tmp_path))
    tracker.start("watched")
    location = tracker.ready()
    assert location is not None
    client = open_store(uri)
    names = ("cpu_utilization_percentage", "system_memory_usage_megabytes")

    def curves() -> bool:
        return all(client.get_metric_history(location.run_id, f"system/{name}") for name in names)

    wait_until(curves, "a point of each curve")  # the next ones come later the slower the store took these
    tracker.log_metric("train/loss", 0.5, 1)
    tracker.end()
    run = client.get_run(location.run_id)
    assert run.info.status == "FINISHED"
    assert run.data.metrics["train/loss"] == 0.5
    assert 0 <= run.data.metrics["system/cpu_utilization_percentage"] <= 100
    assert run.data.metrics["system/system_memory_usage_megabytes"] > 100
