"""The state of the code and the environment that a run was made in."""

from __future__ import annotations

import os
import subprocess
import sys
from functools import cache
from pathlib import Path

from bf_pipeline.redaction.texts import redact_file

GIT_SECONDS = 10
#: Of a larger change only the beginning is kept.
LONGEST_DIFF = 1_000_000


@cache
def packages() -> str:
    """Return Python, the system and every package with its version, as a requirements file has them."""
    import platform
    from importlib.metadata import distributions

    found = {str(one.metadata["Name"]): one.version for one in distributions()}
    head = [f"# Python {sys.version.split()[0]}, {platform.platform()}"]
    return "\n".join([*head, *(f"{name}=={found[name]}" for name in sorted(found, key=str.lower))]) + "\n"


def git_tags(folder: str) -> dict[str, str]:
    """Return tags with commit, branch and whether files were changed; none outside a git checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "bf.git.changed": str(
            bool(_git(folder, "status", *_HERE, "--porcelain", "--untracked-files=no"))
        ).lower(),
    }


def git_changes(folder: str) -> str:
    """Return the changes that are in no commit yet, without secrets."""
    return redact_file(_git(folder, "diff", *_HERE, *_NO_PROGRAMS, "HEAD")[:LONGEST_DIFF])


#: Submodules have configurations of their own, which the options below do not reach.
_HERE = ("--ignore-submodules=dirty",)
_NO_PROGRAMS = ("--no-ext-diff", "--no-textconv")
_SETTINGS = ("core.fsmonitor=false", "core.hooksPath=/dev/null")


def _git(folder: str, *arguments: str) -> str:
    """Return git's answer; empty without git, outside a checkout, or when it takes too long.

    A folder may come from somebody else with its ``.git``: no program that its configuration names is run.
    """
    if not _is_its_own(folder):
        return ""
    filters = _ask_git(folder, "config", "--local", "--includes", "--name-only", "--get-regexp", r"^filter\.")
    drivers = sorted({name.rpartition(".")[0] for name in filters.splitlines()})
    off = [f"{driver}.{option}" for driver in drivers for option in ("clean=", "process=", "required=false")]
    settings = [part for setting in (*_SETTINGS, *off) for part in ("-c", setting)]
    return _ask_git(folder, "--no-optional-locks", *settings, *arguments)


def _is_its_own(folder: str) -> bool:
    """Whether the checkout is the folder that holds the ``.git``: ``core.worktree`` may name another one."""
    if {"GIT_DIR", "GIT_WORK_TREE"} & set(os.environ):  # the person says what is meant
        return True
    here = Path(folder).resolve()
    own = next((place for place in (here, *here.parents) if (place / ".git").exists()), None)
    top = _ask_git(folder, "rev-parse", "--show-toplevel")
    return own is not None and bool(top) and Path(top).resolve() == own


def _ask_git(folder: str, *arguments: str) -> str:
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            env={**os.environ, "GIT_ALLOW_PROTOCOL": "none"},  # objects that are not there are not fetched
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
