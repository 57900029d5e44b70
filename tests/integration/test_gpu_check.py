"""The check of the launcher against real GPUs runs anywhere, and says what it could not try."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bf_research.launcher.devices import find_machine
from bf_research.launcher.worker import judge

TOOL = Path(__file__).parents[2] / "tools" / "gpu_check.py"


def run(*checks: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, TOOL, *checks], capture_output=True, text=True)


def test_all_checks_end_in_a_table_and_a_code():
    done = run()
    lines = done.stdout.splitlines()
    assert not any(line.startswith("FELL") for line in lines), done.stdout
    assert len(lines) >= 8, done.stderr
    held = {line[10:36].strip() for line in lines if line.startswith("held")}
    assert {"masks", "leases of two sweeps", "a job out of memory", "a killed worker"} <= held
    if find_machine().gpus:
        assert done.returncode == 0
    else:
        assert done.returncode == 3
        assert lines[-1] == "no GPU: what needs one was not tried"


def test_a_check_that_there_is_not_is_told_with_those_that_are():
    done = run("mask")
    assert done.returncode == 2
    assert "no such check: mask; there are NVML names, masks" in done.stderr


@pytest.mark.parametrize(
    ("name", "text", "verdict"),
    [
        (
            "XlaRuntimeError",
            "RESOURCE_EXHAUSTED: Out of memory while trying to allocate 8 bytes.",
            "out of memory",
        ),
        ("OutOfMemoryError", "CUDA out of memory.", "out of memory"),
        ("ResourceExhaustedError", "OOM when allocating", "out of memory"),
        ("XlaRuntimeError", "INVALID_ARGUMENT: shapes", "failed"),
    ],
)
def test_the_lack_of_memory_is_known_in_all_libraries(name: str, text: str, verdict: str):
    assert judge(type(name, (RuntimeError,), {})(text)) == verdict
