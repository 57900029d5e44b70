"""Text as ids with an embedding: which library does a piece of documentation come from?"""

import importlib
import inspect
import re
import zlib

import keras
import numpy as np

from bf_batch import Batch, Dataset, action
from bf_models import KerasModel
from bf_models.nn import Classifier, Identity
from bf_pipeline import B, Pipeline, V

LIBRARIES = {
    "numpy": ("numpy", "numpy.linalg", "numpy.fft", "numpy.random", "numpy.ma"),
    "scipy": ("scipy.signal", "scipy.stats", "scipy.optimize", "scipy.ndimage", "scipy.special"),
    "keras": ("keras.layers", "keras.ops", "keras.losses", "keras.optimizers", "keras.metrics"),
    "sklearn": ("sklearn.linear_model", "sklearn.metrics", "sklearn.ensemble", "sklearn.preprocessing"),
}
WORDS, LENGTH, UNKNOWN = 4000, 40, 1  # words that are known, words of one piece; 0 is for what is missing


def read_pieces():
    """Return pieces of docstrings as lists of words, the number of the library and the name of each."""
    pieces, labels, names = [], [], []
    for label, modules in enumerate(LIBRARIES.values()):
        texts = {}
        for module in map(importlib.import_module, modules):
            for name, value in sorted(vars(module).items()):
                if not name.startswith("_") and callable(value) and (text := inspect.getdoc(value)):
                    texts.setdefault(text, name)
        for text, name in texts.items():
            words = re.findall(r"[a-z]{2,}", text.lower())
            words = [word for word in words if word not in {*LIBRARIES, "np"}]  # too easy
            for start in range(0, min(len(words), 5 * LENGTH), LENGTH):
                pieces.append(words[start : start + LENGTH])
                labels.append(label)
                names.append(name)
    return pieces, np.array(labels), names


class Texts(Batch):
    """Pieces of text: lists of words, then their numbers (n, LENGTH)."""

    components = "words", "ids", "labels"

    @action
    def number(self, vocabulary):
        """Turn words into numbers, and make all pieces equally long."""
        self.ids = np.zeros((len(self), LENGTH), np.int32)
        for row, words in zip(self.ids, self.words):
            row[: len(words)] = [vocabulary.get(word, UNKNOWN) for word in words]
        return self


class MeanOfWords:
    """The body of the network: a vector for each word, looked up and averaged over the piece."""

    def __call__(self, x, net):
        """Turn ids (N, LENGTH) into features (N, 32)."""
        x = keras.layers.Embedding(WORDS, 32, name="embedding")(x)
        x = keras.layers.GlobalAveragePooling1D(name="mean")(x)
        return net.dropout(x, 0.3, "dropout")


class TextNet(KerasModel):
    """An embedding and a dense layer."""

    initial_block = Identity()
    body = MeanOfWords()
    head = Classifier()


pieces, labels, names = read_pieces()
dataset = Dataset(len(pieces), Texts, preloaded={"words": pieces, "labels": labels})
# All pieces of one function are in the same part: a name says which.
tested = np.array([zlib.crc32(name.encode()) % 5 == 0 for name in names])
dataset = dataset.with_parts(train=~tested, test=tested)

counts = {}
for row in np.flatnonzero(~tested):
    for word in pieces[row]:
        counts[word] = counts.get(word, 0) + 1
vocabulary = {
    word: 2 + k for k, word in enumerate(sorted(counts, key=lambda w: (-counts[w], w))[: WORDS - 2])
}

number = Pipeline().number(vocabulary)
network = {
    "num_classes": len(LIBRARIES),
    "optimizer": {"name": "adam", "learning_rate": 0.003},
    "seed": 0,
}
train = (
    Pipeline()
    .init_variable("loss")
    .init_model("dynamic", TextNet, "net", network)
    .train_model("net", B("ids"), B("labels"), fetches="loss", save_to=V("loss"))
)
trained = (number + train << dataset.train).run(64, shuffle=True, n_epochs=15, seed=0)
test = (
    Pipeline()
    .import_model("net", trained)
    .init_variable("labels", list)
    .init_variable("found", list)
    .update(V("labels"), B("labels"), mode="e")
    .predict_model("net", B("ids"), fetches="labels", save_to=V("found"), mode="e")
)
done = (number + test << dataset.test).run(256)
print(f"{len(dataset.train)} pieces to train on, {len(dataset.test)} to test")
print(f"test/accuracy {np.mean(np.array(done.v('labels')) == np.array(done.v('found'))):.4f}")
