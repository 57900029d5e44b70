"""Errors of models, and the one sentence for an unknown name."""

from __future__ import annotations

import difflib
from collections.abc import Iterable

from bf_index.errors import escape


class NonFiniteLoss(ArithmeticError):
    """The loss of a training step is NaN or infinite; the weights are those before the step."""


class StopTraining(NonFiniteLoss):
    """The same with the policy ``stop``: training ends here, without a fault; a pipeline may end its run."""

    stops_pipeline = True


class MissingShape(ValueError):
    """A model must be built but its config holds no shapes and no batch was seen yet."""


class CorruptModel(ValueError):
    """A saved model is cut short or damaged: a size or a checksum does not agree."""


class UnsafeCheckpoint(ValueError):
    """A saved model holds something that is not data, or names outside its archive."""


class ModelStateError(ValueError):
    """A saved model belongs to another architecture or to a newer version of the format."""


class WeightsError(ValueError):
    """Weights of a foreign file do not fit the model."""


# The names before, which programs catch and which other packages have for errors of their own.
CorruptCheckpoint = CorruptModel
StateError = ModelStateError


def unknown(kind: str, name: str, known: Iterable[str], owner: str = "") -> str:
    """Return the sentence for an unknown name: what it is, where, its close matches and the known names."""
    names = sorted(escape(item) for item in known)
    of = f" of {owner}" if owner else ""
    lowered = {item.lower(): item for item in names}
    close = difflib.get_close_matches(str(name).lower(), lowered, n=3, cutoff=0.6)
    hint = f"; did you mean {' or '.join(repr(lowered[item]) for item in close)}?" if close else ";"
    return f"unknown {kind} {name!r}{of}{hint} known: {', '.join(names) or 'none'}"
