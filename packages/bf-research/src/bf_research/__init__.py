"""BatchFlow research: train and compare many configurations, resume what was cut off, read one table."""

from bf_research.distributions import integers, loguniform, normal, uniform
from bf_research.domain import Domain, Option
from bf_research.option import KV
from bf_research.trial import Config, Trial, TrialState

__all__ = [
    "KV",
    "Config",
    "Domain",
    "Option",
    "Trial",
    "TrialState",
    "integers",
    "loguniform",
    "normal",
    "uniform",
]
