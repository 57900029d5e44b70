"""The second command: ``python predict.py run=outputs/NAME dataset.path=photos`` uses a trained network."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from bf_command import command

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)


@command(config_path="conf", config_name="predict")
def main(config: DictConfig) -> None:
    """Predict as the configuration says, and tell where the predictions are."""
    from bf_research.prediction.predict import predict  # not for --help, which answers at once

    log.info("%s", predict(config))


if __name__ == "__main__":
    main()
