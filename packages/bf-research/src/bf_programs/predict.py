"""The second command: ``python predict.py run=outputs/NAME dataset.path=photos`` uses a trained network."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bf_command.cli import Program, run_program
from bf_programs.train import CONFIGURATIONS

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


def main(folder: Path = CONFIGURATIONS) -> None:
    """Predict with the arguments of the process, and end it with an exit code.

    ``folder`` has the user's own configurations, ``predict.yaml`` among them; ours are behind.
    """
    run_program(Program(predict, folder, "", "predict", standard=CONFIGURATIONS))


def predict(config: DictConfig) -> None:
    """Predict as the configuration says, and tell where the predictions are."""
    from bf_research.prediction.predict import predict  # late: not for --help, which answers at once

    log.info("%s", predict(config))
