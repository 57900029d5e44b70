"""The trained model that MLflow keeps: its file, configuration and names of classes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np

from bf_batch import Dataset
from bf_research.prediction.serving import FILE, SERVED, find_component
from bf_research.tracking.store import quiet
from bf_research.trained import CONFIG, NoModel, Trained, read_config, write_trained
from bf_research.training.checkpoints import MODEL

_SERVING = "bf_research.prediction.serving"
#: What has to be there to predict; MLflow would take ten seconds to find it out.
_NEEDS = ("tensorflow", "keras", "numpy", "pandas")


class KeptModel:
    """A trained model as a tracker keeps it: ``network`` and what belongs to it.

    ``config`` is the text of the configuration, ``dataset`` has examples of what is predicted for.
    """

    def __init__(self, model: Any, config: str, classes: Sequence[str] | None, dataset: Dataset) -> None:
        self._model, self._config, self._classes, self._dataset = model, config, classes, dataset

    @property
    def network(self) -> Any:
        """What predicts, if that is a Keras network: with averages of weights not the one that learns."""
        return getattr(self._model, "averaged_network", getattr(self._model, "network", None))

    def write(self, path: Path) -> None:
        """Write an MLflow model into a new folder, which takes raw data and answers with names of classes."""
        quiet()
        from mlflow import pyfunc

        data = path.with_name("files")
        data.mkdir()
        self._model.save(data / MODEL)
        write_trained(data, self._config, self._classes)
        batch_class = self._dataset.batch_class
        named = {"batch_class": f"{batch_class.__module__}.{batch_class.__qualname__}"}
        (data / SERVED).write_text(json.dumps(named), encoding="utf-8")
        pyfunc.save_model(
            str(path),
            loader_module=_SERVING,
            data_path=str(data),
            signature=self._make_signature(Trained(str(path), data / MODEL, read_config(data / CONFIG))),
            pip_requirements=[*_NEEDS, *_list_packages()],
        )

    def _make_signature(self, trained: Trained) -> Any:
        """Return what is given: files as bytes, or arrays of one component; any size where sizes differ."""
        from mlflow.models import ModelSignature
        from mlflow.types import ColSpec, DataType, Schema, TensorSpec

        try:
            name = find_component(trained)
        except NoModel:
            return None
        if name == FILE:
            return ModelSignature(inputs=Schema([ColSpec(DataType.binary, FILE)]))
        raw = self._dataset.rows(name, slice(0, 1))
        if not isinstance(raw, np.ndarray) or raw.dtype == object:
            return None
        return ModelSignature(inputs=Schema([TensorSpec(raw.dtype, (-1, *raw.shape[1:]))]))


def _list_packages() -> list[str]:
    """Return our own packages that are installed, by their versions."""
    found = []
    for name in ("bf-index", "bf-batch", "bf-pipeline", "bf-models", "bf-research"):
        try:
            found.append(f"{name}=={version(name)}")
        except PackageNotFoundError:
            continue
    return found
