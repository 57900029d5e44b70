"""Training and prediction by the public methods."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from bf_models import MLP, ResNet18
from bf_models.errors import MissingShape, NonFiniteLoss
from tests.conftest import PATIENCE


def test_training_lowers_the_loss(tiny, batch):
    model = tiny(optimizer={"name": "adam", "learning_rate": 0.01})
    first = model.train(*batch, fetches="loss")
    for _ in range(30):
        last = model.train(*batch, fetches="loss")
    assert last < first / 2
    assert model.evaluate(*batch)["accuracy"] > 0.8


def test_shape_and_dtype_come_from_the_first_batch():
    model = ResNet18({"num_classes": 3, "stem": "small", "body": {"depths": [1], "filters": 4}})
    assert not model.is_built
    model.train(np.zeros((4, 9, 7), "uint8"), np.zeros(4, int))
    assert model.network.input_shape == (None, 9, 7)


def test_predicting_before_any_batch_without_shapes_is_refused():
    with pytest.raises(MissingShape, match="inputs"):
        ResNet18({"num_classes": 3}).build()


def test_fetches_keep_their_structure(tiny, batch):
    model = tiny()
    assert model.train(*batch) is None
    assert isinstance(model.train(*batch, fetches="loss"), float)
    got = model.train(*batch, fetches=["loss", {"share": "proba", "kind": "labels"}])
    assert isinstance(got, list)
    assert got[1]["share"].shape == (12, 3)
    assert got[1]["kind"].shape == (12,)
    np.testing.assert_allclose(got[1]["share"].sum(-1), 1, rtol=1e-5)


def test_any_layer_can_be_fetched(tiny, batch):
    model = tiny()
    layer = model.layer_names[2]
    assert model.predict(batch[0], fetches=layer).shape[0] == 12


def test_predictions_are_logits_and_fit_proba_and_labels(tiny, batch):
    model = tiny()
    got = model.predict(batch[0], fetches=["predictions", "proba", "labels"])
    powers = np.exp(got[0] - got[0].max(-1, keepdims=True))
    np.testing.assert_allclose(got[1], powers / powers.sum(-1, keepdims=True), rtol=1e-5)
    assert np.array_equal(got[2], got[0].argmax(-1))
    assert np.array_equal(got[0], model.predict(batch[0]))


def test_arrays_are_fed_by_position_name_alias_and_feed_dict(tiny, batch):
    images, labels = batch
    losses = [
        tiny().train(images, labels, fetches="loss"),
        tiny().train(images=images, labels=labels, fetches="loss"),
        tiny().train(x=images, y=labels, fetches="loss"),
        tiny().train(fetches="loss", feed_dict={"images": images, "labels": labels}),
        tiny().train({"inputs": images}, {"targets": labels}, fetches="loss"),
        tiny().train(list(images), list(labels), fetches="loss"),
        tiny().train(images.astype("float64"), labels.astype("uint8"), fetches="loss"),
    ]
    np.testing.assert_allclose(losses, losses[0], rtol=1e-6)


def test_declared_dtype_is_what_is_traced(tiny, batch):
    declared = {"images": {"shape": (8, 8, 1), "dtype": "float32"}, "labels": {"classes": 3}}
    model = tiny(inputs=declared)
    for kind in ("uint8", "float64", "int32"):
        model.train(batch[0].astype(kind), batch[1])
    assert model.traces == 1


def test_smaller_last_batch_does_not_trace_again(tiny, batch):
    model = tiny()
    for _ in range(2):
        for size in (12, 12, 5):
            model.train(batch[0][:size], batch[1][:size])
    assert model.traces == 1


@pytest.mark.parametrize("shape", [(8, 8, 1), (8, 8)])
def test_the_axis_of_one_channel_may_be_left_out(tiny, batch, shape):
    model = tiny(inputs={"images": {"shape": shape}, "labels": {"classes": 3}})
    with_axis, without = (model.predict(images) for images in (batch[0], batch[0][..., 0]))
    assert np.array_equal(with_axis, without)


def test_unknown_output_is_refused_with_those_there_are(tiny, batch):
    with pytest.raises(ValueError, match="'predictions'"):
        tiny().predict(batch[0], fetches="prediction")


def test_unknown_argument_names_model_and_argument(tiny, batch):
    with pytest.raises(TypeError, match=r"'lables' of VGG7.*'labels'"):
        tiny().train(batch[0], lables=batch[1])


def test_what_is_not_fed_is_named(tiny, batch):
    with pytest.raises(TypeError, match="labels not fed"):
        tiny().train(batch[0])


def test_a_string_target_is_refused(tiny, batch):
    with pytest.raises(TypeError, match="labels are numbers"):
        tiny().train(batch[0], np.array(["cat"] * 12))


def test_equal_seeds_give_equal_weights(tiny, batch):
    one, other = tiny(), tiny()
    assert np.array_equal(one.predict(batch[0]), other.predict(batch[0]))
    assert not np.array_equal(one.predict(batch[0]), tiny(seed=6).predict(batch[0]))


def test_a_step_with_a_loss_that_is_not_finite_leaves_all_weights(tiny_resnet, batch):
    model = tiny_resnet()
    model.train(*batch)
    before = [item.numpy() for item in model.network.weights]
    with pytest.raises(NonFiniteLoss, match="iteration 1"):
        model.train(np.full(batch[0].shape, np.nan), batch[1])
    assert all(np.array_equal(old, new) for old, new in zip(before, model.network.weights))
    assert np.isfinite(model.train(*batch, fetches="loss"))


def test_steps_that_are_skipped_are_counted(tiny, batch):
    model = tiny(non_finite="skip")
    model.train(np.full(batch[0].shape, np.inf), batch[1])
    model.train(*batch)
    assert (model.iterations, model.skipped) == (2, 1)


def test_threads_train_one_after_another(tiny, batch):
    model = tiny()
    threads = [threading.Thread(target=lambda: [model.train(*batch) for _ in range(5)]) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert model.iterations == 15


def test_summary_and_counts(tiny):
    model = tiny()
    assert "features.0" in model.summary()
    assert model.count_parameters(trainable=False) > model.count_parameters()
    assert "parameters" in repr(model)


def test_odd_batches_of_a_network_of_few_channels_corrupt_no_memory(run_script):
    done = run_script(
        """
        import numpy as np
        from bf_models import ResNet18
        body = {"depths": [1, 1], "filters": 4}
        model = ResNet18({"num_classes": 2, "stem": "small", "initial_block/filters": 4, "body": body})
        for _ in range(10):
            model.train(np.ones((5, 28, 28, 1)), np.zeros(5, int))
        print("whole")
        """
    )
    assert done.out == "whole\n", (done.code, done.err)


def test_evaluation_counts_right_labels_of_any_kind_of_target(tiny, batch):
    images, labels = batch
    model = tiny()
    right = float(np.mean(model.predict(images, fetches="labels") == labels))
    assert model.evaluate(images, labels, batch_size=5)["accuracy"] == pytest.approx(right)
    assert model.evaluate(images, np.eye(3)[labels])["accuracy"] == pytest.approx(right)
    one = {"num_classes": 1, "inputs": {"images": {"shape": (8, 8, 1)}}}
    answers = tiny(**one, loss="bce")
    right = float(np.mean(answers.predict(images, fetches="labels")[:, 0] == (labels == 0)))
    assert answers.evaluate(images, labels == 0)["accuracy"] == pytest.approx(right)
    assert set(tiny(**one, loss="mse").evaluate(images, labels)) == {"loss"}
    with pytest.raises(ValueError, match="empty"):
        model.evaluate(images[:0], labels[:0])


def test_labels_out_of_range_are_named_with_those_there_are(tiny, batch):
    with pytest.raises(ValueError, match=r"labels of 3 classes are 0 to 2.*value of 7"):
        tiny().train(batch[0], np.full(12, 7))


def test_a_gradient_that_is_not_finite_is_seen_when_norms_and_biases_are_frozen(tiny_resnet, batch):
    import keras

    @keras.ops.custom_gradient
    def torn(x):
        return x, lambda *args, upstream=None: (upstream if upstream is not None else args[0]) * np.inf

    class Torn(keras.layers.Layer):
        def call(self, x):
            return torn(x)

    def body(x, net):
        x = net.norm(net.conv(x, 4, name="first"), "norm")
        return Torn(name="torn")(net.conv(x, 4, name="second"))

    model = tiny_resnet(body=body, freeze=["*bn*", "norm", "fc"])
    model.build()
    before = [item.numpy() for item in model.network.weights]
    with pytest.raises(NonFiniteLoss):
        model.train(*batch)
    assert all(np.array_equal(old, new) for old, new in zip(before, model.network.weights))


def test_an_error_while_building_notes_the_part(tiny_resnet):
    with pytest.raises(Exception, match="strictly positive") as caught:
        tiny_resnet(body={"filters": -4}).build()
    assert any("ResNet18 built its body: ResNetBody" in note for note in caught.value.__notes__)


@pytest.mark.parametrize("columns", [1, 2, 5])
def test_a_loss_that_is_measured_first_tells_the_number_of_outputs(columns: int) -> None:
    """A validation is tried before the first step: its targets are those of the training."""
    rng = np.random.default_rng(0)
    rows, targets = rng.normal(size=(6, 3)).astype("f4"), rng.normal(size=(6, columns)).astype("f4")
    model = MLP({"loss": "mse", "body": {"units": [4]}})
    found = model.predict(rows, targets, fetches=["predictions", "loss"])
    assert found[0].shape == (6, columns)
    assert found[1] == pytest.approx(float(np.square(found[0] - targets).mean()), rel=1e-5)
    assert model.train(rows, targets, fetches="loss") == pytest.approx(found[1], rel=1e-5)
