"""One trial of ``hydra/sweeper=domain``: the task that runs in a job, and how the job ended."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, JobStatus
from hydra.types import TaskFunction
from omegaconf import DictConfig

from bf_index.sizes import MOST_JSON
from bf_research.clusters.link import linked
from bf_research.launcher.channel import pruned, watched
from bf_research.launcher.errors import JobStopped, JobTimeout, PassingError, TrialPruned
from bf_research.launcher.hydra_private import value_of
from bf_research.launcher.jobs import Done
from bf_research.own_files import open_plain
from bf_research.sweep import journal
from bf_research.sweep.trial import Ended, Trial, TrialState, as_rows, reason, traceback_text

RESULT = "result.json"


@dataclass
class RecordedTask:
    """The task of a job; leaves its result in the job's folder, so that every launcher can resume.

    ``metric``: each report of it is told to the stopping rule of the sweep. ``linked``: the driver, which has
    the ``token``, hears the job through files in the folder of the sweep.
    """

    task: TaskFunction
    metric: str | None = None
    token: str = field(default_factory=lambda: secrets.token_hex(8))
    linked: bool = False

    def __call__(self, config: DictConfig) -> Any:
        """Run the task; its value must be data: a number, a mapping, rows of mappings.

        ``TrialPruned`` when it ended since the stopping rule said so.
        """
        folder = Path(HydraConfig.get().runtime.output_dir)
        link = linked(folder.parent, folder.name, self.token if self.linked else None)
        with link, watched(self.metric, folder.name):
            try:
                value = self.task(config)
            except KeyboardInterrupt as error:
                if (why := pruned()) is None:
                    raise
                raise TrialPruned(why, getattr(error, "bf_rows", ())) from error
        path = folder / RESULT
        partial = path.with_suffix(".partial")
        with open(partial, "w", opener=open_plain) as file:
            json.dump(as_rows(value), file, default=journal.to_json)
        partial.replace(path)
        return value


def translate_end(trial: Trial, job: JobReturn) -> Ended:
    """Return the end of a trial, from that of Hydra's job."""
    value = value_of(job)
    done: Done | None = getattr(job, "bf_done", None)  # our launcher adds what Hydra's class has no place for
    seconds, attempts, device = (done.seconds, done.job.attempt, done.slot) if done else (0.0, 1, "")
    if job.status is JobStatus.COMPLETED:
        return Ended(trial, TrialState.DONE, as_rows(value), "", "", seconds, attempts, device)
    if isinstance(value, TrialPruned):
        return Ended(trial, TrialState.PRUNED, value.rows, value.reason, "", seconds, attempts, device)
    kinds = {JobTimeout: TrialState.TIMEOUT, JobStopped: TrialState.KILLED}
    state = kinds.get(type(value), TrialState.FAILED)
    if done is not None and done.kind == "crashed":  # a job may raise WorkerDied of workers of its own
        state = TrialState.CRASHED
    passing = isinstance(value, PassingError)
    return Ended(trial, state, (), reason(value), traceback_text(value), seconds, attempts, device, passing)


def recover_result(folder: Path) -> tuple[dict[str, Any], ...] | None:
    """Return the result of a job whose driver died before it could note it; None when there is none."""
    try:
        with open(folder / RESULT, encoding="utf-8", opener=open_plain) as file:
            text = file.read(MOST_JSON + 1)
        return as_rows(json.loads(text)) if len(text) <= MOST_JSON else None
    except (OSError, ValueError, RecursionError):
        return None
