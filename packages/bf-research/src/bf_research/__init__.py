"""BatchFlow research: train and compare many configurations, resume what was cut off, read one table."""

from bf_research.domain.config import Config
from bf_research.domain.domain import Domain, Option
from bf_research.domain.option import KV, integers, loguniform, normal, uniform
from bf_research.prediction.exporting import Exported, export_trained
from bf_research.report.report import write_report
from bf_research.research.research import Research
from bf_research.search.options import Search
from bf_research.stopping.rules import ASHA, Hyperband, MedianStopping, OptunaPruner, StoppingRule
from bf_research.sweep.journal import SweepLocked
from bf_research.sweep.results import Results
from bf_research.sweep.trial import Trial, TrialState
from bf_research.trained import NoModel, Trained, find_trained
from bf_research.training.checkpoints import Checkpoints
from bf_research.training.rate_test import RateTest
from bf_research.training.rates import ReduceOnPlateau
from bf_research.training.state import Event, TrainingState
from bf_research.training.stopping import EarlyStopping, TimeLimit
from bf_research.training.training import Training, TrainingOutcome
from bf_research.training.unfreezing import Unfreeze
from bf_research.training.validation import Evaluation, IterationLog, Validation
from bf_research.units.expressions import RD, RI, RID, RO, RP, RR, S

__all__ = [
    "ASHA",
    "KV",
    "RD",
    "RI",
    "RID",
    "RO",
    "RP",
    "RR",
    "Checkpoints",
    "Config",
    "Domain",
    "EarlyStopping",
    "Evaluation",
    "Event",
    "Exported",
    "Hyperband",
    "IterationLog",
    "MedianStopping",
    "NoModel",
    "Option",
    "OptunaPruner",
    "RateTest",
    "ReduceOnPlateau",
    "Research",
    "Results",
    "S",
    "Search",
    "StoppingRule",
    "SweepLocked",
    "TimeLimit",
    "Trained",
    "Training",
    "TrainingOutcome",
    "TrainingState",
    "Trial",
    "TrialState",
    "Unfreeze",
    "Validation",
    "export_trained",
    "find_trained",
    "integers",
    "loguniform",
    "normal",
    "uniform",
    "write_report",
]
