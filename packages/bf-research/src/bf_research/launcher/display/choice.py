"""The choice of what is shown of a sweep, by where it is shown."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence

from bf_research.launcher.display.lines import Lines
from bf_research.launcher.jobs import Monitor


def tell_nothing() -> str:
    """Return what is best so far where nobody knows: an empty text."""
    return ""


def choose_monitor(
    total: int | None, slots: Sequence[str], bar: bool, best: Callable[[], str] = tell_nothing
) -> Monitor:
    """Return a monitor of a sweep: a table on a screen and in a notebook, lines elsewhere, or silence.

    ``best`` returns what is best so far, asked when the table is drawn.
    """
    if not bar:
        return Monitor()
    if _is_notebook():
        from bf_research.launcher.display.notebook import NotebookTable  # late: start-up time

        return NotebookTable(total, slots, best)
    if sys.stderr.isatty() and os.environ.get("TERM", "dumb") not in ("dumb", "unknown"):
        from bf_research.launcher.display.terminal import TerminalTable  # late: start-up time

        return TerminalTable(total, slots, best)
    return Lines(total)


def _is_notebook() -> bool:
    """Whether a kernel of Jupyter runs this; nothing is imported to find out."""
    shell = getattr(sys.modules.get("IPython"), "get_ipython", lambda: None)()
    return shell is not None and "IPKernelApp" in shell.config
