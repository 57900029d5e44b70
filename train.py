"""The main command: ``python train.py model=resnet18`` trains, tests and records one model."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bf_command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@command(config_path="conf", config_name="train")
def main(config: DictConfig) -> dict[str, float]:
    """Train as the configuration says; the metrics are what a sweep compares."""
    from bf_research.train import train  # not for --help, which answers at once

    outcome = train(config)
    log.info("%s", outcome)  # on the screen and in train.log
    return dict(outcome.metrics)


if __name__ == "__main__":
    main()
