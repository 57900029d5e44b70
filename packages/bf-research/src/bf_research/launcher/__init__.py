"""Runs jobs on warm workers, each pinned to its devices: the code behind ``hydra/launcher=gpu``.

A job may use ``report(done, total, loss=0.1)`` and ``stopping()``; outside a worker both do nothing.
A sweeper may use ``launch_stream``, which takes jobs from an iterator and gives results as they come::

    launcher = Plugins.instance().instantiate_launcher(...)
    for number, job_return in launcher.launch_stream(overrides, initial_job_idx=0):
        ...   # job_return._return_value is an Exception when it failed:
              # WorkerDied (CRASHED), JobTimeout (TIMEOUT), JobStopped (KILLED), any other (FAILED)
"""

from bf_research.launcher.channel import report, stopping, where
from bf_research.launcher.errors import JobStopped, JobTimeout, LauncherError, WorkerDied

__all__ = ["JobStopped", "JobTimeout", "LauncherError", "WorkerDied", "report", "stopping", "where"]
