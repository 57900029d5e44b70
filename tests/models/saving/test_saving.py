"""Saved models: what comes back, and what a fresh process serves."""

from __future__ import annotations

import numpy as np
import pytest

from bf_models import VGG7, KerasModel, ResNet18
from bf_models.errors import ModelStateError


def test_a_loaded_model_goes_on_as_if_never_saved(tiny, batch, tmp_path):
    model = tiny(optimizer={"name": "adamw", "weight_decay": 0.01})
    for _ in range(3):
        model.train(*batch)
    model.save(tmp_path / "model.bfm")
    loaded = VGG7.load(tmp_path / "model.bfm")
    assert loaded.iterations == 3
    assert np.array_equal(model.predict(batch[0]), loaded.predict(batch[0]))
    losses = [[item.train(*batch, fetches="loss") for _ in range(3)] for item in (model, loaded)]
    assert losses[0] == losses[1]


def test_a_model_that_was_only_loaded_keeps_its_optimizer_when_saved(tiny, batch, tmp_path):
    model = tiny()
    model.train(*batch)
    model.save(tmp_path / "a.bfm")
    VGG7.load(tmp_path / "a.bfm").save(tmp_path / "b.bfm")
    assert (tmp_path / "a.bfm").read_bytes() == (tmp_path / "b.bfm").read_bytes()


def test_a_model_saved_for_another_machine_loads_on_this_one(tiny, batch, tmp_path):
    tiny(device="cpu:0", optimizer={"name": "sgd"}).save(tmp_path / "model.bfm")
    loaded = VGG7.load(tmp_path / "model.bfm", config={"device": None, "optimizer": {"learning_rate": 0.5}})
    assert loaded.config["device"] is None
    assert loaded.config["optimizer"] == {"name": "sgd", "learning_rate": 0.5}
    with pytest.raises(TypeError, match="did you mean 'device'"):
        VGG7.load(tmp_path / "model.bfm", config={"devise": None})


def test_base_class_loads_any_zoo_model_and_a_class_only_its_own(tiny, tmp_path):
    tiny().save(tmp_path / "model.bfm")
    assert type(KerasModel.load(tmp_path / "model.bfm")) is VGG7
    with pytest.raises(ModelStateError, match="'VGG7', not 'ResNet18'"):
        ResNet18.load(tmp_path / "model.bfm")


def test_shapes_of_the_first_batch_are_saved(batch, tmp_path):
    model = VGG7({"num_classes": 3, "body": {"stages": [[1, 0, 2]]}})
    model.train(*batch)
    model.save(tmp_path / "model.bfm")
    assert VGG7.load(tmp_path / "model.bfm").network.input_shape == (None, 8, 8, 1)


@pytest.mark.slow
def test_an_exported_model_is_served_by_a_process_without_our_code(tiny, batch, tmp_path, run_script):
    model = tiny()
    model.train(*batch)
    model.export(tmp_path / "served")
    np.save(tmp_path / "images.npy", batch[0].astype("float32"))
    np.save(tmp_path / "proba.npy", model.predict(batch[0], fetches="proba"))
    done = run_script(
        f"""
        import sys
        import numpy as np, tensorflow as tf
        served = tf.saved_model.load({str(tmp_path / "served")!r}).signatures["serving_default"]
        got = served(images=tf.constant(np.load({str(tmp_path / "images.npy")!r})))
        assert np.allclose(got["proba"], np.load({str(tmp_path / "proba.npy")!r}), atol=1e-5)
        assert "bf_models" not in sys.modules
        print("served", sorted(got))
        """
    )
    assert "served ['labels', 'predictions', 'proba']" in done.out, done.err


def test_a_file_of_the_version_before_the_rooms_loads_and_goes_on_training(batch, request):
    path = request.config.rootpath / "tests" / "models" / "data" / "saved_by_0_1.bfm"
    loaded = KerasModel.load(path)
    assert (type(loaded), loaded.iterations) == (ResNet18, 3)
    # what the version that wrote the file predicted, and its loss in the next step
    np.testing.assert_allclose(loaded.predict(batch[0])[0], [0.4454903, 0.4592103, 0.949566], rtol=1e-4)
    assert loaded.train(*batch, fetches="loss") == pytest.approx(1.1835027, rel=1e-4)
