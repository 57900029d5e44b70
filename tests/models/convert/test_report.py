"""What weights are copied into: any built network with a head, not only our class of models."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models._backend import keras
from bf_models.convert import Report, load_state_dict, state_dict
from bf_models.errors import WeightsError


class Plain:
    """A target of weights without a config: a dense layer, and a head of ``classes``."""

    name = "plain"

    def __init__(self, classes: int) -> None:
        inputs = keras().Input((3,))
        hidden = keras().layers.Dense(4, name="hidden")(inputs)
        self.network = keras().Model(inputs, keras().layers.Dense(classes, name="fc")(hidden))

    def head_layers(self) -> list[str]:
        return ["fc"]


def test_weights_go_into_whatever_has_a_network_and_a_head():
    source, target = Plain(2), Plain(2)
    report = load_state_dict(target, state_dict(source))
    assert sorted(report.loaded) == ["fc.bias", "fc.weight", "hidden.bias", "hidden.weight"]
    x = np.ones((1, 3), "float32")
    assert np.array_equal(source.network(x), target.network(x))


def test_a_head_of_another_shape_keeps_its_own_weights():
    arrays = state_dict(Plain(2))
    report = load_state_dict(Plain(5), arrays)
    assert report.head == ("fc.weight", "fc.bias")
    with pytest.raises(
        WeightsError, match=r"plain: .*of another shape: fc\.weight \(2, 4\), expected \(5, 4\)"
    ):
        load_state_dict(Plain(5), arrays, replace_head=False)


def test_a_report_counts_what_was_loaded_and_shortens_long_lists():
    assert str(Report(("a", "b"))) == "2 arrays loaded"
    text = str(Report((), missing=tuple("abcdefghij")))
    assert text == "0 arrays loaded; missing: a, b, c, d, e, f, g, h and 2 more"
