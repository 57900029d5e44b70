"""Networks written for other programs: a SavedModel of TensorFlow, or a file of ONNX."""

from __future__ import annotations

import contextlib
import json
import logging
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from bf_index.errors import escape
from bf_models._backend import tensorflow
from bf_models.saving.archive import whole_file

#: What stands beside a SavedModel, where TensorFlow leaves room for others.
NOTES = "assets.extra/batchflow.json"
ONNX = ".onnx"
#: The version of ONNX's operators: any runtime since 2022 has them.
_OPSET = 17
_MISSING = "ONNX files are written by tf2onnx, and {name!r} is not installed: pip install 'bf-models[onnx]'"


@dataclass(frozen=True, slots=True)
class Export:
    """What is written beside a network: names of classes, notes, and how raw numbers become its input.

    The network sees ``x * scale + shift``; both are one number, or one for each channel (the last axis).
    """

    classes: tuple[str, ...] | None = None
    scale: Any = 1.0
    shift: Any = 0.0
    notes: Mapping[str, str] = field(default_factory=dict)

    def metadata(self) -> dict[str, str]:
        """Return what a file says of itself; ``classes`` are a JSON list in the order of the outputs."""
        named = (
            {} if self.classes is None else {"classes": json.dumps(list(self.classes), ensure_ascii=False)}
        )
        return {**named, **self.notes}

    def check(self, network: Any, kind: str) -> None:
        """Refuse names that are not one for each class, and numbers that do not fit the input: ValueError."""
        outputs = network.outputs[0].shape[-1]
        count = 2 if kind == "answers" and outputs == 1 else outputs
        if self.classes is not None and len(self.classes) != count:
            raise ValueError(f"export: {len(self.classes)} names of classes, and there are {count}")
        for name in ("scale", "shift"):
            value = np.asarray(getattr(self, name), np.float64)
            if value.size == 1 and np.isfinite(value).all():
                continue
            if len(network.inputs) > 1:
                raise ValueError(f"export: {name} is of one input, and there are {len(network.inputs)}")
            channels = network.inputs[0].shape[-1]
            if value.shape != (channels,) or not np.isfinite(value).all():
                raise ValueError(
                    f"export: {name} is a number, or one for each of {channels} channels, got "
                    f"{getattr(self, name)!r:.80}"
                )


def export(network: Any, names: Sequence[str], told: Export, kind: str, path: Path) -> None:
    """Write a network, whole or not at all: a file of ONNX where the path ends so, else a SavedModel.

    ``names`` are those of the inputs. ``kind`` is ``classes`` or ``answers``, with outputs ``predictions``,
    ``proba`` and ``labels``, or ``numbers``, with ``predictions`` alone. Inputs are float32, batches of any
    size. ImportError names what is to be installed, FileExistsError a path that is something else.
    """
    told.check(network, kind)
    if path.suffix.lower() == ONNX:
        _write_onnx(network, names, told, kind, path)
    else:
        _write_saved_model(network, names, told, kind, path)


def _make_served(network: Any, names: Sequence[str], told: Export, kind: str) -> tuple[Any, list[Any]]:
    """Return the function that is written, and the specs of its arguments."""
    tf = tensorflow()
    scale, shift = (np.asarray(value, np.float32) for value in (told.scale, told.shift))
    plain = bool((scale == 1).all() and (shift == 0).all())

    def serve(*feeds: Any) -> dict[str, Any]:
        inputs = [one if plain else one * scale + shift for one in feeds]
        logits = network(inputs if len(inputs) > 1 else inputs[0], training=False)
        # names of their own, which ONNX keeps
        outputs = {"predictions": logits}
        if kind == "answers":
            outputs |= {"proba": tf.nn.sigmoid(logits), "labels": tf.cast(logits > 0, tf.int64)}
        elif kind == "classes":
            outputs |= {"proba": tf.nn.softmax(logits), "labels": tf.argmax(logits, -1)}
        return outputs

    specs = [
        tf.TensorSpec((None, *item.shape[1:]), tf.float32, name=name)
        for name, item in zip(names, network.inputs, strict=True)
    ]
    return tf.function(serve, autograph=False, input_signature=specs), specs


def _write_saved_model(network: Any, names: Sequence[str], told: Export, kind: str, path: Path) -> None:
    tf = tensorflow()
    if path.exists() and not (path.is_dir() and _may_go(path)):
        raise FileExistsError(f"{escape(path)} is there and no SavedModel; give another place, or NAME{ONNX}")

    class Served(tf.Module):  # type: ignore[misc,name-defined]
        """The network and its signature."""

        def __init__(self) -> None:
            super().__init__()
            self.variables_of_network = [item.value for item in network.variables]

    module = Served()
    module.serve, _ = _make_served(network, names, told, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{path.name}-", dir=path.parent) as folder:
        made = Path(folder) / "made"
        with _quiet():
            tf.saved_model.save(module, str(made), signatures=module.serve.get_concrete_function())
        notes = made / NOTES
        notes.parent.mkdir(exist_ok=True)
        notes.write_text(json.dumps(told.metadata(), indent=1, ensure_ascii=False), encoding="utf-8")
        before = Path(folder) / "before"
        if path.exists():
            path.rename(before)
        try:
            made.rename(path)
        except OSError:
            if before.exists():
                before.rename(path)
            raise


def _may_go(path: Path) -> bool:
    """Whether a folder is empty, or a SavedModel that a new one may take the place of."""
    return not any(path.iterdir()) or (path / "saved_model.pb").is_file()


def _write_onnx(network: Any, names: Sequence[str], told: Export, kind: str, path: Path) -> None:
    if path.is_dir():
        raise FileExistsError(f"{escape(path)} is a folder; give the name of a file that ends in {ONNX}")
    try:
        with _quiet():
            import onnx
            import tf2onnx
    except ModuleNotFoundError as error:
        if error.name not in ("onnx", "tf2onnx"):
            raise
        raise ImportError(_MISSING.format(name=error.name)) from error
    serve, specs = _make_served(network, names, told, kind)
    handlers: dict[str, Any] = {"Erfc": (_convert_erfc, [])}
    with _quiet():
        model, _ = tf2onnx.convert.from_function(
            serve, input_signature=specs, opset=_OPSET, custom_op_handlers=handlers
        )
    try:
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        first = str(error).strip().partition("\n")[0]
        raise ValueError(
            f"{escape(path)}: ONNX has no operators for a part of this network ({first}); write a "
            f"SavedModel, by a path that does not end in {ONNX}"
        ) from error
    for item in (*model.graph.input, *model.graph.output):
        item.type.tensor_type.shape.dim[0].dim_param = "batch"
    onnx.helper.set_model_props(model, told.metadata())
    model.producer_name, model.producer_version = "bf_models", ""
    with whole_file(path) as file:
        file.write(model.SerializeToString())


def _convert_erfc(graph: Any, node: Any, name: str, arguments: Any) -> None:
    """Write ``erfc(x)``, of which Keras makes GELU and which ONNX has not, as ``1 - erf(x)``."""
    output, kind = node.output[0], graph.get_dtype(node.output[0])
    shape, given = graph.get_shape(output), node.input[0]
    graph.remove_node(node.name)
    erf = graph.make_node("Erf", [given], dtypes=[kind], shapes=[shape])
    one = graph.make_const(f"{name}/one", np.array(1, np.float32))
    graph.make_node("Sub", [one.output[0], erf.output[0]], outputs=[output], dtypes=[kind], shapes=[shape])


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep converters from telling each of their steps."""
    loggers = [logging.getLogger(name) for name in ("tf2onnx", "tensorflow", "absl")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels):
            logger.setLevel(level)
