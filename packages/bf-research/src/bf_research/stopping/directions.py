"""Which metric counts and which of its values are better, by name and by what was said."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal

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
