"""The progress bar, with the latest values of variables beside it."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from typing import Any

import numpy as np

from bf_pipeline.run.state import RunState


def progress(source: Generator[Any, None, None], run: RunState) -> Generator[Any, None, None]:
    """Pass batches on and move a bar; it is a widget in notebooks and a line in terminals."""
    from tqdm.auto import tqdm

    done = 0 if run.pools else run.delivered
    with closing(source), tqdm(total=run.total, initial=done, unit="batch") as bar:
        for batch in source:
            if run.options.bar_variables:
                latest = {name: shown(run.variables[name]) for name in run.options.bar_variables}
                bar.set_postfix(latest, refresh=False)
            bar.update()
            yield batch


def shown(value: Any) -> str:
    """Write a value in a few letters: of a list the last entry, of an array its last number."""
    if isinstance(value, list | tuple):
        return shown(value[-1]) if value else "-"
    if isinstance(value, np.ndarray):
        return shown(value.reshape(-1)[-1]) if value.size else "-"
    if isinstance(value, float | np.floating):
        return f"{value:.4g}"
    text = str(value)
    return text if len(text) <= 24 else f"{text[:21]}..."
