"""The steps that use models: init, import, train, predict, save, load, and gathering of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from os import PathLike, fspath
from typing import Any, Self

from bf_batch import StopPipeline
from bf_index.errors import unknown
from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.bind.builtin import BuiltinStep
from bf_pipeline.bind.calls import explain_mismatch
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context, ModelSlot, Scope
from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import Expr, evaluate, lift
from bf_pipeline.expressions.named import C
from bf_pipeline.plain_config import find_value, make_plain


@dataclass(frozen=True, slots=True, eq=False)
class InitModel(BuiltinStep):
    """The step of ``init_model(mode, model_class, name, config)``; it only declares."""

    verb = "init_model"

    mode: Any
    model_class: Any
    name: Any
    config: Any = None

    def declare(self, names: Names) -> None:
        """Declare the model."""
        name, where, model_class = self.name, self.where, self.model_class
        if self.mode not in ("dynamic", "static"):
            order = "the order is init_model(mode, model_class, name, config)"
            names.mistake(
                where, f"init_model: mode must be 'dynamic' or 'static', got {self.mode!r}; {order}"
            )
            return
        if not isinstance(name, str):
            names.mistake(where, f"init_model: the name must be a text, got {name!r}")
            return
        if not (callable(model_class) or isinstance(model_class, Expr)):
            names.mistake(where, f"init_model({name!r}): a class of models is needed, got {model_class!r}")
            return
        config, dynamic = make_plain(self.config), self.mode == "dynamic"
        names.check_later((model_class, config), where, f"init_model({name!r})", with_batch=dynamic)
        known = (
            find_value(names.recorded.config, model_class.path) if isinstance(model_class, C) else model_class
        )
        _add_model(names, where, name, self._slot(config), known if isinstance(known, type) else None)

    def _slot(self, config: Any) -> Callable[[Scope], ModelSlot]:
        """Return a function that makes the model's slot for a run; a static model is built with it."""
        name, where = self.name, self.where
        given, options = lift(self.model_class), lift(config)
        allow = lift(config.get("allow", ()) if isinstance(config, Mapping) else ())

        def slot(scope: Scope) -> ModelSlot:
            def build(context: Context | None) -> Any:
                context = context or Context(scope)
                try:
                    return evaluate(given, context)(make_plain(evaluate(options, context)))
                except Exception as error:
                    error.add_note(f"while building model {name!r} ({where})")
                    raise

            made = ModelSlot(
                name,
                build,
                kind=lambda context: evaluate(given, context),
                allow=lambda context: evaluate(allow, context),
            )
            if self.mode == "static":
                made.get(Context(scope))
            return made

        return slot


@dataclass(frozen=True, slots=True, eq=False)
class ImportModel(BuiltinStep):
    """The step of ``import_model(name, source)``; it only declares. The source: a pipeline, run or model."""

    verb = "import_model"

    name: Any
    source: Any

    def declare(self, names: Names) -> None:
        """Declare the model."""
        name, where = self.name, self.where
        if not isinstance(name, str):
            names.mistake(where, f"import_model: the name must be a text, got {name!r}")
            return
        names.check_later(self.source, where, f"import_model({name!r})", with_batch=False)
        _add_model(names, where, name, self._slot, None)

    def _slot(self, scope: Scope) -> ModelSlot:
        """Return the slot of the model in the source when a run starts."""
        name, where = self.name, self.where
        found = evaluate(lift(self.source), Context(scope))
        run = getattr(found, "last_run", found)
        if run is None:
            raise LookupError(
                f"import_model({name!r}) at {where}: the pipeline it comes from was not run yet; "
                "run it first, or begin with next_batch or gen_batch"
            )
        models = getattr(run, "models", None)
        if models is not None and hasattr(models, "slot"):
            slot: ModelSlot = models.slot(name)
            return slot
        if not callable(getattr(found, "predict", None)):
            raise TypeError(f"import_model({name!r}) at {where}: not a pipeline, a run or a model: {found!r}")
        return ModelSlot(name, model=found)


def _add_model(
    names: Names, where: Location, name: str, slot: Callable[[Scope], ModelSlot], model_class: Any
) -> None:
    if name in names.models:
        names.mistake(where, f"model {name!r} is declared twice, first at {names.model_lines[name]}")
        return
    names.models[name] = slot
    names.model_lines[name] = where
    names.model_classes[name] = model_class


def _knows_model(names: Names, step: TrainModel | PredictModel | SaveModel | LoadModel) -> bool:
    """Whether the model of a step is declared; if not, that is noted."""
    if isinstance(step.name, str) and step.name in names.models:
        return True
    text = unknown("model", step.name, names.models)
    names.mistake(step.where, f"{step.verb}: {text}; declare it with init_model or import_model")
    return False


@dataclass(frozen=True, slots=True, eq=False)
class TrainModel(BuiltinStep):
    """The step of ``train_model(name, inputs, targets, ...)``; the others go to the model's ``train``."""

    verb = "train_model"

    name: Any
    args: tuple[Any, ...]
    options: Mapping[str, Any]
    save_to: Any
    mode: Any

    @classmethod
    def read(
        cls,
        where: Location,
        /,
        name: Any,
        inputs: Any = None,
        targets: Any = None,
        *,
        fetches: Any = None,
        feed_dict: Any = None,
        save_to: Any = None,
        mode: Any = "w",
        **kwargs: Any,
    ) -> Self:
        """Make the step from the arguments of the verb; those that are None are not passed to the model."""
        none = inputs is None and targets is None
        args = () if none else (inputs,) if targets is None else (inputs, targets)
        named = {"fetches": fetches, "feed_dict": feed_dict, **kwargs}
        options = {key: value for key, value in named.items() if value is not None}
        return cls(where, name, args, options, save_to, mode)

    def declare(self, names: Names) -> None:
        """Note where the results go."""
        names.note_target(self.save_to)

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Bind the call of the model's method, under the model's lock."""
        if not _knows_model(names, self):
            return None
        verb, name, where, method = self.verb, self.name, self.where, self.verb.removesuffix("_model")
        owner, model_class = f"{verb}({name!r})", names.model_classes[name]
        function = getattr(model_class, method, None)
        if model_class is not None and function is None:
            text = f"{model_class.__name__} has no {method}(); a model needs train, predict, save and load"
            names.mistake(where, f"{owner}: {text}")
            return None
        if function is not None and (text := explain_mismatch(owner, function, 1, self.args, self.options)):
            names.mistake(where, text)
            return None
        names.check((self.args, self.options), where, verb)
        write = names.writer(self.save_to, self.mode, where, verb)
        values, options = lift(self.args), lift(self.options)

        def run(batch: Any, context: Context) -> Any:
            context.step, context.draws = number, 0
            slot = context.scope.models.slot(name)
            positional, keywords = evaluate(values, context), evaluate(options, context)
            with slot.lock:
                try:
                    result = getattr(slot.get(context), method)(*positional, **keywords)
                except Exception as error:
                    if getattr(error, "stops_pipeline", False):
                        raise StopPipeline(f"{name}: {error}") from error
                    raise
            if write is not None:
                write(result, context)
            return batch

        return BoundStep(number, verb, where, run, True, parent=True)


@dataclass(frozen=True, slots=True, eq=False)
class PredictModel(TrainModel):
    """The step of ``predict_model(name, inputs, targets, ...)``; the others go to the model's ``predict``."""

    verb = "predict_model"


@dataclass(frozen=True, slots=True, eq=False)
class SaveModel(BuiltinStep):
    """The step of ``save_model(name, path)``."""

    verb = "save_model"

    name: Any
    path: Any

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Bind the path."""
        if not _knows_model(names, self):
            return None
        names.check(self.path, self.where, "save_model")
        name, path = self.name, lift(self.path)

        def run(batch: Any, context: Context) -> Any:
            context.step, context.draws = number, 0
            slot = context.scope.models.slot(name)
            with slot.lock:
                slot.get(context).save(fspath(evaluate(path, context)))
            return batch

        return BoundStep(number, "save_model", self.where, run, True, parent=True)


@dataclass(frozen=True, slots=True, eq=False)
class LoadModel(BuiltinStep):
    """The step of ``load_model(name, path)``: what the file holds replaces the model."""

    verb = "load_model"

    name: Any
    path: Any

    def bind(self, names: Names, number: int) -> BoundStep | None:
        """Bind the path."""
        if not _knows_model(names, self):
            return None
        names.check(self.path, self.where, "load_model")
        name, path, model_class = self.name, lift(self.path), names.model_classes[self.name]

        def run(batch: Any, context: Context) -> Any:
            context.step, context.draws = number, 0
            slot = context.scope.models.slot(name)
            with slot.lock:
                slot.load(fspath(evaluate(path, context)), context, model_class or type(slot.get(context)))
            return batch

        return BoundStep(number, "load_model", self.where, run, True, parent=True)


def save_now(slot: ModelSlot, path: str | PathLike[str]) -> None:
    """Save the model of a slot; a ``RuntimeError`` when it was never built."""
    if slot.model is None:
        raise RuntimeError(f"save_model_now: model {slot.name!r} is not built: no batch has used it yet")
    with slot.lock:
        slot.model.save(fspath(path))


def load_now(name: str, path: str | PathLike[str], model_class: Any) -> Any:
    """Return the model that a file holds; a ``TypeError`` for a class that can't load any."""
    if not callable(getattr(model_class, "load", None)):
        raise TypeError(
            f"load_model_now({name!r}): a class of models with load() is needed, got {model_class!r}"
        )
    return model_class.load(fspath(path))
