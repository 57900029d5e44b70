"""Where the trials of a research run, and what is sent to workers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from bf_pipeline import C
from bf_research import KV, Option, Research
from bf_research.research.place import spread_workers


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
