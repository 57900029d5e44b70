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
from bf_models.convert.layouts import list_entries, rename_arrays
from bf_models.convert.pth import read_pth
from bf_models.convert.report import Report, Target, compare, restart_averages
from bf_models.convert.saved import load_saved
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
    model: Target, arrays: Mapping[str, np.ndarray], *, strict: bool = True, replace_head: bool = True
) -> Report:
    """Copy arrays by torch's names into a model.

    With ``replace_head`` layers of the head whose shape differs keep their own weights, as when classes
    differ; other layers never do. Arrays of the network of a model's encoder go into the encoder, and all
    else keeps its own weights. WeightsError lists missing and unexpected names (with ``strict``) and
    arrays of another shape; nothing is changed then.
    """
    wanted = {entry.name: entry for entry in list_entries(model.network)}
    given, owner = rename_arrays(arrays, set(wanted)), model.name
    others: tuple[str, ...] = ()
    for lent in find_lent(model, wanted):
        theirs = rename_arrays(arrays, set(lent.wanted))
        if lent.is_meant(theirs):
            wanted, given, others = dict(lent.wanted), lent.leave_out(theirs), lent.others
            owner = f"{model.name}, encoder {lent.network}"
            break
    head = set(model.head_layers()) if replace_head else set()
    missing = [name for name in wanted if name not in given]
    unexpected = [name for name in given if name not in wanted]
    fitting, kept, wrong = compare(wanted, given, head)
    if wrong or (strict and (missing or unexpected)):
        report = Report((), tuple(missing), tuple(unexpected))
        shapes = f"; of another shape: {'; '.join(wrong[:8])}" if wrong else ""
        advice = (
            "build the model with the shapes of the file"
            if wrong
            else "load_weights(path, strict=False) takes those that fit"
        )
        raise WeightsError(f"{owner}: the weights do not fit: {report}{shapes}; {advice}")
    for entry, array in fitting:
        entry.variable.assign(entry.layout.to_keras(array, tuple(entry.variable.shape)))
    restart_averages(model)
    loaded = tuple(entry.name for entry, _ in fitting)
    return Report(loaded, tuple(missing), tuple(unexpected), (*kept, *others))


def load_file(model: Target, path: str | Path, *, strict: bool = True, replace_head: bool = True) -> Report:
    """Copy weights of a file into a model: .safetensors, .pth or .pt of torch, .h5 of keras.applications.

    A file that ``save`` wrote is known by what is in it, whatever its name is; its weights are those that its
    predictions used. The files are read as data, nothing in them is run. ValueError for another kind of file.
    """
    path = Path(path)
    if is_model(path):
        return load_saved(model, path, strict=strict, replace_head=replace_head)
    options: dict[str, Any] = {"strict": strict, "replace_head": replace_head}
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
