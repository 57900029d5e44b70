"""Check the archives of a release: what is in them, what they say of themselves, that they fit each other.

``python tools/check_wheels.py FOLDER`` reads the wheels and source archives in a folder; it ends with 1 and a
line for each thing that is wrong.
"""

from __future__ import annotations

import sys
import tarfile
import zipfile
from collections.abc import Iterator
from email.parser import Parser
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = ("bf_index", "bf_batch", "bf_pipeline", "bf_models", "bf_research")
FIELDS = ("Summary", "License-Expression", "Requires-Python")


def check(folder: Path) -> Iterator[str]:
    """Yield what is wrong with the archives of a release."""
    versions = set()
    for package in PACKAGES:
        wheels = sorted(folder.glob(f"{package}-*.whl"))
        sources = sorted(folder.glob(f"{package}-*.tar.gz"))
        if len(wheels) != 1 or len(sources) != 1:
            yield f"{package}: one wheel and one source archive were expected, got {[*wheels, *sources]}"
            continue
        with zipfile.ZipFile(wheels[0]) as archive:
            names = archive.namelist()
            metadata = next(name for name in names if name.endswith(".dist-info/METADATA"))
            head = dict(Parser().parsestr(archive.read(metadata).decode()))
        versions.add(head["Version"])
        own = {name for name in names if ".dist-info/" not in name and not name.endswith("/")}
        yield from (f"{wheels[0].name}: {line}" for line in compare(package, own))
        yield from (f"{wheels[0].name}: METADATA has no {field}" for field in FIELDS if not head.get(field))
        with tarfile.open(sources[0]) as archive:
            held = {name.partition("/")[2] for name in archive.getnames()}
        yield from (f"{sources[0].name}: no src/{name}" for name in sorted(own) if f"src/{name}" not in held)
    if len(versions) > 1:
        yield f"the packages have different versions: {', '.join(sorted(versions))}"


def compare(package: str, own: set[str]) -> Iterator[str]:
    """Yield the files of the checkout that a wheel lacks, and those that it has and should not."""
    source = ROOT / "packages" / package.replace("_", "-") / "src"
    wanted = {path.relative_to(source).as_posix() for path in walk(source)}
    yield from (f"{name} is missing" for name in sorted(wanted - own))
    yield from (f"{name} is in no checkout" for name in sorted(own - wanted))
    if f"{package}/py.typed" not in own:
        yield f"{package}/py.typed is missing"


def walk(folder: Path) -> Iterator[Path]:
    """Yield the files below a folder, through links too: a wheel has what they lead to."""
    for path in sorted(folder.iterdir()):
        if path.is_dir() and path.name != "__pycache__":
            yield from walk(path)
        elif path.is_file():
            yield path


if __name__ == "__main__":
    found = list(check(Path(sys.argv[1])))
    print("\n".join(found) or f"{len(PACKAGES)} wheels and source archives have what they should")
    raise SystemExit(1 if found else 0)
