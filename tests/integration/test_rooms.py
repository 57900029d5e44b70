"""The check of rooms finds each kind of breach in a small package made for it."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import pytest


def found(layers: ModuleType, folder: Path, rooms: str, **texts: str) -> list[str]:
    """What is wrong with a package ``house`` of these modules; ``room__file`` stands for ``room/file.py``."""
    paths = {}
    for name, text in {"__init__": "", **texts}.items():
        path = folder / "src" / "house" / (name if name == "__init__" else name.replace("__", "/"))
        path = path.with_suffix(".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        paths[layers.module_name(path)] = path
    return layers.check_house(layers.House.read("house", paths), rooms.split())


def test_a_house_in_order_passes(layers: ModuleType, tmp_path: Path) -> None:
    low = "import numpy"
    assert found(layers, tmp_path, "low high", low=low, high__a="from house.low import x", high__b="") == []


@pytest.mark.parametrize(
    "source",
    [
        "from house.high import x",
        "import house.high",
        "def f():\n    from house.high import x  # late: start-up time",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from house.high import x",
    ],
)
def test_a_room_that_imports_a_later_one_is_named(layers: ModuleType, tmp_path: Path, source: str) -> None:
    breaches = found(layers, tmp_path, "low high", low=source, high="")
    assert len(breaches) == 1
    assert "low imports high, which stands later" in breaches[0]


def test_a_circle_is_shown_as_a_chain_with_its_lines(layers: ModuleType, tmp_path: Path) -> None:
    (circle,) = found(
        layers,
        tmp_path,
        "room",
        room__a="import os\nfrom house.room.b import x",
        room__b="from house.room import c",
        room__c="\n\ndef f():\n    from house.room.a import y  # late: start-up time",
    )
    assert circle == "circle: house.room.a:2 -> house.room.b:1 -> house.room.c:4 -> house.room.a"


def test_a_late_import_needs_a_reason(layers: ModuleType, tmp_path: Path) -> None:
    (breach,) = found(layers, tmp_path, "low high", low="", high="def f():\n    from house.low import x")
    assert "late import of house.low.x without" in breach


def test_a_module_of_a_room_may_stand_apart_from_it(layers: ModuleType, tmp_path: Path) -> None:
    texts = {
        "shapes__points": "",
        "choice": "from house.shapes.points import x",
        "shapes__steps": "from house.choice import x",
    }
    assert found(layers, tmp_path, "shapes.points choice shapes", **texts) == []
    assert len(found(layers, tmp_path, "shapes choice", **texts)) == 1


def test_faces_and_the_top_are_for_others(layers: ModuleType, tmp_path: Path) -> None:
    old = "from house.low import x  # kept name"
    assert found(layers, tmp_path, "low high", low="", high="", old=old) == []
    breaches = found(layers, tmp_path, "low high", low="", high="import house\nimport house.old", old=old)
    assert [text.rpartition(": ")[2] for text in breaches] == [
        "imports house itself, not a module of it",
        "imports house.old, a face kept for an old name",
    ]


def test_a_module_without_a_room_and_a_room_too_wide_are_named(layers: ModuleType, tmp_path: Path) -> None:
    (breach,) = found(layers, tmp_path, "low", low="", stray="")
    assert "no room" in breach
    many = {f"room__m{number}": "" for number in range(19)}
    (breach,) = found(layers, tmp_path / "wide", "room", **many)
    assert "19 modules" in breach
