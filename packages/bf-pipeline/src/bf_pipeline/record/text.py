"""A pipeline written for a person: as the code that makes it, and as a Mermaid picture."""

from __future__ import annotations

from keyword import iskeyword

from bf_pipeline.expressions.base import arguments_as_code, as_code
from bf_pipeline.record.recorded import Call, Recorded, Repeat, Step

# Letters that a chain of calls may have on one line.
_WIDTH = 100
# Letters in a box of a picture.
_LONGEST = 60


def write_code(pipeline: Recorded) -> str:
    """Return the pipeline as code; what runs once, how to run it and the data come behind the steps."""
    owner = type(pipeline)
    text, whole = _write_sum(pipeline.steps, owner)
    behind = [
        f".{name}{_write_once(steps, owner)}.main"
        for name, steps in (("before", pipeline.before_steps), ("after", pipeline.after_steps))
        if steps
    ]
    if pipeline.namespaces:
        behind.append(f".add_namespace({', '.join(map(_name_of, pipeline.namespaces))})")
    options = dict(pipeline.options)
    if (checkpoint := options.pop("checkpoint", None)) is not None:
        named = {"every": checkpoint.every, "keep": checkpoint.keep}
        behind.append(f".checkpoint({arguments_as_code((str(checkpoint.path),), named)})")
    if options:
        first = dict(sorted(options.items(), key=lambda option: option[0] != "batch_size"))
        behind.append(f".run_later({arguments_as_code((), first)})")
    section = getattr(pipeline, "section", "steps").removesuffix("_steps")
    inside = "" if section == "steps" else f".{section}"
    given = [as_code(part) for part in (pipeline.dataset, pipeline.config or None) if part is not None]
    if behind or (inside and not given):
        text, whole = f"{text if whole else f'({text})'}{''.join(behind)}", True
    for part in given:
        text, whole = f"{text if whole or ' << ' in text else f'({text})'} << {part}", False
    if inside:
        text = f"{text if whole else f'({text})'}{inside}"
    return text


def _write_once(steps: tuple[Step, ...], owner: type) -> str:
    """Return the steps of a section that runs once; blocks among them were read from data."""
    return "".join(
        _write_call(step, owner)
        if isinstance(step, Call)
        else f".record(*({_write_block(step, owner)}).steps)"
        for step in steps
    )


def _name_of(space: object) -> str:
    return str(getattr(space, "__name__", None) or repr(space))


def _write_call(call: Call, owner: type) -> str:
    plain = call.name.isidentifier() and not iskeyword(call.name)
    own = not call.builtin and (hasattr(owner, call.name) or not plain)
    name = f"action({call.name!r})" if own else call.name
    return f".{name}({arguments_as_code(call.args, dict(call.kwargs))})"


def _write_sum(steps: tuple[Step, ...], owner: type) -> tuple[str, bool]:
    """Return steps as chains of calls and blocks joined by ``+``, and whether it is one chain."""
    terms: list[str] = []
    chain: list[str] = []
    whole = True
    for step in steps:
        if isinstance(step, Call):
            chain.append(_write_call(step, owner))
            continue
        if chain:
            terms.append(_write_chain(chain))
        terms.append(_write_block(step, owner))
        chain, whole = [], False
    if chain or not terms:
        terms.append(_write_chain(chain))
    return " + ".join(terms), whole


def _write_chain(chain: list[str]) -> str:
    """Return a chain on one line, or in brackets with a line for each call."""
    line = f"Pipeline(){''.join(chain)}"
    if len(line) <= _WIDTH:
        return line
    inner = "".join(f"\n    {call}" for call in chain)
    return f"(Pipeline(){inner}\n)"


def _write_block(step: Step, owner: type) -> str:
    if isinstance(step, Call):
        return _write_chain([_write_call(step, owner)])
    inner, whole = _write_sum(step.steps, owner)
    sign, value = ("*", step.times) if isinstance(step, Repeat) else ("@", step.p)
    # `a + b * 2` repeats only b, and `a * 2 @ p` is read from the left: brackets say what is meant.
    return f"{inner if whole else f'({inner})'} {sign} {as_code(value)}"


class _Drawing:
    """Lines of a picture and the boxes in it, numbered in the order of drawing."""

    def __init__(self) -> None:
        self.lines = ["flowchart TD"]
        self._count = 0

    def node(self, text: str, left: str = "[", right: str = "]") -> str:
        name, self._count = f"n{self._count}", self._count + 1
        self.lines.append(f'    {name}{left}"{_quote(text)}"{right}')
        return name

    def arrow(self, start: str, end: str, label: str = "") -> None:
        self.lines.append(f"    {start} -->{f'|{_quote(label)}|' if label else ''} {end}")

    def steps(self, steps: tuple[Step, ...], last: str) -> str:
        for step in steps:
            if isinstance(step, Call):
                name = self.node(f"{step.name}({arguments_as_code(step.args, dict(step.kwargs))})")
                self.arrow(last, name)
                last = name
            else:
                last = self._block(step, last)
        return last

    def _block(self, step: Step, last: str) -> str:
        if isinstance(step, Call):
            return last
        if isinstance(step, Repeat):
            first = self.node(f"repeat {as_code(step.times)} times", "{{", "}}")
            self.arrow(last, first)
            end = self.steps(step.steps, first)
            self.arrow(end, first, "again")
            return end
        coin = self.node(f"with p = {as_code(step.p)}", "{", "}")
        self.arrow(last, coin)
        end = self.steps(step.steps, coin)
        out = self.node(" ", "((", "))")
        self.arrow(end, out)
        self.arrow(coin, out, "else")
        return out


def _quote(text: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    for sign, name in (("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("\n", " ")):
        text = text.replace(sign, name)
    return text


def draw_mermaid(pipeline: Recorded) -> str:
    """Return the text of a picture of the pipeline."""
    drawing = _Drawing()
    data = "no dataset" if pipeline.dataset is None else repr(pipeline.dataset)
    last = drawing.node(data, "[(", ")]")
    if pipeline.before_steps:
        last = drawing.steps(pipeline.before_steps, last)
    last = drawing.steps(pipeline.steps, last)
    if pipeline.after_steps:
        last = drawing.steps(pipeline.after_steps, last)
    return "\n".join(drawing.lines)
