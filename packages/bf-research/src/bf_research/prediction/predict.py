"""The command ``predict.py``: what it predicts for, and where it writes."""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from bf_index import FilesIndex
from bf_index.errors import escape, unknown
from bf_index.names import TargetError
from bf_pipeline.redaction.texts import MASK
from bf_research import targets
from bf_research.launcher.hydra_private import task_overrides
from bf_research.prediction.bare import fill_in, needs_network
from bf_research.prediction.exporting import Exported, export_trained
from bf_research.prediction.inputs import refuse_inputs
from bf_research.prediction.predictor import Predictor, find_shape, load_model
from bf_research.prediction.steps import SECTIONS
from bf_research.prediction.tables import check_out, open_table
from bf_research.recipe.data import split_fold
from bf_research.recipe.names import hydra_part
from bf_research.recipe.pipelines import as_plain
from bf_research.trained import CONFIG, NoModel, Trained, find_trained
from bf_research.trusted import trusted_packages

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

#: Options of data sets that say where downloads are written.
_WRITTEN_TO = ("folder",)
_SHOWN = 5


@dataclass(frozen=True)
class Written:
    """The end of a prediction: how many items, where they are, how long it took."""

    path: Path
    items: int
    left_out: int
    seconds: float

    def __str__(self) -> str:
        left = f", {self.left_out} left out" if self.left_out else ""
        return f"{self.items} predictions{left} in {self.seconds:.0f} s: {self.path}"


def predict(config: DictConfig) -> Written | Exported:
    """Predict as a configuration says (see ``conf/predict.yaml``) and write a table, or pictures.

    Wrong names, data and places are errors before anything is predicted. With ``export`` the network is
    written for other programs instead.
    """
    from omegaconf import OmegaConf

    began = time.monotonic()
    allow = trusted_packages(config, hydra_part())
    out = Path(str(config.out)).expanduser()
    if config.export is None:
        check_out(out)
    trained = find_trained(str(config.run), config.tracking.uri, bool(config.unfinished))
    if config.export is not None:
        return export_trained(trained, str(config.export), allow=allow, classes=config.classes)
    _check_steps(config, trained)
    if not config.task:  # what files of data sets refer to
        task = trained.config.get("task") or {"name": "classification"}
        config = cast("DictConfig", OmegaConf.merge(config, {"task": task}))
    given = as_plain(config.dataset) or {}
    data, known = make_data(trained, given, config.part, allow)
    if len(data) == 0:
        raise ValueError("dataset: there are no items to predict for")
    refuse_inputs(out, {**(trained.config.get("dataset") or {}), **given}, data)
    predictor = _make_predictor(config, trained, data, allow)
    options = {"prefetch": config.prefetch, "engine": config.engine, "bar": config.bar}
    count, known = 0, known and predictor.knows(data)
    with open_table(out, predictor.classes, predictor.legend, predictor.tells_again) as table:
        for predicted in predictor.predict(data, config.batch_size, known, **options):
            table.write(predicted)
            count += len(predicted.ids)
    return Written(out, count, len(data) - count, time.monotonic() - began)


def _check_steps(config: DictConfig, trained: Trained) -> None:
    """Refuse steps for a model that has those of its training, and a bare model without."""
    has = bool(trained.config.get("pipeline"))
    if has and _names_steps(config):
        raise ValueError(
            f"{trained.shown}: pipeline=... is for a model file alone: beside this one stands the {CONFIG} "
            "of its training, whose steps are what it was trained with; leave pipeline out, or copy the "
            "model file elsewhere to give it other steps"
        )
    if not has and not config.pipeline:
        raise NoModel(
            f"{trained.shown}: no configuration of its training stands beside the model, so that its "
            "steps are not known; name the run's folder, or give them: pipeline=NAME dataset=NAME"
        )


def _names_steps(config: DictConfig) -> bool:
    """Say whether the person gave ``pipeline``: the file of a data set chooses one as well, for trainings."""
    if (hydra := hydra_part()) is not None:
        return any(text.lstrip("+~").startswith(("pipeline=", "pipeline.")) for text in task_overrides(hydra))
    return bool(config.pipeline) and "_target_" not in (config.dataset or {})


def _make_predictor(config: DictConfig, trained: Trained, data: Any, allow: Sequence[str]) -> Predictor:
    """Return what predicts: with names of classes that the command gives, and steps for a bare model."""
    if config.classes is not None:
        trained = replace(trained, classes=tuple(config.classes))
    if trained.config.get("pipeline"):
        return Predictor(trained, allow)
    model = None
    if needs_network(config.pipeline, trained):
        model = load_model(trained, allow)
        config = fill_in(config, data, find_shape(model))
    given = config.pipeline
    steps = {key: as_plain(given[key]) for key in ("inputs", *SECTIONS) if given.get(key) is not None}
    return Predictor(replace(trained, config={**trained.config, "pipeline": steps}), allow, model)


def make_data(
    trained: Trained, given: Mapping[str, Any], part: str | None, allow: Sequence[str]
) -> tuple[Any, bool]:
    """Return what to predict for, and whether it may have the right answers.

    ``given`` changes options of the data set that was trained on, or with ``_target_`` takes its place. With
    a path of its own that is all that is found there, without labels; else the part ``test``.
    """
    recorded = trained.config.get("dataset") or {}
    options = dict(given) if "_target_" in given else {**recorded, **given}
    if not options:
        raise NoModel(
            f"{trained.shown}: it is not known what it was trained on: dataset=NAME says what to read"
        )
    for name, value in options.items():
        if name not in given:
            _check_recorded(trained, name, value)
    if "_target_" not in options:
        raise ValueError(
            f"{trained.shown}: it is not known what it was trained on, so that dataset.{min(options)}=... "
            "says too little: dataset=NAME names the kind of data, such as dataset=image_folder"
        )
    options, _ = split_fold(options, allow)  # predictions are of whole parts, whatever was validated on
    path, rest = targets.split(options, "dataset")
    unlabelled = getattr(targets.resolve(path, "dataset", allow, "dataset"), "unlabelled", None)
    if unlabelled is None and "path" in given and "path" not in recorded:
        _refuse_files(trained)
    if unlabelled is not None and "path" in given and part is None:
        data = unlabelled(**rest)
        if isinstance(data.index, FilesIndex):
            _refuse_files(trained)
        return data, False
    dataset = targets.build(options, "dataset", allow)
    if isinstance(dataset.index, FilesIndex):
        _refuse_files(trained)
    _check_classes(trained, dataset)
    try:
        return getattr(dataset, part or "test"), True
    except AttributeError as error:
        raise ValueError(f"part={part or 'test'}: {error}") from None


def _refuse_files(trained: Trained) -> None:
    """Refuse files for a network whose steps read none: it was trained on arrays."""
    steps = trained.config.get("pipeline")
    if not isinstance(steps, Mapping):
        return
    names = [name for key in ("load", "prepare") for step in steps.get(key) or () for name in step]
    if not any(str(name).startswith("load") for name in names):
        raise ValueError(
            f"{trained.shown}: it was trained on arrays in memory, and its steps read no files; copy "
            f"{escape(trained.model)} elsewhere and give it steps that do: run=COPY pipeline=photos "
            "pipeline.mean=0 pipeline.std=1 dataset=image_folder dataset.path=..., or train on files"
        )


def _check_recorded(trained: Trained, name: str, value: Any) -> None:
    """Refuse what a run's folder, perhaps of another person, may not say or does not know."""
    if isinstance(value, str) and MASK in value:
        raise ValueError(
            f"{trained.shown}: dataset.{name} is a secret or came from the environment, and is not in the "
            f"record; give it again: dataset.{name}=..."
        )
    if name in _WRITTEN_TO and value is not None and not _stays(str(value)):
        raise TargetError(
            f"{trained.shown}: dataset.{name}: {value!r} is refused: it is written outside of the "
            f"working folder; if you trust it, say dataset.{name}={value}"
        )


def _stays(path: str) -> bool:
    return not path.startswith(("/", "~")) and os.path.normpath(path).split(os.sep)[0] != os.pardir


def _check_classes(trained: Trained, dataset: Any) -> None:
    """Refuse labels of classes that the model does not know."""
    classes = getattr(dataset, "classes", None)
    if classes is None or trained.classes is None:
        return
    names = [str(name) for name in classes]
    strange = [name for name in names if name not in trained.classes]
    if strange:
        raise ValueError(
            unknown("class", strange[0], trained.classes, trained.shown)
            + f"; the data have {len(strange)} classes that the model does not know, such as "
            f"{', '.join(map(repr, strange[:_SHOWN]))}: dataset.path=FOLDER predicts without their labels"
        )
