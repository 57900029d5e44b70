"""Binding: a recorded pipeline, a dataset and a config become flat lists of functions, or one error.

Everything that names something else is looked up here: actions, arguments, components, variables, config
paths, models. What is wrong is collected and raised together, each mistake with the line of its call.
"""

from __future__ import annotations

from collections.abc import Sequence

from bf_pipeline.bind import basics, combine, metrics, models
from bf_pipeline.bind.blocks import bind_repeat, bind_sometimes
from bf_pipeline.bind.bound import Bound, BoundStep, Clock, Regroup
from bf_pipeline.bind.builtin import BuiltinStep, list_steps, read_step
from bf_pipeline.bind.calls import bind_action
from bf_pipeline.bind.names import Names
from bf_pipeline.errors import BindError
from bf_pipeline.expressions.base import Expr
from bf_pipeline.record.recorded import Call, Recorded, Repeat, Sometimes, Step, walk_all_calls, walk_calls

#: The classes of the pipeline's own steps by the name of their verb.
STEPS = list_steps(basics, models, metrics, combine)


def bind(recorded: Recorded, batch_class: type | None = None, clock: Clock | None = None) -> Bound:
    """Make a pipeline ready to run, or raise ``BindError`` with all mistakes.

    A ``batch_class`` is that of the batches when there is no dataset; a ``clock`` is put around every step.
    """
    return _Binding(_make_names(recorded, batch_class), clock).bound()


def check_actions(recorded: Recorded) -> None:
    """Refuse actions that the dataset's batch class does not have: ``BindError`` names them all."""
    names = _make_names(recorded)
    for call in walk_calls(recorded.steps):
        if not call.builtin and not names.knows_action(call.name):
            names.mistake(call.where, names.unknown_action(call.name))
    if names.mistakes:
        raise BindError(names.owner, names.mistakes)


def unknown_action(recorded: Recorded, name: str) -> str:
    """Return why a name is no action of the pipeline's dataset; an empty text when it is or there is none."""
    if recorded.dataset is None or isinstance(recorded.dataset, Expr):
        return ""
    names = _make_names(recorded)
    return "" if names.knows_action(name) else names.unknown_action(name)


def _make_names(recorded: Recorded, batch_class: type | None = None) -> Names:
    known = batch_class if recorded.dataset is None else recorded.dataset.batch_class
    return Names(recorded, known, bind, STEPS)


class _Binding:
    """The binding of one pipeline: numbers its steps, and binds those inside a block before the block."""

    def __init__(self, names: Names, clock: Clock | None) -> None:
        self._names = names
        self._clock = clock
        self._number = 0
        self._builtin: dict[Call, BuiltinStep] = {}

    def bound(self) -> Bound:
        """Make everything ready, or raise ``BindError``."""
        names, recorded = self._names, self._names.recorded
        # `a + a` holds the same declaration twice: that is one.
        for call in dict.fromkeys(walk_all_calls(recorded)):
            self._declare(call)
        names.check_declarations()
        before = self._bind_once(recorded.before_steps, "before")
        steps, regroups = self._bind_groups(recorded.steps)
        after = self._bind_once(recorded.after_steps, "after")
        if names.joined:
            names.mistake(recorded.steps[-1].where, "join: an action must follow that takes the batches")
        if names.mistakes:
            raise BindError(names.owner, list(dict.fromkeys(names.mistakes)))
        cut = next((place for place, step in enumerate(steps) if step.parent), len(steps))
        return Bound(
            steps[:cut],
            steps[cut:],
            regroups,
            before,
            after,
            names.variables,
            dict(names.models),
            dict(names.sources),
            (frozenset(names.updated_config), frozenset(names.updated_data)),
        )

    def _declare(self, call: Call) -> None:
        """Note what the call declares, changes or adds."""
        names = self._names
        if not call.builtin:
            first = call.name == "add_components" and call.args
            added = call.args[0] if first else call.kwargs.get("dst", ())
            added = (added,) if isinstance(added, str) else added if isinstance(added, list | tuple) else ()
            names.components.update(name for name in added if isinstance(name, str))
            if call.name == "add_attributes":
                names.components.update(call.kwargs)
            actions = getattr(names.batch_class, "actions", {})
            if call.name in actions:
                names.components.update(actions[call.name].adds)
            else:  # a function of a namespace
                names.note_target(call.kwargs.get("save_to"))
        elif (step := read_step(STEPS[call.name], call, names)) is not None:
            self._builtin[call] = step
            step.declare(names)

    def _bind_once(self, steps: tuple[Step, ...], section: str) -> tuple[BoundStep, ...]:
        """Bind a section that runs without a batch: built-in steps and functions only."""
        names = self._names
        for call in walk_calls(steps):
            if not call.builtin and names.function(call.name) is None:
                text = f"{section} has no batch: action {call.name!r} can not be there; use call(function)"
                names.mistake(call.where, text)
                return ()
            names.check((call.args, dict(call.kwargs)), call.where, call.name, with_batch=False)
        return self._bind_steps(steps)

    def _bind_groups(self, steps: tuple[Step, ...]) -> tuple[tuple[BoundStep, ...], tuple[Regroup, ...]]:
        """Bind the steps before the first ``rebatch``, and what follows each."""
        first: list[Step] = []
        later: list[tuple[combine.Rebatch, list[Step]]] = []
        for step in steps:
            if (rebatch := self._find_rebatch(step)) is not None:
                later.append((rebatch, []))
            else:
                (later[-1][1] if later else first).append(step)
        bound = self._bind_steps(first)
        return bound, tuple(one.regroup(self._names, self._bind_steps(group)) for one, group in later)

    def _find_rebatch(self, step: Step) -> combine.Rebatch | None:
        own = self._builtin.get(step) if isinstance(step, Call) else None
        return own if isinstance(own, combine.Rebatch) else None

    def _bind_steps(self, steps: Sequence[Step]) -> tuple[BoundStep, ...]:
        """Bind steps one after another; each gets the next number."""
        bound: list[BoundStep] = []
        for step in steps:
            number = self._number
            self._number += 1
            made = self._bind_one(step, number)
            if made is not None and self._clock is not None and isinstance(step, Call):
                made = self._clock(made)
            if made is not None:
                bound.append(made)
        return tuple(bound)

    def _bind_one(self, step: Step, number: int) -> BoundStep | None:
        if isinstance(step, Repeat):
            return bind_repeat(self._names, step, number, self._bind_steps(step.steps))
        if isinstance(step, Sometimes):
            return bind_sometimes(self._names, step, number, self._bind_steps(step.steps))
        if step.builtin:
            own = self._builtin.get(step)
            return None if own is None else own.bind(self._names, number)
        return bind_action(self._names, step, number)
