"""A Hydra callback that starts the workers' server first of all: its imports overlap with the rest."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from hydra.experimental.callback import Callback

if TYPE_CHECKING:
    from omegaconf import DictConfig


class EarlyWorkers(Callback):
    """Begins to import TensorFlow for the workers while the sweep's own process still prepares."""

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Start the server if the launcher is ours; the launcher finds it running."""
        launcher = config.hydra.launcher
        if str(launcher.get("_target_", "")).rpartition(".")[2] == "GpuLauncher":
            from bf_research.launcher.pool import start_early

            start_early(preload_list(launcher, config))


def preload_list(options: Mapping[str, Any], config: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the modules to import once for all workers; MLflow too when the trials are tracked there."""
    names = [str(name) for name in options.get("preload") or ()]
    tracking = config.get("tracking") or {}
    if str(tracking.get("_target_", "")).rpartition(".")[2] == "MLflowTracker":
        names.append("mlflow")
    return tuple(dict.fromkeys(names))
