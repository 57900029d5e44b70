"""One Hydra job as a worker runs it: compose, send the output to the job's folder, run, report."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobRuntime, JobStatus, configure_log, run_job, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from bf_research.launcher.compose import Composer, Origin
from bf_research.launcher.errors import SweepRefused, TrialPruned
from bf_research.launcher.hydra_private import (
    changes_folder,
    dumps,
    flush_loggers,
    split_config,
    task_overrides,
    value_of,
)
from bf_research.launcher.job_files import JobFiles
from bf_research.launcher.jobs import Done, Monitor
from bf_research.launcher.worker import judge, make_portable, redirect_output

OUTPUT = "stdout.txt"
FOLDER, SUBFOLDER = "hydra.sweep.dir", "hydra.sweep.subdir"


class HydraJob:
    """A task that runs overrides as a job of a sweep; made in the driver, pickled, called in workers.

    The call takes ``(overrides, number)`` and gives Hydra's ``JobReturn``, without the configurations unless
    it is to be ``whole``: they are in the job's folder. A ``composer`` that has composed the same choices of
    groups before spares the workers to do so.
    """

    def __init__(
        self,
        context: HydraContext,
        config: DictConfig,
        task: TaskFunction,
        whole: bool = True,
        composer: Composer | None = None,
    ) -> None:
        self.config = config
        self._context, self._task, self._whole = context, task, whole
        self.composer = composer or Composer(context.config_loader, config)
        self._state = Singleton.get_state()
        self._files = JobFiles()
        self._ready = False

    def __call__(self, work: tuple[Sequence[str], int]) -> JobReturn:
        """Run one job."""
        overrides, number = work
        self._prepare()
        config, origin = self.composer.compose_known(overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        # for ${hydra:...} in the name of the folder
        HydraConfig.instance().cfg = config  # type: ignore[assignment]
        folder = folder_of(config)
        with redirect_output(folder / OUTPUT):
            result = run_composed(self._task, config, self._context, origin, self._files)
            self._finish(result)
        if not self._whole:
            result.cfg = result.hydra_cfg = None
        return result

    def _prepare(self) -> None:
        """Take over Hydra's state of the driver, once a sweep; a worker looks for plugins only once."""
        if not self._ready:
            setup_globals()
            self._state["instances"][Plugins] = Plugins.instance()
            Singleton.set_state(self._state)
            configure_log(self.config.hydra.hydra_logging, self.config.hydra.verbose)
            self._ready = True

    def _finish(self, result: JobReturn) -> None:
        """Print the traceback of a failed job to its output, and add it to the error for the driver."""
        if result.status is not JobStatus.FAILED:
            return
        told: Any = result
        told.bf_error = value_of(result)  # Hydra's class would raise it when asked
        if not isinstance(told.bf_error, TrialPruned):
            error = told.bf_error = make_portable(told.bf_error)
            sys.stderr.write("\n".join(getattr(error, "__notes__", [str(error)])) + "\n")
            result.return_value = error

    @staticmethod
    def verdict(result: JobReturn) -> str:
        """Return what the scheduler has to know of a job that Hydra says has failed."""
        return judge(value_of(result)) if result.status is JobStatus.FAILED else "ok"

    #: How a worker pickles results, which may hold classes of Hydra's plugins.
    dumps = staticmethod(dumps)


def folder_of(config: DictConfig) -> Path:
    """Return the folder of a job; ``SweepRefused`` for one outside the folder of its sweep."""
    inner = str(config.hydra.sweep.subdir)
    if os.path.isabs(inner) or os.path.normpath(inner).split(os.sep)[0] == os.pardir:
        raise SweepRefused(
            f"hydra.sweep.subdir={inner!r} leads out of the folder of the sweep, hydra.sweep.dir"
        )
    return Path(str(config.hydra.sweep.dir), inner)


def warm_up() -> None:
    """Do what the first job of every worker would do: look for plugins, set up the grammar of overrides."""
    Plugins.instance()
    OverridesParser.create().parse_overrides(["group=name", "node.value=1.0"])


def run_composed(
    task: TaskFunction,
    config: DictConfig,
    context: HydraContext,
    origin: Origin | None = None,
    files: JobFiles | None = None,
) -> JobReturn:
    """Run a job; the same result, files and calls of callbacks as Hydra's own.

    With the ``files`` of jobs before it and the ``origin`` of its configuration it is sooner ready to run.

    A job that changes its folder or its environment is left to Hydra.
    """
    job = config.hydra.job
    if job.env_set or changes_folder(job):
        return run_job(task, config, FOLDER, SUBFOLDER, context)
    files = files or JobFiles()
    holder = HydraConfig.instance()
    before = holder.cfg
    # for ${hydra:...} in the name of the folder
    holder.cfg = config  # type: ignore[assignment]
    folder = folder_of(config).absolute()
    with read_write(config.hydra.runtime), open_dict(config.hydra.runtime):
        config.hydra.runtime.output_dir = str(folder)
    OmegaConf.set_readonly(config.hydra, True)
    own, hydra_part = split_config(config)
    holder.cfg = hydra_part  # type: ignore[assignment]
    try:
        result = JobReturn(working_dir=os.getcwd(), cfg=own, hydra_cfg=hydra_part)
        result.overrides = list(config.hydra.overrides.task)
        folder.mkdir(parents=True, exist_ok=True)
        files.set_up_logging(config, folder, origin)
        if config.hydra.output_subdir is not None:
            place = folder / config.hydra.output_subdir
            files.write(place, own, hydra_part, task_overrides(config.hydra), origin)
        context.callbacks.on_job_start(config=config, task_function=task)
        try:
            result.return_value = task(result.cfg)
            result.status = JobStatus.COMPLETED
        except Exception as error:  # noqa: BLE001 - the job's own: it is its result
            result.return_value = error
            result.status = JobStatus.FAILED
        result.task_name = JobRuntime.instance().get("name")
        flush_loggers()
        context.callbacks.on_job_end(config=config, job_return=result)
        return result
    finally:
        holder.cfg = before


def make_failure(overrides: Sequence[str], error: Any) -> JobReturn:
    """Return the result of a job without one: its worker died, its time was over, the sweep stopped."""
    result = JobReturn(overrides=list(overrides), cfg=OmegaConf.create({}), hydra_cfg=OmegaConf.create({}))
    result.status = JobStatus.FAILED
    result.return_value = error
    return result


def give_results(ended: Iterable[Done], monitor: Monitor) -> Iterator[tuple[int, JobReturn]]:
    """Yield ``(number, result)`` of jobs as they end, and end what shows them."""
    try:
        for done in ended:
            good = isinstance(done.value, JobReturn)
            result: Any = done.value if good else make_failure(done.job.work[0], done.value)
            result.bf_done = done  # Hydra has no place for how long it took, and where
            yield done.job.number, result
    finally:
        monitor.close()
