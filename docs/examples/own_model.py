"""A model of your own: any Keras model, in a class of four methods, on digits of scikit-learn."""

import keras
import numpy as np

from bf_batch.opensets import Digits
from bf_pipeline import B, P, Pipeline, R, V


class Mine:
    """All that a pipeline asks of a model; nothing of bf_models is needed."""

    def __init__(self, config):
        keras.utils.set_random_seed(0)
        self.net = keras.Sequential(
            [
                keras.Input((8, 8, 1)),
                keras.layers.Rescaling(1 / 16),
                keras.layers.Conv2D(config["filters"], 3, padding="same", activation="relu"),
                keras.layers.MaxPooling2D(),
                keras.layers.Conv2D(2 * config["filters"], 3, padding="same", activation="relu"),
                keras.layers.GlobalAveragePooling2D(),
                keras.layers.Dense(10),
            ]
        )
        loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
        self.net.compile(optimizer=keras.optimizers.Adam(config["learning_rate"]), loss=loss)

    def train(self, inputs, targets, fetches=None):
        """Change the weights by one batch; return its loss."""
        return float(self.net.train_on_batch(inputs, targets))

    def predict(self, inputs, targets=None, fetches=None):
        """Return the class of each item."""
        return self.net.predict_on_batch(inputs).argmax(axis=1)

    def save(self, path):
        """Write the network."""
        self.net.save(path)

    @classmethod
    def load(cls, path):
        """Read what ``save`` wrote."""
        model = cls.__new__(cls)
        model.net = keras.models.load_model(path)
        return model


digits = Digits()
train = (
    Pipeline()
    .init_variable("loss")
    .init_model("static", Mine, "net", {"filters": 32, "learning_rate": 0.003})
    .shift(offset=P(R("uniform", -0.5, 0.5, size=2)), p=0.5)
    .train_model("net", B("images"), B("labels"), save_to=V("loss"))
)
trained = (train << digits.train).run(32, shuffle=True, n_epochs=30, seed=0)
test = (
    Pipeline()
    .import_model("net", trained)
    .init_variable("right", list)
    .init_variable("predictions")
    .predict_model("net", B("images"), save_to=V("predictions"))
    .update(V("right"), V("predictions") == B("labels"), mode="e")
    .save_model_once("net", "mine.keras")
)
tested = (test << digits.test).run(100)
print(f"test/accuracy {np.mean(tested.v('right')):.4f}")
