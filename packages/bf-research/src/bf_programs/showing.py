"""The commands that tell how trainings went: ``show``, ``compare`` and ``best``."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_programs.recorded import recorded_runs, tell_places, tell_runs, tell_sweep_run
from bf_programs.records import (
    Entry,
    is_sweep,
    list_folders,
    read_entries,
    read_results,
    read_run,
    read_sweep_overrides,
)
from bf_research.stopping.directions import Ranking
from bf_research.sweep.results import Results
from bf_research.sweep.tables import failure_table, ranking, text_table
from bf_research.sweep.trial import TrialState
from bf_research.tracking.summaries.places import read_memory, read_places
from bf_research.training.checkpoints import MODEL
from bf_research.training.folder import read_record

#: Rows of a list of folders, columns of metrics in a table.
_MOST_ROWS, _MOST_METRICS = 20, 6
#: Settings that change no result: how a run is called and shown.
_UNTOLD = ("name", "bar", "resume")


def show(
    folder: Path | None = None,
    metric: str | None = None,
    minimize: bool | None = None,
    as_json: bool = False,
) -> None:
    """Tell what a run or a sweep is and how it went; without a folder, which there are."""
    if folder is None:
        _show_all(as_json)
    elif not is_sweep(folder):
        _show_run(folder, as_json)
    else:
        _show_sweep(folder, metric, minimize, as_json)


def compare(
    folders: Sequence[Path],
    metric: str | None = None,
    minimize: bool | None = None,
    as_json: bool = False,
) -> None:
    """Rank runs and trials in one table: the settings in which they differ, and their metrics."""
    entries = [entry for folder in folders for entry in read_entries(folder)]
    names = list(dict.fromkeys(name for entry in entries for name in entry.metrics))
    chosen = Ranking().choose(names, metric)
    if chosen is not None:
        sign = 1.0 if Ranking().order(chosen, minimize) == "min" else -1.0
        entries.sort(key=lambda entry: _rank(entry.metrics.get(chosen, math.nan), sign))
    if as_json:
        _write_json([_as_data(entry) for entry in entries])
        return
    shown = [*([chosen] if chosen else []), *_choose_columns(names, chosen)]
    settings = _differing(entries)
    rows = [
        [
            entry.name,
            *(str(entry.settings.get(name, "-")) for name in settings),
            *(_number(entry.metrics.get(name)) for name in shown),
            entry.state.lower(),
        ]
        for entry in entries
    ]
    _write(text_table(["", *settings, *shown, "state"], rows))


def best(
    folder: Path,
    metric: str | None = None,
    minimize: bool | None = None,
    as_json: bool = False,
) -> None:
    """Tell the best trial of a sweep, by the last value of a metric, and how to use it."""
    if not is_sweep(folder):
        raise ValueError(f"{escape(folder)} is one run: batchflow show {escape(folder)} tells about it")
    results = read_results(folder)
    chosen = results.ranking.choose(results.returns, metric)
    if chosen is None:
        raise ValueError(f"{escape(folder)}: no trial has a metric yet")
    record = results.best(chosen, results.ranking.order(chosen, minimize))
    entry = next(entry for entry in read_entries(folder) if entry.folder == folder / record.id)
    if as_json:
        _write_json(_as_data(entry))
        return
    lines = [f"{escape(entry.folder)}: {chosen} {results.last(chosen, record):.4g}"]
    lines.append(f"settings  {_settings(entry.settings)}")
    lines += _tell_metrics(entry.metrics)
    lines += tell_runs(read_record(entry.folder))
    if (entry.folder / MODEL).is_file():
        lines += [f"model     {escape(entry.folder / MODEL)}"]
        lines += [f"use it    batchflow predict run={escape(entry.folder)} dataset.path=FOLDER"]
    _write("\n".join(lines))


def _show_all(as_json: bool) -> None:
    folders = list_folders()
    rows: list[list[str]] = []
    for folder in folders[:_MOST_ROWS]:
        if is_sweep(folder):
            results = read_results(folder)
            done = sum(record.state is TrialState.DONE for record in results.records)
            rows.append([str(folder), f"{done} of {len(results)} trials done", _tell_best(results)])
        else:
            entry = read_run(folder)
            name = Ranking().choose(list(entry.metrics))
            rows.append([str(folder), entry.state, f"{name} {_number(entry.metrics[name])}" if name else "-"])
    if as_json:
        _write_json([{"folder": folder, "state": state, "metric": told} for folder, state, told in rows])
    elif not rows:
        _write("there are no runs and no sweeps here; batchflow train model=lenet n_epochs=1 makes one")
    else:
        more = len(folders) - len(rows)
        _write(text_table(["", "state", ""], rows) + (f"\n... and {more} older" if more else ""))


def _tell_best(results: Results) -> str:
    """Return the best value of the metric that trials are ranked by, as text."""
    name = results.ranking.choose(results.returns)
    if name is None:
        return "-"
    values = [results.last(name, record) for record in results.records if record.state is TrialState.DONE]
    numbers = [value for value in values if math.isfinite(value)]
    if not numbers:
        return "-"
    pick = min if results.ranking.order(name) == "min" else max
    return f"{name} {_number(pick(numbers))} at best"


def _show_run(folder: Path, as_json: bool) -> None:
    entry, record = read_run(folder), read_record(folder)
    if as_json:
        _write_json({**_as_data(entry), "iteration": record.get("iteration"), "runs": recorded_runs(record)})
        return
    began, iteration = escape(record.get("began", "-")), record.get("iteration", 0)
    lines = [f"{escape(folder)}: {escape(entry.state)}, began {began}, {iteration} iterations"]
    lines.append(f"settings  {_settings(entry.settings)}")
    lines += _tell_metrics(entry.metrics)
    if (folder / MODEL).is_file():
        lines.append(f"model     {escape(folder / MODEL)}")
    lines += tell_runs(record)
    if entry.state == "finished":
        lines.append(f"use it    batchflow predict run={escape(folder)} dataset.path=FOLDER")
    else:
        lines.append(f"go on     batchflow resume {escape(folder)}")
    _write("\n".join(lines))


def _show_sweep(folder: Path, metric: str | None, minimize: bool | None, as_json: bool) -> None:
    results = read_results(folder)
    if as_json:
        _write_json([_as_data(entry) for entry in read_entries(folder)])
        return
    states = [str(record.state) for record in results.records]
    counts = ", ".join(f"{states.count(state)} {state.lower()}" for state in dict.fromkeys(states))
    lines = [f"{escape(folder)}: {len(results)} trials begun ({counts or 'none'})"]
    told = read_sweep_overrides(folder)
    if told is not None:
        lines.append(f"settings  {escape(' '.join(told['task'])) or '-'}")
    chosen = results.ranking.choose(results.returns, metric)
    if chosen is not None:
        lines += ["", ranking(results, chosen, results.ranking.order(chosen, minimize))]
    if results.failures:
        lines += ["", failure_table(results, folder)]
    lines += ["", *tell_sweep_run(read_memory(folder)), *tell_places(read_places(folder))]
    if chosen is not None:
        lines.append(f"best      batchflow best {escape(folder)}")
    if told is not None and not all(record.state.finished for record in results.records):
        lines.append(f"go on     batchflow resume {escape(folder)}")
    _write("\n".join(lines))


def _rank(value: float, sign: float) -> tuple[bool, float]:
    return (not math.isfinite(value), sign * value if math.isfinite(value) else 0.0)


def _choose_columns(names: Iterable[str], chosen: str | None) -> list[str]:
    """Return further metrics for a table: those of tests first, then those of validation."""
    order = ("test/", "validation/", "")
    ranked = sorted(
        names, key=lambda name: next(i for i, begin in enumerate(order) if name.startswith(begin))
    )
    return [name for name in ranked if name != chosen][: _MOST_METRICS - 1]


def _differing(entries: Sequence[Entry]) -> list[str]:
    """Return the settings that are not the same in all entries, in the order they come up."""
    names = [*dict.fromkeys(name for entry in entries for name in entry.settings if name not in _UNTOLD)]
    return [name for name in names if len({str(entry.settings.get(name)) for entry in entries}) > 1]


def _as_data(entry: Entry) -> dict[str, Any]:
    metrics = {name: value if math.isfinite(value) else None for name, value in entry.metrics.items()}
    return {
        "folder": str(entry.folder),
        "state": entry.state,
        "settings": dict(entry.settings),
        "metrics": metrics,
    }


def _settings(settings: Mapping[str, Any]) -> str:
    return escape(" ".join(f"{name}={value}" for name, value in settings.items())) or "-"


def _tell_metrics(metrics: Mapping[str, float]) -> list[str]:
    told = ", ".join(f"{escape(name)} {_number(value)}" for name, value in metrics.items())
    return [f"metrics   {told}"] if told else []


def _number(value: float | None) -> str:
    return "-" if value is None or math.isnan(value) else f"{value:.4g}"


def _write(text: str) -> None:
    sys.stdout.write(text + "\n")


def _write_json(data: Any) -> None:
    sys.stdout.write(json.dumps(data, indent=1, default=str) + "\n")
