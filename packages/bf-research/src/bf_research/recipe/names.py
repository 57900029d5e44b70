"""What a training is called: its parameters, the settings of its own in a sweep, its run's name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Container, Mapping
from typing import TYPE_CHECKING, Any

from bf_pipeline.redaction.values import redact_config, redact_override
from bf_research.launcher.hydra_private import task_overrides
from bf_research.masks import Masks
from bf_research.tracking.choice import name_trackers
from bf_research.tracking.run_scope import SweepContext
from bf_research.tracking.tracker import flatten

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: What settings say that a task chooses.
_OF_TASK = "${task."


def parameters(config: DictConfig) -> dict[str, str]:
    """Return a flat configuration for people: ``model: resnet18`` in place of the name of its class."""
    written = redact_config(config, resolve=False)
    resolved = redact_config(config, resolve=True)
    for key, value in written.items():
        if isinstance(value, str) and value.startswith(_OF_TASK):
            written[key] = resolved[key]
    for part in ("launch", "stopping", "search"):  # what is around a training is no parameter of it
        written.pop(part, None)
    if isinstance(task := written.get("task"), dict) and "name" in task:
        written["task"] = task["name"]  # its steps are those of the pipeline
    params = flatten(written)
    hydra = hydra_part()
    overridden = (
        set() if hydra is None else {text.lstrip("+").partition("=")[0] for text in task_overrides(hydra)}
    )
    for group, choice in ({} if hydra is None else hydra.runtime.choices).items():
        target = f"{group}._target_"
        if target in params and target not in overridden and isinstance(choice, str):
            del params[target]
            params[str(group)] = choice
    trackers = name_trackers(written.get("tracking"))
    if any(trackers):  # some have names of their own: Hydra tells no choice
        for name in trackers:
            params.pop(f"tracking.{name}._target_" if name else "tracking._target_", None)
        params["tracking"] = ", ".join(trackers.values())
    return params


def hydra_part() -> Any:
    """Return Hydra's part of the configuration; None in a program without Hydra."""
    from hydra.core.hydra_config import HydraConfig

    return HydraConfig.get() if HydraConfig.initialized() else None


def own_settings() -> dict[str, str]:
    """Return the settings of this run alone, not those of the command for all trials of its sweep.

    Secrets are masked with the key of the sweep: trials that differ in nothing else are told apart.
    """
    hydra, sweep = hydra_part(), SweepContext.current()
    mask = Masks(key=bytes.fromhex(sweep.mask_key if sweep else ""))
    # Hydra's own sweeper writes false as False
    given = Counter(text.lower() for text in (sweep.given if sweep else ()))
    own = {}
    for text in () if hydra is None else task_overrides(hydra):
        if given[text.lower()]:
            given[text.lower()] -= 1
        else:
            key, _, value = redact_override(text, mask).lstrip("+~").partition("=")
            own[key] = value
    return own


def run_name(name: str) -> str:
    """Return a name of the run: its own settings in the sweep, else the model."""
    from hydra.types import RunMode

    hydra, own = hydra_part(), own_settings()
    if hydra is None or hydra.mode is not RunMode.MULTIRUN or not own:
        return name
    return shorten(own, hydra.runtime.choices)


def shorten(own: Mapping[str, str], groups: Container[str], longest: int = 200) -> str:
    """Return settings for a narrow column: ``mlp learning_rate=0.01 #1``."""
    ends = Counter(key.rpartition(".")[2] for key in own)

    def one(key: str, value: str) -> str:
        end = key.rpartition(".")[2]
        return value if key in groups else f"{end if ends[end] == 1 else key}={value}"

    words = [one(key, value) for key, value in own.items() if key != "repetition"]
    words += [f"#{own['repetition']}"] if "repetition" in own else []
    return " ".join(words)[:longest]
