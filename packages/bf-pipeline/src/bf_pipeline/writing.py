"""A pipeline written as the code that makes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from bf_pipeline.expressions import arguments, written
from bf_pipeline.steps import Call, Step

if TYPE_CHECKING:
    from bf_pipeline.pipeline import Pipeline

_WIDTH = 100


def written_pipeline(pipeline: Pipeline) -> str:
    """Write the pipeline: one line when it is short, else one call a line."""
    text = _sum(pipeline.steps)
    for name, steps in (("before", pipeline.before_steps), ("after", pipeline.after_steps)):
        if steps:
            inner = " ".join(_call(step) if isinstance(step, Call) else f"+ {_term(step)}" for step in steps)
            text = f"{_operand(text)}\n.{name}{inner}.main"
    if pipeline.namespaces:
        text = f"{_operand(text)}\n.add_namespace({', '.join(_name(space) for space in pipeline.namespaces)})"
    if pipeline.options:
        text = f"{_operand(text)}\n.run_later({arguments((), dict(pipeline.options))})"
    for given in (pipeline.dataset, pipeline.config or None):
        if given is not None:
            text = f"{_operand(text)} << {written(given) if isinstance(given, dict) else repr(given)}"
    return text


def _name(space: object) -> str:
    return str(getattr(space, "__name__", None) or repr(space))


def _call(call: Call) -> str:
    return f".{call.name}({arguments(call.args, dict(call.kwargs))})"


def _operand(text: str) -> str:
    """Put brackets around what is not one chain of calls."""
    return f"({text})" if "\n" in text or " + " in text or text.startswith("(") else text


def _sum(steps: tuple[Step, ...]) -> str:
    """Write steps as chains of calls and blocks joined by ``+``."""
    terms: list[str] = []
    chain: list[str] = []
    for step in (*steps, None):
        if isinstance(step, Call):
            chain.append(_call(step))
            continue
        if chain or (step is None and not terms):
            terms.append(_chain(chain))
            chain = []
        if step is not None:
            terms.append(_term(step))
    return "\n+ ".join(terms) if sum(map(len, terms)) > _WIDTH else " + ".join(terms)


def _chain(chain: list[str]) -> str:
    line = "Pipeline()" + "".join(chain)
    if len(line) <= _WIDTH:
        return line
    return "Pipeline()\n" + "\n".join(f"    {call}" for call in chain)


def _term(step: Step) -> str:
    if isinstance(step, Call):
        return f"Pipeline(){_call(step)}"
    sign, value = ("*", step.times) if hasattr(step, "times") else ("@", step.p)
    inner = _sum(step.steps)
    return f"({inner}) {sign} {written(value)}"
