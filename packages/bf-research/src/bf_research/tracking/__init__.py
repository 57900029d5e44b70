"""Who records a training: nobody, or MLflow. Importing this loads neither MLflow nor TensorFlow."""

from bf_research.tracking.base import Location, NoTracker, Status, Tracker
from bf_research.tracking.flatten import flatten
from bf_research.tracking.mlflow_tracker import MLflowTracker
from bf_research.tracking.sweep import SweepContext

__all__ = ["Location", "MLflowTracker", "NoTracker", "Status", "SweepContext", "Tracker", "flatten"]
