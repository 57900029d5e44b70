"""Ray and submitit, as the sweep uses them: a job is submitted, and one day it has ended, somehow."""

from __future__ import annotations

import math
import os
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import takewhile
from pathlib import Path
from typing import Any, Protocol

from bf_index.errors import escape
from bf_research.clusters.far_job import FarJob
from bf_research.launcher.errors import LauncherError

#: Lines of a dead job's output that are shown hold this many bytes.
_SHOWN_BYTES = 2000
#: A result may come so long after its job has ended, on a network file system.
_RESULT_SECONDS = 20.0
#: Slurm is asked for all jobs of the user this often, by ``squeue``.
_QUEUE_SECONDS = 20.0


@dataclass(frozen=True)
class Died:
    """The end of a job's process without a result: how, as far as its engine knows."""

    how: str


@dataclass(frozen=True)
class Failed:
    """The end of a job that its engine could not run: its error."""

    error: BaseException


#: What became of a job: what the job gives, or why it gives nothing.
Outcome = tuple[str, bytes] | Died | Failed


class Engine(Protocol):
    """A cluster that takes jobs."""

    name: str
    #: how often it is worth to ask for ends
    look_seconds: float

    def room(self) -> int:
        """Return how many jobs it may have at once."""

    def submit(self, works: Sequence[Any]) -> list[Any]:
        """Submit jobs; return what they are known by, of the first ones where it takes no more.

        An error says that it took none.
        """

    def ended(self, handles: Iterable[Any]) -> dict[Any, Outcome]:
        """Return which of the jobs have ended, and how; it does not wait."""

    def cancel(self, handles: Iterable[Any]) -> None:
        """End jobs, whether they run or wait."""


class RayEngine:
    """Ray: the cluster of an address, or one that is started on this machine."""

    name, look_seconds = "ray", 0.2

    def __init__(
        self, job: FarJob, init: Mapping[str, Any], remote: Mapping[str, Any], most: int | None
    ) -> None:
        import ray

        self._ray = ray
        self._most = most
        if not ray.is_initialized():
            before = signal.getsignal(signal.SIGTERM)
            options = {name: value for name, value in init.items() if value is not None}
            ray.init(**options)
            _restore(before)
        # a dead job is tried again by the sweep, which then knows of it
        options = {name: value for name, value in remote.items() if value is not None} | {"max_retries": 0}
        self._options = options
        self._job = ray.put(job)
        self._run = ray.remote(**options)(_call)

    def room(self) -> int:
        """Return how many jobs have room in the cluster as it is now, at least one."""
        if self._most is not None:
            return self._most
        there: dict[str, float] = self._ray.cluster_resources()
        wants = {"CPU": self._options.get("num_cpus", 1), "GPU": self._options.get("num_gpus", 0)}
        wants |= self._options.get("resources") or {}
        fits = [there.get(name, 0) / share for name, share in wants.items() if share]
        return max(math.floor(min(fits, default=there.get("CPU", 1))), 1)

    def submit(self, works: Sequence[Any]) -> list[Any]:
        """Submit jobs."""
        return _submit_each(works, lambda work: self._run.remote(self._job, work))

    def ended(self, handles: Iterable[Any]) -> dict[Any, Outcome]:
        """Return which of the jobs have ended, and how."""
        waited = list(handles)
        if not waited:
            return {}
        ready, _ = self._ray.wait(waited, num_returns=len(waited), timeout=0, fetch_local=True)
        return {handle: self._outcome(handle) for handle in ready}

    def _outcome(self, handle: Any) -> Outcome:
        errors = self._ray.exceptions
        try:
            outcome: Outcome = self._ray.get(handle)
        except errors.RayTaskError as error:  # what the job raises is its outcome: this is before or after it
            return Failed(error)
        except errors.RayError as error:
            return Died(f"{type(error).__name__}: {str(error).strip().partition(chr(10))[0]}")
        return outcome

    def cancel(self, handles: Iterable[Any]) -> None:
        """End jobs at once, without another try."""
        for handle in handles:
            self._ray.cancel(handle, force=True)


def _submit_each(works: Sequence[Any], submit: Callable[[Any], Any]) -> list[Any]:
    """Submit jobs one by one; return the handles of those that were taken before an error."""
    handles: list[Any] = []
    for work in works:
        try:
            handles.append(submit(work))
        except Exception:
            if not handles:
                raise
            break  # it is raised when the others are offered again
    return handles


def _call(job: FarJob, work: Any) -> Any:
    return job(work)


def _restore(handler: Any) -> None:
    """Give SIGTERM back its handler, which Ray replaces; only the main thread may."""
    try:
        signal.signal(signal.SIGTERM, handler)
    except ValueError:
        return


class SubmititEngine:
    """Slurm by submitit, or processes of this machine that submitit starts in its stead."""

    look_seconds = 1.0

    def __init__(self, job: FarJob, cluster: str, params: Mapping[str, Any], most: int | None) -> None:
        import submitit

        self.name = {"local": "submitit"}.get(cluster, cluster)
        self._job, self._local = job, cluster == "local"
        options = dict(params)
        first = {"folder": options.pop("submitit_folder")}
        _open_jobs_folder(str(first["folder"]))
        if (times := options.pop("max_num_timeout", None)) is not None:
            first[f"{cluster}_max_num_timeout"] = times
        self._executor = submitit.AutoExecutor(cluster=cluster, **first)
        given = {name: value for name, value in options.items() if value is not None}
        self._executor.update_parameters(
            **{name if name in _COMMON else f"{cluster}_{name}": value for name, value in given.items()}
        )
        cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
        local = max(cores // (options.get("cpus_per_task") or 1), 1)
        slurm = int(options.get("array_parallelism") or 256)
        self._most: int = most or (local if self._local else slurm)
        self._gone: dict[str, float] = {}
        self._queue: tuple[float, set[str] | None] = (-math.inf, None)
        self._since: dict[str, float] = {}

    def room(self) -> int:
        """Return how many jobs may be queued or run at once."""
        return self._most

    def submit(self, works: Sequence[Any]) -> list[Any]:
        """Submit jobs, several to Slurm as one array."""
        if self._local or len(works) == 1:
            jobs = _submit_each(works, lambda work: self._executor.submit(self._job, work))
        else:
            with self._executor.batch():
                jobs = [self._executor.submit(self._job, work) for work in works]
        now = time.monotonic()
        self._since |= {job.job_id: now for job in jobs}
        return jobs

    def ended(self, handles: Iterable[Any]) -> dict[Any, Outcome]:
        """Return which of the jobs have ended, and how."""
        ends = {handle: self._outcome(handle) for handle in handles}
        return {handle: end for handle, end in ends.items() if end is not None}

    def _outcome(self, job: Any) -> Outcome | None:
        paths = job.task(0).paths
        if paths.result_pickle.exists() and (job.num_tasks == 1 or job.done()):
            return self._read(job)
        if not (job.done() or self._has_left_queue(job)):
            return None
        now = time.monotonic()
        gone = self._gone.setdefault(job.job_id, now)
        if not self._local and now - gone < _RESULT_SECONDS:
            if gone == now:
                _refresh(paths.folder)
            return None
        if paths.result_pickle.exists():
            return self._read(job)
        how = f"job {job.job_id} ended without a result, state {job.state}{_end_of(paths.stderr)}"
        return self._tidy(job, Died(how))

    def _read(self, job: Any) -> Outcome:
        try:
            outcome: Outcome = job.results()[0]
        except Exception as error:  # noqa: BLE001 - what submitit says of a job that it could not run
            outcome = Failed(error)
        return self._tidy(job, outcome)

    def _tidy(self, job: Any, outcome: Outcome) -> Outcome:
        """Remove the pickles of a job that is over; what it wrote to its terminal stays."""
        for path in (job.paths.submitted_pickle, job.task(0).paths.result_pickle):
            with suppress(OSError):
                path.unlink()
        self._gone.pop(job.job_id, None)
        self._since.pop(job.job_id, None)
        return outcome

    def _has_left_queue(self, job: Any) -> bool:
        """Whether Slurm's queue has no such job any more; accounting is not everywhere, and minutes late."""
        if self._local:
            return False
        asked, known = self._queue
        now = time.monotonic()
        if now - asked > _QUEUE_SECONDS:
            asked, known = self._queue = now, _queued()
        submitted = self._since[job.job_id]
        return known is not None and submitted < asked and job.job_id not in known

    def cancel(self, handles: Iterable[Any]) -> None:
        """End jobs, whether they run or wait."""
        for job in handles:
            job.cancel(check=False)


#: Parameters that submitit has for all kinds of clusters.
_COMMON = {"name", "nodes", "tasks_per_node", "cpus_per_task", "gpus_per_node", "mem_gb", "timeout_min"}
_COMMON |= {"stderr_to_stdout"}


def _open_jobs_folder(name: str) -> None:
    """Make the folder of the jobs' pickles, of this user alone: results are unpickled from it.

    ``LauncherError`` where others may write. The parts of ``name`` from the first ``%`` on are the jobs'.
    """
    folder = Path(*takewhile(lambda part: "%" not in part, Path(name).parts))
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        told = folder.stat()
    except OSError as error:
        raise LauncherError(
            f"hydra.launcher.submitit_folder={escape(name)} can't be made: {error}"
        ) from error
    if told.st_uid not in (os.getuid(), 0):
        why = f"belongs to user {told.st_uid}, not to you ({os.getuid()})"
    elif told.st_mode & 0o022:
        why = f"is one that others may write to (mode {stat.S_IMODE(told.st_mode):o})"
    else:
        return
    raise LauncherError(
        f"hydra.launcher.submitit_folder={escape(name)}: the folder {escape(folder)} {why}; results of jobs "
        "are unpickled from it, which runs what it holds: choose a folder of your own, or take the right "
        f"away (chmod go-w {escape(folder)}) once you know what is in it"
    )


def _queued() -> set[str] | None:
    """Return the jobs that Slurm has, running or waiting; None where it does not answer."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return set(done.stdout.split())


def _refresh(folder: Path) -> None:
    """Change a folder without changing it: a network file system then forgets what was not in it."""
    with suppress(OSError):
        folder.chmod(stat.S_IMODE(folder.stat().st_mode))


def _end_of(path: Path) -> str:
    """Return the last lines that a job wrote, for a message; an empty text where there are none."""
    try:
        with open(path, "rb") as file:
            file.seek(max(os.fstat(file.fileno()).st_size - _SHOWN_BYTES, 0))
            text = file.read(_SHOWN_BYTES).decode(errors="replace").strip()
    except OSError:
        return ""
    return f"; {path} ends with:\n{text}" if text else ""
