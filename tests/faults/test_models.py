"""Faults of models: bad input, losses that are not finite, threads, no memory."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bf_models import VGG7
from bf_models.errors import MissingShape, NonFiniteLoss, StopTraining
from tests.conftest import PATIENCE

CONFIG = {
    "inputs": {"images": {"shape": (8, 8, 1)}, "labels": {"classes": 3}},
    "body": {"stages": [[1, 0, 4]]},
    "seed": 1,
}
X, Y = np.random.default_rng(0).integers(0, 255, (6, 8, 8, 1)).astype("uint8"), np.array([0, 1, 2, 0, 1, 2])


@pytest.mark.faults("MD01")
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_loss_that_is_not_finite_raises_and_leaves_weights(value, tmp_path):
    model = VGG7(CONFIG)
    model.train(X, Y)
    before = model.predict(X)
    with pytest.raises(NonFiniteLoss, match="iteration 1"):
        model.train(np.full(X.shape, value), Y)
    assert np.array_equal(before, model.predict(X))
    with pytest.raises(StopTraining):
        VGG7({**CONFIG, "non_finite": "stop"}).train(np.full(X.shape, value), Y)


@pytest.mark.faults("MD02")
def test_unknown_fetch_lists_outputs():
    with pytest.raises(ValueError, match=r"'lables'.*'labels'.*loss"):
        VGG7(CONFIG).predict(X, fetches="lables")


@pytest.mark.faults("MD03")
def test_items_of_another_shape_are_refused_with_both_shapes():
    with pytest.raises(ValueError, match=r"'images'.*\(9, 8, 1\).*\(8, 8, 1\)"):
        VGG7(CONFIG).train(np.zeros((6, 9, 8, 1)), Y)


@pytest.mark.faults("MD04")
@pytest.mark.parametrize(("key", "name", "close"), [("optimizer", "admaw", "adamw"), ("loss", "msee", "mse")])
def test_unknown_optimizer_or_loss_gives_close_matches(key, name, close):
    with pytest.raises(ValueError, match=rf"'{name}'.*'{close}'"):
        VGG7({**CONFIG, key: name})


@pytest.mark.faults("MD05")
def test_unknown_config_key_gives_a_hint():
    with pytest.raises(TypeError, match=r"'boddy'.*'body'"):
        VGG7({"boddy/filters": 8})


@pytest.mark.faults("MD06")
def test_predicting_without_shapes_says_what_to_do(tmp_path):
    with pytest.raises(MissingShape, match=r"inputs.*shape"):
        VGG7({"num_classes": 3}).save(tmp_path / "no.bfm")


@pytest.mark.faults("MD07")
def test_training_in_two_threads_is_one_after_another():
    one, other = VGG7(CONFIG), VGG7(CONFIG)
    threads = [threading.Thread(target=lambda: [one.train(X, Y) for _ in range(6)]) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    for _ in range(12):
        other.train(X, Y)
    assert np.array_equal(one.predict(X), other.predict(X))


@pytest.mark.faults("MD08")
def test_out_of_memory_names_the_batch_and_the_model_goes_on():
    model = VGG7(CONFIG)
    model.train(X, Y)
    # 2 ** 50 numbers are more than any machine has
    huge = np.lib.stride_tricks.as_strided(np.zeros(1, "uint8"), (2**44, 8, 8, 1), (0, 0, 0, 0))
    with pytest.raises(MemoryError, match="batch of"):
        model.predict(huge)
    assert np.isfinite(model.train(X, Y, fetches="loss"))


@pytest.mark.faults("MD09")
def test_empty_batch_is_refused_and_weights_stay():
    model = VGG7(CONFIG)
    before = model.predict(X)
    with pytest.raises(ValueError, match="empty"):
        model.train(X[:0], Y[:0])
    assert np.array_equal(before, model.predict(X))


@pytest.mark.faults("MD14")
def test_unknown_argument_names_model_and_argument():
    with pytest.raises(TypeError, match=r"'tragets' of VGG7.*'targets'"):
        VGG7(CONFIG).train(X, tragets=Y)


@pytest.mark.faults("MD")
def test_failure_inside_a_step_leaves_no_lock():
    model = VGG7(CONFIG)
    with pytest.raises(ValueError, match="built for"):
        model.train(X[:, :3], Y)
    done = threading.Thread(target=lambda: model.train(X, Y), daemon=True)
    done.start()
    done.join(PATIENCE)
    assert not done.is_alive()


@pytest.mark.slow
@pytest.mark.faults("MD15")
def test_same_seed_gives_the_same_bits_after_20_steps(run_script):
    code = """
        import hashlib
        import numpy as np
        from bf_models import ResNet18
        rng = np.random.default_rng(0)
        x, y = rng.integers(0, 255, (20, 16, 28, 28)).astype("uint8"), rng.integers(0, 10, (20, 16))
        config = {"num_classes": 10, "stem": "imagenet", "body": {"filters": 16}}
        model = ResNet18({**config, "seed": 3, "deterministic": True})
        for images, labels in zip(x, y):
            model.train(images, labels)
        print(hashlib.sha256(b"".join(item.numpy().tobytes() for item in model.network.weights)).hexdigest())
        """
    ends = [run_script(code) for _ in range(2)]
    assert ends[0].out == ends[1].out != "", ends[0].err
