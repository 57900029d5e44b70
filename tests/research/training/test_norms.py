"""Norms over a training, against numpy on the same steps; and a training that they leave as it is."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import Dataset
from bf_models import MLP
from bf_pipeline import B, Pipeline, V
from bf_research import Training
from bf_research.training.norms import NormLog, group_names
from tests.research.training.test_inspecting import Rows
from tests.research.training.test_rate_test import CONFIG, FEATURES, LABELS


class Kept:
    """A tracker that keeps metrics."""

    def __init__(self) -> None:
        self.metrics: dict[tuple[str, int], float] = {}

    def log_metric(self, name: str, value: float, step: int) -> None:
        self.metrics[name, step] = value

    def ready(self):
        return None


def run(*events, iterations: int = 6):
    pipeline = (
        Pipeline()
        .init_variable("loss")
        .init_model("static", MLP, "net", CONFIG)
        .train_model("net", B("features"), B("labels"), fetches="loss", save_to=V("loss"))
    ) << Dataset(64, Rows, preloaded=(FEATURES, LABELS))
    tracker = Kept()
    outcome = Training(pipeline, events=list(events), tracker=tracker).run(64, n_iters=iterations)
    return outcome, tracker.metrics


@pytest.mark.parametrize("every", [1, 3])
def test_norms_are_those_of_the_weights_and_steps_and_change_nothing(every) -> None:
    outcome, found = run(NormLog(every))
    plain, nothing = run()
    assert not any(name.startswith("norms/") for name, _ in nothing)
    for with_norms, without in zip(outcome.model.network.weights, plain.model.network.weights):
        np.testing.assert_array_equal(with_norms.numpy(), without.numpy())
    model = MLP(CONFIG).build(FEATURES)  # the same steps by hand
    rate, before = 0.05, [item.numpy() for item in model.network.trainable_variables]
    for step in range(1, 7):
        model.train(FEATURES, LABELS)
        after = [item.numpy() for item in model.network.trainable_variables]
        if step % every == 0 and step > 1:  # the first batch builds the network
            for number, layer in enumerate(("fc1", "fc")):
                part = slice(2 * number, 2 * number + 2)
                norms = {
                    "weights": norm(after[part]),
                    # the rate times the gradient is what plain descent moves
                    "gradients": norm(new - old for new, old in zip(after[part], before[part])) / rate,
                    "updates": norm(new - old for new, old in zip(after[part], before[part]))
                    / norm(before[part]),
                }
                for kind, value in norms.items():
                    assert found[f"norms/{kind}/{layer}", step] == pytest.approx(value, rel=1e-3), (
                        kind,
                        step,
                    )
        else:
            assert not any(at == step and name.startswith("norms/") for name, at in found)
        before = after


def norm(arrays) -> float:
    return float(np.sqrt(sum(np.square(array.astype("float64")).sum() for array in arrays)))


def test_the_norm_of_all_is_that_of_the_layers_together() -> None:
    model = MLP(CONFIG)
    assert model.gradient_norms == {}
    model.measure_gradient_norm()
    model.train(FEATURES, LABELS)
    assert list(model.gradient_norms) == ["fc1", "fc"]
    assert model.gradient_norm == pytest.approx(np.hypot(*model.gradient_norms.values()), rel=1e-5)


def test_layers_are_grouped_until_there_are_few() -> None:
    names = [f"layer{a}.{b}.conv{c}" for a in range(3) for b in range(4) for c in range(2)]
    assert len(set(group_names(names, 24).values())) == 24
    assert group_names(names, 12)["layer1.2.conv0"] == "layer1.2"
    assert set(group_names(names, 11).values()) == {"layer0", "layer1", "layer2"}
    few = group_names(names, 2)
    assert set(few.values()) == {
        "layer0.0.conv0...layer1.1.conv1",
        "layer1.2.conv0...layer2.3.conv1",
    }
    assert group_names([], 3) == {}


def test_what_cannot_be_logged_is_said() -> None:
    for wrong in (0, True, "often"):
        with pytest.raises(ValueError, match="norms: every must be a whole number"):
            NormLog(wrong)
    with pytest.raises(ValueError, match="norms: most must be"):
        NormLog(5, most=0)
