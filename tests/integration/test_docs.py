"""The examples of README and docs run: every block of a page, one after another, in one namespace."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted(ROOT.glob("packages/*/README.md")),
]
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_examples_of_a_page_run(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, object] = {"__name__": "example"}
    text = page.read_text()
    for found in BLOCK.finditer(text):
        line = text[: found.start(1)].count("\n")
        exec(compile("\n" * line + found[1], str(page), "exec", dont_inherit=True), names)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_of_a_page_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#|mailto:)([^)#]+)[^)]*\)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_the_architecture_names_are_there() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    named = set(re.findall(r"`((?:bf_\w+|hydra_plugins|tests|tools|conf)/[\w./]+)`", text))
    named -= {"conf/launch/NAME.yaml"}
    roots = [ROOT, *ROOT.glob("packages/*/src")]
    assert len(named) > 30
    assert [name for name in sorted(named) if not any((root / name).exists() for root in roots)] == []


def test_files_that_sessions_name_are_there() -> None:
    named = set(re.findall(r'"((?:tests|tools)/[\w./]+)"', (ROOT / "noxfile.py").read_text()))
    assert len(named) > 5
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []


def test_rooms_of_the_architecture_are_those_of_the_check(layers: ModuleType) -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = dict(re.findall(r"^\| (bf_\w+) \| (`.*`) \|$", text, re.MULTILINE))
    assert rows.keys() == layers.ROOMS.keys()
    for package, row in rows.items():
        # rooms within a room are the check's business alone
        order = [room for room in layers.ROOMS[package].split() if "." not in room]
        assert [name.strip("`/") for name in row.split()] == order
