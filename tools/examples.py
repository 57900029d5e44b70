"""Run the examples of docs/examples.md: each command, in a folder of its own, and what it reaches.

``python tools/examples.py`` runs all, ``python tools/examples.py text sweep`` those by name. A row of the
table on the page is an example: its name, the command, what is measured and at least how much of it, the
time. Ends with 1 when one fails, reaches less than the page says, or takes longer than ``LIMIT`` seconds of
processors, which is three minutes of two cores.
"""

from __future__ import annotations

import argparse
import os
import re
import resource
import shlex
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PAGE = ROOT / "docs" / "examples.md"
LIMIT = 2 * 180
ROW = re.compile(
    r"^\| (?P<name>[\w ]+) \| `(?P<command>python [^`]+)` \| (?P<measure>\S+) (?P<least>[\d.]+) \|", re.M
)


@dataclass(frozen=True)
class Example:
    """A command of the page, and what it reaches at least."""

    name: str
    command: str
    measure: str
    least: float

    def argv(self) -> list[str]:
        """Return the command as words, with this Python, and files of the checkout by their whole paths."""
        words = shlex.split(self.command)[1:]
        return [sys.executable, *(str(ROOT / word) if word.endswith(".py") else word for word in words)]


def read_examples(page: str) -> list[Example]:
    """Return the rows of the page's table."""
    return [
        Example(row["name"], row["command"], row["measure"], float(row["least"]))
        for row in ROW.finditer(page)
    ]


def find_reached(output: str, measure: str) -> float | None:
    """Return the last value of a measure that a command wrote, or of a sweep the first row's; else None."""
    table = re.search(rf"^( +\S.*  {re.escape(measure)}  .*)\n(1  .*)$", output, re.M)
    if table:
        head, first = (re.split(r" {2,}", line.strip()) for line in table.groups())
        value = first[1 + head.index(measure)]
        return None if value == "-" else float(value)
    found = re.findall(rf"\b{re.escape(measure)} (-?[\d.]+\d)", output)
    return float(found[-1]) if found else None


def run_example(example: Example, folder: str) -> str:
    """Run an example; return what is wrong with it, empty if nothing is."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": "-1", "TF_CPP_MIN_LOG_LEVEL": "2"}
    done = subprocess.run(
        example.argv(), cwd=folder, env=environment, text=True, capture_output=True, timeout=1800, check=False
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    seconds = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    reached = find_reached(done.stdout + done.stderr, example.measure)
    if done.returncode or reached is None:
        ending = f"{done.stdout[-2000:]}{done.stderr[-4000:]}"
        return f"ended with {done.returncode} and no {example.measure}:\n{ending}"
    print(f"  {example.measure} {reached}, {seconds:.0f} s of processors", flush=True)
    if reached < example.least:
        return f"reached {reached}, the page says at least {example.least}"
    return "" if seconds <= LIMIT else f"took {seconds:.0f} s of processors, at most {LIMIT} are allowed"


def main() -> int:
    """Run what the command line names."""
    examples = {example.name: example for example in read_examples(PAGE.read_text())}
    parser = argparse.ArgumentParser(description="Run the examples of docs/examples.md.")
    parser.add_argument("names", nargs="*", choices=[[], *examples], help="all of them if none is named")
    wrong = []
    for name in parser.parse_args().names or examples:
        print(f"{name}: {examples[name].command}", flush=True)
        with tempfile.TemporaryDirectory() as folder:
            text = run_example(examples[name], folder)
        if text:
            print(f"  {text}")
            wrong.append(name)
    print(f"failed: {', '.join(wrong)}" if wrong else "all reach what the page says")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
