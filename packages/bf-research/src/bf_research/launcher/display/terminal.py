"""The table of a sweep on a screen: drawn anew a few times a second, gone at the end but for one line."""

from __future__ import annotations

import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import TextIO

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from bf_research.launcher.display.board import Shown
from bf_research.launcher.display.table import SweepTable

_SECONDS = 0.3
#: Columns of the bar of the sweep, and of a screen that has room for it.
_BAR_WIDTH, _WIDE = 24, 100
#: Columns that are kept for what stands beside the label of a job, and those that a label has at least.
_BESIDE, _SHORTEST = 40, 16


class TerminalTable(SweepTable):
    """The table of a sweep on a screen.

    Lines that others write meanwhile, by ``print`` or a logger, stand above it.
    """

    def __init__(self, total: int | None, slots: Sequence[str], best: Callable[[], str]) -> None:
        super().__init__(total, slots, best, _SECONDS)
        self._console = Console(stderr=True, highlight=False, soft_wrap=False)
        self._live = Live(
            console=self._console,
            get_renderable=self._render,
            auto_refresh=False,  # a thread of rich's would write between the lines of this one
            transient=True,
            redirect_stdout=sys.stdout.isatty(),
        )
        before = (sys.stdout, sys.stderr)
        self._live.start(refresh=True)
        self._redirected = dict(_redirect_handlers(before, (sys.stdout, sys.stderr)))

    def draw(self) -> None:
        """Draw the table as it is now."""
        self._live.refresh()

    def write(self, line: str) -> None:
        """Leave a line above the table; it is not cut."""
        self._console.print(Text(line), soft_wrap=True)

    def close(self) -> None:
        """Take the table away; a line of the sweep stays."""
        for handler, stream in self._redirected.items():
            handler.setStream(stream)
        self._live.stop()
        self.write(f"sweep: {self.board.describe_counts()}")

    def _render(self) -> Group:
        """Return the table; what is wider than the screen is cut."""
        board, width = self.board, self._console.width
        head = Table.grid(padding=(0, 2))
        parts: list[RenderableType] = [Text(board.describe_counts(), no_wrap=True, overflow="ellipsis")]
        if board.total and width >= _WIDE:
            bar = ProgressBar(total=board.total, completed=min(board.done, board.total), width=_BAR_WIDTH)
            parts = [Text("sweep", "bold"), bar, *parts]
        head.add_row(*parts)
        lines = [Text(f"best   {board.best}", "green")] if board.best else []
        lines += _align(board.show_running(), max(width - _BESIDE, _SHORTEST))
        lines += [Text(f"and {board.hidden} more run", "dim")] if board.hidden else []
        return Group(head, Text("\n", no_wrap=True, overflow="ellipsis").join(lines))


def _align(rows: Sequence[Shown], longest: int) -> list[Text]:
    """Return a line for each job; labels longer than that are cut."""
    slots = max((len(one.slot) for one in rows), default=0)
    places = max((len(one.place) for one in rows), default=0)
    labels = min(max((len(one.label) for one in rows), default=0), longest)
    return [
        Text.assemble(
            (f"{one.slot:<{slots}}", "cyan"),
            f"  {one.place:>{places}}  ",
            f"{_cut(one.label, longest):<{labels}}",
            (f"  {one.metrics}", "dim"),
        )
        for one in rows
    ]


def _cut(text: str, longest: int) -> str:
    return text if len(text) <= longest else text[: longest - 1] + "\N{HORIZONTAL ELLIPSIS}"


def _redirect_handlers(
    before: Sequence[TextIO], now: Sequence[TextIO]
) -> Iterator[tuple[logging.StreamHandler[TextIO], TextIO]]:
    """Let handlers of loggers write where the streams of this process lead now; yield what they had."""
    loggers = [logging.root, *logging.root.manager.loggerDict.values()]
    for handler in {one for logger in loggers for one in getattr(logger, "handlers", ())}:
        if isinstance(handler, logging.StreamHandler):
            for old, new in zip(before, now, strict=True):
                if handler.stream is old and new is not old:
                    handler.setStream(new)
                    yield handler, old
