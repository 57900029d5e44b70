"""Optuna, where it is installed: samplers of a search, pruners of a stopping rule."""

from __future__ import annotations

import re
from typing import Any

_INSTALL = "pip install 'bf-research[optuna]'"


def load_optuna(owner: str) -> Any:
    """Return the module; ``ImportError`` that names what to install."""
    try:
        import optuna
    except ImportError as error:
        raise ImportError(f"{owner}: Optuna is not installed: {_INSTALL}, or leave {owner} out") from error
    if int(re.match(r"\d+", optuna.__version__)[0]) < 5:  # type: ignore[index]
        raise ImportError(f"{owner}: Optuna 5 is needed, this is {optuna.__version__}: {_INSTALL}")
    optuna.logging.set_verbosity(optuna.logging.ERROR)  # not how it samples which choice
    return optuna
