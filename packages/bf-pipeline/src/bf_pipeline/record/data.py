"""The data set of a pipeline that is named by an expression: found in the config when a run starts."""

from __future__ import annotations

from dataclasses import replace

from bf_batch import Dataset
from bf_pipeline.context import Context, Scope
from bf_pipeline.errors import BindError, Location, Mistake
from bf_pipeline.expressions.base import Attribute, Called, Container, Expr, Item, Operation, Signed, walk
from bf_pipeline.expressions.named import C, F, Where
from bf_pipeline.record.recorded import AnyRecorded

_ALLOWED = (Attribute, C, Called, Container, F, Item, Operation, Signed, Where)


def check_data(data: Expr) -> Expr:
    """Return an expression of a data set; a ``TypeError`` if it needs a batch, a variable or a model."""
    for expr in walk(data):
        if not isinstance(expr, _ALLOWED):
            raise TypeError(
                f"pipeline << {data!r}: the data are chosen before a run starts, so {expr!r} has no value; "
                "C(path), F(function) and what is made of them have one"
            )
    return data


def choose_data(recorded: AnyRecorded) -> AnyRecorded:
    """Return a pipeline with the data set that its config names; the same one if the data are at hand.

    ``BindError`` for a path that the config lacks, ``TypeError`` for what is no data set.
    """
    data = recorded.dataset
    if not isinstance(data, Expr):
        return recorded
    config = recorded.config
    absent = [expr for expr in walk(data) if isinstance(expr, C) and expr.absent(config)]
    if absent:
        mistakes = [
            Mistake(Location("pipeline", 0), f"<< {data!r}: {expr.missing(config)}") for expr in absent
        ]
        raise BindError("no batch class", mistakes)
    try:
        found = data.evaluate(Context(Scope(config=config)))
    except Exception as error:
        error.add_note(f"while looking for the data of the pipeline: << {data!r}")
        raise
    if not isinstance(found, Dataset):
        raise TypeError(f"pipeline << {data!r}: a data set is needed, the config gives {found!r}")
    return replace(recorded, dataset=found)
