"""The examples of docs/examples.md are what ``nox -s examples`` runs, and it fails for less than told."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def tool() -> ModuleType:
    spec = importlib.util.spec_from_file_location("examples", ROOT / "tools" / "examples.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["examples"] = module
    spec.loader.exec_module(module)
    return module


def test_every_script_and_every_row_of_the_table_is_run(tool):
    page = tool.PAGE.read_text()
    examples = tool.read_examples(page)
    rows = [line for line in page.splitlines() if line.startswith("| ")]
    assert len(examples) == len(rows) - 1 >= 8  # the head is no example
    commands = " ".join(example.command for example in examples)
    for script in (ROOT / "docs" / "examples").glob("*.py"):
        assert f"docs/examples/{script.name}" in commands
    assert all(0 < example.least < 1 for example in examples)


@pytest.mark.parametrize(
    ("output", "reached"),
    [
        ("validation after 2 iterations: accuracy 0.5\ntest/accuracy 0.9394\n", 0.9394),
        ("MLP: test/accuracy 0.5, test/loss 2\nMLP: train/loss 1, test/accuracy 0.75, test/loss 1\n", 0.75),
        ("   rate  test/accuracy  n\n1  0.1   0.98           1\n2  0.2   0.97           1\n", 0.98),
        ("   test/accuracy  n\n1  -              1\n", None),
        ("accuracy 0.9\n", None),
    ],
)
def test_what_was_reached_is_read_from_the_output(tool, output, reached):
    assert tool.find_reached(output, "test/accuracy") == reached


def test_less_than_the_page_says_is_a_failure(tool, tmp_path):
    (tmp_path / "short.py").write_text("print('test/accuracy 0.9000')")
    command = f"python {tmp_path / 'short.py'}"
    run = tool.run_example
    assert run(tool.Example("short", command, "test/accuracy", 0.89), str(tmp_path)) == ""
    assert "at least 0.91" in run(tool.Example("short", command, "test/accuracy", 0.91), str(tmp_path))
    (tmp_path / "short.py").write_text("raise SystemExit('no data')")
    assert "no data" in run(tool.Example("short", command, "test/accuracy", 0.5), str(tmp_path))


def test_the_kept_notebook_of_a_sweep_shows_the_table_of_the_sweep_and_its_results():
    notebook = json.loads((ROOT / "docs" / "examples" / "sweep.ipynb").read_text())
    outputs = [one for cell in notebook["cells"] for one in cell.get("outputs", ())]
    pages = ["".join(one["data"]["text/html"]) for one in outputs if "text/html" in one.get("data", {})]
    assert ['<progress value="1.0000"' in page for page in pages] == [True, False]
    assert "12/12" in pages[0]
    assert "best: <b>accuracy 0.9" in pages[0]
    assert "<b>12 trials</b>: 12 DONE" in pages[1]
