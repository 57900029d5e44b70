"""The data of a training: which part is trained on, and which one is validated on."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from bf_index.errors import unknown
from bf_index.seeding import rng_at
from bf_research import targets

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: The address of the random numbers that choose what is validated on, apart from all others.
_VALIDATION = 11
#: By what a network sees of the data: where data of one's own have it, and the pipeline that reads it.
_SEEN = {
    "features": ("rows are dataset=csv, or dataset=npy with an array (n, columns)", "tabular"),
    "images": ("pictures are dataset=files, or dataset=npy with an array (n, height, width, ...)", "photos"),
    "signals": ("arrays of signals are dataset=signals", "signals"),
}
VALIDATION_KEYS = ("share", "part", "every", "metrics", "batch_size")


class Fold(NamedTuple):
    """One of several equal parts of the training data, which is validated on in place of the usual part."""

    number: int
    parts: int


def split_fold(options: Mapping[str, Any], allow: Sequence[str] = ()) -> tuple[dict[str, Any], Fold | None]:
    """Return the options of a data set without ``fold`` and ``folds``, and the fold that they name, if any.

    A class of data sets that has options of these names keeps them. ``ValueError`` for a fold that there is
    not.
    """
    rest = {name: value for name, value in options.items() if name not in ("fold", "folds")}
    if len(rest) == len(options):
        return rest, None
    path, _ = targets.split(dict(options), "dataset")
    own = inspect.signature(targets.resolve(path, "dataset", allow, "dataset")).parameters
    if "fold" in own or "folds" in own:
        return dict(options), None
    number, count = options.get("fold"), options.get("folds", 5)
    if isinstance(count, bool) or not isinstance(count, int) or count < 2:
        raise ValueError(f"dataset.folds must be a whole number above 1, got {count!r}")
    if number is None:
        return rest, None
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < count:
        raise ValueError(
            f"dataset.fold must be 0 to {count - 1} with dataset.folds={count}, or null, got {number!r}"
        )
    return rest, Fold(number, count)


def make_dataset(options: Mapping[str, Any], allow: Sequence[str] = ()) -> tuple[Any, Fold | None]:
    """Build the data set of a configuration; return it and the fold to validate on, if one is named."""
    rest, fold = split_fold(options, allow)
    return targets.build(rest, "dataset", allow), fold


def split_validation(config: DictConfig, dataset: Any, fold: Fold | None = None) -> tuple[Any, Any]:
    """Return the data to train and to validate on; the latter is None without ``validation``.

    ``validation.part`` names a part of the data set; ``validation.share`` takes a share of the training data,
    stratified where labels are at hand, by a seed of its own. ``part: auto`` is the part ``validation`` of a
    data set that has one, else the share. A ``fold`` of the training data takes the place of these.
    """
    options = read_section(config, "validation", VALIDATION_KEYS)
    if fold is not None:
        return _split_fold(config, dataset, fold, options)
    if options is None:
        return dataset.train, None
    part = options.get("part")
    if part == "auto" and hasattr(dataset, "validation"):
        part = "validation"
    if part not in (None, "auto"):
        part = str(part)
        try:
            return dataset.train, getattr(dataset, part)
        except AttributeError as error:
            raise ValueError(f"validation.part={part}: {error}") from None
    share = options.get("share", 0.1)
    if isinstance(share, bool) or not isinstance(share, int | float) or not 0 < share < 1:
        raise ValueError(f"validation.share must be above 0 and below 1, got {share!r}")
    seed = int(rng_at(config.seed, _VALIDATION).integers(2**31))
    labels = _name_labels(dataset)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "split: too few items to stratify")
        try:
            split = dataset.train.split(1 - share, shuffle=True, seed=seed, stratify=labels)
        except UserWarning as error:
            raise ValueError(
                f"validation.share={share:g} of {len(dataset.train)} items leaves classes out ('test' is "
                f"what is validated on): {error}; or name a part of the data by validation.part"
            ) from None
    if len(split.test) == 0:
        raise ValueError(
            f"validation.share={share:g} of {len(dataset.train)} items is none; give a larger share, or "
            "validation=null"
        )
    return split.train, split.test


def _split_fold(
    config: DictConfig, dataset: Any, fold: Fold, options: Mapping[str, Any] | None
) -> tuple[Any, Any]:
    """Return what a fold leaves to train on, and the fold; the same parts for each of its numbers."""
    what = f"dataset.fold={fold.number}"
    if options is None:
        raise ValueError(f"{what} says what to validate on, and validation=null is for none; leave one out")
    if options.get("part") not in (None, "auto"):
        raise ValueError(f"{what} and validation.part={options['part']} both say what to validate on")
    if len(dataset.train) < fold.parts:
        raise ValueError(f"dataset.folds={fold.parts}: there are {len(dataset.train)} items to train on")
    seed = int(rng_at(config.seed, _VALIDATION).integers(2**31))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", "folds: too few items to stratify")
        try:
            folds = dataset.train.folds(fold.parts, shuffle=True, seed=seed, stratify=_name_labels(dataset))
        except UserWarning as error:
            raise ValueError(f"dataset.folds={fold.parts}: {error}") from None
    return folds[fold.number].train, folds[fold.number].test


def _name_labels(dataset: Any) -> str | None:
    """Return the component that holds the class of each item; None without one.

    Labels that are numbers to tell, or a yes or no of each class, are none.
    """
    if "labels" not in dataset.preloaded:
        return None
    first = np.asarray(dataset.rows("labels", slice(0, 1)))
    return None if first.dtype.kind == "f" or first.ndim > 1 else "labels"


def refuse_inputs(config: DictConfig, dataset: Any) -> None:
    """Refuse a pipeline for other data than there are: ValueError tells which go together."""
    from omegaconf import OmegaConf

    from bf_pipeline import B
    from bf_pipeline.yaml import read_expressions

    told = config.pipeline.get("inputs")
    if OmegaConf.is_config(told):
        told = OmegaConf.to_container(told, resolve=True)
    told = read_expressions(told)
    has = getattr(dataset.batch_class, "components", None) or ()
    if not isinstance(told, B) or told.name not in _SEEN or told.name in has:
        return
    steps = OmegaConf.to_container(config.pipeline, resolve=False)
    made = any(told.name in str(steps.get(key)) for key in ("load", "augment", "prepare"))  # type: ignore[union-attr]
    instead = [_SEEN[name][1] for name in has if name in _SEEN]
    if made or not instead:
        return  # a step may give batches what they lack
    raise ValueError(
        f"pipeline.inputs are {told!r}, and batches of the data have {', '.join(has)}: "
        f"{_SEEN[told.name][0]}; to learn from these data: pipeline={instead[0]}"
    )


def read_section(config: DictConfig, key: str, known: tuple[str, ...]) -> dict[str, Any] | None:
    """Return a section of settings as a dict, None for null; ``ValueError`` for a key that it has not."""
    from omegaconf import OmegaConf

    found = config.get(key)
    if found is None:
        return None
    plain = OmegaConf.to_container(found, resolve=True) if OmegaConf.is_config(found) else found
    if not isinstance(plain, dict):
        raise ValueError(f"{key} must be null or a mapping such as {{{known[0]}: ...}}, got {plain!r}")
    for name in plain:
        if name not in known:
            raise ValueError(unknown("setting", str(name), known, key))
    return {str(name): value for name, value in plain.items()}
