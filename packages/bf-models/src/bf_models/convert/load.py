"""Copying of foreign weights into a model, with what did not fit named."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from bf_index.errors import escape
from bf_models import safetensors
from bf_models.convert.encoders import find_lent
from bf_models.convert.h5 import load_h5
from bf_models.convert.layouts import SUFFIXES, list_entries
from bf_models.convert.names import find_names
from bf_models.convert.pth import read_pth
from bf_models.convert.report import Report, Target, compare, restart_averages
from bf_models.convert.saved import load_saved
from bf_models.convert.timm import compare_arithmetic, explain_refusal
from bf_models.errors import WeightsError
from bf_models.saving.archive import is_model


def state_shapes(model: Target) -> dict[str, tuple[int, ...]]:
    """Return the torch names and shapes of a model's arrays."""
    return {entry.name: entry.shape for entry in list_entries(model.network)}


def state_dict(model: Target) -> dict[str, np.ndarray]:
    """Return the weights of a model by torch's names and in torch's order, to be saved as .safetensors."""
    return {
        entry.name: entry.layout.to_torch(entry.variable.numpy()) for entry in list_entries(model.network)
    }


def load_state_dict(
    model: Target,
    arrays: Mapping[str, np.ndarray],
    *,
    strict: bool = True,
    replace_head: bool = True,
    source: str = "",
) -> Report:
    """Copy arrays by torch's names into a model.

    With ``replace_head`` layers of the head whose shape differs keep their own weights, as when classes
    differ; other layers never do. Arrays of the network of a model's encoder go into the encoder, and all
    else keeps its own weights. WeightsError lists missing and unexpected names (with ``strict``) and
    arrays of another shape, and with ``strict`` tells when timm's network of such names computes something
    else, for which ``source``, where the arrays are from, may name it; nothing is changed then.
    """
    wanted = {entry.name: entry for entry in list_entries(model.network)}
    named, owner, where = find_names(arrays, wanted.keys()), model.name, ""
    others: tuple[str, ...] = ()
    for lent in find_lent(model, wanted):
        theirs = find_names(arrays, lent.list_names(SUFFIXES))
        if lent.is_meant(theirs):
            wanted, named, others = dict(lent.wanted), lent.leave_out(theirs), lent.others
            owner, where = f"{model.name}, encoder {lent.network}", " in the options of the encoder"
            break
    head = set(model.head_layers()) if replace_head else set()
    missing = tuple(name for name in wanted if name not in named)
    unexpected = tuple(name for name in named if name not in wanted)
    fitting, kept, wrong = compare(wanted, arrays, named, head)
    if wrong or (strict and (missing or unexpected)):
        shapes = f"; of another shape: {'; '.join(wrong[:8])}" if wrong else ""
        advice = explain_refusal(wanted, named) or (
            "build the model with the shapes of the file"
            if wrong
            else "load_weights(path, strict=False) takes those that fit"
        )
        told = Report((), missing, unexpected)
        raise WeightsError(f"{owner}: the weights do not fit: {told}{shapes}; {advice}")
    computes_same, note = compare_arithmetic(model.network, wanted, named, where, source)
    if strict and not computes_same:
        raise WeightsError(f"{owner}: {note}; load_weights(path, strict=False) takes them as they are")
    for entry, array in fitting:
        entry.variable.assign(entry.layout.to_keras(array, tuple(entry.variable.shape)))
    restart_averages(model)
    return Report(tuple(entry.name for entry, _ in fitting), missing, unexpected, (*kept, *others), note)


def load_file(model: Target, path: str | Path, *, strict: bool = True, replace_head: bool = True) -> Report:
    """Copy weights of a file into a model: .safetensors, .pth or .pt of torch, .h5 of keras.applications.

    A file that ``save`` wrote is known by what is in it, whatever its name is; its weights are those that its
    predictions used. The files are read as data, nothing in them is run. ValueError for another kind of file.
    """
    path = Path(path)
    if is_model(path):
        return load_saved(model, path, strict=strict, replace_head=replace_head)
    options: dict[str, Any] = {"strict": strict, "replace_head": replace_head, "source": path.as_posix()}
    if path.suffix == ".safetensors":
        return load_state_dict(model, safetensors.load_file(path), **options)
    if path.suffix in (".pth", ".pt", ".bin"):
        return load_state_dict(model, read_pth(path), **options)
    if path.suffix in (".h5", ".hdf5"):
        return load_h5(model, path, replace_head=replace_head)
    raise ValueError(
        f"{escape(path)}: weights are read from saved models and .safetensors, .pth, .pt, .bin and .h5 "
        f"files, got {path.suffix!r}"
    )
