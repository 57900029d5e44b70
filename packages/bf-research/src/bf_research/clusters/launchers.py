"""Hydra's launchers of Ray and submitit: what their options say, and the engine behind each."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from hydra.core.utils import JobReturn, configure_log
from omegaconf import OmegaConf

from bf_research.clusters.engines import Engine, RayEngine, SubmititEngine
from bf_research.clusters.far_job import FarJob
from bf_research.clusters.listener import Listener
from bf_research.clusters.stream import Stream
from bf_research.launcher.compose import Composer
from bf_research.launcher.display.choice import choose_monitor, tell_nothing
from bf_research.launcher.errors import LauncherError
from bf_research.launcher.hydra_job import HydraJob, give_results
from bf_research.launcher.jobs import Job
from bf_research.launcher.scheduler import Answer

#: What Ray keeps for objects here: results are small, and its own default is a third of the memory.
_OBJECT_BYTES = 78_643_200
_CLUSTERS = {"SlurmLauncher": "slurm", "LocalLauncher": "local"}
#: Settings of ``launch`` that have no place among those of a plugin, and their least values.
KNOBS = {"workers": 1, "retries": 0}
_DEAF = {"RayAWSLauncher": "its trials run in a cloud that has no folder in common with the sweep"}


def is_cluster(launcher: Any) -> bool:
    """Whether a launcher is one of those whose engine we use ourselves: Ray, Slurm, submitit's local one."""
    kind = type(launcher)
    plugins = ("hydra_plugins.hydra_ray_launcher.", "hydra_plugins.hydra_submitit_launcher.")
    return kind.__module__.startswith(plugins) and kind.__name__ in {"RayLauncher", *_CLUSTERS}


def deaf_because(launcher: Any) -> str | None:
    """Return why trials of a launcher can't be heard, None if they can."""
    return _DEAF.get(type(launcher).__name__)


def stream(
    launcher: Any,
    take: Callable[[], tuple[str, Job] | None],
    listener: Listener,
    composer: Composer,
    total: int | None = None,
    answer: Answer | None = None,
    best: Callable[[], str] = tell_nothing,
) -> Iterator[tuple[int, JobReturn]]:
    """Run jobs on the engine of a launcher as it has room; yield ``(number, result)`` as they end.

    ``take`` gives the next one with the name of its trial, None when there is none now; the work of a job is
    ``(overrides, number)``. The results come without
    configurations: these are in the folders of the jobs. ``answer`` tells jobs that ask whether to go on,
    ``best`` returns what is best so far, for people. ``LauncherError`` for options that can't be.
    """
    config = launcher.config
    configure_log(config.hydra.hydra_logging, config.hydra.verbose)
    job = FarJob.of(
        HydraJob(launcher.hydra_context, config, launcher.task_function, whole=False, composer=composer)
    )
    engine, retries = make_engine(launcher, job)
    # how many run at once is the cluster's to say: it may have room for hundreds, and begin twenty
    monitor = choose_monitor(total, (), True, best)
    yield from give_results(Stream(engine, listener, monitor, retries, answer).run(take), monitor)


def make_engine(launcher: Any, job: FarJob) -> tuple[Engine, int]:
    """Return the engine of a launcher, and how often a trial whose process died is tried again.

    ``LauncherError`` for options that can't be.
    """
    most, retries = _read_knob(launcher, "workers"), _read_knob(launcher, "retries")
    if type(launcher).__name__ == "RayLauncher":
        options = OmegaConf.to_container(launcher.ray_cfg, resolve=True)
        assert isinstance(options, dict)
        init, remote = dict(options.get("init") or {}), dict(options.get("remote") or {})
        if not init.get("address"):  # Ray refuses it for a cluster that runs already
            init.setdefault("object_store_memory", _OBJECT_BYTES)
        retries = remote.get("max_retries") if retries is None else retries
        return RayEngine(job, init, remote, most), 1 if retries is None else int(retries)
    cluster = _CLUSTERS[type(launcher).__name__]
    return SubmititEngine(job, cluster, launcher.params, most), 1 if retries is None else retries


def _read_knob(launcher: Any, name: str) -> int | None:
    key, least = f"launch.{name}", KNOBS[name]
    value: Any = OmegaConf.select(launcher.config, key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise LauncherError(f"{key} must be a whole number of at least {least}, got {value!r}")
    return value
