"""A job of a sweep as a cluster runs it: in a process that knows nothing of the sweep's own."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import cloudpickle

from bf_batch.engines.pickling import dumps
from bf_pipeline.errors import Terminated
from bf_research.launcher.errors import LauncherError
from bf_research.launcher.worker import run_job


@dataclass
class FarJob:
    """The function of all jobs, pickled once, with the folder and module path of the sweep's own process.

    The call takes a job and gives what became of it and its pickled result, as our own workers do. A job that
    SIGTERM ends, or that its cluster takes up again later, ends its process and gives nothing.
    """

    function: bytes
    folder: str
    path: list[str]
    arguments: list[str]
    requeued: bool = False

    @classmethod
    def of(cls, function: Callable[[Any], Any]) -> FarJob:
        """Return the job of a function; ``LauncherError`` for one that can't be sent."""
        try:
            pickled = dumps(function)
        except Exception as error:
            raise LauncherError(
                f"the task can't be sent to the cluster: {error}; keep files, locks and clients out of the "
                "globals of the script and make them inside the task"
            ) from error
        return cls(pickled, os.getcwd(), list(sys.path), list(sys.argv))

    def __call__(self, work: Any) -> tuple[str, bytes]:
        """Run one job."""
        if os.path.isdir(self.folder):
            os.chdir(self.folder)
        sys.path += [place for place in self.path if place not in sys.path]
        sys.argv[:] = self.arguments
        ended = run_job(_load(self.function), cloudpickle.dumps(work), passing=(Terminated,))
        if self.requeued:  # the signal that came before its time was over has had it queued again
            sys.exit(-1)
        return ended

    def checkpoint(self, work: Any) -> Any:
        """Return what submitit queues again when the time of a job is over: the same job."""
        import submitit

        again = submitit.helpers.DelayedSubmission(self, work)
        self.requeued = True
        return again

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "requeued": False}


@lru_cache(maxsize=1)
def _load(function: bytes) -> Callable[[Any], Any]:
    """Return the function; a process that runs job after job loads it once."""
    loaded: Callable[[Any], Any] = cloudpickle.loads(function)
    return loaded
