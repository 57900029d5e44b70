"""What a run was made with: the state of the code in git, and the packages."""

from __future__ import annotations

import platform
import subprocess
import sys
from functools import cache
from importlib.metadata import distributions

GIT_SECONDS = 10
#: A larger change is no longer a note; its beginning is kept.
LONGEST_DIFF = 1_000_000


@cache
def packages() -> str:
    """List Python, the system and every installed package with its version, as a requirements file does."""
    found = {str(one.metadata["Name"]): one.version for one in distributions()}
    head = [f"# Python {sys.version.split()[0]}, {platform.platform()}"]
    return "\n".join([*head, *(f"{name}=={found[name]}" for name in sorted(found, key=str.lower))]) + "\n"


def git_tags(folder: str) -> dict[str, str]:
    """Tell commit, branch and whether files were changed; nothing outside a git checkout."""
    commit = _git(folder, "rev-parse", "HEAD")
    if not commit:
        return {}
    return {
        "mlflow.source.git.commit": commit,
        "mlflow.source.git.branch": _git(folder, "rev-parse", "--abbrev-ref", "HEAD"),
        "bf.git.changed": str(bool(_git(folder, "status", "--porcelain", "--untracked-files=no"))).lower(),
    }


def git_changes(folder: str) -> str:
    """Return the changes that are in no commit yet."""
    return _git(folder, "diff", "HEAD")[:LONGEST_DIFF]


def _git(folder: str, *arguments: str) -> str:
    """Ask git; empty without git, outside a checkout, or when it takes too long."""
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
