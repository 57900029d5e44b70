"""Weights of models that bf_models saved, copied by the names of their layers."""

from __future__ import annotations

from pathlib import Path

from bf_index.errors import escape
from bf_models.convert.encoders import find_lent
from bf_models.convert.report import Report, Target, restart_averages
from bf_models.errors import WeightsError
from bf_models.saving.model_file import describe, is_seed, network_variables, read_weights


def load_saved(model: Target, path: Path, *, strict: bool = True, replace_head: bool = True) -> Report:
    """Copy the weights of a saved model into another one.

    With ``replace_head`` layers of the head whose shape differs keep their own weights. A file of the network
    of the model's encoder goes into the encoder. WeightsError lists
    missing and unexpected names (with ``strict``) and arrays of another shape; nothing is changed then.
    """
    given = read_weights(path)
    wanted = {name: item for name, item in network_variables(model.network).items() if not is_seed(name)}
    owner, others = model.name, tuple[str, ...]()
    lent = next((item for item in find_lent(model, wanted) if item.is_meant(given)), None)
    if lent is not None:
        left = lent.leave_out({name: name for name in given})
        wanted, given, others = dict(lent.wanted), {name: given[name] for name in left}, lent.others
        owner = f"{model.name}, encoder {lent.network}"
    head = set(model.head_layers()) if replace_head else set()
    missing = tuple(name for name in wanted if name not in given)
    unexpected = tuple(name for name in given if name not in wanted)
    other = {name for name in wanted if name in given and given[name].shape != tuple(wanted[name].shape)}
    kept = tuple(name for name in wanted if name in other and name.partition("/")[0] in head)
    wrong = [
        f"{name} {given[name].shape}, expected {tuple(wanted[name].shape)}" for name in other - set(kept)
    ]
    if wrong or (strict and (missing or unexpected)):
        report = Report((), missing, unexpected)
        shapes = f"; of another shape: {'; '.join(wrong[:8])}" if wrong else ""
        made = ", ".join(f"{item.name} {tuple(item.shape[1:])}" for item in model.network.inputs)
        raise WeightsError(
            f"{escape(path)} holds {describe(path)}, and its weights do not fit this {owner} for {made}: "
            f"{report}{shapes}; build the model of the file, or take what fits by "
            "load_weights(path, strict=False)"
        )
    loaded = tuple(name for name in wanted if name in given and name not in other)
    for name in loaded:
        wanted[name].assign(given[name])
    restart_averages(model)
    return Report(loaded, missing, unexpected, (*kept, *others))
