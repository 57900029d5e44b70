"""The step that gathers metrics of batches: of targets and predictions, or of a value and its items."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.bind.builtin import BuiltinStep
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context
from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import Expr, evaluate, lift
from bf_pipeline.plain_config import UNSET


@dataclass(frozen=True, slots=True, eq=False)
class GatherMetrics(BuiltinStep):
    """The step of ``gather_metrics(metrics_class, targets, predictions, save_to=...)``."""

    verb = "gather_metrics"

    metrics_class: Any
    values: tuple[Any, ...]
    save_to: Any
    mode: Any

    @classmethod
    def read(
        cls,
        where: Location,
        /,
        metrics_class: Any,
        targets: Any,
        predictions: Any = UNSET,
        *,
        save_to: Any = None,
        mode: Any = "u",
        **kwargs: Any,
    ) -> GatherMetrics:
        """Make the step from the arguments of ``gather_metrics``."""
        return cls(where, metrics_class, (targets, predictions, kwargs), save_to, mode)

    def declare(self, names: Names) -> None:
        """Note where the metrics are gathered."""
        names.note_target(self.save_to)

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Bind the metrics of a batch and the way to add them to those so far."""
        if not (callable(self.metrics_class) or isinstance(self.metrics_class, Expr)):
            text = f"gather_metrics: a class of metrics is needed, got {self.metrics_class!r}"
            names.mistake(self.where, f"{text}; for example bf_models.metrics.ClassificationMetrics")
            return None
        if self.save_to is None:
            names.mistake(self.where, "gather_metrics: save_to=V(name) is missing")
            return None
        needed = (self.metrics_class, *self.values)
        names.check(needed, self.where, "gather_metrics")
        write = names.writer(self.save_to, self.mode, self.where, "gather_metrics")
        if self.values[1] is UNSET and not getattr(self.metrics_class, "weighs_items", False):
            text = f"gather_metrics: {getattr(self.metrics_class, '__name__', 'the class')} needs predictions"
            names.mistake(self.where, text)
            return None
        values = lift(needed)

        def run(batch: Any, context: Context) -> Any:
            context.step, context.draws = number, 0
            make, targets, predictions, options = evaluate(values, context)
            if write is None:
                return batch
            if getattr(make, "weighs_items", False):
                made = make(targets, len(batch) if predictions is UNSET else predictions, **options)
            else:
                made = make(targets=targets, predictions=predictions, **options)
            write(made, context)
            return batch

        return BoundStep(number, "gather_metrics", self.where, run, True, parent=True)
