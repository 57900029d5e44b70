"""A pipeline as a Mermaid picture: boxes for steps, frames for repetitions and coins."""

from __future__ import annotations

from bf_pipeline.expressions.base import arguments, written
from bf_pipeline.record.recorded import Recorded
from bf_pipeline.record.steps import Call, Repeat, Step

_LONGEST = 60


class _Drawing:
    """Lines of a picture and the boxes in it, numbered in the order of drawing."""

    def __init__(self) -> None:
        self.lines = ["flowchart TD"]
        self._count = 0

    def node(self, text: str, left: str = "[", right: str = "]") -> str:
        name, self._count = f"n{self._count}", self._count + 1
        self.lines.append(f'    {name}{left}"{_quoted(text)}"{right}')
        return name

    def arrow(self, start: str, end: str, label: str = "") -> None:
        self.lines.append(f"    {start} -->{f'|{_quoted(label)}|' if label else ''} {end}")

    def steps(self, steps: tuple[Step, ...], last: str) -> str:
        for step in steps:
            if isinstance(step, Call):
                name = self.node(f"{step.name}({arguments(step.args, dict(step.kwargs))})")
                self.arrow(last, name)
                last = name
            else:
                last = self._block(step, last)
        return last

    def _block(self, step: Step, last: str) -> str:
        if isinstance(step, Call):
            return last
        if isinstance(step, Repeat):
            first = self.node(f"repeat {written(step.times)} times", "{{", "}}")
            self.arrow(last, first)
            end = self.steps(step.steps, first)
            self.arrow(end, first, "again")
            return end
        coin = self.node(f"with p = {written(step.p)}", "{", "}")
        self.arrow(last, coin)
        end = self.steps(step.steps, coin)
        out = self.node(" ", "((", "))")
        self.arrow(end, out)
        self.arrow(coin, out, "else")
        return out


def _quoted(text: str) -> str:
    text = text if len(text) <= _LONGEST else f"{text[: _LONGEST - 3]}..."
    for sign, name in (("&", "#amp;"), ('"', "#quot;"), ("<", "#lt;"), (">", "#gt;"), ("\n", " ")):
        text = text.replace(sign, name)
    return text


def mermaid(pipeline: Recorded) -> str:
    """Give the text of the picture."""
    drawing = _Drawing()
    data = "no dataset" if pipeline.dataset is None else repr(pipeline.dataset)
    last = drawing.node(data, "[(", ")]")
    if pipeline.before_steps:
        last = drawing.steps(pipeline.before_steps, last)
    last = drawing.steps(pipeline.steps, last)
    if pipeline.after_steps:
        last = drawing.steps(pipeline.after_steps, last)
    return "\n".join(drawing.lines)
