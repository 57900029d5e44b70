"""The pipeline's own steps: for each name what it declares and how it is bound."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bf_pipeline.bind import basics, combine, models, variables
from bf_pipeline.bind.bound import BoundStep


@dataclass(frozen=True, slots=True)
class Builtin:
    """``declare(binder, where, ...)`` looks first, ``bind(binder, call, number, ...)`` makes the step."""

    declare: Callable[..., None] | None = None
    bind: Callable[..., BoundStep | None] | None = None


BUILTINS = {
    "init_variable": Builtin(declare=variables.declare),
    "init_model": Builtin(declare=models.declare),
    "import_model": Builtin(declare=models.declare_import),
    "update": Builtin(bind=basics.bind_update),
    "call": Builtin(bind=basics.bind_call),
    "print": Builtin(bind=basics.bind_print),
    "train_model": Builtin(bind=models.bind_use),
    "predict_model": Builtin(bind=models.bind_use),
    "save_model": Builtin(bind=models.bind_save),
    "load_model": Builtin(bind=models.bind_load),
    "gather_metrics": Builtin(bind=models.bind_gather),
    "join": Builtin(bind=combine.bind_join),
    "merge": Builtin(bind=combine.bind_merge),
    "rebatch": Builtin(bind=combine.refuse_rebatch),
}
