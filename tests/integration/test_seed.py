"""Every snippet of the original description runs as it is written there, imports aside.

Each snippet is kept as text and executed. What a snippet leaves open is filled in by name, and nothing
else is changed: ``/path/to`` becomes a folder of the test, ``{...}`` becomes real contents, the comma
missing behind ``feed_dict={...}`` is set, ``for range(2)`` becomes ``for item in range(2)``, a stray ``|``
is dropped, and a machine without a GPU says ``cpu:`` where the text says ``gpu:``.
"""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bf_batch import Batch, Dataset, ImagesBatch, action, inbatch_parallel
from bf_batch.opensets import MNIST
from bf_index import DatasetIndex, FilesIndex
from bf_models import VGG7, VGG16, VGG19, ResNet18, ResNet34
from bf_models.metrics import ClassificationMetrics
from bf_pipeline import B, C, P, Pipeline, R, V
from bf_research import Domain, Option, Research

CONFIG = {
    "inputs": {"images": {"shape": (28, 28, 1)}, "labels": {"classes": 10}},
    "stem": "imagenet",
    "loss": "ce",
    "seed": 0,
}
FEED = {"images": B("images"), "labels": B("labels")}


def factor_sampler(size: int | tuple[int, ...]) -> np.ndarray:
    """The scale factors of the seed: any callable that takes ``size``."""
    return np.random.default_rng(0).uniform(0.9, 1.1, size)


def run(snippet: str, known: dict[str, Any], **fill: str) -> dict[str, Any]:
    """Execute a snippet with what it takes as known; returns all names afterwards."""
    text = textwrap.dedent(snippet)
    for gap, contents in {
        **fill,
        "config={...}": "config=CONFIG",
        "feed_dict={...}": "feed_dict=FEED,",
    }.items():
        text = text.replace(gap, contents)
    names = {
        **{"np": np, "CONFIG": CONFIG, "FEED": FEED, "factor_sampler": factor_sampler},
        **{"B": B, "C": C, "P": P, "R": R, "V": V, "Pipeline": Pipeline, "MNIST": MNIST},
        **{"Batch": Batch, "Dataset": Dataset, "action": action, "inbatch_parallel": inbatch_parallel},
        **{"DatasetIndex": DatasetIndex, "FilesIndex": FilesIndex, "Option": Option, "Research": Research},
        **{m.__name__: m for m in (VGG7, VGG16, VGG19, ResNet18, ResNet34)},
        **known,
    }
    exec(compile(text, "seed.md", "exec"), names)
    return names


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    """Five folders with an image and a mask each."""
    for number in range(1, 6):
        folder = tmp_path / "to" / str(number)
        folder.mkdir(parents=True)
        for name in ("image", "mask"):
            pixels = np.full((8, 8, 3), 20 * number, dtype=np.uint8)
            Image.fromarray(pixels).save(folder / f"{name}.png")
    return tmp_path / "to"


@pytest.fixture
def files(tmp_path: Path) -> Path:
    """Five images in one folder."""
    folder = tmp_path / "files"
    folder.mkdir()
    for number in range(1, 6):
        Image.fromarray(np.full((8, 8), 20 * number, dtype=np.uint8)).save(folder / f"{number}.png")
    return folder


def test_dataset_index() -> None:
    names = run(
        "dataset_index = DatasetIndex(np.arange(mnist.shape[0]))",
        {"mnist": np.zeros((70, 28, 28))},
    )
    assert list(names["dataset_index"].indices) == list(range(70))


def test_files_index(files: Path) -> None:
    names = run('files_index = FilesIndex(path="/path/to/*.png")', {}, **{"/path/to": str(files)})
    index = names["files_index"]
    assert list(index.indices) == [f"{number}.png" for number in range(1, 6)]
    assert Path(index.fullpath("3.png")) == files / "3.png"


def test_files_index_of_folders(folders: Path) -> None:
    names = run('files_index = FilesIndex(path="/path/to/*", dirs=True)', {}, **{"/path/to": str(folders)})
    assert list(names["files_index"].indices) == ["1", "2", "3", "4", "5"]


SATELLITE = """
    class SatelliteBatch(Batch):
        components = 'images', 'masks'

        @action
        def some_action(self):
            # process your data
            return self
"""


def test_batch() -> None:
    batch_class = run(SATELLITE, {})["SatelliteBatch"]
    batch = batch_class(DatasetIndex(3))
    assert batch_class.components == ("images", "masks")
    assert batch.some_action() is batch


def test_dataset(folders: Path) -> None:
    known = {"SatelliteBatch": run(SATELLITE, {})["SatelliteBatch"]}
    names = run(
        """
        index = FilesIndex(path='/path/to/*', dirs=True)
        ds = Dataset(index, SatelliteBatch)
        """,
        known,
        **{"/path/to": str(folders)},
    )
    batch = names["ds"].next_batch(2)
    assert isinstance(batch, known["SatelliteBatch"])
    assert list(batch.indices) == ["1", "2"]
    assert len(list((names["ds"] >> Pipeline().some_action()).gen_batch(2))) == 3


def test_for_item_in_batch() -> None:
    batch = Dataset(4, ImagesBatch, preloaded=(np.arange(4 * 4).reshape(4, 2, 2),)).next_batch(4)
    names = run(
        """
        for item in batch:
            # process batch
            seen.append(item.images.sum())
        """,
        {"batch": batch, "seen": []},
    )
    assert names["seen"] == [6, 22, 38, 54]


def test_inbatch_parallel() -> None:
    batch_class = run(
        """
        class MyBatch(Batch):
            ...
            components = 'numbers',

            def _init_fn(self, *args, **kwargs):
                return self.numbers

            def _post_fn(self, results, *args, **kwargs):
                self.numbers = np.array(results)
                return self

            @action
            @inbatch_parallel(init='_init_fn', post='_post_fn', target='threads')
            def some_action(self, item, arg1, arg2):
                # process just one item
                some_value = item * arg1 + arg2
                return some_value
        """,
        {},
    )["MyBatch"]
    dataset = Dataset(6, batch_class, preloaded=(np.arange(6),))
    batch = (dataset >> Pipeline().some_action(10, arg2=1)).next_batch(6)
    assert batch.numbers.tolist() == [1, 11, 21, 31, 41, 51]


AUGMENTATION = """
    augmentation_ppl = (Pipeline()
        .rotate(angle=P(R('uniform', -10, 10)), p=0.8)
        .crop(shape=(28, 28), origin='center')
        .scale(factor=P(R(factor_sampler)), preserve_shape=True, p=0.8)
    )
"""

MODEL = """
    model_ppl = (Pipeline()
        .init_variable('loss_history', init_on_each_run=list)
        .init_model('dynamic', ResNet18, 'conv_nn', config={...})
        .train_model('conv_nn', fetches='loss', feed_dict={...}
            save_to=V('loss_history'), mode='a')
    )
"""


def test_pipeline() -> None:
    augmentation = run(AUGMENTATION, {})["augmentation_ppl"]
    dataset = MNIST().train
    plain = dataset.next_batch(16).images
    augmented = (augmentation << dataset).next_batch(16, seed=1).images
    assert augmented.shape == plain.shape
    assert (augmented != plain).any()


def test_model() -> None:
    training = run(MODEL, {})["model_ppl"] << MNIST().train
    done = training.run(16, n_iters=3, seed=0)
    history = done.v("loss_history")
    assert len(history) == 3
    assert all(np.isfinite(history))


def test_example() -> None:
    names = run(
        f"""
BATCH_SIZE = 64

dataset = MNIST()

{textwrap.dedent(AUGMENTATION)}
{textwrap.dedent(MODEL)}
train_pipeline = (augmentation_ppl + model_ppl) << dataset.train
train_pipeline.run(BATCH_SIZE, shuffle=True, n_epochs=1, drop_last=True)
""",
        {},
    )
    history = names["train_pipeline"].v("loss_history")
    assert len(history) == 4000 // 64
    assert np.mean(history[-5:]) < 0.6 * np.mean(history[:5])


@pytest.mark.slow
def test_research(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    digits = MNIST()
    train_ppl = (
        Pipeline()
        .init_model("dynamic", C("model"), "conv_nn", config={**CONFIG, "stem": "small"})
        .train_model("conv_nn", feed_dict=FEED)
        .run_later(16, shuffle=True, n_epochs=1, seed=0)
    ) << digits.train.create_subset(digits.train.indices[:64])
    test_ppl = (
        Pipeline()
        .import_model("conv_nn", C("import_from"))
        .init_variable("metrics", init_on_each_run=None)
        .init_variable("predictions", init_on_each_run=list)
        .predict_model("conv_nn", B("images"), fetches="labels", save_to=V("predictions"))
        .gather_metrics(
            ClassificationMetrics, targets=B("labels"), predictions=V("predictions"), fmt="labels",
            num_classes=10, save_to=V("metrics"), mode="u",
        )
        .run_later(16, n_epochs=1)
    ) << digits.test.create_subset(digits.test.indices[:32])  # fmt: skip
    names = run(
        """
        domain = MyDomain(Option('model', [VGG7, VGG16, VGG19, ResNet18, ResNet34]))
        domain.set_iterator(brute_force=True, n_reps=1)

        research = (Research()
            .init_domain(domain)
            .add_pipeline(train_ppl, name='train')
            .add_pipeline(test_ppl, name='test', import_from='train', execute='last')
            .get_metrics(pipeline='test', metrics_var='metrics', metrics_name='accuracy',
                |         returns='accuracy', execute='last')
            )

        research.run(n_iters=None, bar=True, workers=2,
            devices=['gpu:'+str(item) for range(2)])
        """,
        {"MyDomain": type("MyDomain", (Domain,), {}), "train_ppl": train_ppl, "test_ppl": test_ppl},
        **{"|         ": "", "for range(2)": "for item in range(2)", "gpu:": "cpu:"},
    )
    results = names["research"].results
    accuracy = results.dropna(subset=["accuracy"])
    assert len(accuracy) == 5
    assert accuracy["accuracy"].between(0, 1).all()
