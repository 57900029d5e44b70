"""Programs import what there is: tools, slow tests, examples, and the programs inside texts."""

import ast
import importlib.util
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PLACES = ("tools", "tests", "docs/examples", "conf")
PROGRAMS = sorted(
    [path for place in PLACES for path in (ROOT / place).rglob("*.py")] + list(ROOT.glob("*.py"))
)
ABSENT = ("bf_batch._private",)  # an example of a module that nobody may import


def imported(tree):
    """Yield module and name of every ``from bf_... import name``, those in texts of programs too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("bf_"):
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and "import" in node.value:
            try:
                program = ast.parse(node.value)
            except SyntaxError:
                continue
            yield from imported(program)


def exists(module, name):
    try:
        found = importlib.import_module(module)
    except ModuleNotFoundError as error:
        return error.name is not None and not error.name.startswith("bf_")  # a library that is not here
    if hasattr(found, name):
        return True
    return importlib.util.find_spec(f"{module}.{name}") is not None if hasattr(found, "__path__") else False


def test_names_that_programs_import_exist():
    missing = [
        f"{path.relative_to(ROOT)}: {module}.{name}"
        for path in PROGRAMS
        for module, name in imported(ast.parse(path.read_text()))
        if module not in ABSENT and not exists(module, name)
    ]
    assert not missing
