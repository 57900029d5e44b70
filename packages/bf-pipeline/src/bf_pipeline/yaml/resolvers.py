"""OmegaConf resolvers: ``${B:images}``, ``${P:${R:uniform,-10,10}}`` in YAML stand for named expressions.

A resolver gives a small config node, ``{_target_: bf_pipeline.B, _args_: [images]}``, which ``build`` and
Hydra's ``instantiate`` turn into the expression; so a config stays plain data until it is used.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from bf_index.errors import unknown
from bf_pipeline.expressions.text import NAMES, read_expression

_PACKAGE = "bf_pipeline."


def register_resolvers() -> None:
    """Register B C D I L M P R V W Where with OmegaConf; again does no harm."""
    from omegaconf import OmegaConf

    for name in NAMES:
        OmegaConf.register_new_resolver(name, _resolver(name), replace=True)


def _resolver(name: str) -> Any:
    def resolve(*args: Any) -> Any:
        from omegaconf import OmegaConf

        return OmegaConf.create({"_target_": f"{_PACKAGE}{name}", "_args_": list(args)})

    return resolve


def expressions_in(value: Any) -> Any:
    """Turn what stands for expressions into them, at any depth.

    That is ``{_target_: bf_pipeline.B, _args_: [...]}`` and texts that begin with ``=``, such as
    ``=B('images') / 255``. No other target is taken: this reads data and runs no code.
    """
    if isinstance(value, str) and value.startswith("="):
        return read_expression(value[1:])
    if isinstance(value, list | tuple):
        return type(value)(expressions_in(part) for part in value)
    if not isinstance(value, Mapping):
        return value
    target = value.get("_target_")
    if not isinstance(target, str) or not target.startswith(_PACKAGE):
        return {key: expressions_in(part) for key, part in value.items()}
    name = target.removeprefix(_PACKAGE)
    if name not in NAMES:
        raise ValueError(unknown("expression", target, [f"{_PACKAGE}{known}" for known in NAMES]))
    named = {key: expressions_in(part) for key, part in value.items() if key not in ("_target_", "_args_")}
    return NAMES[name](*expressions_in(list(value.get("_args_", ()))), **named)


register_resolvers()
