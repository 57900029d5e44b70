"""Who records a training: nobody, or MLflow. Importing this loads neither MLflow nor TensorFlow."""

from bf_research.tracking.mlflow_tracker import MLflowTracker
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.tracker import Location, NoTracker, Status, Tracker, flatten

__all__ = ["Location", "MLflowTracker", "NoTracker", "Status", "SweepContext", "Tracker", "flatten"]
