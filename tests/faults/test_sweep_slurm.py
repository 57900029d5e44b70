"""Sweeps on a real Slurm of one node: stopped early, a job cancelled in the middle. Session ``slurm``."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from bf_research.sweep.records import Record
from tests.conftest import wait_until
from tests.sweep_application import prepare, read

PROGRAMS = ["munged", "slurmctld", "slurmd", "sbatch", "srun", "scancel", "squeue"]
MISSING = [name for name in PROGRAMS if shutil.which(name) is None]
MISSING += [] if os.getuid() == 0 else ["the rights of root, which slurmd needs"]
MISSING += [] if find_spec("submitit") else ["hydra-submitit-launcher"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(MISSING), reason=f"no Slurm here, missing: {', '.join(MISSING)}"),
]

SLURM = """
ClusterName=bf
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={controller}
SlurmdPort={daemon}
SlurmUser=root
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/slurmd.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_CPU
SchedulerParameters=sched_interval=1,bf_interval=1
KillWait=2
MinJobAge=60
ReturnToService=2
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
NodeName={host} NodeAddr=127.0.0.1 CPUs=2 RealMemory=1000 State=UNKNOWN
PartitionName=all Nodes={host} Default=YES MaxTime=INFINITE State=UP
"""


def free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@pytest.fixture(scope="module")
def slurm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Slurm of this machine alone, with everything it writes in a folder of its own."""
    folder = tmp_path_factory.mktemp("slurm")
    for name in ("state", "spool"):
        (folder / name).mkdir()
    places = {"host": socket.gethostname(), "folder": folder}
    text = SLURM.format(**places, controller=free_port(), daemon=free_port())
    (folder / "slurm.conf").write_text(text)
    key = folder / "munge.key"
    key.write_bytes(os.urandom(128))
    key.chmod(0o600)
    folder.chmod(0o755)
    munge = [f"--{name}-file={folder}/munge.{name}" for name in ("key", "pid", "log", "seed")]
    munge += [f"--socket={folder}/munge.socket"]
    commands = [
        ["munged", "--force", "--foreground", *munge],
        ["slurmctld", "-D", "-i"],
        ["slurmd", "-D", "-N", socket.gethostname()],
    ]
    with pytest.MonkeyPatch.context() as patch, ExitStack() as stack:
        patch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
        for command in commands:
            log = stack.enter_context(open(folder / f"{command[0]}.out", "w"))
            process = stack.enter_context(subprocess.Popen(command, stdout=log, stderr=log))
            stack.callback(process.wait)
            stack.callback(process.terminate)

        def is_ready() -> bool:
            told = subprocess.run(["sinfo", "-h", "-o", "%t"], capture_output=True, text=True, check=False)
            return told.stdout.strip() == "idle"

        wait_until(is_ready, f"a node of Slurm that is idle, see {folder},")
        yield


@pytest.fixture
def start(slurm: None, tmp_path: Path, start_script: Callable[..., Any]) -> Callable[..., Any]:
    """Start a sweep of jobs of Slurm."""
    options = {"cpus_per_task": 1, "timeout_min": 10, "partition": "all"}
    return prepare(start_script, tmp_path, "submitit_slurm", options, waits=0.7)


def trials_of(folder: Path) -> dict[float, Record]:
    return {record.config["quality"]: record for record in read(folder).records}


def jobs_left() -> str:
    return subprocess.run(["squeue", "-h"], capture_output=True, text=True, check=True).stdout.strip()


def test_bad_trials_are_stopped_and_a_cancelled_job_is_tried_again(start, tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    driver = start("quality=0.5,0.4,0.7,0.3")
    driver.wait_until((tmp_path / "hangs").exists, "the trial that hangs")
    (job,) = (tmp_path / "jobs").read_text().split()
    subprocess.run(["scancel", job], check=True)
    wait_until(lambda: job not in jobs_left(), "the end of the cancelled job")
    (tmp_path / "hang").unlink()
    done = driver.finish()
    assert done.code == 0, done.err
    trials = trials_of(tmp_path)
    states = {quality: trial.state for quality, trial in trials.items()}
    assert states == {0.5: "DONE", 0.4: "PRUNED", 0.7: "DONE", 0.3: "PRUNED"}
    assert trials[0.7].attempts == 2
    assert trials[0.4].reason == "1 of 2 that came to step 1 were better, 1 may go on"
    assert len((tmp_path / "jobs").read_text().split()) == 2


def test_trials_that_have_room_are_one_array(start, tmp_path: Path) -> None:
    done = start("quality=0.1,0.2,0.3", "launch.workers=3", "hydra.sweeper.stopping=null").finish()
    assert done.code == 0, done.err
    assert {trial.state for trial in read(tmp_path).records} == {"DONE"}
    assert len(list((tmp_path / "out/.submitit").rglob("*_submission.sh"))) == 1


def test_ctrl_c_ends_what_runs_and_cancels_what_waits(start, tmp_path: Path) -> None:
    (tmp_path / "hang").touch()
    driver = start("quality=0.7,0.5,0.6", "launch.workers=3", "hydra.launcher.cpus_per_task=2")
    driver.wait_until((tmp_path / "hangs").exists, "the trial that hangs")
    driver.send(signal.SIGINT)
    done = driver.finish()
    assert done.code == -signal.SIGINT, done.err
    assert not (tmp_path / "hang").exists()  # the trial heard of it
    assert {trial.state for trial in read(tmp_path).records} == {"KILLED"}
    wait_until(lambda: not jobs_left(), "the end of all jobs")
