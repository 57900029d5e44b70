"""The table of a sweep in the cell of a notebook, drawn anew a few times a second."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from bf_research.launcher.display.table import SweepTable
from bf_research.report.markup import element

_SECONDS = 0.5
#: Lines about jobs that did not end well, the last of them.
_MOST_LINES = 20


class NotebookTable(SweepTable):
    """What ``TerminalTable`` shows, as HTML in one output of the cell."""

    def __init__(self, total: int | None, slots: Sequence[str], best: Callable[[], str]) -> None:
        from IPython.display import HTML, display

        super().__init__(total, slots, best, _SECONDS)
        self._lines: list[str] = []
        self._html = HTML
        self._output = display(HTML(self.render()), display_id=True)

    def draw(self) -> None:
        """Draw the table as it is now."""
        self._output.update(self._html(self.render()))

    def write(self, line: str) -> None:
        """Leave a line below the table."""
        self._lines.append(line)

    def close(self) -> None:
        """Draw the last state."""
        self.draw()

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
