"""What a training finds out from its data, in place of each ``auto`` of its configuration."""

from __future__ import annotations

import copy
import logging
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from bf_index.errors import escape, unknown
from bf_research.recipe.source import Source

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

AUTO, IMAGENET, BALANCED = "auto", "imagenet", "balanced"
SEGMENTATION = "segmentation"
#: What masks are found to hold, by the setting of the data set and its attribute.
_OF_MASKS = {"classes": "legend", "ignore": "ignore"}
#: Sides of pictures that networks are trained with.
_SIDES = (32, 48, 64, 96, 128, 160, 192, 224)
_SMALLEST, _LOOKED_AT = 28, 512
#: Sides that are found out divide by this, and the longer one is at most so many times the shorter.
_STEP, _LONGEST = 32, 2
_IMAGENET = ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))
_SHOWN = 10
#: What targets of a task are: how many axes, in words, and what to do about others.
_OF_TASKS = {
    SEGMENTATION: (
        (3, 4),
        "the class of each pixel, (N, H, W)",
        "take data with masks, such as dataset=masks or dataset=coins, which bring pipeline=segmentation, or "
        "another task",
    ),
    "regression": (
        (1, 2),
        "a number an item or several, (N,) or (N, M)",
        "take other targets or another task",
    ),
}
_ROWS = 65_536  # that are measured at once


def find_out(
    config: DictConfig, dataset: Any, training_data: Any, source: Source | None = None
) -> DictConfig:
    """Return the configuration with values in place of each ``auto``, and tell them in the log.

    Weights to begin with, the ``source``, want pictures of the mode and with the mean and deviation that
    they were trained with.
    """
    from omegaconf import OmegaConf

    _refuse_unknown(config)
    _refuse_targets(config, training_data)
    found: dict[str, Any] = {}
    config = copy.deepcopy(config)

    def keep(key: str, value: Any) -> Any:
        found[key] = value
        OmegaConf.update(config, key, value, merge=False, force_add=True)
        return value

    if "features" in config.dataset and config.dataset.features is None and hasattr(dataset, "features"):
        keep("dataset.features", [_literal(name) for name in dataset.features])
    for key in ("categories", "fills"):
        if key in config.dataset and (learnt := getattr(dataset, key, None)):
            keep(f"dataset.{key}", _literal(learnt))
    for key in ("mode", "mean", "std"):
        if source is not None and config.pipeline.get(key) == AUTO and source.value(key) is not None:
            keep(f"pipeline.{key}", source.value(key))
    if (labels := getattr(dataset, "mask_labels", None)) is not None:
        told = {key: _literal(getattr(labels, name)) for key, name in _OF_MASKS.items()}
        for key, value in {**told, "palette": list(dataset.palette)}.items():
            if key in config.dataset:  # sets that everybody knows don't take all of them
                keep(f"dataset.{key}", value)
    steps, maps = config.pipeline, config.task.get("name") == SEGMENTATION
    if maps and isinstance(steps.get("size"), int):
        keep("pipeline.size", [steps.size] * 2)
    if AUTO in (steps.get("mode"), steps.get("size")):
        sizes, channels = _look(dataset, training_data)
        if steps.get("mode") == AUTO:
            keep("pipeline.mode", "gray" if channels == 1 else "rgb")
        if steps.get("size") == AUTO:
            keep("pipeline.size", choose_sides(sizes) if maps else choose_side(sizes))
    if steps.get("load") == AUTO:
        at_hand = "images" in dataset.preloaded
        load = [] if at_hand else [{"load": {"fmt": "image", "mode": config.pipeline.mode}}]
        load += [{"load_masks": {"dst": "masks"}}] if hasattr(dataset, "mask_files") else []
        keep("pipeline.load", load)
    _find_statistics(config, training_data, keep, source is not None and source.is_published)
    _find_scale(config, training_data, keep)
    if config.get("class_weights") == BALANCED:
        keep("class_weights", balance(dataset, training_data))
    _tell(dataset, found)
    return config


def _literal(value: Any) -> Any:
    """Return texts of the data as the configuration holds them: nothing in them refers to anything."""
    if isinstance(value, Mapping):
        return {str(key): _literal(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_literal(part) for part in value]
    return value.replace("${", "\\${") if isinstance(value, str) else value


def _find_scale(config: DictConfig, training_data: Any, keep: Any) -> None:
    """Find mean and deviation of targets that are numbers, and by what they are learnt and measured."""
    from bf_pipeline import B, V

    if "std" not in config.task or (config.task.mean is None and config.task.std is None):
        return
    told = _read_targets(config)
    at_hand = isinstance(told, B) and told.name in training_data.preloaded
    if not at_hand:  # nothing is found out; a number that is given counts
        for key in ("mean", "std"):
            if config.task[key] == AUTO:
                keep(f"task.{key}", None)
        if config.task.mean is None and config.task.std is None:
            return
    found = {"mean": 0.0, "std": 1.0}
    if at_hand:
        values = np.asarray(training_data.rows(told.name, slice(0, len(training_data))), np.float64)
        deviation = values.std(axis=0)
        found = {"mean": values.mean(axis=0).tolist(), "std": np.where(deviation > 0, deviation, 1).tolist()}
    numbers = {}
    for key in ("mean", "std"):
        asked = config.task[key]
        if isinstance(asked, str) and asked != AUTO:
            raise ValueError(unknown("value", asked, [AUTO], f"task.{key}"))
        if asked == AUTO:
            asked = keep(f"task.{key}", found[key])
        numbers[key] = (
            {"mean": 0.0, "std": 1.0}[key]
            if asked is None
            else asked
            if isinstance(asked, int | float)
            else list(asked)
        )
    if (np.asarray(numbers["std"]) <= 0).any():
        raise ValueError(f"task.std must be above 0, got {numbers['std']!r}")
    keep("task.targets", f"=({told!r} - {numbers['mean']!r}) / {numbers['std']!r}")
    keep("task.predictions", f"={V('predictions')!r} * {numbers['std']!r} + {numbers['mean']!r}")


def _read_targets(config: DictConfig) -> Any:
    """Return what ``pipeline.targets`` means: mostly a component, ``B('labels')``."""
    from omegaconf import OmegaConf

    from bf_pipeline.yaml import read_expressions

    told = config.pipeline.targets  # or a text: '=B("labels") * 2'
    return read_expressions(OmegaConf.to_container(told, resolve=True) if OmegaConf.is_config(told) else told)


def _refuse_targets(config: DictConfig, training_data: Any) -> None:
    """Refuse one label an item where the class of each pixel is to be learnt, and masks where numbers are."""
    from bf_pipeline import B

    task = config.task.get("name")
    told = _read_targets(config) if task in _OF_TASKS else None
    if not isinstance(told, B) or told.name not in training_data.preloaded:
        return
    axes, learnt, advice = _OF_TASKS[task]
    shape = np.shape(training_data.rows(told.name, slice(0, 1)))
    if len(shape) not in axes:
        raise ValueError(
            f"task={task} learns {learnt}, and pipeline.targets, {told!r}, have the shape "
            f"{('N', *shape[1:])}: {advice}"
        )


def _refuse_unknown(config: DictConfig) -> None:
    """Refuse texts that mean nothing."""
    for key, known in (("size", [AUTO]), ("mode", [AUTO, "gray", "rgb", "rgba"]), ("load", [AUTO])):
        value = config.pipeline.get(key)
        if isinstance(value, str) and value not in known:
            raise ValueError(unknown("value", value, known, f"pipeline.{key}"))
    for key in ("mean", "std"):
        value = config.pipeline.get(key)
        if isinstance(value, str) and value not in (AUTO, IMAGENET):
            raise ValueError(unknown("value", value, [AUTO, IMAGENET], f"pipeline.{key}"))
    weights = config.get("class_weights")
    if isinstance(weights, str) and weights != BALANCED:
        raise ValueError(unknown("value", weights, [BALANCED], "class_weights"))


def _look(dataset: Any, training_data: Any) -> tuple[np.ndarray, int]:
    """Return (height, width) of pictures, and 1 if all are grey, else 3."""
    if "images" in dataset.preloaded:
        one = np.asarray(training_data.rows("images", slice(0, 1)))[0]
        return np.array([one.shape[:2]]), 1 if one.ndim == 2 else one.shape[2]
    if (sizes := getattr(dataset, "sizes", None)) is not None:
        return sizes, dataset.channels
    from bf_batch.opensets.own.pictures import look_at

    if not hasattr(training_data.index, "fullpath"):
        raise ValueError(
            f"{type(dataset).__name__} has neither pictures at hand nor files; say pipeline.size=... and "
            "pipeline.mode=gray or rgb"
        )
    seen = look_at(training_data.index.subset(_spread(len(training_data))), "raise", type(dataset).__name__)
    return seen.sizes, seen.channels


def choose_side(sizes: np.ndarray) -> int:
    """Return the side of square pictures to train with: that of all, or a usual one that half have."""
    shorter = int(np.median(np.min(sizes, axis=1)))
    if (sizes == sizes[0, 0]).all() and _SMALLEST <= shorter <= _SIDES[-1]:
        return shorter
    return max((side for side in _SIDES if side <= shorter), default=_SIDES[0])


def choose_sides(sizes: np.ndarray) -> list[int]:
    """Return height and width to train with: those of all, or of a usual shorter side and the usual shape."""
    height, width = (int(side) for side in np.median(sizes, axis=0))
    if (sizes == sizes[0]).all() and min(height, width) >= _SMALLEST and max(height, width) <= _SIDES[-1]:
        return [height, width]
    shorter = max((side for side in _SIDES if side <= min(height, width)), default=_SIDES[0])
    ratio = min(max(height, width) / min(height, width), _LONGEST)
    longer = round(shorter * ratio / _STEP) * _STEP
    return [shorter, max(longer, shorter)] if height <= width else [max(longer, shorter), shorter]


def _spread(count: int) -> np.ndarray:
    """Return positions of some items, all over the data."""
    return np.unique(np.linspace(0, count - 1, min(count, _LOOKED_AT)).astype(np.int64))


def _find_statistics(config: DictConfig, training_data: Any, keep: Any, published: bool) -> None:
    """Find mean and deviation of the channels of pictures, or of the columns of rows."""
    asked = {key: config.pipeline.get(key) for key in ("mean", "std")}
    texts = {key: value for key, value in asked.items() if isinstance(value, str)}
    if not texts:
        return
    pictures = "images" in training_data.batch_class.components
    statistics: Sequence[Any]
    if pictures and (published or IMAGENET in texts.values()):
        grey = config.pipeline.get("mode") == "gray"
        statistics = [name_statistics(key, IMAGENET, grey) for key in ("mean", "std")]
    else:
        statistics = measure_pictures(config, training_data) if pictures else measure_rows(training_data)
    for key, values in zip(("mean", "std"), statistics, strict=True):
        if key in texts:
            keep(f"pipeline.{key}", [_round(value) for value in values])


def name_statistics(key: str, name: str, grey: bool) -> list[float]:
    """Return mean or deviation of the channels of a published data set by its name."""
    if name != IMAGENET:
        raise ValueError(unknown("value", name, [AUTO, IMAGENET], f"pipeline.{key}"))
    values = _IMAGENET[("mean", "std").index(key)]
    return [float(np.mean(values))] if grey else list(values)


def _round(value: Any) -> float:
    return float(f"{float(value):.9g}")


def measure_rows(training_data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of the columns of all rows; the deviation of a constant one is 1.

    Of signals they are those of the channels.
    """
    from bf_batch import Normalizer, Statistics

    statistics, count = Statistics(), len(training_data)
    name = "signals" if "signals" in training_data.batch_class.components else "features"
    for start in range(0, count, _ROWS):
        positions = slice(start, min(start + _ROWS, count))
        rows = np.asarray(training_data.rows(name, positions), np.float64)
        if name == "signals" and rows.ndim == 2:
            rows = rows[..., None]
        if not (good := np.isfinite(rows)).all():
            row = start + int(np.flatnonzero(~good.reshape(len(rows), -1).all(axis=1))[0])
            item = training_data.indices[row]
            raise ValueError(f"{name}: the item {item!r} has a number that is not finite")
        statistics.add(rows)
    mean, deviation = _found(Normalizer.from_statistics(statistics))
    hot = np.asarray(getattr(training_data, "one_hot", np.zeros(np.shape(mean), bool)))  # 0 and 1 stay so
    return np.where(hot, 0.0, mean), np.where(hot, 1.0, deviation)


def measure_pictures(config: DictConfig, training_data: Any) -> tuple[np.ndarray, np.ndarray]:
    """Return mean and deviation of the channels over some pictures, in the units of ``normalize``.

    Each picture counts alike, whatever its size.
    """
    from omegaconf import OmegaConf

    from bf_batch import Normalizer, Statistics
    from bf_pipeline import build

    told = config.pipeline.load  # null: no steps
    load = OmegaConf.to_container(told, resolve=True) if OmegaConf.is_config(told) else told or []
    some = training_data.subset(_spread(len(training_data)))
    if len(some) < len(training_data):
        log.info(
            "mean and std are those of %d pictures spread over the %d to train on",
            len(some),
            len(training_data),
        )
    statistics = Statistics(relative=True)
    for batch in (build({"steps": load}, where="pipeline.load") << some).gen_batch(
        min(32, len(some)), n_epochs=1
    ):
        for picture in batch.images:
            pixels = np.asarray(picture)
            statistics.add(pixels if pixels.ndim == 3 else pixels[..., None], weight=1)
    return _found(Normalizer.from_statistics(statistics))


def _found(normalizer: Any) -> tuple[np.ndarray, np.ndarray]:
    return np.array(normalizer.mean), np.array(normalizer.std)


def balance(dataset: Any, training_data: Any) -> list[float]:
    """Return weights by which all classes count alike: items / (classes * items of the class).

    Pixels are what is counted where data have masks.
    """
    counts = _count_items(dataset, training_data)
    total = int(counts.sum())
    return [_round(total / (len(counts) * number)) if number else 1.0 for number in counts.tolist()]


def _count_items(dataset: Any, training_data: Any) -> np.ndarray:
    """Return how many items, or pixels, of each class there are to train on."""
    classes = getattr(dataset, "num_classes", None)
    if classes is not None and getattr(dataset, "pixels", None) is not None:
        rows = dataset.index.positions(training_data.indices)
        return np.asarray(dataset.pixels[rows].sum(axis=0))
    name = next((name for name in ("labels", "masks") if name in dataset.preloaded), None)
    if classes is None or name is None:
        raise ValueError(
            "class_weights=balanced needs labels of classes that are at hand, or masks that are read at the "
            "start (dataset.scan=true); give a list of weights, one for each class"
        )
    counts = np.zeros(classes, np.int64)
    for start in range(0, len(training_data), _LOOKED_AT):
        rows = slice(start, min(start + _LOOKED_AT, len(training_data)))
        some = np.asarray(training_data.rows(name, rows)).reshape(-1)
        counts += np.bincount(some, minlength=classes)[:classes]  # what takes no part in masks is above
    return counts


def _tell(dataset: Any, found: Mapping[str, Any]) -> None:
    """Log what was found out."""
    names = getattr(dataset, "classes", None)
    if names and found:
        more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
        log.info("%d classes: %s%s", len(names), escape(", ".join(names[:_SHOWN])), more)
    if found:
        log.info("found out: %s", escape(", ".join(f"{key}={_show(value)}" for key, value in found.items())))


def _show(value: Any) -> str:
    if isinstance(value, Mapping) and len(value) > _SHOWN:
        return f"{len(value)} of them"
    if isinstance(value, list) and len(value) > _SHOWN:
        return f"[{', '.join(map(str, value[:_SHOWN]))}, ... {len(value)} in all]"
    return str(value).replace("'", "")
