"""``strategy``: replicas of one model make the steps of one device."""

from __future__ import annotations

import numpy as np
import pytest

SCRIPT = """
import json, sys
import numpy as np
from bf_models import MLP, UNet, VGG7
from bf_models._backend import tensorflow

tf = tensorflow()
cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
rng = np.random.default_rng(0)


def compare(kind, config, images, targets, steps=6):
    told = []
    for strategy in (None, "mirrored"):
        model = kind({"seed": 5, "strategy": strategy, **config})
        losses = [model.train(images, targets, fetches="loss") for _ in range(steps)]
        told.append((losses, [item.numpy() for item in model.network.weights]))
    assert model._strategy.num_replicas_in_sync == 2
    (one, first), (two, second) = told
    apart = max(float(np.abs(a - b).max()) for a, b in zip(first, second))
    print(json.dumps({"loss": float(np.abs(np.array(one) - two).max()), "weights": apart,
                      "learnt": one[0] - one[-1]}))


# 13 items: the halves are not even
images = rng.normal(size=(13, 8, 8, 1)).astype("float32")
labels = rng.integers(0, 3, 13)
sgd = {"name": "sgd", "learning_rate": 0.05, "momentum": 0.9}
small = {"num_classes": 3, "body": {"stages": [[1, 0, 4], [1, 0, 8]]}, "head": {"dropout": 0.0},
         "optimizer": sgd}
masks = rng.integers(0, 3, (13, 8, 8))
masks[:6] = np.where(rng.random((6, 8, 8)) < 0.7, 255, masks[:6])  # one half has fewer pixels to learn
"""

CASES = {
    "batch norm": "compare(VGG7, small, images, labels)",
    "clipping": "compare(VGG7, {**small, 'optimizer': {**sgd, 'global_clipnorm': 0.1}}, images, labels)",
    "class weights": "compare(VGG7, {**small, 'class_weights': [1, 5, 2]}, images, labels)",
    "ema and adamw": "compare(MLP, {'num_classes': 3, 'body': {'units': [9]}, 'ema': 0.9, 'optimizer': "
    "{'name': 'adamw', 'learning_rate': 0.01, 'epsilon': 1e-3}}, images, labels)",
    "ignored pixels": "compare(UNet, {'num_classes': 3, 'body': {'filters': 4, 'depth': 1, 'dropout': 0.0, "
    "'norm': True}, 'loss': {'name': 'ce', 'ignore': 255}, 'optimizer': sgd}, images, masks)",
}


@pytest.mark.slow
def test_two_logical_devices_make_the_steps_of_one_to_a_hundred_thousandth(run_script):
    import json

    done = run_script(SCRIPT + "\n".join(CASES.values()))
    told = [json.loads(line) for line in done.out.splitlines() if line.startswith("{")]
    assert len(told) == len(CASES), done.err[-3000:]
    for name, found in zip(CASES, told):
        assert found["learnt"] > 0, name
        np.testing.assert_allclose([found["loss"], found["weights"]], 0, atol=1e-5, err_msg=name)
