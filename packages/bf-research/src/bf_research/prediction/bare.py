"""Steps for a model file alone: what its network and the data tell of them, and what neither does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from bf_research.recipe.found import AUTO, SEGMENTATION, name_statistics
from bf_research.trained import Trained

if TYPE_CHECKING:
    from omegaconf import DictConfig

_MODES = {1: "gray", 3: "rgb", 4: "rgba"}


def needs_network(pipeline: DictConfig, trained: Trained) -> bool:
    """Whether settings of the steps are ``auto`` and follow from the network.

    ``ValueError`` for those that only the training knew.
    """
    lacking = [key for key in ("mean", "std") if pipeline.get(key) == AUTO]
    if lacking:
        names = " and ".join(f"pipeline.{key}" for key in lacking)
        raise ValueError(
            f"{trained.shown}: {names}: the numbers of the training data are not in a model file. Give those "
            "that the training told in its log and config.yaml, as pipeline.mean=[0.5,0.4,0.4] "
            "pipeline.std=[0.3,0.3,0.3], or pipeline.mean=imagenet pipeline.std=imagenet; the run's folder "
            "in place of the file has all of them"
        )
    return any(isinstance(pipeline.get(key), str) for key in ("size", "mode", "load", "mean", "std"))


def fill_in(config: DictConfig, data: Any, shape: tuple[int | None, ...] | None) -> DictConfig:
    """Return the configuration with size, mode and load for a network that takes items of a shape.

    New pictures have no masks, so none are loaded.

    ``ValueError`` where the network leaves them open.
    """
    from omegaconf import OmegaConf

    found: dict[str, Any] = {}
    height, width, channels = shape if shape is not None and len(shape) == 3 else (None, None, None)
    maps = (config.get("task") or {}).get("name") == SEGMENTATION
    if maps and isinstance(config.pipeline.get("size"), int):
        found["size"] = [config.pipeline.size] * 2
    elif maps and config.pipeline.get("size") == AUTO and height is not None and width is not None:
        found["size"] = [height, width]
    elif config.pipeline.get("size") == AUTO:
        if height is None or height != width:
            raise ValueError(
                f"pipeline.size: the network takes items of the shape {shape}, which does not tell the side "
                "of square pictures; give pipeline.size=..."
            )
        found["size"] = height
    mode = config.pipeline.get("mode")
    if mode == AUTO:
        if channels not in _MODES:
            raise ValueError(
                f"pipeline.mode: the network takes items of the shape {shape}, which does not tell the "
                "colours; give pipeline.mode=gray or rgb"
            )
        mode = found["mode"] = _MODES[channels]
    for key in ("mean", "std"):
        if isinstance(config.pipeline.get(key), str):
            found[key] = name_statistics(key, config.pipeline[key], mode == "gray")
    if config.pipeline.get("load") == AUTO:
        found["load"] = [] if "images" in data.preloaded else [{"load": {"fmt": "image", "mode": mode}}]
    merged: DictConfig = OmegaConf.merge(config, {"pipeline": found})  # type: ignore[assignment]
    return merged
