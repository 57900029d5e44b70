"""Where the trials of a research run, and what is sent to workers."""

from __future__ import annotations

import functools
import os
import sys
from pathlib import Path
from typing import Any

from bf_pipeline import C
from bf_research import KV, Option, Research
from bf_research.research.place import find_heavy_libraries, spread_workers
from bf_research.units.functions import find_imports


class Heavy:
    """A value that counts how often it is pickled."""

    pickled = 0

    def __getstate__(self) -> dict[str, Any]:
        Heavy.pickled += 1
        return {"weight": 1}


def test_values_of_options_are_sent_once_and_not_with_each_trial(tmp_path: Path) -> None:
    Heavy.pickled = 0
    domain = Option("heavy", [KV(Heavy(), "heavy")]) * Option("n", list(range(6)))
    research = Research(domain).add_callable(lambda heavy: heavy.weight, C("heavy"), returns="weight")
    assert research.run(name=tmp_path / "sweep", workers=1).results["weight"].tolist() == [1] * 6
    assert Heavy.pickled == 1


def test_fewer_devices_are_shared_and_more_go_several_to_each() -> None:
    assert [slot.devices for slot in spread_workers(2, None)] == [("cpu:0",), ("cpu:1",)]
    assert [slot.devices for slot in spread_workers(4, ["cpu:0", "cpu:1"])] == [("cpu:0",), ("cpu:1",)] * 2
    assert [slot.devices for slot in spread_workers(2, [f"cpu:{n}" for n in range(4)])] == [
        ("cpu:0", "cpu:1"),
        ("cpu:2", "cpu:3"),
    ]


class Trainer:
    """What a trial may be: an object that is called, which imports what it needs when it needs it."""

    def __call__(self, n: int) -> int:
        import keras

        return keras.backend.epsilon() > n

    def unused(self) -> None:
        from xml.dom import minidom  # noqa: F401


def _helper(n: int) -> list[int]:
    def inner(n: int) -> int:
        import wave

        return len(wave.__name__) + n

    return [inner(n)]


def test_what_a_function_imports_when_it_is_called_is_found() -> None:
    assert find_imports(_helper) == {"wave"}
    assert find_imports(lambda n: _helper(n)) == {"wave"}, "functions of the same module are looked into"
    assert find_imports(functools.partial(_helper, 3)) == {"wave"}
    assert find_imports(Trainer()) == {"keras", "xml.dom"}
    assert find_imports(Trainer) == {"keras", "xml.dom"}
    assert find_imports(len) == set(), "what is not written in Python tells nothing"
    assert find_imports(os.path.join) == set()


def test_what_a_trial_imports_is_imported_once_for_all_workers(tmp_path: Path) -> None:
    domain = Option("n", [0, 1])
    research = Research(domain).add_callable(Trainer(), C("n"), returns="small")
    libraries = find_heavy_libraries(research._units)
    assert libraries[:2] == ("tensorflow", "keras")

    def loaded() -> bool:
        before = "tensorflow" in sys.modules
        import tensorflow  # noqa: F401

        return before

    research = Research(domain).add_callable(loaded, returns="before")
    results = research.run(name=tmp_path / "sweep", workers=2).results
    assert results["before"].tolist() == [True, True]
