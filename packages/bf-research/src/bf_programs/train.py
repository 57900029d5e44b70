"""The main command: ``python train.py model=resnet18`` trains, tests and records one model."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import TYPE_CHECKING

from bf_command.cli import Program, run_program

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

#: What comes with bf-research: in a checkout its folder ``conf``.
CONFIGURATIONS = Path(__file__).with_name("configurations")


def main(folder: Path = CONFIGURATIONS) -> None:
    """Train with the arguments of the process, and end it with an exit code.

    ``folder`` has the user's own configurations, ``train.yaml`` among them; ours are behind.
    """
    shows = {"--steps": show_steps}
    run_program(Program(train, folder, "", "train", shows, complete, CONFIGURATIONS))


def train(config: DictConfig) -> dict[str, float]:
    """Train as the configuration says; the metrics are what a sweep compares."""
    from bf_research.train import train  # late: not for --help, which answers at once

    outcome = train(config)
    log.info("%s", outcome)  # on the screen and in train.log
    return dict(outcome.metrics)


def show_steps(config: DictConfig) -> str:
    """Return the steps that the data set's batches know, for ``--steps``."""
    from bf_research.recipe.steps import describe_steps  # late: not for --help, which answers at once

    return describe_steps(config)


def complete(text: str) -> str:
    """Return a configuration with what is found out from the data, for ``--cfg job``."""
    from bf_research.recipe.steps import complete_text  # late: not for --help, which answers at once

    return complete_text(text)
