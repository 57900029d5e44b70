"""An application of Hydra for tests of sweeps: its trials report, and die, wait or fail by their quality."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from bf_research import Results
from bf_research.sweep import journal as journals

_APPLICATION = """
import os
import sys
import time
from pathlib import Path

import hydra
from bf_research.launcher import report, stopping


def dies(config, step):
    if config.quality == config.dies_once and step == 2 and not os.path.exists("killed"):
        Path("killed").touch()
        return True
    return config.quality == config.dies


def wait_for_the_test():
    if "SLURM_JOB_ID" in os.environ:
        Path("jobs").open("a").write(os.environ["SLURM_JOB_ID"] + "\\n")
    while os.path.exists("hang"):
        Path("hangs").touch()
        if stopping():
            Path("hang").unlink()
            raise KeyboardInterrupt
        time.sleep(0.05)


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config):
    print("a line of", config.quality)
    if config.quality == config.fails:
        raise ValueError("a bad quality")
    for step in range(1, 10):
        if dies(config, step):
            os.kill(os.getpid(), 9)
        report(step, 9, score=config.quality * step)
        if step == 2 and config.quality == config.waits:
            wait_for_the_test()
        if stopping():
            raise KeyboardInterrupt
    return {"score": config.quality * step}


if __name__ == "__main__":
    sys.argv[1:1] = ARGUMENTS
    main()
"""


def prepare(
    start_script: Callable[..., Any],
    folder: Path,
    launcher: str = "basic",
    options: Mapping[str, Any] | None = None,
    env: Mapping[str, str] | None = None,
    **qualities: float,
) -> Callable[..., Any]:
    """Return what starts the application as a sweep stopped by ASHA, in ``out`` of a folder.

    ``options`` are those of Hydra's launcher; ``qualities`` name the trials that ``waits`` (at step 2, while
    there is a file "hang"; then "hangs" is there), ``dies``, ``dies_once`` or ``fails``.
    """
    config = {
        "defaults": ["_self_", {"override hydra/sweeper": "domain"}, {"override hydra/launcher": launcher}],
        "quality": 0.1,
        "launch": {"workers": 1, "retries": 1},
        **dict.fromkeys(("waits", "dies", "dies_once", "fails")),
        **qualities,
        "hydra": {
            "output_subdir": None,
            "sweeper": {"stopping": {"rule": "asha", "metric": "score"}},
            **({"launcher": options} if options else {}),
        },
    }
    (folder / "conf").mkdir()
    (folder / "conf/train.yaml").write_text(json.dumps(config))

    def start(*arguments: str) -> Any:
        told = repr(["-m", "hydra.sweep.dir=out", *arguments])
        return start_script(_APPLICATION.replace("ARGUMENTS", told), **(env or {}))

    return start


def read(folder: Path) -> Results:
    """Return the results of the sweep of a folder."""
    return Results.of(journals.read(folder / "out"))


def read_states(folder: Path) -> list[str]:
    """Return all states of trials in the order in which they were written."""
    lines = map(json.loads, (folder / "out/journal.jsonl").read_text().splitlines())
    return [line["state"] for line in lines if "state" in line]
