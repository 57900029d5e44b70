"""The table of a sweep in the cell of a notebook, drawn anew a few times a second."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from bf_research.launcher.display.board import Board
from bf_research.launcher.display.lines import Silent, describe, describe_retry
from bf_research.launcher.jobs import Done, Job
from bf_research.report.markup import element

_SECONDS = 0.5
#: Lines about jobs that did not end well, the last of them.
_MOST_LINES = 20


class NotebookTable(Silent):
    """What ``TerminalTable`` shows, as HTML in one output of the cell."""

    def __init__(self, total: int | None, slots: Sequence[str], best: Callable[[], str]) -> None:
        from IPython.display import HTML, display

        self.board = Board(total, slots, best)
        self._lines: list[str] = []
        self._html = HTML
        self._output = display(HTML(self.render()), display_id=True)
        self._due = time.monotonic() + _SECONDS

    def started(self, slot: str, job: Job) -> None:
        """Show that a worker got a job."""
        self.board.started(slot, job)

    def progress(self, slot: str, done: int, total: int | None, metrics: dict[str, float]) -> None:
        """Show how far a job is."""
        self.board.progress(slot, done, total, metrics)

    def finished(self, done: Done) -> None:
        """Count a job that ended; one that did not end well leaves a line."""
        self.board.finished(done)
        if done.kind != "ok":
            self._lines.append(describe(done))

    def retried(self, slot: str, job: Job, reason: str) -> None:
        """Leave a line."""
        self.board.retried(slot)
        self._lines.append(describe_retry(job, reason))

    def tick(self) -> None:
        """Draw the table, if the last time was long enough ago."""
        if time.monotonic() >= self._due:
            self._output.update(self._html(self.render()))
            self._due = time.monotonic() + _SECONDS

    def close(self) -> None:
        """Draw the last state."""
        self._output.update(self._html(self.render()))

    def render(self) -> str:
        """Return the HTML of the table; texts of trials are escaped."""
        board = self.board
        share = f"{min(board.done / board.total, 1.0):.4f}" if board.total else None
        bar = [element("progress", value=share, style="width: 16em"), " "] if share else []
        parts = [element("div", *bar, board.describe_counts())]
        if best := board.best:
            parts.append(element("div", "best: ", element("b", best)))
        rows = [
            element("tr", *(element("td", text) for text in (one.slot, one.place, one.label, one.metrics)))
            for one in board.show_running()
        ]
        parts += [element("table", *rows)] if rows else []
        parts += [element("div", f"and {board.hidden} more run")] if board.hidden else []
        parts += [element("div", line) for line in self._lines[-_MOST_LINES:]]
        return element("div", *parts)
