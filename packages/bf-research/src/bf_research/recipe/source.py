"""What a training begins with: the weights of another one, which parts of them learn, and how fast."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bf_index.errors import escape
from bf_research.trained import find_classes, find_trained, tells_numbers
from bf_research.training.unfreezing import read_epochs, read_patterns

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

#: Files of weights that others have published.
PUBLISHED = (".pth", ".pt", ".bin", ".safetensors", ".h5", ".hdf5")
_SHOWN = 6


@dataclass(frozen=True)
class Source:
    """Weights to begin with: their file, and of a training its configuration and the names of its classes."""

    shown: str
    file: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None

    @property
    def is_published(self) -> bool:
        """Whether it is a file of weights that others have published, and no training of ours."""
        return self.file.suffix.lower() in PUBLISHED

    def value(self, key: str) -> Any:
        """Return ``pipeline.KEY`` of the training, ``mode``, ``mean`` or ``std``; None where it is not known.

        It may come from somebody else, and goes into a configuration: ValueError for any other kind of value.
        """
        steps = self.config.get("pipeline")
        value = steps.get(key) if isinstance(steps, Mapping) else None
        numbers = value if isinstance(value, list) else [value]
        numeric = all(isinstance(one, int | float) and not isinstance(one, bool) for one in numbers)
        if value is None or (value in ("gray", "rgb", "rgba") if key == "mode" else numeric):
            return value
        raise ValueError(
            f"pretrained={self.shown}: its pipeline.{key} is {value!r:.80}; say pipeline.{key}=..."
        )


def find_source(config: DictConfig) -> Source | None:
    """Return the weights that ``pretrained`` names, None for none.

    It is a published file, one of our model files, the folder or the name of a run, an MLflow run id, or
    ``models:/name/version``. ``NoModel`` and ``FileNotFoundError`` say what is missing.
    """
    given = config.model.get("pretrained") or config.get("pretrained")
    if given is None:
        return None
    path = Path(str(given)).expanduser()
    if path.suffix.lower() in PUBLISHED and not path.is_dir():
        if not path.is_file():
            raise FileNotFoundError(
                f"pretrained={given}: there is no such file (working folder {Path.cwd()})"
            )
        return Source(str(given), path)
    found = find_trained(str(given), config.tracking.get("uri"), key="pretrained")
    return Source(str(given), found.model, found.config, found.classes)


def tuning_settings(config: DictConfig, source: Source | None, dataset: Any) -> dict[str, Any]:
    """Return the settings of a model for weights to begin with and for what of it learns, if there are any.

    What ``unfreeze`` names is frozen at first, with what ``freeze`` names. The last layer of the head begins
    anew where the data have other classes than the training that left the weights.
    """
    from omegaconf import OmegaConf

    def plain(key: str) -> Any:
        value = config.get(key)
        return OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value

    found: dict[str, Any] = {}
    frozen = () if config.get("freeze") is None else read_patterns(plain("freeze"), "freeze")
    if config.get("unfreeze") is not None:
        later = read_epochs(plain("unfreeze"), "unfreeze").values()
        frozen = tuple(dict.fromkeys([*frozen, *(name for names in later for name in names)]))
    if frozen:
        found["freeze"] = list(frozen)
    for key in ("learning_rates", "layer_decay"):
        if config.get(key) is not None:
            found[key] = plain(key)
    if source is not None:
        found["pretrained"] = str(source.file)
        classes = None if tells_numbers(config.task) else find_classes(dataset)
        if source.classes is not None and classes is not None and source.classes != classes:
            found["new_head"] = True
            log.info(
                "pretrained=%s knows the classes %s, and the data have %s: the head begins anew",
                source.shown,
                _list(source.classes),
                _list(classes),
            )
    return found


def _list(names: tuple[str, ...]) -> str:
    return escape(", ".join(names[:_SHOWN])) + (
        f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    )
