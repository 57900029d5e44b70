"""One Hydra job as a worker runs it: compose, send the output to the job's folder, run, report."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.core.singleton import Singleton
from hydra.core.utils import JobReturn, JobStatus, configure_log, setup_globals
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict

from bf_research.launcher.compose import Composer
from bf_research.launcher.hydra_private import dumps, value_of
from bf_research.launcher.run_job import run
from bf_research.launcher.worker import judge, portable

OUTPUT = "stdout.txt"


class HydraJob:
    """Runs overrides as a job of a sweep; made in the driver, pickled, called in workers.

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
        self._ready = False

    def __call__(self, work: tuple[Sequence[str], int]) -> JobReturn:
        """Run one job."""
        overrides, number = work
        self._prepare()
        config = self.composer.compose(overrides)
        with open_dict(config):
            config.hydra.job.id = str(number)
            config.hydra.job.num = number
        # for ${hydra:...} in the name of the folder
        HydraConfig.instance().cfg = config  # type: ignore[assignment]
        folder = Path(str(config.hydra.sweep.dir), str(config.hydra.sweep.subdir))
        with redirected(folder / OUTPUT):
            result = run(self._task, config, self._context)
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
        """Print the traceback of a failed job to its output, and give the error its text for the driver."""
        if result.status is JobStatus.FAILED:
            error = portable(value_of(result))
            sys.stderr.write("\n".join(getattr(error, "__notes__", [str(error)])) + "\n")
            result.return_value = error
            told: Any = result
            told.bf_error = error  # Hydra's class would raise it when asked

    @staticmethod
    def verdict(result: JobReturn) -> str:
        """Return what the scheduler has to know of a job that Hydra says has failed."""
        return judge(value_of(result)) if result.status is JobStatus.FAILED else "ok"

    #: How a worker pickles results, which may hold classes of Hydra's plugins.
    dumps = staticmethod(dumps)


@contextmanager
def redirected(path: Path) -> Iterator[None]:
    """Send everything this process prints, C libraries included, to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    try:
        _flush()
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        _flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, file):
            os.close(descriptor)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def failure(overrides: Sequence[str], error: Any) -> JobReturn:
    """Make the return of a job that never gave one: its worker died, its time was over, the sweep stopped."""
    result = JobReturn(overrides=list(overrides), cfg=OmegaConf.create({}), hydra_cfg=OmegaConf.create({}))
    result.status = JobStatus.FAILED
    result.return_value = error
    return result
