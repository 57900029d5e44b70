"""Schedules of the learning rate, by the rates at some steps."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models.optim.schedules import Warmup, WarmupCosine


def test_schedule_warms_up_and_falls_along_a_cosine():
    schedule = WarmupCosine(1.0, steps=100, warmup=0.1, final=0.1)
    rates = [float(schedule(step)) for step in (0, 9, 10, 55, 100, 1000)]
    np.testing.assert_allclose(rates, [0.1, 1.0, 1.0, 0.55, 0.1, 0.1], atol=1e-5)
    assert float(Warmup(1.0, 4)(1)) == 0.5
    with pytest.raises(ValueError, match="steps"):
        WarmupCosine(1.0, steps=0)
