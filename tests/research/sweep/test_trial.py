"""A trial is known by the values of its configuration."""

from __future__ import annotations

import numpy as np

from bf_research.domain.config import Config
from bf_research.domain.option import KV
from bf_research.sweep.trial import Trial, trial_id


def test_trial_id_depends_on_values_and_not_on_order_or_number_type() -> None:
    assert trial_id(Config({"a": 1, "b": 2.5})) == trial_id(Config({"b": np.float64(2.5), "a": 1.0}))
    ids = {
        trial_id(Config({"a": 1})),
        trial_id(Config({"a": "1"})),
        trial_id(Config({"a": True})),
        trial_id(Config({"a": 1}, repetition=1)),
        Trial(Config({"a": 1}), update=1).id,
        Trial(Config({"a": 1}), occurrence=1).id,
    }
    assert len(ids) == 6


def test_alias_stands_for_a_value_in_ids() -> None:
    assert trial_id(Config({"model": KV(int, "vgg7")})) == trial_id(Config({"model": "vgg7"}))
