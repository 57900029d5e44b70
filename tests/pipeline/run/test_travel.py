"""What differs in other processes: numpy's global generator is watched from outside."""

import warnings

import numpy as np
import pytest

from bf_pipeline.run.options import RunOptions
from bf_pipeline.run.prefetch.travel import (
    GlobalRandomness,
    global_draws,
    in_other_processes,
    warn_of_global_randomness,
)


@pytest.mark.parametrize("draw", [np.random.rand, lambda: np.random.permutation(3)])
def test_a_draw_from_the_global_generator_is_seen(draw):
    for _ in range(700):  # more than the generator keeps at once
        before = global_draws()
        assert global_draws() == before
        draw()
        assert global_draws() != before


def test_generators_of_ones_own_are_not_taken_for_it():
    before = global_draws()
    np.random.default_rng(0).normal(size=1000)
    assert global_draws() == before


def test_a_warning_says_what_to_use():
    with pytest.warns(GlobalRandomness, match="batch.rng"), warn_of_global_randomness():
        np.random.rand()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with warn_of_global_randomness():
            pass


@pytest.mark.parametrize(
    ("engine", "elsewhere"), [("threads", False), ("inline", False), ("processes", True), ("ray", True)]
)
def test_engines_of_other_processes_are_known_by_name(engine, elsewhere):
    assert in_other_processes(RunOptions(prefetch=1, engine=engine)) is elsewhere
