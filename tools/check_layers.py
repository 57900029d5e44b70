"""Prove the direction of imports between the packages, and that importing the light ones stays light.

Reads every source file with ``ast``. Three rules: a package imports only packages below it, also inside
functions; at module level only the third-party libraries listed here, but for heavy modules, which no other
module may import at module level; nobody reaches into another package's private modules. Prints each breach
with file and line; ends with 1 when there is one.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Layer:
    """What a package may import: our packages anywhere, other libraries at module level."""

    below: frozenset[str]
    libraries: frozenset[str]


def layer(*below: str, libraries: str = "numpy") -> Layer:
    return Layer(frozenset(below), frozenset(libraries.split()))


LAYERS: Mapping[str, Layer] = {
    "bf_index": layer(),
    "bf_batch": layer("bf_index", libraries="numpy cloudpickle"),
    "bf_pipeline": layer("bf_index", "bf_batch", libraries="numpy omegaconf tqdm"),
    "bf_models": layer(),
    "bf_research": layer(
        "bf_index", "bf_batch", "bf_pipeline", libraries="numpy omegaconf hydra cloudpickle yaml"
    ),
    "hydra_plugins": layer("bf_research", libraries="hydra omegaconf"),
    # opens at once: nothing but the standard library before a command is known to be a good one
    "bf_command": layer("bf_index", "bf_pipeline", libraries=""),
}
OURS = frozenset(LAYERS)
# Modules made of one library, which they may import at module level since only functions import them.
HEAVY_MODULES: Mapping[str, str] = {"bf_batch.images.*kernels*": "numba"}
ADVICE = "import it inside the function that needs it"


@dataclass(frozen=True)
class Import:
    """One imported module: where, what, and whether it happens when the file is imported."""

    line: int
    module: str
    on_top: bool


def imports(tree: ast.Module) -> Iterator[Import]:
    """Yield all imports of a file; those for type checkers only are left out."""
    pending: list[tuple[ast.AST, bool]] = [(tree, True)]
    while pending:
        node, on_top = pending.pop()
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, on_top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            yield from (Import(node.lineno, f"{node.module}.{alias.name}", on_top) for alias in node.names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend((child, on_top) for child in node.orelse)
            continue
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        pending.extend((child, on_top and not inside) for child in ast.iter_child_nodes(node))


def heavy_library(module: str) -> str | None:
    """Return the library that a heavy module is made of; None for others."""
    return next((library for name, library in HEAVY_MODULES.items() if fnmatch(module, name)), None)


def breaches(module: str, rules: Layer, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of every import that breaks the rules of a module's package."""
    package = module.split(".", maxsplit=1)[0]
    own_heavy = heavy_library(module)
    for found in sorted(imports(ast.parse(text)), key=lambda found: found.line):
        top, *inner = found.module.split(".")
        heavy = heavy_library(found.module) or heavy_library(found.module.rpartition(".")[0])
        if top in OURS:
            if top not in (package, *rules.below):
                allowed = ", ".join(sorted(rules.below)) or "none of the others"
                yield found.line, f"{package} imports {top}; it may import {allowed}"
            elif top != package and any(part.startswith("_") for part in inner[:-1]):
                yield found.line, f"{package} imports {found.module}, which is private to {top}"
            elif heavy and found.on_top and own_heavy is None:
                yield found.line, f"{found.module} loads {heavy}; {ADVICE}"
        elif found.on_top and top not in (*sys.stdlib_module_names, *rules.libraries, own_heavy):
            yield found.line, f"{package} imports {top} at module level; {ADVICE}"


def sources(root: Path) -> Iterator[tuple[str, Path]]:
    """Yield every source file and the package it is part of."""
    for folder in sorted(root.glob("packages/*/src/*")):
        if folder.is_dir() and not folder.name.endswith(".egg-info"):
            yield from ((folder.name, path) for path in sorted(folder.rglob("*.py")))


def module_name(path: Path) -> str:
    """Return the dotted name of a source file: what follows ``src``."""
    parts = path.with_suffix("").parts
    inside = parts[len(parts) - parts[::-1].index("src") :]
    return ".".join(inside).removesuffix(".__init__")


def check(root: Path) -> list[str]:
    """Return a line of text for every breach in the tree."""
    found = []
    for package, path in sources(root):
        place = path.relative_to(root).as_posix()
        if package not in LAYERS:
            found.append(f"{place}: package {package} has no layer; give it one in tools/check_layers.py")
            continue
        lines = breaches(module_name(path), LAYERS[package], path.read_text())
        found.extend(f"{place}:{line}: {message}" for line, message in lines)
    return found


def main() -> int:
    found = check(ROOT)
    for line in found:
        print(line)
    print(f"{len(found)} imports against the direction of the packages" if found else "layers: in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
