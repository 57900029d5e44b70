"""The steps that use models: init, import, train, predict, save, load, and gathering of metrics."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from os import fspath
from typing import Any

from bf_batch import StopPipeline
from bf_index.errors import unknown
from bf_pipeline.bind.bound import BoundStep
from bf_pipeline.bind.calls import mismatch
from bf_pipeline.bind.names import Names
from bf_pipeline.context import Context, ModelSlot, Scope
from bf_pipeline.errors import Location
from bf_pipeline.expressions.base import Expr, lift, value_of
from bf_pipeline.expressions.named import C, find
from bf_pipeline.plain_config import plain
from bf_pipeline.record.steps import Call


def declare(
    names: Names, where: Location, mode: Any, model_class: Any, name: Any, config: Any = None
) -> None:
    """Take an ``init_model`` into a names."""
    if mode not in ("dynamic", "static"):
        order = "the order is init_model(mode, model_class, name, config)"
        names.mistake(where, f"init_model: mode must be 'dynamic' or 'static', got {mode!r}; {order}")
        return
    if not isinstance(name, str):
        names.mistake(where, f"init_model: the name must be a text, got {name!r}")
        return
    if not (callable(model_class) or isinstance(model_class, Expr)):
        names.mistake(where, f"init_model({name!r}): a class of models is needed, got {model_class!r}")
        return
    config = plain(config)
    dynamic = mode == "dynamic"
    names.later.append(
        lambda: names.check((model_class, config), where, f"init_model({name!r})", with_batch=dynamic)
    )
    given, settings = lift(model_class), lift(config)

    def slot(scope: Scope) -> ModelSlot:
        def build(context: Context | None) -> Any:
            context = context or Context(scope)
            try:
                return value_of(given, context)(plain(value_of(settings, context)))
            except Exception as error:
                error.add_note(f"while building model {name!r} ({where})")
                raise

        made = ModelSlot(name, build, kind=lambda context: value_of(given, context))
        if not dynamic:
            made.get(Context(scope))
        return made

    known = find(names.recorded.config, model_class.path) if isinstance(model_class, C) else model_class
    _add(names, where, name, slot, known if isinstance(known, type) else None)


def declare_import(names: Names, where: Location, name: Any, source: Any) -> None:
    """Take an ``import_model`` into the names; the source is a pipeline, a run or a model."""
    if not isinstance(name, str):
        names.mistake(where, f"import_model: the name must be a text, got {name!r}")
        return
    names.later.append(lambda: names.check(source, where, f"import_model({name!r})", with_batch=False))
    given = lift(source)

    def slot(scope: Scope) -> ModelSlot:
        found = value_of(given, Context(scope))
        run = getattr(found, "last_run", found)
        if run is None:
            raise LookupError(
                f"import_model({name!r}) at {where}: the pipeline it comes from was not run yet; "
                "run it first, or begin with next_batch or gen_batch"
            )
        models = getattr(run, "models", None)
        if models is not None and hasattr(models, "slot"):
            return models.slot(name)  # type: ignore[no-any-return]
        if not callable(getattr(found, "predict", None)):
            raise TypeError(f"import_model({name!r}) at {where}: not a pipeline, a run or a model: {found!r}")
        return ModelSlot(name, model=found)

    _add(names, where, name, slot, None)


def _add(
    names: Names, where: Location, name: str, slot: Callable[[Scope], ModelSlot], model_class: Any
) -> None:
    if name in names.models:
        names.mistake(where, f"model {name!r} is declared twice, first at {names.model_lines[name]}")
        return
    names.models[name] = slot
    names.model_lines[name] = where
    names.model_classes[name] = model_class


def bind_use(
    names: Names,
    call: Call,
    number: int,
    name: Any,
    inputs: Any = None,
    targets: Any = None,
    *,
    fetches: Any = None,
    feed_dict: Any = None,
    save_to: Any = None,
    mode: Any = "w",
    **kwargs: Any,
) -> BoundStep | None:
    """Bind ``train_model`` or ``predict_model``; what is left over goes to the model's method."""
    if not _known(names, call, name):
        return None
    method = call.name.removesuffix("_model")
    args, options = _given(inputs, targets, {"fetches": fetches, "feed_dict": feed_dict, **kwargs})
    model_class = names.model_classes[name]
    function = getattr(model_class, method, None)
    if model_class is not None and function is None:
        text = f"{model_class.__name__} has no {method}(); a model needs train, predict, save and load"
        names.mistake(call.where, f"{call.name}({name!r}): {text}")
        return None
    if function is not None and (text := mismatch(f"{call.name}({name!r})", function, 1, args, options)):
        names.mistake(call.where, text)
        return None
    names.check((args, options), call.where, call.name)
    write = names.writer(save_to, mode, call.where, call.name)
    values, named = lift(args), lift(options)

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        slot = context.scope.models.slot(name)
        positional, keywords = value_of(values, context), value_of(named, context)
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

    return BoundStep(number, call.name, call.where, run, True, parent=True)


def _given(inputs: Any, targets: Any, options: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    args = () if inputs is None and targets is None else (inputs,) if targets is None else (inputs, targets)
    return args, {key: value for key, value in options.items() if value is not None}


def _known(names: Names, call: Call, name: Any) -> bool:
    if isinstance(name, str) and name in names.models:
        return True
    text = unknown("model", name, names.models)
    names.mistake(call.where, f"{call.name}: {text}; declare it with init_model or import_model")
    return False


def bind_save(names: Names, call: Call, number: int, name: Any, path: Any) -> BoundStep | None:
    """Bind ``save_model(name, path)``."""
    if not _known(names, call, name):
        return None
    names.check(path, call.where, call.name)
    place = lift(path)

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        slot = context.scope.models.slot(name)
        with slot.lock:
            slot.get(context).save(fspath(value_of(place, context)))
        return batch

    return BoundStep(number, call.name, call.where, run, True, parent=True)


def bind_load(names: Names, call: Call, number: int, name: Any, path: Any) -> BoundStep | None:
    """Bind ``load_model(name, path)``: what the file holds takes the place of the model."""
    if not _known(names, call, name):
        return None
    names.check(path, call.where, call.name)
    place = lift(path)
    model_class = names.model_classes[name]

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        slot = context.scope.models.slot(name)
        with slot.lock:
            reader = model_class or type(slot.get(context))
            slot.model = reader.load(fspath(value_of(place, context)))
        return batch

    return BoundStep(number, call.name, call.where, run, True, parent=True)


def bind_gather(
    names: Names,
    call: Call,
    number: int,
    metrics_class: Any,
    targets: Any,
    predictions: Any,
    *,
    save_to: Any = None,
    mode: Any = "u",
    **kwargs: Any,
) -> BoundStep | None:
    """Bind ``gather_metrics``: metrics of the batch go into those that the variable holds."""
    if not (callable(metrics_class) or isinstance(metrics_class, Expr)):
        text = f"gather_metrics: a class of metrics is needed, got {metrics_class!r}"
        names.mistake(call.where, f"{text}; for example bf_models.metrics.ClassificationMetrics")
        return None
    if save_to is None:
        names.mistake(call.where, "gather_metrics: save_to=V(name) is missing")
        return None
    names.check((metrics_class, targets, predictions, kwargs), call.where, call.name)
    write = names.writer(save_to, mode, call.where, call.name)
    values = lift((metrics_class, targets, predictions, kwargs))

    def run(batch: Any, context: Context) -> Any:
        context.step, context.draws = number, 0
        make, right, got, options = value_of(values, context)
        if write is not None:
            write(make(targets=right, predictions=got, **options), context)
        return batch

    return BoundStep(number, call.name, call.where, run, True, parent=True)
