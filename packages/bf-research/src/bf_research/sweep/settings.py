"""Which settings of a command decide what the trials of a sweep give; others may change when it goes on."""

from __future__ import annotations

import re
from collections.abc import Sequence

from omegaconf import DictConfig

from bf_research.stopping.measured import measured_in
from bf_research.targets import find_part

#: Settings of a training that change nothing of what is trained: what is shown, and what works ahead.
INDIFFERENT = ("bar", "monitors", "pictures", "prefetch", "engine")
#: Settings that say where trials run and which of them are stopped.
_AROUND = ("launch", "stopping")


def keep_own(settings: Sequence[str]) -> list[str]:
    """Return the settings of a command that are those of its trials."""
    return _leave_out(_AROUND, settings)


def keep_decisive(settings: Sequence[str], config: DictConfig) -> list[str]:
    """Return the settings of a command that decide what a trial gives when it ends by itself.

    Others may change when a sweep goes on. What a name means is known where our own parts read it: a program
    of somebody else's may call something else ``tracking`` or ``engine``.
    """
    names = [*_AROUND]
    if find_part(config.hydra.get("callbacks"), "SweepTracking") is not None:
        names.append("tracking")
    if measured_in(config) is not None:
        names += INDIFFERENT
    return _leave_out(names, settings)


def _leave_out(names: Sequence[str], settings: Sequence[str]) -> list[str]:
    others = re.compile(rf"[+~]*({'|'.join(names)})(?=[.=@]|$)")
    return [text for text in settings if not others.match(text)]
