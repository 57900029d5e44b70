"""The steps that a pipeline has of its own, as methods that record them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Literal, Self

from bf_pipeline.expressions.named import Mode
from bf_pipeline.record.steps import Call, caller
from bf_pipeline.unset import UNSET

if TYPE_CHECKING:
    from bf_pipeline.record.steps import Step


class Recording:
    """Methods of ``Pipeline`` that record its own steps; each gives a new pipeline."""

    __slots__ = ()

    if TYPE_CHECKING:

        def record(self, *steps: Step) -> Self:
            """Give a pipeline with further steps."""
            ...

    def _builtin(self, name: str, *args: Any, **kwargs: Any) -> Self:
        """Record a step; arguments that were not given stay out, so that it reads as it was written."""
        given = {key: value for key, value in kwargs.items() if value is not UNSET}
        return self.record(Call(name, args, given, caller(), builtin=True))

    def init_variable(self, name: str, default: Any = UNSET, init_on_each_run: Any = UNSET) -> Self:
        """Declare a variable; each run starts with a fresh one.

        A callable (``list``, a function) is called for each run, an expression evaluated, any other value
        copied.
        """
        return self._builtin("init_variable", name, default=default, init_on_each_run=init_on_each_run)

    def update(self, target: Any, value: Any, mode: Mode = UNSET) -> Self:
        """Put a value into ``V(name)``, ``B(name)`` or a part of them, for every batch.

        ``mode``: ``'w'`` write, ``'a'`` append, ``'e'`` extend, ``'u'`` update. Updates of variables happen
        in the order of the batches, whatever works ahead.
        """
        return self._builtin("update", target, value, mode=mode)

    def call(self, function: Callable[..., Any] | Any, /, *args: Any, **kwargs: Any) -> Self:
        """Call a function for every batch; it gets the batch only where an argument is ``B()``.

        ``save_to=`` and ``mode=`` (w, a, e, u) tell where the result goes; ``in_parent=True`` keeps the call
        in the caller's process, in the order of the batches.
        """
        return self._builtin("call", function, *args, **kwargs)

    def print(self, *args: Any, sep: str = UNSET, end: str = UNSET) -> Self:
        """Write values to standard output for every batch."""
        return self._builtin("print", *args, sep=sep, end=end)

    # Models

    def init_model(
        self, mode: Literal["dynamic", "static"], model_class: Any, name: str, config: Any = UNSET
    ) -> Self:
        """Declare a model: ``model_class(config)``.

        A dynamic one is built at its first use, so its config may hold expressions of the batch; a static one
        when the run starts.
        """
        return self._builtin("init_model", mode, model_class, name, config=config)

    def import_model(self, name: str, source: Any) -> Self:
        """Use the model of another pipeline (its last run), of a run, or a model itself; it is shared."""
        return self._builtin("import_model", name, source)

    def train_model(
        self,
        name: str,
        inputs: Any = UNSET,
        targets: Any = UNSET,
        *,
        fetches: Any = UNSET,
        feed_dict: Any = UNSET,
        save_to: Any = UNSET,
        mode: Mode = UNSET,
        **kwargs: Any,
    ) -> Self:
        """Train a model on every batch and save what ``fetches`` names to ``save_to``.

        ``save_to`` is a target, or a list or dict of them as ``fetches`` is; ``mode`` as in ``update``. Other
        arguments go to the model's ``train``.
        """
        named = {"fetches": fetches, "feed_dict": feed_dict, "save_to": save_to, "mode": mode}
        return self._builtin("train_model", name, inputs=inputs, targets=targets, **named, **kwargs)

    def predict_model(
        self,
        name: str,
        inputs: Any = UNSET,
        targets: Any = UNSET,
        *,
        fetches: Any = UNSET,
        feed_dict: Any = UNSET,
        save_to: Any = UNSET,
        mode: Mode = UNSET,
        **kwargs: Any,
    ) -> Self:
        """Predict for every batch; what ``fetches`` names (else predictions) goes to ``save_to``."""
        named = {"fetches": fetches, "feed_dict": feed_dict, "save_to": save_to, "mode": mode}
        return self._builtin("predict_model", name, inputs=inputs, targets=targets, **named, **kwargs)

    def save_model(self, name: str, path: Any) -> Self:
        """Save a model for every batch; in ``after`` once at the end."""
        return self._builtin("save_model", name, path)

    def load_model(self, name: str, path: Any) -> Self:
        """Load a model for every batch; in ``before`` once at the beginning."""
        return self._builtin("load_model", name, path)

    def gather_metrics(
        self,
        metrics_class: Any,
        targets: Any,
        predictions: Any,
        *,
        save_to: Any,
        mode: Mode = UNSET,
        **kwargs: Any,
    ) -> Self:
        """Make metrics of every batch and take them into those in ``save_to`` (``mode='u'``).

        ``mode='w'`` keeps the last batch's, ``'a'`` a list of all. Other arguments go to the class.
        """
        named = {"targets": targets, "predictions": predictions, "save_to": save_to, "mode": mode}
        return self._builtin("gather_metrics", metrics_class, **named, **kwargs)

    # Several pipelines

    def join(self, *others: Any) -> Self:
        """Hand the next action batches of other datasets or pipelines, same ids, as first arguments."""
        return self._builtin("join", *others)

    def merge(self, *others: Any, components: Any = UNSET) -> Self:
        """Put the items of other pipelines' batches behind those of the batch."""
        return self._builtin("merge", *others, components=components)

    def rebatch(self, batch_size: int, components: Any = UNSET) -> Self:
        """Go on with batches of another size; the last may be short. ``n_iters`` counts these batches."""
        return self._builtin("rebatch", batch_size, components=components)
