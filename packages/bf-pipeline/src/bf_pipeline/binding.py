"""Binding: a recorded pipeline, a dataset and a config become flat lists of closures, or one error.

Everything that names something else is looked up here: actions, arguments, components, variables, config
paths, models. What is wrong is collected and raised together, each mistake with the line of its call.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from bf_pipeline import targets
from bf_pipeline.blocks import bind_coin, bind_repeat, bind_sometimes
from bf_pipeline.calling import constant_call, evaluated_call, mismatch, positional, signature
from bf_pipeline.context import ModelSlot
from bf_pipeline.drawn import P, R
from bf_pipeline.errors import BindError, Location, Mistake
from bf_pipeline.expressions import Expr, lift, walk
from bf_pipeline.lookups import fault, stranger
from bf_pipeline.named import MODES, B, C, M, Mode, V
from bf_pipeline.registry import BUILTINS
from bf_pipeline.regroup import Regroup, bind_regroup, split
from bf_pipeline.steps import BoundStep, Call, Repeat, Sometimes, Step, calls
from bf_pipeline.variables import Variable, cycle

if TYPE_CHECKING:
    from bf_pipeline.combine import Source
    from bf_pipeline.context import Context, Scope
    from bf_pipeline.pipeline import Pipeline

Build = Callable[["Scope"], ModelSlot]
Clock = Callable[[BoundStep], BoundStep]


@dataclass(frozen=True, slots=True, eq=False)
class Bound:
    """A pipeline that fits: ``ahead`` may run before ``rest`` and elsewhere, ``rest`` runs in order.

    ``regroups`` follow; ``before`` and ``after`` run once, without a batch.
    """

    ahead: tuple[BoundStep, ...]
    rest: tuple[BoundStep, ...]
    regroups: tuple[Regroup, ...]
    before: tuple[BoundStep, ...]
    after: tuple[BoundStep, ...]
    variables: Mapping[str, Variable]
    models: Mapping[str, Build]
    sources: Mapping[int, Source]

    @property
    def steps(self) -> tuple[BoundStep, ...]:
        """All steps that a batch goes through, in order."""
        return (*self.ahead, *self.rest, *(step for group in self.regroups for step in group.steps))


class Binder:
    """Collects what a pipeline declares and what is wrong with it, and makes its steps ready."""

    def __init__(
        self,
        pipeline: Pipeline,
        batch_class: type | None,
        config: Mapping[str, Any],
        clock: Clock | None = None,
    ) -> None:
        self.clock = clock
        self.pipeline = pipeline
        self.batch_class = batch_class
        self.config = config
        self.mistakes: list[Mistake] = []
        self.variables: dict[str, Variable] = {}
        self.models: dict[str, Build] = {}
        self.model_lines: dict[str, Location] = {}
        self.model_classes: dict[str, Any] = {}
        self.sources: dict[int, Source] = {}
        self.later: list[Callable[[], None]] = []
        self.joined: tuple[Expr, ...] = ()
        self.joined_in_parent = False
        self.updated: set[str] = set()
        self.components: set[str] = set()
        self._number = 0

    @property
    def owner(self) -> str:
        """The name of the batch class, for messages."""
        return getattr(self.batch_class, "__name__", "no batch class")

    def mistake(self, where: Location, text: str) -> None:
        """Note a mistake; binding goes on to find the others."""
        self.mistakes.append(Mistake(where, text))

    def bind(self) -> Bound:
        """Make everything ready, or raise ``BindError`` with all mistakes."""
        pipeline = self.pipeline
        # `a + a` holds the same declaration twice: that is one.
        for call in dict.fromkeys(calls((*pipeline.before_steps, *pipeline.steps, *pipeline.after_steps))):
            self._declare(call)
        for look in self.later:
            look()
        if names := cycle(self.variables):
            self.mistake(self.variables[names[0]].where, f"variables need each other: {' -> '.join(names)}")
        for variable in self.variables.values():
            self.check(variable.default, variable.where, f"variable {variable.name!r}", with_batch=False)
        before = self._once(pipeline.before_steps, "before")
        first, *later = split(pipeline.steps)
        steps = self.sequence(first)
        regroups = tuple(bind_regroup(self, group[0], group[1:]) for group in later)
        after = self._once(pipeline.after_steps, "after")
        if self.joined:
            self.mistake(pipeline.steps[-1].where, "join: an action must follow that takes the batches")
        if self.mistakes:
            raise BindError(self.owner, list(dict.fromkeys(self.mistakes)))
        cut = next((place for place, step in enumerate(steps) if step.parent), len(steps))
        models = dict(self.models)
        return Bound(
            steps[:cut], steps[cut:], regroups, before, after, self.variables, models, dict(self.sources)
        )

    def sequence(self, steps: Sequence[Step]) -> tuple[BoundStep, ...]:
        """Bind steps one after another; each gets the next number."""
        bound: list[BoundStep] = []
        for step in steps:
            number = self._number
            self._number += 1
            made = self._one(step, number)
            if made is not None and self.clock is not None and isinstance(step, Call):
                made = self.clock(made)
            if made is not None:
                bound.append(made)
        return tuple(bound)

    def _one(self, step: Step, number: int) -> BoundStep | None:
        if isinstance(step, Repeat):
            return bind_repeat(self, step, number)
        if isinstance(step, Sometimes):
            return bind_sometimes(self, step, number)
        if step.builtin:
            return self._builtin(step, number)
        return self._action(step, number)

    def _builtin(self, call: Call, number: int) -> BoundStep | None:
        known = BUILTINS[call.name]
        if known.bind is None:
            return None
        if text := mismatch(call.name, known.bind, 3, call.args, call.kwargs):
            self.mistake(call.where, text)
            return None
        return known.bind(self, call, number, *call.args, **call.kwargs)

    def _declare(self, call: Call) -> None:
        """First look: what the call declares, updates or adds."""
        if not call.builtin:
            names = (
                call.args[0] if call.name == "add_components" and call.args else call.kwargs.get("dst", ())
            )
            names = (names,) if isinstance(names, str) else names if isinstance(names, list | tuple) else ()
            self.components.update(name for name in names if isinstance(name, str))
            return
        known = BUILTINS[call.name]
        place = "target" if call.name == "update" else "save_to"
        target = call.args[0] if call.name == "update" and call.args else call.kwargs.get(place)
        for root in targets.roots(target):
            if isinstance(root, V):
                self.updated.add(root.name)
            elif isinstance(root, B) and root.name is not None and root is target:
                self.components.add(root.name)
        if known.declare is not None:
            if text := mismatch(call.name, known.declare, 2, call.args, call.kwargs):
                self.mistake(call.where, text)
            else:
                known.declare(self, call.where, *call.args, **call.kwargs)

    def _action(self, call: Call, number: int) -> BoundStep | None:
        name, where, kwargs = call.name, call.where, dict(call.kwargs)
        joined, self.joined = self.joined, ()
        joined_in_parent, self.joined_in_parent = self.joined_in_parent, False
        if self.batch_class is None:
            self.mistake(
                where, f"action {name!r}: the pipeline has no dataset; give one with pipeline << dataset"
            )
            return None
        spec = self.batch_class.actions.get(name)  # type: ignore[attr-defined]
        if spec is None:
            return self._function(call, number)
        function = getattr(self.batch_class, name)
        takes_p = spec.itemwise or "p" in getattr(signature(function), "parameters", ())
        coin = None if takes_p else kwargs.pop("p", None)
        checked = {key: value for key, value in kwargs.items() if key != "p" or not spec.itemwise}
        args = (*joined, *call.args)
        if text := mismatch(f"action {name!r} of {self.owner}", function, 1, args, checked):
            self.mistake(where, text)
            return None
        self.check((args, kwargs, coin), where, name)
        args, kwargs = positional(function, args, kwargs)
        args, kwargs = tuple(map(lift, args)), {key: lift(value) for key, value in kwargs.items()}
        parent = joined_in_parent or self.parental((args, kwargs))
        contextual = any(isinstance(value, Expr) for value in (*args, *kwargs.values()))
        if contextual:
            run = evaluated_call(function, number, args, kwargs)
        else:
            run = constant_call(function, args, kwargs)
        pending = spec.pending is not None and _leaves(spec.pending, function, args, kwargs)
        step = BoundStep(number, name, where, run, contextual, parent, spec.resizes, pending and coin is None)
        return step if coin is None else bind_coin(self, step, coin)

    def _function(self, call: Call, number: int) -> BoundStep | None:
        """A name that is no action: a function of a namespace, or a mistake."""
        for namespace in self.pipeline.namespaces:
            function = getattr(namespace, call.name, None)
            if callable(function):
                return self.function(call, number, function, call.args, dict(call.kwargs))
        self.mistake(call.where, f"step {number}: {stranger(self, call.name)}")
        return None

    def function(
        self, call: Call, number: int, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> BoundStep | None:
        """Bind a call of a plain function: no batch in front, its result goes to ``save_to``."""
        target = kwargs.pop("save_to", None)
        mode: Mode = "w"
        # Without a target, or when it is none of ours, the function has a `mode` of its own.
        if target is not None and kwargs.get("mode") in MODES:
            mode = kwargs.pop("mode")
        in_parent = kwargs.pop("in_parent", False)
        if not callable(function):
            self.mistake(call.where, f"{call.name}: a function is needed, got {function!r}")
            return None
        if not isinstance(function, Expr) and (text := mismatch(call.name, function, 0, args, kwargs)):
            self.mistake(call.where, text)
            return None
        self.check((function, args, kwargs), call.where, call.name)
        write = self.writer(target, mode, call)
        parent = in_parent or self.parental((function, args, kwargs)) or self.parental(target)
        values = (lift(function), *map(lift, args))
        named = {key: lift(value) for key, value in kwargs.items()}
        run = evaluated_call(_call, number, values, named, lead=False)

        def step(batch: Any, context: Context) -> Any:
            result = run(batch, context)
            if write is not None:
                write(result, context)
            return context.batch

        return BoundStep(number, call.name, call.where, step, True, parent)

    def writer(self, target: Any, mode: Mode, call: Call) -> targets.Write | None:
        """Bind a target; None when there is none or when it is wrong."""
        if target is None:
            return None
        if mode not in MODES:
            self.mistake(call.where, f"{call.name}: mode must be one of 'w', 'a', 'e', 'u', got {mode!r}")
        elif text := targets.fault(target):
            self.mistake(call.where, f"{call.name}: {text}")
        else:
            self.check(target, call.where, call.name)
            return targets.writer(target, mode)
        return None

    def parental(self, value: Any) -> bool:
        """Whether a value depends on what changes during the run: models, variables that steps may change."""
        for expr in walk(value):
            if isinstance(expr, M):
                return True
            if isinstance(expr, V):
                variable = self.variables.get(expr.name)
                if expr.name in self.updated or variable is None or not variable.plain:
                    return True
        return False

    def check(self, value: Any, where: Location, owner: str, with_batch: bool = True) -> None:
        """Look up every name that the expressions in a value hold."""
        for expr in walk(value):
            if text := fault(expr, self, with_batch):
                self.mistake(where, f"{owner}: {text}")

    def _once(self, steps: tuple[Step, ...], section: str) -> tuple[BoundStep, ...]:
        """Bind a section that runs without a batch: built-in steps and functions only."""
        for call in calls(steps):
            spaces = self.pipeline.namespaces
            if not call.builtin and not any(callable(getattr(space, call.name, None)) for space in spaces):
                text = f"{section} has no batch: action {call.name!r} can not be there; use call(function)"
                self.mistake(call.where, text)
                return ()
            self.check((call.args, dict(call.kwargs)), call.where, call.name, with_batch=False)
        return self.sequence(steps)


def _leaves(leaves: Any, function: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
    """Whether a call leaves its work pending: by its arguments, which must take no work either."""
    if not all(isinstance(expr, P | R | C) for expr in walk((args, kwargs))):
        return False
    known = signature(function)
    return known is not None and bool(leaves(known.bind(None, *args, **kwargs).arguments))


def _call(function: Any, *args: Any, **kwargs: Any) -> Any:
    return function(*args, **kwargs)
