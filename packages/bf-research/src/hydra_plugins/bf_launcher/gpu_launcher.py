"""The Hydra plugin ``hydra/launcher=gpu``; its code, ``bf_research.launcher``, is loaded when it is used."""

# No postponed annotations here: Hydra runs plugin modules that it has not registered, and dataclass could
# not look such annotations up.
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.utils import JobReturn
from hydra.plugins.launcher import Launcher
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig


@dataclass
class GpuLauncherConf:
    """Options of the launcher; docs/launcher.md explains each."""

    _target_: str = "hydra_plugins.bf_launcher.gpu_launcher.GpuLauncher"
    _recursive_: bool = False
    _convert_: str = "all"
    #: "auto" (every GPU, or CPU places), or a list such as [gpu:0, gpu:1]
    devices: Any = "auto"
    #: the most workers there may be; for CPU places of "auto": how many
    workers: int | None = None
    #: workers on one device, or 0.5 for a worker on every two
    per_device: float = 1
    #: devices that one job gets
    devices_per_job: int = 1
    #: threads of a CPU worker; its share of the cores when not given
    threads: int | None = None
    #: modules imported once, before the workers are forked
    preload: list[str] = field(default_factory=lambda: ["tensorflow", "keras"])
    #: 1 for a fresh process a job, 0 for warm ones
    max_jobs_per_worker: int = 0
    #: more tries of a job whose worker died
    retries: int = 1
    #: seconds that a job may take
    timeout: float | None = None
    #: "continue" with the other jobs, or "stop" the sweep
    on_failure: str = "continue"
    #: seconds that jobs have to stop by themselves after the first Ctrl-C
    stop_grace: float = 4.0
    #: whether GPUs are refused that another sweep of this user holds
    lease: bool = True
    #: whether workers stay for the next sweep of this process
    keep_workers: bool = True
    bar: bool = True


ConfigStore.instance().store(group="hydra/launcher", name="gpu", node=GpuLauncherConf, provider="bf_research")


class GpuLauncher(Launcher):
    """A launcher that runs the jobs of a sweep on warm workers pinned to devices."""

    def __init__(self, **options: Any) -> None:
        self.options = options
        self._setup: tuple[HydraContext, DictConfig, TaskFunction] | None = None
        #: a function that returns the best so far in one line, for the table on the screen
        self.best: Any = None

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """Keep what Hydra hands in, and start the workers' server: it imports while the sweeper prepares.

        ``LauncherError`` for a sweep folder that can't be made or written and for options that can't be.
        """
        from bf_research.launcher.early import prepare

        prepare(self.options, config)
        self._setup = (hydra_context, config, task_function)

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run all jobs and return the results in their order."""
        from bf_research.launcher.hydra_job import HydraJob
        from bf_research.launcher.launch import launch

        assert self._setup is not None
        return launch(HydraJob(*self._setup), self.options, job_overrides, initial_job_idx)

    def launch_stream(
        self,
        job_overrides: Iterable[Sequence[str] | None],
        initial_job_idx: int,
        total: int | None = None,
        composer: Any = None,
        answer: Any = None,
    ) -> Iterator[tuple[int, JobReturn]]:
        """Run jobs as an iterator gives them; yield ``(number, result)`` as they end.

        None from the iterator: the next job depends on results that are not there yet. ``composer``: a
        ``Composer`` that knows the configurations already. ``answer(job, step, value, final)`` says to a job
        that asks why it should stop, None to go on. The results come without ``cfg`` and
        ``hydra_cfg``: these are in the folders of the jobs.
        """
        from bf_research.launcher.hydra_job import HydraJob
        from bf_research.launcher.launch import stream

        assert self._setup is not None
        job = HydraJob(*self._setup, whole=False, composer=composer)
        told = {} if self.best is None else {"best": self.best}
        return stream(job, self.options, job_overrides, initial_job_idx, total, answer, **told)
