"""What MLflow calls when it loads a kept model: raw data in, names of classes and probabilities out.

``mlflow models serve`` and ``mlflow.pyfunc.load_model`` find ``_load_pyfunc`` by the name of this module.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from bf_batch import Dataset
from bf_index import FilesIndex
from bf_index.errors import escape
from bf_pipeline import B
from bf_research import targets
from bf_research.prediction.predictor import Predicted, Predictor
from bf_research.prediction.steps import find_inputs, reads_files
from bf_research.prediction.tables import ID, list_columns
from bf_research.trained import NoModel, Trained, find_trained, read_text

#: The column of files as bytes, where the steps of the training read files.
FILE = "file"
#: The column of predicted masks, the bytes of PNG files.
MASK = "mask"
#: Where a kept model says of which class batches are.
SERVED = "served.json"
#: Packages of the user's own that the configuration may name, with commas; no model says them itself.
TARGETS = "BF_TARGETS"


def find_component(trained: Trained) -> str:
    """Return what is given to predict: the component of raw data, or ``file`` where the steps read files."""
    if reads_files(trained):
        return FILE
    inputs, _ = find_inputs(trained)
    if isinstance(inputs, B) and inputs.name is not None:
        return inputs.name
    raise NoModel(f"{trained.shown}: the network predicts from {inputs!r}, which is no component of a batch")


class ServedModel:
    """A kept model that answers requests; ``batch_size`` items go through the network at once."""

    def __init__(self, trained: Trained, allow: tuple[str, ...] = (), batch_size: int | None = None) -> None:
        self._predictor, self._component = Predictor(trained, allow), find_component(trained)
        self._batch_size = batch_size
        self._batch_class = _find_batch_class(trained, allow)

    def predict(self, model_input: Any, params: Mapping[str, Any] | None = None) -> Any:
        """Return a table with a row an item: ``prediction``, and a probability for each class.

        Where the class of each pixel is predicted it has ``mask``, the bytes of a PNG file as large as the
        picture, and the share of each class. ``model_input`` is an array, or a table with the column
        ``file``.
        """
        import pandas

        with self._read(model_input) as dataset:
            parts = [
                pandas.DataFrame(self._answer(predicted))
                for predicted in self._predictor.predict(dataset, self._batch_size)
            ]
        return pandas.concat(parts, ignore_index=True).drop(columns=ID)

    def _answer(self, predicted: Predicted) -> dict[str, Any]:
        """Return the columns of an answer."""
        columns = list_columns(predicted, self._predictor.classes)
        legend = self._predictor.legend
        if legend is None:
            return columns
        return {MASK: [legend.encode(labels) for labels in predicted.values], **columns}

    @contextmanager
    def _read(self, given: Any) -> Iterator[Dataset]:
        """Yield the data set of what is given."""
        values = _take_column(given, self._component)
        if len(values) == 0:
            raise ValueError("there are no items to predict for")
        if self._component != FILE:
            array = np.stack(list(values)) if isinstance(values, list) else np.asarray(values)
            yield Dataset(len(array), self._batch_class, {self._component: array})
            return
        with tempfile.TemporaryDirectory(prefix="bf-served-") as folder:
            for number, content in enumerate(values):
                if not isinstance(content, bytes):
                    raise TypeError(f"{FILE}: item {number} is no bytes of a file: {type(content).__name__}")
                (Path(folder) / f"{number:09d}{_find_ending(content)}").write_bytes(content)
            yield Dataset(FilesIndex(f"{folder}/*", relative=True), self._batch_class)


_SIGNS = {b"\xff\xd8": ".jpg", b"\x89PNG": ".png", b"GIF8": ".gif", b"BM": ".bmp", b"RIFF": ".webp"}


def _find_ending(content: bytes) -> str:
    """Return the ending of a picture's file, by its first bytes."""
    return next((ending for sign, ending in _SIGNS.items() if content.startswith(sign)), ".tif")


def _take_column(given: Any, name: str) -> Any:
    if isinstance(given, Mapping) or hasattr(given, "columns"):
        columns = list(given)
        if name in columns:
            return list(given[name])
        if name == FILE or not hasattr(given, "to_numpy"):
            raise ValueError(f"the model takes {name!r}, got {', '.join(map(str, columns)) or 'nothing'}")
        return given.to_numpy()
    return given


def _find_batch_class(trained: Trained, allow: tuple[str, ...]) -> Any:
    """Return the class of the batches that the training had."""
    path = trained.model.with_name(SERVED)
    try:
        named = json.loads(read_text(path) or "")["batch_class"]
    except (ValueError, TypeError, LookupError, RecursionError) as error:
        raise NoModel(f"{escape(path)}: it says not of which class batches are") from error
    return targets.resolve(named, "batch_class", allow, "batch_class")


def _load_pyfunc(path: str) -> ServedModel:
    """Return the model in a folder; MLflow calls it."""
    allow = tuple(name for name in os.environ.get(TARGETS, "").split(",") if name)
    return ServedModel(find_trained(path), allow)
