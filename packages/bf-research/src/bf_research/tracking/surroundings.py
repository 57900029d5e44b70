"""The state of the code and the environment that a run was made in."""

from __future__ import annotations

import subprocess
import sys
from functools import cache

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
        "bf.git.changed": str(bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))).lower(),
    }


def git_changes(folder: str) -> str:
    """Return the changes that are in no commit yet, without secrets."""
    return redact_file(_git(folder, "diff", "HEAD")[:LONGEST_DIFF])


def _git(folder: str, *arguments: str) -> str:
    """Return git's answer; empty without git, outside a checkout, or when it takes too long."""
    try:
        done = subprocess.run(
            ["git", "-C", folder, *arguments],
            capture_output=True,
            text=True,
            errors="replace",
            timeout=GIT_SECONDS,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
