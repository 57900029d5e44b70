"""The recorded pipeline as a value: data, config and steps, which everything else reads."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from bf_batch import Dataset
from bf_pipeline.plain_config import Settings, merged, plain
from bf_pipeline.record.steps import Call, Step, calls


@dataclass(frozen=True, slots=True, eq=False, repr=False, weakref_slot=True)
class Recorded:
    """What a pipeline is made of; ``Pipeline`` adds the methods that record, run and show it.

    Public names here are names that no action can have, so what works on a recorded pipeline is a function.
    """

    dataset: Any = None
    config: Mapping[str, Any] = field(default_factory=dict)
    steps: tuple[Step, ...] = field(default=(), kw_only=True)
    before_steps: tuple[Step, ...] = field(default=(), kw_only=True)
    after_steps: tuple[Step, ...] = field(default=(), kw_only=True)
    namespaces: tuple[Any, ...] = field(default=(), kw_only=True)
    options: Mapping[str, Any] = field(default_factory=dict, kw_only=True)

    def __post_init__(self) -> None:
        if self.dataset is not None and not isinstance(self.dataset, Dataset):
            if isinstance(self.dataset, Mapping) and not self.config:  # Pipeline(config), as a config alone
                object.__setattr__(self, "config", self.dataset)
                object.__setattr__(self, "dataset", None)
            else:
                raise TypeError(f"Pipeline: the first argument is a Dataset, got {self.dataset!r}")
        object.__setattr__(self, "config", _as_settings(self.config))


def _as_settings(config: Any) -> Settings:
    if isinstance(config, Settings):
        return config
    made = plain(config)
    if not isinstance(made, dict):
        raise TypeError(f"Pipeline: config must be a mapping, got {config!r}")
    return Settings(made)


AnyRecorded = TypeVar("AnyRecorded", bound=Recorded)


def with_config(recorded: AnyRecorded, config: Any) -> AnyRecorded:
    """Return the pipeline with further config values; where both have one, the new one wins."""
    return replace(recorded, config=merged(recorded.config, _as_settings(config)))


def all_calls(recorded: Recorded) -> Iterator[Call]:
    """Yield every call of a pipeline in the order of running: ``before``, the main steps, ``after``."""
    return calls((*recorded.before_steps, *recorded.steps, *recorded.after_steps))
