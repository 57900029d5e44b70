"""The main command: ``python train.py model=resnet18`` trains, tests and records one model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bf_command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


def show_steps(config: DictConfig) -> str:
    """Return the steps that the data set's batches know, for ``--steps``."""
    from bf_research.train_steps import describe_steps  # not for --help, which answers at once

    return describe_steps(config)


def complete(text: str) -> str:
    """Return a configuration with what is found out from the data, for ``--cfg job``."""
    from bf_research.train_steps import complete_text  # not for --help, which answers at once

    return complete_text(text)


@command(config_path="conf", config_name="train", shows={"--steps": show_steps}, completes=complete)
def main(config: DictConfig) -> dict[str, float]:
    """Train as the configuration says; the metrics are what a sweep compares."""
    from bf_research.train import train  # not for --help, which answers at once

    outcome = train(config)
    log.info("%s", outcome)  # on the screen and in train.log
    return dict(outcome.metrics)


if __name__ == "__main__":
    main()
