"""Types of the settings that every training has: a wrong name or value fails while composing."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class TrainSchema:
    """Settings of ``python train.py``; the groups are checked by the parts they configure."""

    dataset: dict[str, Any] = field(default_factory=dict)
    model: dict[str, Any] = field(default_factory=dict)
    optimizer: dict[str, Any] = field(default_factory=dict)
    schedule: Any = None
    pipeline: dict[str, Any] = field(default_factory=dict)
    tracking: dict[str, Any] = field(default_factory=dict)
    batch_size: int = 64
    test_batch_size: int = 250
    n_epochs: int | None = None
    n_iters: int | None = None
    prefetch: int = 2
    engine: str = "threads"
    seed: int = 0
    bar: bool = True
    loss: Any = "ce"
    repetition: int = 0
    launch: dict[str, Any] = field(default_factory=dict)
    targets: list[str] = field(default_factory=list)


def register() -> None:
    """Store the schema where ``defaults: [train_schema, ...]`` finds it."""
    from hydra.core.config_store import ConfigStore

    ConfigStore.instance().store(name="train_schema", node=TrainSchema, provider="bf_research")
