"""BatchFlow research: train and compare many configurations, resume what was cut off, read one table."""

from bf_research.domain.config import Config
from bf_research.domain.domain import Domain, Option
from bf_research.domain.option import KV, integers, loguniform, normal, uniform
from bf_research.research.research import Research
from bf_research.sweep.journal import SweepLocked
from bf_research.sweep.results import Results
from bf_research.sweep.trial import Trial, TrialState
from bf_research.units.expressions import RD, RI, RID, RP, RR

__all__ = [
    "KV",
    "RD",
    "RI",
    "RID",
    "RP",
    "RR",
    "Config",
    "Domain",
    "Option",
    "Research",
    "Results",
    "SweepLocked",
    "Trial",
    "TrialState",
    "integers",
    "loguniform",
    "normal",
    "uniform",
]
