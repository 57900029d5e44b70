"""Optimizers and schedules by name: checked when a model is configured, made when it is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from bf_index.names import Kind, resolve
from bf_models.config.spec import ModelSpec
from bf_models.config.targets import LOSS, OPTIMIZER, SCHEDULE, build_target
from bf_models.errors import unknown
from bf_models.optim.update import Update, read_update, refuse_own

_KERAS = "keras.optimizers."
OPTIMIZERS: Mapping[str, str] = {
    "adam": "bf_models.optim.fused.Adam",
    "adamw": "bf_models.optim.fused.AdamW",
    "sgd": "bf_models.optim.fused.SGD",
    **{
        name.lower(): _KERAS + name
        for name in (
            "RMSprop",
            "Adagrad",
            "Adadelta",
            "Adafactor",
            "Adamax",
            "Ftrl",
            "Lamb",
            "Lion",
            "Nadam",
            "Muon",
        )
    },
}
_SCHEDULES = "keras.optimizers.schedules."
SCHEDULES: Mapping[str, str] = {
    "cosine": "bf_models.optim.schedules.WarmupCosine",
    "warmup_cosine": "bf_models.optim.schedules.WarmupCosine",
    "constant": "bf_models.optim.schedules.Warmup",
    "one_cycle": "bf_models.optim.schedules.OneCycle",
    "warmup": "bf_models.optim.schedules.Warmup",
    "exponential": _SCHEDULES + "ExponentialDecay",
    "inverse_time": _SCHEDULES + "InverseTimeDecay",
    "polynomial": _SCHEDULES + "PolynomialDecay",
    "cosine_restarts": _SCHEDULES + "CosineDecayRestarts",
    **{
        name.lower(): _SCHEDULES + name
        for name in (
            "ExponentialDecay",
            "InverseTimeDecay",
            "PolynomialDecay",
            "CosineDecay",
            "CosineDecayRestarts",
        )
    },
}
_NO_ARGUMENTS: Mapping[str, Any] = {}
_KINDS: Mapping[str, Kind] = {"loss": LOSS, "optimizer": OPTIMIZER, "schedule": SCHEDULE}


@dataclass(frozen=True, slots=True)
class Named:
    """A thing to make: dotted name of its class, its arguments, and the config key that asks for it."""

    kind: str
    target: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    made: Any = None
    where: str = ""

    def find(self, allow: Sequence[str]) -> Any:
        """Return what is to be called; ``TargetError`` when it is no loss where a loss is due."""
        return resolve(self.target, _KINDS[self.kind], allow, self.where)

    def make(self, allow: Sequence[str], extra: Mapping[str, Any] = _NO_ARGUMENTS) -> Any:
        """Make it; TypeError names an unknown argument and the close ones."""
        if self.made is not None:
            return self.made
        arguments = {**extra, **self.arguments}
        signature = inspect.signature(self.find(allow))
        open_ended = any(item.kind is item.VAR_KEYWORD for item in signature.parameters.values())
        known = [name for name in signature.parameters if name != "kwargs"]
        for name in arguments:
            # Keras passes its base class's arguments through **kwargs
            if name not in known and (not open_ended or name not in _BASE_ARGUMENTS):
                raise TypeError(unknown(f"argument of the {self.kind}", name, known, self.target))
        return build_target({**arguments, "_target_": self.target}, _KINDS[self.kind], allow, self.where)


_BASE_ARGUMENTS = frozenset(
    [
        "name",
        "weight_decay",
    ]
)


def is_pair(option: Any) -> bool:
    """Whether an option is a name and its arguments, as the older BatchFlow writes it: ``('Adam', {})``."""
    if not isinstance(option, Sequence) or isinstance(option, str) or len(option) != 2:
        return False
    return (
        isinstance(option[0], str)
        and isinstance(option[1], Mapping)
        and not {"name", "_target_"} & set(option[1])
    )


def read_named(kind: str, option: Any, names: Mapping[str, str], owner: str) -> Named:
    """Read what names a loss, an optimizer or a schedule; ValueError names the matches of an unknown name.

    It is a name, ``{name: ..., arguments}``, ``{_target_: ..., arguments}``, a pair (name, arguments) or an
    object.
    """
    if isinstance(option, str):
        option = {"name": option}
    if is_pair(option):
        option = {"name": option[0], **option[1]}
    if not isinstance(option, Mapping):
        if isinstance(option, int | float | Sequence):
            raise TypeError(f"{owner}: {kind} is a name or a mapping with 'name', got {option!r}")
        return Named(kind, type(option).__name__, made=option, where=f"{owner}.{kind}")
    arguments = dict(option)
    target = arguments.pop("_target_", None)
    name = arguments.pop("name", None)
    if target is None and name is None:
        raise ValueError(f"{owner}: {kind} needs the key 'name' or '_target_', got {dict(option)!r}")
    if target is None:
        target = names.get(str(name).lower(), str(name) if "." in str(name) else None)
    if target is None:
        raise ValueError(unknown(kind, str(name), names, owner))
    return Named(kind, str(target), arguments, where=f"{owner}.{kind}")


@dataclass(frozen=True, slots=True)
class Progress:
    """Variables that a schedule looks at: the number of updates, and a factor that is set from outside."""

    position: Any
    factor: Any


@dataclass(frozen=True, slots=True)
class OptimizerSpec:
    """Optimizer and schedule of a model, names checked, and what of an update is not the optimizer's."""

    optimizer: Named
    schedule: Named | None
    allow: tuple[str, ...]
    update: Update

    def check_names(self) -> None:
        """Raise ``TargetError`` where a name is not that of an optimizer, or of a schedule."""
        for named in (self.optimizer, self.schedule):
            if named is not None and named.made is None:
                named.find(self.allow)

    def make(self, factor: float = 1.0, progress: Progress | None = None) -> Any:
        """Make a Keras optimizer; ``factor`` multiplies its learning rate, with or without a schedule.

        A schedule needs ``progress``.
        """
        if self.optimizer.made is not None and factor != 1.0:
            raise ValueError("learning_rates need an optimizer by name or _target_, got an object")
        arguments = self.optimizer.arguments
        rate = arguments.get("learning_rate")
        if self.optimizer.made is not None or (self.schedule is None and factor == 1.0):
            return self.optimizer.make(self.allow)
        if rate is None:
            signature = inspect.signature(self.optimizer.find(self.allow))
            rate = signature.parameters["learning_rate"].default
        if self.schedule is None:
            return self._make_with_rate(float(rate) * factor)
        schedule = self.schedule.made
        if schedule is None:
            cls = self.schedule.find(self.allow)
            known = inspect.signature(cls).parameters
            peak = "initial_learning_rate" if "initial_learning_rate" in known else "learning_rate"
            schedule = self.schedule.make(self.allow, {peak: float(rate)})
        assert progress is not None, "a schedule counts updates"
        return self._make_with_rate(
            lambda: progress.factor.value * factor * schedule(progress.position.value)
        )

    def _make_with_rate(self, rate: Any) -> Any:
        arguments = {**self.optimizer.arguments, "learning_rate": rate}
        return replace(self.optimizer, arguments=arguments).make(self.allow)


def read_optimizer(spec: ModelSpec, owner: str) -> OptimizerSpec:
    """Check the config keys ``optimizer``, ``schedule``, ``accumulate`` and ``ema``, without TensorFlow."""
    schedule, allow = spec.schedule, spec.allow
    named = read_named("optimizer", spec.optimizer, OPTIMIZERS, owner)
    if named.made is not None:
        refuse_own(named.made, owner)
    update, arguments = read_update(named.arguments, spec, owner)
    return OptimizerSpec(
        replace(named, arguments=arguments),
        None if schedule is None else read_named("schedule", schedule, SCHEDULES, owner),
        allow,
        update,
    )
