"""Trackers: a training is recorded in MLflow, in other places, or nowhere. Importing this loads no MLflow."""

from bf_research.tracking.local.csv_tracker import CSVTracker
from bf_research.tracking.local.tensorboard_tracker import TensorBoardTracker
from bf_research.tracking.local.wandb_tracker import WandbTracker
from bf_research.tracking.mlflow_tracker import MLflowTracker
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.several import SeveralTrackers
from bf_research.tracking.tracker import Location, NoTracker, Status, Tracker, flatten

__all__ = [
    "CSVTracker",
    "Location",
    "MLflowTracker",
    "NoTracker",
    "SeveralTrackers",
    "Status",
    "SweepContext",
    "TensorBoardTracker",
    "Tracker",
    "WandbTracker",
    "flatten",
]
