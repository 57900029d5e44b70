"""Ready data sets trained by the command's configuration, from archives as their makers lay them out."""

from __future__ import annotations

import functools
import io
import logging
import re
import threading
from collections.abc import Callable, Iterator, Mapping
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pandas
import pytest
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf
from PIL import Image

from bf_batch import opensets
from bf_batch.opensets import RemoteFile
from bf_batch.opensets.idx import make_idx_files
from bf_batch.opensets.imagenette import _NAMES
from bf_command.schema import register
from bf_models.metrics import ClassificationMetrics
from bf_research.recipe.data import make_dataset, split_validation
from bf_research.recipe.found import find_out
from bf_research.recipe.pipelines import as_plain, complete, pipelines
from bf_research.recipe.steps import complete_text
from bf_research.train import train
from tests.batch.opensets.test_opensets import NOWHERE, idx, put, tar

ROOT = Path(__file__).parents[2]
SMALL = ["tracking=none", "n_iters=1", "batch_size=8", "bar=false", "prefetch=0", "model=lenet"]
RNG = np.random.default_rng(0)
BREEDS = ("Abyssinian", "Egyptian_Mau", "great_pyrenees")
#: Some photos of the pets are called jpg and are none.
ODD = {0: ("GIF", "P"), 1: ("PNG", "RGBA"), 2: ("JPEG", "L"), 3: ("JPEG", "CMYK")}


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., DictConfig]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("BATCHFLOW_DATA", str(tmp_path / "data"))
    register(ROOT / "conf")
    with initialize_config_dir(config_dir=str(ROOT / "conf"), version_base="1.3"):
        yield lambda *overrides: compose("train", overrides=[*SMALL, *overrides])


def photo(fmt: str = "JPEG", mode: str = "RGB") -> bytes:
    file = io.BytesIO()
    Image.fromarray(RNG.integers(0, 256, (36, 48, 3), np.uint8)).convert(mode).save(file, fmt)
    return file.getvalue()


def records(count: int, *classes: int) -> bytes:
    parts = [bytes(n % among for among in classes) + RNG.bytes(3072) for n in range(count)]
    return b"".join(parts)


def put_idx(folder: Path) -> Any:
    parts = [part for n in (100, 20) for part in (RNG.integers(0, 256, (n, 28, 28)), np.arange(n) % 10)]
    kinds = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    sums = [
        put(folder, f"{kind}-ubyte.gz", idx(part)).sha256 for kind, part in zip(kinds, parts, strict=True)
    ]
    return make_idx_files(NOWHERE, sums)


def cifar10(root: Path) -> Mapping[str, Any]:
    inside = "cifar-10-batches-bin"
    names = [*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"]
    members = {f"{inside}/{name}.bin": records(20, 10) for name in names}
    members |= {f"{inside}/batches.meta.txt": b"a b c d e f g h i j\n\n", f"{inside}/readme.html": b"x"}
    return {"CIFAR10.file": put(root / "cifar10", "cifar-10-binary.tar.gz", tar(members))}


def cifar100(root: Path) -> Mapping[str, Any]:
    inside = "cifar-100-binary"
    members = {f"{inside}/train.bin": records(1000, 20, 100), f"{inside}/test.bin": records(100, 20, 100)}
    for kind, count in (("fine", 100), ("coarse", 20)):
        members[f"{inside}/{kind}_label_names.txt"] = b"".join(b"n%d\n" % number for number in range(count))
    return {"CIFAR100.file": put(root / "cifar100", "cifar-100-binary.tar.gz", tar(members))}


def imagenette(root: Path) -> Mapping[str, Any]:
    members = {
        f"imagenette2-160/{part}/{name}/{name}_{number}.JPEG": photo(mode="RGB" if number else "L")
        for part, count in (("train", 10), ("val", 2))
        for name in _NAMES
        for number in range(count)
    }
    members["imagenette2-160/noisy_imagenette.csv"] = b"path,noisy\n"
    return {"Imagenette.files": {"160": put(root / "imagenette", "imagenette2-160.tgz", tar(members))}}


def pets(root: Path) -> Mapping[str, Any]:
    names = [f"{breed}_{number}" for breed in BREEDS for number in range(13)]
    photos = {f"images/{name}.jpg": photo(*ODD.get(n, ("JPEG", "RGB"))) for n, name in enumerate(names)}
    photos["images/Abyssinian_100.mat"] = b"x"
    notes = {f"annotations/trimaps/{name}.png": photo("PNG", "L") for name in names}
    notes |= {"annotations/README": b"x", "annotations/trimaps/._Abyssinian_1.png": b"x"}
    for part, wanted in (("trainval", range(11)), ("test", range(11, 13))):
        lines = [f"{b}_{n} {k} 1 1\n" for k, b in enumerate(BREEDS, 1) for n in wanted]
        notes[f"annotations/{part}.txt"] = "".join(lines).encode()
    folder = root / "pets"
    return {
        "Pets.images": put(folder, "images.tar.gz", tar(photos)),
        "Pets.annotations": put(folder, "annotations.tar.gz", tar(notes)),
    }


DOWNLOADED: dict[str, Callable[[Path], Mapping[str, Any]]] = {
    "mnist": lambda root: {"MNIST.files": put_idx(root / "mnist")},
    "fashion_mnist": lambda root: {"FashionMNIST.files": put_idx(root / "fashion-mnist")},
    "cifar10": cifar10,
    "cifar100": cifar100,
    "imagenette": imagenette,
    "pets": pets,
}
FULL = {"mnist": ["dataset.source=full"]}


def pin(monkeypatch: pytest.MonkeyPatch, made: Mapping[str, Any]) -> None:
    """Let the classes expect the archives made here; all else of them is as it is."""
    for name, files in made.items():
        owner, attribute = name.split(".")
        monkeypatch.setattr(getattr(opensets, owner), attribute, files)


@pytest.mark.parametrize("group", DOWNLOADED)
def test_a_set_that_is_downloaded_trains(configure, tmp_path: Path, monkeypatch, caplog, group: str) -> None:
    pin(monkeypatch, DOWNLOADED[group](tmp_path / "data"))
    caplog.set_level(logging.INFO)
    config = configure(f"dataset={group}", *FULL.get(group, []))
    outcome = train(config)
    assert outcome.iterations == 1
    assert set(outcome.metrics) >= {"validation/accuracy", "test/accuracy", "test/loss"}
    printed = OmegaConf.create(complete_text(OmegaConf.to_yaml(config)))
    assert "auto" not in [printed.pipeline.get(key) for key in ("size", "mode", "mean", "std", "load")]
    if "mean" in printed.pipeline:
        assert ("pipeline.mean=" + str(list(printed.pipeline.mean))) in caplog.text


def test_a_set_is_fetched_from_a_server_and_kept(configure, tmp_path: Path, monkeypatch) -> None:
    (name, made) = next(iter(cifar10(tmp_path / "served").items()))
    handler = functools.partial(SimpleHTTPRequestHandler, directory=str(tmp_path / "served" / "cifar10"))
    monkeypatch.setattr(SimpleHTTPRequestHandler, "log_message", lambda *_: None)
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        source = f"http://127.0.0.1:{server.server_port}/{made.name}"
        pin(monkeypatch, {name: RemoteFile(made.name, made.sha256, (source,))})
        config = configure("dataset=cifar10")
        last = complete_text(OmegaConf.to_yaml(config)).splitlines()[-1]
        assert re.match("# not found out: cifar-10-binary.tar.gz is not in .*; a training downloads it", last)
        assert not (tmp_path / "data").exists()
        assert train(config).iterations == 1
        server.shutdown()
        thread.join()
    assert (tmp_path / "data" / "cifar10" / made.name).is_file()
    assert train(config).iterations == 1


def test_digits_train(configure) -> None:
    assert train(configure("dataset=digits", "model=mlp")).iterations == 1


def write_own(folder: Path) -> dict[str, list[str]]:
    """Write data for each group of data of one's own; return the settings that name them."""
    for number in range(20):
        for name in ("photos/a", "photos/b", "masks"):
            (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / "photos" / "ab"[number % 2] / f"{number}.png").write_bytes(photo("PNG"))
        mask = Image.fromarray(np.full((36, 48), number % 2, np.uint8))
        mask.save(folder / "masks" / f"{number}.png")
    paths = [f"photos/{'ab'[n % 2]}/{n}.png" for n in range(20)]
    pandas.DataFrame({"file": paths, "label": ["x", "y"] * 10}).to_csv(folder / "labels.csv", index=False)
    pairs = {"file": paths, "mask": [f"masks/{n}.png" for n in range(20)]}
    pandas.DataFrame(pairs).to_csv(folder / "pairs.csv", index=False)
    table = {"x": [1.0, None] + [2.0] * 18, "t": ["u", "v"] * 10, "y": np.arange(20) / 2}
    pandas.DataFrame(table).to_csv(folder / "table.csv", index=False)
    np.save(folder / "x.npy", RNG.random((20, 3)))
    np.save(folder / "s.npy", RNG.random((20, 30, 2)))
    np.save(folder / "y.npy", np.arange(20) % 2)
    return {
        "image_folder": ["dataset.path=photos", "class_weights=balanced"],
        "files": ["dataset.labels=labels.csv"],
        "csv": ["dataset.path=table.csv", "dataset.target=y", "dataset.missing=fill", "task=regression"],
        "npy": ["dataset.path=x.npy", "dataset.labels=y.npy"],
        "masks": ["dataset.table=pairs.csv", "task=segmentation"],
        "coins": ["task=segmentation"],
        "signals": ["dataset.path=s.npy", "dataset.labels=y.npy"],
        **{shipped: [] for shipped in ("digits", "mnist", "basic_motions", "gun_point", "sklearn_table")},
    }


def flat(config: Any, key: str = "") -> dict[str, Any]:
    if not OmegaConf.is_dict(config):
        return {key: as_plain(config)}
    parts = [flat(config._get_node(name), f"{key}.{name}" if key else str(name)) for name in config]
    return {name: value for part in parts for name, value in part.items()}


def test_what_is_printed_is_what_the_page_says(configure, tmp_path: Path) -> None:
    page = (ROOT / "docs" / "own_data.md").read_text().split("| setting | found out |")[1].split("\n\n")[0]
    told = set(re.findall(r"`([\w.]+?)(?:=\w+)?`", page))
    own = write_own(tmp_path)
    groups = {path.stem for path in (ROOT / "conf" / "dataset").glob("*.yaml")}
    for group in groups - set(own):  # nothing is downloaded for it
        last = complete_text(OmegaConf.to_yaml(configure(f"dataset={group}"))).splitlines()[-1]
        assert re.match("# not found out: .* is not in .* a training downloads it", last), group
    assert not (tmp_path / "data").exists()
    for group, settings in own.items():
        config = configure(f"dataset={group}", *settings)
        text = complete_text(OmegaConf.to_yaml(config, resolve=False))
        assert "# not found out" not in text, group
        before = OmegaConf.to_container(config.pipeline, resolve=False)
        changed = set()
        for section in ("pipeline", "dataset", "task"):
            old, new = (
                OmegaConf.to_container(some[section], resolve=False)
                for some in (config, OmegaConf.create(text))
            )
            changed |= {f"{section}.{key}" for key in new if new[key] != old.get(key)}
        assert changed <= told, group
        assert isinstance(before, dict)
        asked = {f"pipeline.{key}" for key, value in before.items() if value == "auto"}
        assert asked <= changed, group


@pytest.mark.parametrize("switch", ["mixup", "cutmix"])
def test_soft_labels_are_the_shares_of_the_pictures(configure, tmp_path: Path, switch: str) -> None:
    """What a mixed picture of two levels holds of each class is its label; loss and metrics go by it."""
    for label, level in enumerate((50, 200)):
        (tmp_path / "photos" / "ab"[label]).mkdir(parents=True)
        for number in range(10):
            picture = Image.new("RGB", (32, 32), (level,) * 3)
            picture.save(tmp_path / "photos" / "ab"[label] / f"{number}.png")
    measure = {"metrics_class": "classification", "targets": "${B:labels}", "predictions": "${V:predictions}"}
    fetch = {"fetches": ["loss", "labels", "predictions"]}
    config = configure(
        "dataset=image_folder", "dataset.path=photos", "pipeline.augment=[]", "pipeline.size=32",
        "validation=null", "batch_size=16", "+pipeline.mean=[0,0,0]", "+pipeline.std=[1,1,1]",
        f"pipeline.{switch}={{alpha: 1.0}}",
    )  # fmt: skip
    steps: Any = OmegaConf.to_container(config.pipeline.train, resolve=True)
    names = {
        "loss": "loss",
        "predictions": None,
        "logits": None,
        "images": None,
        "labels": None,
        "metrics": None,
    }
    steps = [{"init_variable": {"name": name}} for name in names] + [
        {"train_model": {**steps[1]["train_model"], **fetch,
                         "save_to": ["${V:loss}", "${V:predictions}", "${V:logits}"]}},
        {"update": {"target": "${V:images}", "value": "${B:images}"}},
        {"update": {"target": "${V:labels}", "value": "${B:labels}"}},
        {"gather_metrics": {**measure, "fmt": "labels", "num_classes": 2, "save_to": "${V:metrics}"}},
    ]  # fmt: skip
    config.pipeline.train = steps
    dataset, _ = make_dataset(as_plain(config.dataset))
    data, _ = split_validation(config, dataset)
    config = complete(find_out(config, dataset, data), data)
    done = pipelines(config, dataset, data, None, ()).training.run(
        batch_size=16, n_iters=1, shuffle=True, seed=1
    )
    images, labels, logits = (np.asarray(done.v(name), np.float64) for name in ("images", "labels", "logits"))
    shares = ((images - 50 / 255) / (150 / 255)).mean(axis=(1, 2, 3))
    np.testing.assert_allclose(labels, np.stack([1 - shares, shares], axis=1), atol=0.01)
    assert (np.abs(labels - labels.round()) > 0.01).any()
    logs = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
    assert done.v("loss") == pytest.approx(-(labels * logs).sum(axis=1).mean(), abs=1e-4)
    right = (np.asarray(done.v("predictions")) == labels.argmax(axis=1)).mean()
    assert done.v("metrics").evaluate("accuracy") == pytest.approx(right)


def test_targets_of_shares_count_by_the_largest() -> None:
    shares = np.array([[0.7, 0.2, 0.1], [0.1, 0.3, 0.6], [0.4, 0.6, 0.0], [1.0, 0.0, 0.0]], np.float32)
    expected = ClassificationMetrics(shares.argmax(1), [0, 2, 0, 0], fmt="labels", num_classes=3)
    for targets, axis in ((shares, None), (shares, 1), (shares.T, 0)):
        found = ClassificationMetrics(targets, [0, 2, 0, 0], fmt="labels", num_classes=3, axis=axis)
        np.testing.assert_array_equal(found.confusion_matrix, expected.confusion_matrix)
    for wrong in (shares * 2, shares - 1, np.eye(4, 3, dtype=int), shares[:3]):
        with pytest.raises(ValueError, match="do not match"):
            ClassificationMetrics(wrong, [0, 2, 0, 0], fmt="labels", num_classes=3)
    with pytest.raises(ValueError, match="with axis=-1 shares of classes"):
        ClassificationMetrics(shares, shares, num_classes=3)
