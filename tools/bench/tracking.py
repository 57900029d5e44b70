"""What a point of a metric costs: in the training loop, and all in until it stands in sqlite."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from common import heading

from bf_research.tracking import MLflowTracker
from bf_research.tracking.store import open_store

POINTS, SLOW_POINTS = 5000, 200
LOOP_GOAL, ALL_GOAL = 5.0, 200.0


def ours(store: str) -> tuple[float, float, int]:
    """Log through our tracker; returns us in the loop, us all in, and the points that arrived."""
    tracker = MLflowTracker(store)
    tracker.start("ours")
    tracker.ready()
    began = time.perf_counter()
    for step in range(POINTS):
        tracker.log_metric("loss", 0.5, step)
    loop = time.perf_counter() - began
    location = tracker.end()
    whole = time.perf_counter() - began
    assert location is not None
    stored = len(open_store(store).get_metric_history(location.run_id, "loss"))
    return loop / POINTS * 1e6, whole / POINTS * 1e6, stored


def theirs(store: str, synchronous: bool) -> tuple[float, float, int]:
    """Log through MLflow itself."""
    import mlflow

    mlflow.set_tracking_uri(store)
    with mlflow.start_run() as run:
        began = time.perf_counter()
        for step in range(SLOW_POINTS):
            mlflow.log_metric("loss", 0.5, step, synchronous=synchronous)
        loop = time.perf_counter() - began
        if not synchronous:
            mlflow.flush_async_logging()
        whole = time.perf_counter() - began
    stored = len(open_store(store).get_metric_history(run.info.run_id, "loss"))
    return loop / SLOW_POINTS * 1e6, whole / SLOW_POINTS * 1e6, stored


def main() -> bool:
    """Time each in turn, three rounds, and show the best of each."""
    contenders: dict[str, tuple[int, Callable[[str], tuple[float, float, int]]]] = {
        "bf tracker": (POINTS, ours),
        "mlflow.log_metric": (SLOW_POINTS, lambda store: theirs(store, True)),
        "mlflow.log_metric asynchronous": (SLOW_POINTS, lambda store: theirs(store, False)),
    }
    rounds: dict[str, list[tuple[float, float, int]]] = {name: [] for name in contenders}
    with tempfile.TemporaryDirectory() as folder:
        store = f"sqlite:///{Path(folder) / 'mlflow.db'}"
        open_store(store)
        for _ in range(3):
            for name, (_, run) in contenders.items():
                rounds[name].append(run(store))
    heading("A point of a metric")
    print("| contender | us in the loop | us all in | stored |\n|---|---|---|---|")
    for name, found in rounds.items():
        loop, whole = (min(one[place] for one in found) for place in (0, 1))
        print(f"| {name} | {loop:.3g} | {whole:.4g} | {found[0][2]} of {contenders[name][0]} |")
    loop, whole = (min(one[place] for one in rounds["bf tracker"]) for place in (0, 1))
    held = loop <= LOOP_GOAL and whole <= ALL_GOAL and all(one[2] == POINTS for one in rounds["bf tracker"])
    verdict = f"(goal <= {LOOP_GOAL:g} and <= {ALL_GOAL:g}): {'holds' if held else 'FALLS SHORT'}"
    print(f"- bf tracker: {loop:.2f} us in the loop, {whole:.0f} us all in {verdict}")
    return held


if __name__ == "__main__":
    sys.exit(not main())
