"""A trained network with the steps of its training: raw data in, names of classes and probabilities out."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from inspect import signature
from typing import Any

import numpy as np

from bf_batch import Batch, Dataset
from bf_index.errors import escape
from bf_pipeline import B, Pipeline, V
from bf_research import targets
from bf_research.prediction.arithmetic import Arithmetic, find_arithmetic, find_component
from bf_research.prediction.maps import (
    SIZES,
    find_moves,
    label_maps,
    note_sizes,
    read_legend,
    share_out,
)
from bf_research.prediction.steps import SECTIONS, find_inputs, make_steps
from bf_research.trained import RECONSTRUCTION, Trained

_MODEL, _VALUES, _KNOWN = "net", "predicted", "known"
_ANY_MODEL = "bf_models.KerasModel"
_SHOWN = 3
_SEGMENTATION, _AXES_OF_MAPS = "segmentation", 4
_BATCH, _BATCH_OF_MAPS = 250, 16

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Predicted:
    """What was predicted for the items of a batch.

    ``values`` are names of classes, or numbers where there are no classes; or one array of them an item.
    ``shares`` has a probability for each item and class, None without classes. Where the class of each pixel
    is predicted (``maps``), ``values`` are arrays (height, width) of numbers of classes, and ``shares`` what
    part of the pixels each class has. Items that are told again are arrays in the unit of the data, ``bytes``
    where they are pictures of bytes.
    """

    batch: Batch
    ids: Sequence[Any]
    values: Any
    shares: np.ndarray | None = None
    known: Any = None
    maps: bool = False
    bytes: bool = False


class Predictor:
    """A trained model, the steps that prepare data for it, and the names of its classes.

    ``allow`` names packages of the user's own that its configuration may name; ``model`` is the model, if it
    is loaded already.
    """

    def __init__(self, trained: Trained, allow: Sequence[str] = (), model: Any = None) -> None:
        self.trained, self.allow = trained, tuple(allow)
        self.inputs, self.targets = find_inputs(trained)
        self._steps = {known: self._make_steps(known) for known in (False, True)}
        self.model = load_model(trained, self.allow) if model is None else model
        self.classes = trained.classes
        self._shape = find_shape(self.model)
        self._scale = read_scale(trained)
        self._before = self._find_before()
        self._check_classes()
        self.legend = read_legend(trained, self.classes) if self.classes and self._tells_pixels() else None
        self._moves = find_moves(trained)
        if self.legend is not None and self._moves:
            log.warning(
                "%s: %s in its steps cannot be undone, so masks have the size that the network sees, not "
                "that of the pictures; resize can",
                trained.shown,
                ", ".join(dict.fromkeys(self._moves)),
            )

    @property
    def batch_size(self) -> int:
        """How many items go through the network at once, if nobody says."""
        return _BATCH if self.legend is None else _BATCH_OF_MAPS

    @property
    def tells_again(self) -> bool:
        """Whether predictions are the items themselves, told again."""
        told = self.trained.config.get("task")
        return isinstance(told, Mapping) and told.get("name") == RECONSTRUCTION

    def _find_before(self) -> Arithmetic | None:
        """Return the arithmetic of the preparation, which items that are told again go back through."""
        name = find_component(self.trained) if self.tells_again else None
        if name is None or self._shape is None:
            return None
        found = find_arithmetic(self.trained, name, self._shape)
        return found if found.inside else None

    def _make_steps(self, known: bool) -> tuple[Pipeline, Pipeline]:
        """Return the steps that load and those that prepare; without right answers they leave these alone."""
        inputs, answers = (getattr(one, "name", None) for one in (self.inputs, self.targets))
        without = None if known or answers == inputs else answers
        load, prepare = (make_steps(self.trained, section, without) for section in SECTIONS)
        return load, prepare

    def _tells_pixels(self) -> bool:
        """Whether there is a class for each place of a map."""
        outputs = getattr(getattr(self.model, "network", None), "output_shape", None)
        told = self.trained.config.get("task")
        named = isinstance(told, Mapping) and told.get("name") == _SEGMENTATION
        return len(outputs) == _AXES_OF_MAPS if isinstance(outputs, tuple) else named

    def _check_classes(self) -> None:
        network = getattr(self.model, "network", None)
        outputs = getattr(network, "output_shape", None)
        if self.classes is None or not isinstance(outputs, tuple):
            return
        if outputs[-1] not in (len(self.classes), 1):
            raise ValueError(
                f"{self.trained.shown}: the network has {outputs[-1]} outputs, and there are "
                f"{len(self.classes)} names of classes beside it; these files are not of one training"
            )

    def knows(self, dataset: Dataset) -> bool:
        """Whether a data set has the right answers at hand; masks are not written beside predicted ones."""
        return self.legend is None and isinstance(self.targets, B) and self.targets.name in dataset.preloaded

    def read(self, dataset: Dataset, known: bool = False) -> Pipeline:
        """Return the pipeline that predicts for a data set; ``known``: with the right answers it has."""
        fetches = (
            {"values": "predictions"} if self.classes is None else {"values": "labels", "shares": "proba"}
        )
        if self.legend is not None:
            fetches = {"shares": "proba"}
        load, prepare = self._steps[known]
        pipeline = Pipeline().init_variable(_VALUES).init_variable(_KNOWN).import_model(_MODEL, self.model)
        pipeline = pipeline + load
        if self.legend is not None and not self._moves:
            pipeline = pipeline.call(note_sizes, B())
        pipeline = (pipeline + prepare).call(self._check, self.inputs, B(), in_parent=True)
        pipeline = pipeline.predict_model(_MODEL, self.inputs, fetches=fetches, save_to=V(_VALUES))
        if known:
            pipeline = pipeline.update(V(_KNOWN), self.targets)
        return pipeline << dataset

    def predict(
        self, dataset: Dataset, batch_size: int | None = None, known: bool = False, **options: Any
    ) -> Iterator[Predicted]:
        """Yield predictions batch by batch; ``options`` are those of a run, such as ``prefetch``."""
        names = getattr(dataset, "classes", self.classes)  # some of the model's may be lacking in the data
        size = min(batch_size or self.batch_size, len(dataset))
        with closing(self.read(dataset, known).gen_batch(size, **options)) as batches:
            for batch in batches:
                values = batches.v(_VALUES)
                found = batches.v(_KNOWN) if known else None
                if self.legend is not None:
                    yield self._map(batch, np.asarray(values["shares"]))
                else:
                    yield self._name(batch, values["values"], values.get("shares"), found, names)

    def _map(self, batch: Batch, proba: np.ndarray) -> Predicted:
        """Bring labels of pixels to the sizes of the pictures."""
        assert self.classes is not None, "who has a legend has classes"
        sizes = getattr(batch, SIZES) if SIZES in batch.components else None
        maps = label_maps(proba, sizes)
        shares = share_out(maps, len(self.classes))
        return Predicted(batch, batch.indices.tolist(), maps, shares, maps=True)

    def _name(self, batch: Batch, values: Any, shares: Any, known: Any, names: Any) -> Predicted:
        """Give numbers of classes their names; ``names`` are those of the classes of the data."""
        ids = batch.indices.tolist()
        if self._before is not None:
            bytes = find_component(self.trained) == "images"
            return Predicted(batch, ids, self._before.undo(values), None, known, bytes=bytes)
        if self.classes is None:
            return Predicted(batch, ids, self._in_unit(np.asarray(values)), None, known)
        values, shares = np.asarray(values), np.asarray(shares)
        if len(self.classes) == 2 and shares.shape[1:] in ((), (1,)):  # one yes or no
            yes = shares.reshape(len(ids))
            values, shares = values.reshape(len(ids)), np.stack([1 - yes, yes], axis=1)
        if values.ndim > 1:
            return Predicted(batch, ids, values, shares if shares.shape == values.shape else None, known)
        named = None if known is None else _name_numbers(known, names)
        return Predicted(batch, ids, _name_numbers(values, self.classes), shares, named)

    def _in_unit(self, values: Any) -> Any:
        """Return numbers that were learnt scaled in the unit of the data."""
        if self._scale is None:
            return values
        mean, deviation = self._scale
        return (values.astype(np.float64) * deviation + mean).astype(np.float32)

    def _check(self, array: Any, batch: Batch) -> None:
        """Refuse arrays of another shape than the network takes, and name the first item."""
        shape = self._shape
        found = getattr(array, "shape", None)
        if shape is None or found is None or isinstance(array, Mapping):
            return
        if _fits(tuple(found[1:]), shape):
            return
        ids = [escape(id) for id in batch.indices.tolist()[:_SHOWN]]
        more = ", ..." if len(batch) > _SHOWN else ""
        name = ", ".join(ids) + more
        if len(found) == len(shape) + 1 and len(shape) > 2 and found[-1] != shape[-1]:
            what = f"{found[-1]} channels, and the network takes {shape[-1]}"
            advice = "load pictures of that many (load: {mode: gray} or rgb), or train on such as these"
        else:
            what = f"the shape {tuple(found[1:])}, and the network takes {shape}"
            advice = "give data such as it was trained on"
        raise ValueError(
            f"{name}: after the steps load and prepare of {self.trained.shown} an item has {what}; {advice}"
        )


def _name_numbers(numbers: Any, names: Sequence[Any]) -> Any:
    """Return names of classes by their numbers, numbers as they are where there is no such class."""
    return [
        str(names[number]) if isinstance(number, int) and 0 <= number < len(names) else number
        for number in np.asarray(numbers).tolist()
    ]


def read_scale(trained: Trained) -> tuple[Any, Any] | None:
    """Return mean and deviation by which targets were scaled, None where they were not."""
    task = trained.config.get("task")
    told = [task.get(key) for key in ("mean", "std")] if isinstance(task, Mapping) else [None, None]
    if told == [None, None]:
        return None
    try:
        mean, deviation = (
            np.asarray(value if value is not None else default, np.float64)
            for value, default in zip(told, (0, 1))
        )
    except (TypeError, ValueError) as error:
        raise ValueError(f"{trained.shown}: task.mean and task.std are no numbers: {told!r:.80}") from error
    return mean, deviation


def load_model(trained: Trained, allow: Sequence[str]) -> Any:
    """Load the model of a run by the class that its configuration names, any of bf_models without one."""
    told = trained.config.get("model") or {}
    path = told.get("_target_", _ANY_MODEL) if isinstance(told, Mapping) else _ANY_MODEL
    model_class = targets.resolve(path, "model", allow, "model._target_")
    takes = signature(model_class.load).parameters
    options: dict[str, Any] = {"allow": tuple(allow)} if "allow" in takes else {}
    if "config" in takes:  # what belongs to the machine that trained
        options["config"] = {"device": None, "strategy": None}
    return model_class.load(trained.model, **options)


def find_shape(model: Any) -> tuple[int | None, ...] | None:
    """Return the shape of an item that a network takes; None for several inputs and other models."""
    shape = getattr(getattr(model, "network", None), "input_shape", None)
    return tuple(shape[1:]) if isinstance(shape, tuple) else None


def _fits(found: tuple[int, ...], shape: tuple[int | None, ...]) -> bool:
    """Whether items of a shape may go into the network; the axis of one channel may be left out."""
    if len(found) == len(shape) - 1 and shape[-1] == 1:
        found = (*found, 1)
    return len(found) == len(shape) and all(
        want is None or have == want for have, want in zip(found, shape, strict=True)
    )
