"""What the names in a pipeline stand for, and the messages about unknown ones."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from bf_batch import Batch
from bf_index.errors import unknown
from bf_pipeline.bind.bound import Bound, Build, OtherPipeline, Variable, find_circle
from bf_pipeline.errors import Location, Mistake
from bf_pipeline.expressions import targets
from bf_pipeline.expressions.base import Expr, walk
from bf_pipeline.expressions.named import MODES, B, C, D, I, L, M, Mode, V
from bf_pipeline.expressions.random import PP, P
from bf_pipeline.plain_config import overlaps
from bf_pipeline.record.recorded import Recorded, list_declared

_WORDS = frozenset(
    name for base in Batch.__mro__ for name in (*vars(base), *getattr(base, "__annotations__", ()))
)


class Names:
    """The names that a pipeline declares and uses, with the mistakes that binding has found so far.

    ``bind_other(recorded)`` binds a pipeline that is joined or merged; ``verbs`` are the steps that every
    pipeline has.
    """

    def __init__(
        self,
        recorded: Recorded,
        batch_class: type | None,
        bind_other: Callable[[Recorded], Bound],
        verbs: Iterable[str] = (),
    ) -> None:
        self.recorded = recorded
        self.batch_class = batch_class
        self.bind_other = bind_other
        self.verbs = tuple(verbs)
        self.mistakes: list[Mistake] = []
        self.variables: dict[str, Variable] = {}
        self.models: dict[str, Build] = {}
        self.model_lines: dict[str, Location] = {}
        self.model_classes: dict[str, Any] = {}
        self.sources: dict[int, OtherPipeline] = {}
        self._later: list[tuple[Any, Location, str, bool]] = []
        self.joined: tuple[Expr, ...] = ()
        self.joined_in_parent = False
        self.updated: set[str] = set()
        self.updated_config: set[str] = set()
        self.updated_data: set[str] = set()
        self.components: set[str] = set()

    @property
    def owner(self) -> str:
        """The name of the batch class, for messages."""
        return getattr(self.batch_class, "__name__", "no batch class")

    def mistake(self, where: Location, text: str) -> None:
        """Note a mistake; binding goes on to find the others."""
        self.mistakes.append(Mistake(where, text))

    def note_target(self, target: Any) -> None:
        """Note the variables that a step changes and the component that it adds."""
        for root in targets.find_roots(target):
            if isinstance(root, V):
                self.updated.add(root.name)
            elif isinstance(root, C) and root.path is not None:
                self.updated_config.add(root.path)
            elif isinstance(root, D) and root.name is not None:
                self.updated_data.add(root.name)
        self.components.update(targets.find_assigned(target))

    def take_joined(self) -> tuple[tuple[Expr, ...], bool]:
        """Return what a ``join`` has left for the next action, and whether it must run in the caller."""
        taken = self.joined, self.joined_in_parent
        self.joined, self.joined_in_parent = (), False
        return taken

    def check(self, value: Any, where: Location, owner: str, with_batch: bool = True) -> None:
        """Look up every name that the expressions in a value hold."""
        for expr in walk(value):
            if text := self.explain_unknown(expr, with_batch):
                self.mistake(where, f"{owner}: {text}")

    def check_later(self, value: Any, where: Location, owner: str, with_batch: bool) -> None:
        """Look names up as ``check`` does, but only when all steps have declared theirs."""
        self._later.append((value, where, owner, with_batch))

    def check_declarations(self) -> None:
        """Look up the names in declarations, now that all of them are known."""
        for value, where, owner, with_batch in self._later:
            self.check(value, where, owner, with_batch)
        if circle := find_circle(self.variables):
            where = self.variables[circle[0]].where
            self.mistake(where, f"variables need each other: {' -> '.join(circle)}")
        for variable in self.variables.values():
            self.check(variable.default, variable.where, f"variable {variable.name!r}", with_batch=False)

    def needs_parent(self, value: Any) -> bool:
        """Whether a value depends on what changes during the run: models, variables that steps may change.

        Config and attributes of the data set are among them where a step writes to them.
        """
        for expr in walk(value):
            if isinstance(expr, M):
                return True
            if isinstance(expr, C) and any(overlaps(expr.path, path) for path in self.updated_config):
                return True
            if isinstance(expr, D) and self.updated_data and expr.name in (None, *self.updated_data):
                return True
            if isinstance(expr, V):
                if expr.pipeline is not None:
                    return True
                variable = self.variables.get(expr.name)
                if expr.name in self.updated or variable is None or not variable.plain:
                    return True
        return False

    def writer(self, target: Any, mode: Mode, where: Location, owner: str) -> targets.Write | None:
        """Return ``write(value, context)`` for a target; None when there is none or when it is wrong."""
        if target is None:
            return None
        if mode not in MODES:
            self.mistake(where, f"{owner}: mode must be one of 'w', 'a', 'e', 'u', got {mode!r}")
        elif text := targets.explain_target(target):
            self.mistake(where, f"{owner}: {text}")
        else:
            self.check(target, where, owner)
            for name in targets.find_assigned(target):
                if name not in getattr(self.batch_class, "components", ()) and self._is_word(name):
                    text = f"B({name!r}) can not be written to: {name!r} is a word of {self.owner} itself"
                    self.mistake(where, f"{owner}: {text}; choose another name")
            return targets.make_writer(target, mode)
        return None

    def _is_word(self, name: str) -> bool:
        """Whether a name is an action, or what every batch needs for itself."""
        return name in _WORDS or name in getattr(self.batch_class, "actions", ())

    def explain_unknown(self, expr: Expr, with_batch: bool = True) -> str:
        """Return what is wrong with the name in an expression; an empty text when it is known."""
        if isinstance(expr, B | I | L | P | PP) and not with_batch:
            return f"{expr!r} needs a batch, and there is none here"
        if isinstance(expr, V) and expr.pipeline is not None:
            return _explain_other(expr)
        if isinstance(expr, V) and expr.name not in self.variables:
            return f"{unknown('variable', expr.name, self.variables)}; declare it with init_variable"
        if isinstance(expr, M) and expr.name not in self.models:
            return f"{unknown('model', expr.name, self.models)}; declare it with init_model"
        if isinstance(expr, C) and expr.absent(self.recorded.config):
            written = any(overlaps(expr.path, path) for path in self.updated_config)
            return "" if written else expr.missing(self.recorded.config)
        dataset = self.recorded.dataset
        if isinstance(expr, D) and expr.name is not None and not hasattr(dataset, expr.name):
            return (
                ""
                if expr.name in self.updated_data
                else unknown("attribute", expr.name, _list_public(dataset), "the dataset")
            )
        name = expr.name if isinstance(expr, B) else expr.source if isinstance(expr, L) else None
        if isinstance(name, str) and self.batch_class is not None and not self._has_component(name):
            declared = getattr(self.batch_class, "components", ())
            return unknown("component", name, [*declared, *sorted(self.components)], self.owner)
        return ""

    def _has_component(self, name: str) -> bool:
        """Whether batches have a component or attribute, or a step before may have given it to them."""
        return name in self.components or targets.is_declared(self.batch_class, name)

    def function(self, name: str) -> Any:
        """Return the function of a namespace that a step names, or None."""
        found = (getattr(space, name, None) for space in self.recorded.namespaces)
        return next((function for function in found if callable(function)), None)

    def knows_action(self, name: str) -> bool:
        """Whether a name is an action of the batch class or a function of a namespace."""
        return name in getattr(self.batch_class, "actions", ()) or self.function(name) is not None

    def unknown_action(self, name: str) -> str:
        """Return the message that a name is no action, with close matches."""
        batch_class = self.batch_class
        if callable(getattr(batch_class, name, None)) and not name.startswith("_"):
            return f"{name!r} of {self.owner} is a method but not an action; mark it with @action"
        functions = [key for space in self.recorded.namespaces for key in _list_public(space)]
        known = [*getattr(batch_class, "actions", ()), *functions, *self.verbs]
        return unknown("action", name, known, self.owner)


def _explain_other(expr: V) -> str:
    """Return why a variable of another pipeline can't be read; an empty text when it can, as far as known."""
    if not isinstance(expr.pipeline, Recorded):
        return ""
    declared = list_declared(expr.pipeline)
    return "" if expr.name in declared else unknown("variable", expr.name, declared, "the other pipeline")


def _list_public(thing: object) -> list[str]:
    return [name for name in dir(thing) if not name.startswith("_")]
