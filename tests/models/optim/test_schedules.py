"""Schedules of the learning rate, by the rates at some steps."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models.optim.schedules import OneCycle, Warmup, WarmupCosine


def test_schedule_warms_up_and_falls_along_a_cosine():
    schedule = WarmupCosine(1.0, steps=100, warmup=0.1, final=0.1)
    rates = [float(schedule(step)) for step in (0, 9, 10, 55, 100, 1000)]
    np.testing.assert_allclose(rates, [0.1, 1.0, 1.0, 0.55, 0.1, 0.1], atol=1e-5)
    assert float(Warmup(1.0, 4)(1)) == 0.5
    with pytest.raises(ValueError, match="steps"):
        WarmupCosine(1.0, steps=0)


@pytest.mark.parametrize("steps", [2, 10, 33, 1000])
@pytest.mark.parametrize(("warmup", "start", "final"), [(0.3, 0.04, 4e-6), (0.9, 0.5, 0.1), (0.01, 0.0, 0.0)])
def test_one_cycle_rises_and_falls_along_cosines(
    steps: int, warmup: float, start: float, final: float
) -> None:
    schedule = OneCycle(0.2, steps, warmup, start, final)
    top = max(warmup * steps - 1, 0)
    for step in range(steps):
        if step <= top:
            share = step / top if top else 1.0
            low, high = start, 1.0
        else:
            share = 1 - (step - top) / (steps - 1 - top)
            low, high = final, 1.0
        expected = 0.2 * (low + (high - low) * np.sin(np.pi / 2 * share) ** 2)
        assert float(schedule(step)) == pytest.approx(expected, abs=1e-6)
    assert float(schedule(steps + 100)) == pytest.approx(0.2 * final, abs=1e-6)


@pytest.mark.parametrize(
    "wrong", [{"steps": 1}, {"steps": True}, {"warmup": 0.0}, {"warmup": 1}, {"start": 2.0}]
)
def test_a_cycle_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValueError, match=f"schedule: {next(iter(wrong))} is"):
        OneCycle(**{"learning_rate": 0.1, "steps": 10, **wrong})
