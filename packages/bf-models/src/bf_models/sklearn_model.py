"""Estimators of scikit-learn as models of a pipeline."""

from __future__ import annotations

import inspect
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from bf_index.errors import escape
from bf_index.names import TargetError, public_path
from bf_models.config.nested import expand
from bf_models.config.targets import ESTIMATOR, build_target
from bf_models.errors import CorruptModel, ModelStateError, UnsafeCheckpoint, unknown
from bf_models.saving import archive
from bf_models.training.fetches import Fetches, list_names, pack

_KEYS = ("estimator", "num_classes", "classes", "allow")
_OUTPUTS = ("predictions", "proba", "labels", "loss")


class SklearnModel:
    """An estimator that learns by batches (``partial_fit``), or at its first batch (``fit``) when it cannot.

    ``estimator`` is an object, or ``{_target_: sklearn.linear_model.SGDClassifier, ...arguments}``;
    ``classes`` or ``num_classes`` name all labels that a classifier will see. Items are flattened to vectors.
    """

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        options = expand(config)
        for key in options:
            if key not in _KEYS:
                raise TypeError(unknown("config key", key, _KEYS, "SklearnModel"))
        if "estimator" not in options:
            raise ValueError(
                "SklearnModel: the config needs 'estimator', an object or {_target_: sklearn...}"
            )
        estimator = options["estimator"]
        if isinstance(estimator, Mapping):
            estimator = build_target(
                estimator, ESTIMATOR, options.get("allow") or (), "SklearnModel.estimator"
            )
        if not hasattr(estimator, "fit") or not hasattr(estimator, "predict"):
            raise TypeError(f"SklearnModel: an estimator has fit and predict, got {type(estimator).__name__}")
        self.config, self.estimator = options, estimator
        count = options.get("num_classes")
        self._classes = np.arange(count) if count is not None else options.get("classes")
        self._lock = threading.RLock()
        self.iterations = 0

    def train(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        fetches: Fetches = None,
        feed_dict: Mapping[str, Any] | None = None,
        sample_weight: Any = None,
    ) -> Any:
        """Learn from a batch; ``fetches`` are read after it. ValueError when no more can be learnt."""
        inputs, targets = self._read_arrays(inputs, targets, feed_dict)
        extra = {} if sample_weight is None else {"sample_weight": np.asarray(sample_weight)}
        with self._lock:
            if hasattr(self.estimator, "partial_fit"):
                if self._is_classifier() and self.iterations == 0:
                    extra["classes"] = self._known_classes()
                self.estimator.partial_fit(inputs, targets, **extra)
            elif self.iterations == 0:
                self.estimator.fit(inputs, targets, **extra)
            else:
                raise ValueError(
                    f"{type(self.estimator).__name__} learns once (fit) and not by batches (partial_fit); "
                    "give it all data as one batch, or take an estimator with partial_fit"
                )
            self.iterations += 1
            return None if fetches is None else self.predict(inputs, targets, fetches=fetches)

    def predict(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        fetches: Fetches = "predictions",
        feed_dict: Mapping[str, Any] | None = None,
    ) -> Any:
        """Return ``predictions`` of the estimator, its ``labels``, ``proba``, or ``loss`` (1 - score)."""
        inputs, targets = self._read_arrays(inputs, targets, feed_dict)
        fetches = "predictions" if fetches is None else fetches
        with self._lock:
            return pack(fetches, {name: self._output(name, inputs, targets) for name in list_names(fetches)})

    def _output(self, name: str, inputs: np.ndarray, targets: Any) -> Any:
        if name == "loss":
            return float(1 - self.estimator.score(inputs, targets))
        if name == "proba":
            return self.estimator.predict_proba(inputs)
        if name in ("predictions", "labels"):
            return self.estimator.predict(inputs)
        raise ValueError(unknown("output", name, _OUTPUTS, "SklearnModel"))

    def _read_arrays(
        self, inputs: Any, targets: Any, feed_dict: Mapping[str, Any] | None
    ) -> tuple[np.ndarray, Any]:
        for name, value in (feed_dict or {}).items():
            if name in ("images", "inputs", "x"):
                inputs = value
            elif name in ("labels", "targets", "masks", "y"):
                targets = value
            else:
                raise TypeError(unknown("name in feed_dict", name, ("inputs", "targets"), "SklearnModel"))
        array = np.asarray(inputs)
        if array.ndim == 0 or len(array) == 0:
            raise ValueError("SklearnModel: the batch is empty or no inputs were fed")
        labels = None if targets is None else np.asarray(targets)
        if labels is not None and labels.ndim == 2 and labels.shape[1] == 1:
            labels = labels[:, 0]
        return array.reshape(len(array), -1), labels

    def _is_classifier(self) -> bool:
        """Whether ``partial_fit`` wants to know all classes."""
        return "classes" in inspect.signature(self.estimator.partial_fit).parameters

    def _known_classes(self) -> np.ndarray:
        if self._classes is None:
            raise ValueError(
                "SklearnModel: a classifier that learns by batches needs 'num_classes' or 'classes'"
            )
        return np.asarray(self._classes)

    def save(self, path: str | Path) -> None:
        """Save parameters and learnt arrays as data; TypeError for an estimator that holds other objects."""
        with self._lock:
            learnt, plain = _split(self.estimator)
            description = {
                "model": "SklearnModel",
                "target": public_path(type(self.estimator)),
                "parameters": plain["parameters"],
                "attributes": plain["attributes"],
                "classes": None if self._classes is None else np.asarray(self._classes).tolist(),
                "iterations": self.iterations,
            }
            archive.write(Path(path), archive.Saved(description, learnt, {}))

    @classmethod
    def load(cls, path: str | Path, *, allow: Sequence[str] = ()) -> SklearnModel:
        """Make the estimator of a file again; ModelStateError for a file of another model.

        TargetError where the file names what is no estimator of scikit-learn or of the packages in ``allow``,
        UnsafeCheckpoint where it holds what no estimator learns: anything but numbers, texts and arrays, or
        in place of a method.
        """
        saved = archive.load(Path(path))
        description = saved.description
        if description.get("model") != "SklearnModel":
            raise ModelStateError(
                f"{escape(path)} holds the model {description.get('model')!r}, not 'SklearnModel'"
            )
        try:
            parameters, attributes = dict(description["parameters"]), dict(description["attributes"])
            target, classes, iterations = (description[name] for name in ("target", "classes", "iterations"))
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptModel(
                f"{escape(path)}, model.json: {error!r} is no description of an estimator"
            ) from error
        _check_plain(parameters, f"{escape(path)}, model.json: parameters")
        _check_plain(attributes, f"{escape(path)}, model.json: attributes")
        config = {"estimator": {**parameters, "_target_": target}, "allow": tuple(allow)}
        if classes is not None:
            config["classes"] = classes
        try:
            model = cls(config)
        except TargetError as error:
            raise TargetError(f"{escape(path)}, model.json: {escape(error)}") from error
        # arrays of a file are read-only views, and an estimator learns in place
        learnt = {name: array.copy() for name, array in saved.weights.items()}
        for name, value in {**attributes, **learnt}.items():
            _check_learnt(
                model.estimator, name, f"{escape(path)}, {'weights' if name in learnt else 'attributes'}"
            )
            setattr(model.estimator, name, value)
        model.iterations = int(iterations)
        return model


def _split(estimator: Any) -> tuple[dict[str, np.ndarray], dict[str, dict[str, Any]]]:
    """Split an estimator into learnt arrays and plain values: parameters of the constructor, and all else."""
    parameters = estimator.get_params(deep=False)
    arrays: dict[str, np.ndarray] = {}
    plain: dict[str, dict[str, Any]] = {"parameters": {}, "attributes": {}}
    for name, held in vars(estimator).items():
        kind = "parameters" if name in parameters else "attributes"
        value = held.item() if isinstance(held, np.generic) else held
        if isinstance(value, np.ndarray) and value.dtype.kind in "biuf":
            arrays[name] = value
        elif _is_plain(value):
            plain[kind][name] = value
        elif not name.startswith("_"):
            raise TypeError(
                f"SklearnModel.save: {name!r} is a {type(value).__name__}, which is no data; "
                "save the estimator yourself, for example by skops"
            )
    return arrays, plain


def _check_plain(values: Mapping[str, Any], where: str) -> None:
    for name, value in values.items():
        if not _is_plain(value):
            raise UnsafeCheckpoint(
                f"{escape(where)}.{name} is {value!r:.60}: a saved estimator holds numbers, texts and arrays"
            )


def _check_learnt(estimator: Any, name: str, where: str) -> None:
    """Raise ``UnsafeCheckpoint`` for a name that no estimator keeps what it learnt under.

    Such are its own attributes, and names with an underscore at one end; never those that its class has.
    """
    learnt = name in vars(estimator) or (name.startswith("_") ^ name.endswith("_"))
    if not name.isidentifier() or not learnt or name.startswith("__") or hasattr(type(estimator), name):
        kind = type(estimator).__name__
        raise UnsafeCheckpoint(
            f"{escape(where)}: {name!r} is refused, {kind} learns nothing of that name: the "
            "file was changed; "
            f"train {kind} again, or take the file from where it was saved"
        )


def _is_plain(value: Any) -> bool:
    """Whether JSON holds a value; a tuple comes back as a list."""
    if isinstance(value, list | tuple):
        return all(map(_is_plain, value))
    return value is None or isinstance(value, bool | int | float | str)
