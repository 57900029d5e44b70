"""Trackers: a training is recorded in MLflow, or not at all. Importing this loads no MLflow."""

from bf_research.tracking.local.csv_tracker import CSVTracker
from bf_research.tracking.mlflow_tracker import MLflowTracker
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.tracker import Location, NoTracker, Status, Tracker, flatten

__all__ = [
    "CSVTracker",
    "Location",
    "MLflowTracker",
    "NoTracker",
    "Status",
    "SweepContext",
    "Tracker",
    "flatten",
]
