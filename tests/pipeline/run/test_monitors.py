"""What the machine does beside the bar, and curves in notebooks."""

from __future__ import annotations

import io
import math
import re
import sys
from typing import Any

import numpy as np
import pytest

from bf_batch import Batch, Dataset
from bf_pipeline import B, Pipeline, V
from bf_pipeline.run.graphs import MOST_POINTS, Curve, draw_curves, last_number
from bf_pipeline.run.monitors import Monitors


class Rows(Batch):
    components = ("x",)


def summing() -> Pipeline:
    dataset = Dataset(10, Rows, preloaded=(np.arange(10.0),))
    return Pipeline(dataset).init_variable("sum", 0.0).update(V("sum"), B("x").attr("sum")())


def test_monitors_stand_beside_the_bar(capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("psutil")
    summing().run(5, bar=True, bar_variables="sum", monitors=["cpu", "memory"])
    shown = capsys.readouterr().err
    assert re.search(r"sum=35, cpu=\d+%, memory=\d+\.\dGB", shown)


def test_memory_is_that_of_this_process_and_its_children() -> None:
    pytest.importorskip("psutil")
    import subprocess

    monitors = Monitors(["memory"], every=0)
    alone = float(monitors.read()["memory"].removesuffix("GB"))
    ballast = np.ones(40_000_000)  # 0.32 GB
    own = float(monitors.read()["memory"].removesuffix("GB"))
    code = "import sys; kept = bytearray(b'x') * 300_000_000; print(1, flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    try:
        assert child.stdout is not None
        child.stdout.readline()
        both = float(monitors.read()["memory"].removesuffix("GB"))
    finally:
        child.communicate()
    assert own - alone == pytest.approx(ballast.nbytes / 1e9, abs=0.11)
    assert both - own > 0.25


def test_readings_stand_for_a_moment() -> None:
    pytest.importorskip("psutil")
    monitors = Monitors(["cpu"], every=1000)
    assert monitors.read() is monitors.read()


def test_monitors_that_are_none_are_refused_before_the_first_batch() -> None:
    with pytest.raises(ValueError, match=r"unknown monitor 'gpus'.*did you mean 'gpu'"):
        summing().run(5, bar=True, monitors=["gpus"])
    with pytest.raises(ValueError, match="stand beside the bar; say bar=True"):
        summing().run(5, monitors="cpu")


GPUS = """
    class NVMLError(Exception): pass
    class Reading:
        def __init__(self, **values): self.__dict__.update(values)
    def nvmlInit(): {init}
    def nvmlDeviceGetCount(): return 3
    def nvmlDeviceGetHandleByIndex(number): return number
    def nvmlDeviceGetUUID(number): return f"GPU-{{'abc'[number]}}0"
    def nvmlDeviceGetUtilizationRates(number): return Reading(gpu=(10, 50, 90)[number])
    def nvmlDeviceGetMemoryInfo(number): return Reading(used=1e9 * (number + 1), total=80e9)
"""


@pytest.mark.parametrize(
    ("mask", "shown"),
    [
        (None, ("50%", "6.0/240GB")),
        ("2", ("90%", "3.0/80GB")),
        ("0,1", ("30%", "3.0/160GB")),
        ("GPU-c", ("90%", "3.0/80GB")),
        ("1,7,0", ("50%", "2.0/80GB")),
        ("", ("none", "none")),
    ],
)
def test_gpus_are_those_that_the_process_may_see(
    monkeypatch: pytest.MonkeyPatch, mask: str | None, shown: tuple[str, str]
) -> None:
    use_driver(monkeypatch, "pass")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if mask is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", mask)
    assert Monitors(["gpu", "gpu_memory"]).read() == dict(zip(("gpu", "gpu_memory"), shown))


def test_a_machine_without_a_driver_has_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    use_driver(monkeypatch, "raise NVMLError")
    assert Monitors(["gpu"]).read() == {"gpu": "none"}
    monkeypatch.setitem(sys.modules, "pynvml", None)
    assert Monitors(["gpu_memory"]).read() == {"gpu_memory": "none"}


def use_driver(monkeypatch: pytest.MonkeyPatch, init: str) -> None:
    """Put a library in place of NVIDIA's: there is no GPU here. It is gone when the test is over."""
    import textwrap
    import types

    library = types.ModuleType("pynvml")
    exec(textwrap.dedent(GPUS.format(init=init)), library.__dict__)
    monkeypatch.setitem(sys.modules, "pynvml", library)


def test_graphs_are_drawn_at_the_end_at_least(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    from PIL import Image

    pictures: list[bytes] = []
    variables: dict[str, Any] = {"loss": [], "rate": 0.5}

    def batches() -> Any:
        for number in range(20):
            variables["loss"].append(1 / (number + 1))
            yield number

    assert list(draw_curves(batches(), variables, ["loss", "rate"], pictures.append)) == list(range(20))
    assert len(pictures) >= 1
    picture = np.asarray(Image.open(io.BytesIO(pictures[-1])).convert("L"))
    assert picture.shape[1] > 2 * picture.shape[0], "two pictures side by side"
    assert (picture < 128).any()


def test_graphs_are_drawn_now_and_then_too(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setattr("bf_pipeline.run.graphs._AT_LEAST_SECONDS", 0.0)
    monkeypatch.setattr("bf_pipeline.run.graphs._SHARE", 1e9)
    pictures: list[bytes] = []
    source = (number for number in range(3))
    list(draw_curves(source, {"loss": 1.0}, ["loss"], pictures.append))
    assert len(pictures) == 4


def test_a_curve_of_many_batches_is_thinned_evenly() -> None:
    curve = Curve()
    for place in range(10 * MOST_POINTS):
        curve.add(place, float(place))
    assert MOST_POINTS / 2 <= len(curve.places) <= MOST_POINTS
    assert set(np.diff(curve.places)) == {16}
    assert curve.values == curve.places
    curve.add(16 * 10**6, math.nan)
    assert curve.places[-1] < 16 * 10**6


@pytest.mark.parametrize(
    ("value", "number"),
    [
        (2, 2),
        ([1, [3.5]], 3.5),
        (np.array([[1, 4]]), 4),
        (np.float32(0.5), 0.5),
        ([], math.nan),
        ("a", math.nan),
    ],
)
def test_the_latest_number_of_a_variable(value: Any, number: float) -> None:
    assert last_number(value) == pytest.approx(number, nan_ok=True)


def test_graphs_outside_a_notebook_are_refused_with_what_to_do_instead() -> None:
    pytest.importorskip("matplotlib")
    with pytest.raises(RuntimeError, match=r"this is none; bar=True, bar_variables="):
        summing().run(5, graphs=["sum"])
    with pytest.raises(ValueError, match=r"unknown variable 'summ'.*did you mean 'sum'"):
        summing().run(5, graphs="summ")
