"""Which metric counts and which of its values are better, by name and by what was said."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Self

from bf_index.errors import unknown

Mode = Literal["auto", "min", "max"]
#: Ends of names of metrics of which less is better.
_LESS = re.compile(r"(loss|error|deviation|mae|mse|rmse)$")
#: Ends of names of metrics of which more is better, whoever says otherwise.
_MORE = re.compile(
    r"(accuracy|precision|recall|f1|f1_score|iou|jaccard|dice|auc|r2|sensitivity|specificity)$"
)


def read_mode(minimize: bool | None) -> Mode:
    """Return the direction that ``minimize`` says; None leaves it to the name of the metric."""
    return "auto" if minimize is None else "min" if minimize else "max"


def less_is_better(metric: str, mode: Mode) -> bool:
    """Whether less of a metric is better; ``'auto'`` goes by the end of its name."""
    return mode == "min" or (mode == "auto" and _LESS.search(metric) is not None)


def check_direction(metric: str, mode: str, owner: str) -> None:
    """Refuse a mode that is none, or one that would take the worst of a well-known metric: ``ValueError``."""
    if mode not in ("auto", "min", "max"):
        raise ValueError(f"{owner}: mode must be 'min', 'max' or 'auto', got {mode!r}")
    for wrong, names, better in (("min", _MORE, "more"), ("max", _LESS, "less")):
        if mode == wrong and names.search(metric):
            raise ValueError(
                f"{owner}: of {metric!r} {better} is better, and mode={mode!r} would keep the worst trials; "
                "leave mode out"
            )


def choose_metric(names: Sequence[str], by_fold: bool = False) -> str | None:
    """Return the result that a sweep is ranked by where nobody said; None where there is none."""
    measured = [name for name in names if name.startswith("validation/")]
    if by_fold and measured:  # the fold is what is validated on
        return measured[0]
    if "test/accuracy" in names:
        return "test/accuracy"
    return names[-1] if names else None


@dataclass(frozen=True, slots=True)
class Ranking:
    """How a sweep ranks its trials: by which result, and which of its values are better.

    ``metric``: chosen from the results where it is None; ``mode``: ``'auto'`` goes by its name; ``by_fold``:
    each repetition is a fold.
    """

    metric: str | None = None
    mode: Mode = "auto"
    by_fold: bool = False

    @classmethod
    def of(cls, data: Any) -> Self:
        """Return what the head of a journal says, as far as it is of the kinds that are written there."""
        if not isinstance(data, Mapping):
            return cls()
        metric, mode = data.get("metric"), data.get("mode")
        return cls(
            metric if isinstance(metric, str) else None,
            mode if mode in ("min", "max") else "auto",
            data.get("by_fold") is True,
        )

    def choose(self, names: Sequence[str], asked: str | None = None) -> str | None:
        """Return the result to rank by: the one asked for, else the sweep's; None where there is none.

        ``ValueError`` for one that was asked for and is not there.
        """
        if asked is not None and asked not in names:
            raise ValueError(unknown("metric", asked, names, "metric"))
        return asked or (self.metric if self.metric in names else choose_metric(names, self.by_fold))

    def order(self, metric: str, minimize: bool | None = None) -> Literal["min", "max"]:
        """Return which values of a metric come first: as asked, as the sweep has it, or by the name."""
        own = self.mode if self.metric in (None, metric) else "auto"
        return "min" if less_is_better(metric, own if minimize is None else read_mode(minimize)) else "max"
