"""Prove the direction of imports: between the packages, between the rooms of a package, between its files.

Reads every source file with ``ast``; nothing is imported.

Between packages: a package imports only packages below it, also inside functions; at module level only the
third-party libraries listed here, but for heavy modules, which no other module may import at module level;
nobody reaches into another package's private modules.

Inside a package, where imports for type checkers and imports inside functions count too: a room imports only
rooms that stand before it in ``ROOMS``; no file needs another that needs it; nobody imports the package's own
``__init__`` or a face kept for an old name; an own module is imported inside a function only where
``# late: reason`` says why; a folder holds at most 18 modules.

Prints each breach with file and line; ends with 1 when there is one.
"""

from __future__ import annotations

import ast
import sys
from collections import Counter, deque
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
    "bf_models": layer("bf_index"),
    "bf_research": layer(
        "bf_index", "bf_batch", "bf_pipeline", libraries="numpy omegaconf hydra cloudpickle yaml"
    ),
    "hydra_plugins": layer("bf_research", "bf_command", libraries="hydra omegaconf"),
    # opens at once: nothing but the standard library before a command is known to be a good one
    "bf_command": layer("bf_index", "bf_pipeline", libraries=""),
    "bf_programs": layer("bf_index", "bf_pipeline", "bf_research", "bf_command", libraries=""),
}
OURS = frozenset(LAYERS)
# The rooms of a package from the ground up: a room (a module or a folder) imports those before it and its own
# files. A module of a folder may stand apart from the rest of it: the longest name that fits is its place.
ROOMS: Mapping[str, str] = {
    "bf_index": """
        errors names bounded sizes seeding permutation ids arguments order plan split batches index files
        """,
    "bf_batch": """
        errors actions groups dtypes components items engines data core itemwise pending tables loading batch
        dataset transforms
        images.kernels images.runtime images.arrays images.arguments images.checks images.fills
        images.files.stored images.files.pictures images.geometry images.colour images.files images.patches
        images.policies images.drawing images opensets
        """,
    "bf_pipeline": """
        errors model context plain_config redaction samplers expressions record bind run outputs
        tf_dataset torch_dataset pipeline yaml
        """,
    "bf_models": """
        errors _backend config layers nn network optim losses safetensors saving metrics convert training
        blocks model inspection zoo sklearn_model
        """,
    "bf_research": """
        targets own_files masks report.markup domain stopping search launcher clusters trusted sweep tracking
        training trained report units recipe prediction train research
        """,
}
# Modules made of one library, which they may import at module level since only functions import them.
HEAVY_MODULES: Mapping[str, str] = {
    "bf_batch.images.kernels.*": "numba",
    "bf_research.launcher.display.terminal": "rich",
}
ADVICE = "import it inside the function that needs it"
WIDTH = 18
LATE = "# late: "
FACE = "# kept name"


@dataclass(frozen=True)
class Import:
    """One imported module: where, what, and whether it happens when the file is imported."""

    line: int
    module: str
    on_top: bool
    for_types: bool = False


def imports(tree: ast.Module) -> Iterator[Import]:
    """Yield all imports of a file, those for type checkers too."""
    pending: list[tuple[ast.AST, bool, bool]] = [(tree, True, False)]
    while pending:
        node, on_top, for_types = pending.pop()
        if isinstance(node, ast.Import):
            yield from (Import(node.lineno, alias.name, on_top, for_types) for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names = (f"{node.module}.{alias.name}" for alias in node.names)
            yield from (Import(node.lineno, name, on_top, for_types) for name in names)
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            pending.extend((child, on_top, True) for child in node.body)
            pending.extend((child, on_top, for_types) for child in node.orelse)
            continue
        inside = isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        pending.extend((child, on_top and not inside, for_types) for child in ast.iter_child_nodes(node))


# Between packages


def heavy_library(module: str) -> str | None:
    """Return the library that a heavy module is made of; None for others."""
    return next((library for name, library in HEAVY_MODULES.items() if fnmatch(module, name)), None)


def breaches(module: str, rules: Layer, text: str) -> Iterator[tuple[int, str]]:
    """Yield line and message of every import that breaks the rules of a module's package."""
    package = module.split(".", maxsplit=1)[0]
    own_heavy = heavy_library(module)
    loaded = (found for found in imports(ast.parse(text)) if not found.for_types)
    for found in sorted(loaded, key=lambda found: found.line):
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


# Inside a package


@dataclass(frozen=True)
class House:
    """The files of one package: by dotted name their path and text, and who imports whom in which line."""

    package: str
    paths: Mapping[str, Path]
    texts: Mapping[str, str]
    edges: Mapping[str, Mapping[str, int]]

    @classmethod
    def read(cls, package: str, paths: Mapping[str, Path]) -> House:
        texts = {name: path.read_text() for name, path in paths.items()}
        edges: dict[str, dict[str, int]] = {}
        for name, text in texts.items():
            edges[name] = {}
            for found in sorted(imports(ast.parse(text)), key=lambda found: found.line):
                target = found.module if found.module in paths else found.module.rpartition(".")[0]
                if target in paths and target != name:
                    edges[name].setdefault(target, found.line)
        return cls(package, paths, texts, edges)

    def where(self, module: str, line: int = 0) -> str:
        path = self.paths[module].relative_to(ROOT) if ROOT in self.paths[module].parents else module
        return f"{path}:{line}" if line else f"{path}"

    def is_face(self, module: str) -> bool:
        """Whether a module only keeps an old name for files and configs that hold it."""
        return FACE in self.texts[module]


def place_of(module: str, rooms: list[str]) -> int | None:
    """Return the place of a module's room: the longest name in the list that fits."""
    inside = module.partition(".")[2]
    fitting = [room for room in rooms if inside == room or inside.startswith(f"{room}.")]
    return rooms.index(max(fitting, key=len)) if fitting else None


def order_breaches(house: House, rooms: list[str]) -> Iterator[str]:
    """Yield a line for every import of a room that stands later, of a face, and of the package's own top."""
    for module, targets in house.edges.items():
        place = place_of(module, rooms)
        if module == house.package or house.is_face(module):
            continue
        if place is None:
            yield f"{house.where(module, 1)}: no room; give it a place in ROOMS of tools/check_layers.py"
            continue
        for target, line in targets.items():
            other = place_of(target, rooms)
            if target == house.package:
                yield f"{house.where(module, line)}: imports {target} itself, not a module of it"
            elif house.is_face(target):
                yield f"{house.where(module, line)}: imports {target}, a face kept for an old name"
            elif other is not None and other > place:
                names = f"{rooms[place]} imports {rooms[other]}"
                yield f"{house.where(module, line)}: {names}, which stands later in ROOMS"


def late_breaches(house: House) -> Iterator[str]:
    """Yield a line for every own module that is imported inside a function without a reason."""
    for module, text in house.texts.items():
        lines = text.splitlines()
        for found in imports(ast.parse(text)):
            own = found.module.split(".", maxsplit=1)[0] == house.package
            if own and not found.on_top and LATE not in lines[found.line - 1]:
                place = house.where(module, found.line)
                yield f"{place}: late import of {found.module} without '{LATE}reason'"


def width_breaches(house: House) -> Iterator[str]:
    """Yield a line for every folder that is too wide."""
    modules = Counter(path.parent for path in house.paths.values() if path.name != "__init__.py")
    for folder, count in modules.items():
        if count > WIDTH:
            yield f"{folder}: {count} modules; at most {WIDTH} make a room"


def circles(house: House) -> Iterator[str]:
    """Yield for every file that needs itself by way of others the shortest chain; each circle once."""
    seen: set[str] = set()
    for start in sorted(house.edges):
        chain = _way_back(house, start)
        if chain and not seen.intersection(chain):
            hops = zip(chain, [*chain[1:], start])
            yield " -> ".join([*(house.where(a, house.edges[a][b]) for a, b in hops), house.where(start)])
        seen.update(chain)


def _way_back(house: House, start: str) -> list[str]:
    """Return the shortest chain of modules from a module back to it; empty when there is none."""
    before: dict[str, str] = {}
    waiting = deque([start])
    while waiting:
        module = waiting.popleft()
        for target in house.edges[module]:
            if target == start:
                chain = [module]
                while chain[0] != start:
                    chain.insert(0, before[chain[0]])
                return chain
            if target not in before:
                before[target] = module
                waiting.append(target)
    return []


# The whole tree


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
    houses: dict[str, dict[str, Path]] = {}
    for package, path in sources(root):
        place = path.relative_to(root).as_posix()
        if package not in LAYERS:
            found.append(f"{place}: package {package} has no layer; give it one in tools/check_layers.py")
            continue
        houses.setdefault(package, {})[module_name(path)] = path
        lines = breaches(module_name(path), LAYERS[package], path.read_text())
        found.extend(f"{place}:{line}: {message}" for line, message in lines)
    for package, rooms in ROOMS.items():
        found.extend(check_house(House.read(package, houses[package]), rooms.split()))
    return found


def check_house(house: House, rooms: list[str]) -> list[str]:
    """Return a line of text for every breach inside a package."""
    return [
        *order_breaches(house, rooms),
        *late_breaches(house),
        *width_breaches(house),
        *(f"circle: {chain}" for chain in circles(house)),
    ]


def main() -> int:
    found = check(ROOT)
    for line in found:
        print(line)
    print(f"{len(found)} breaches of the order of imports" if found else "layers and rooms: in order")
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
