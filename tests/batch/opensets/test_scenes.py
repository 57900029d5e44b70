"""Sets for segmentation and Pascal's labels, from small archives of the true make, served by this machine."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest
from PIL import Image
from skimage.draw import polygon2mask

from bf_batch import ItemError
from bf_batch.opensets import (
    ADE20K,
    COCOSegmentation,
    DownloadError,
    Imagewoof,
    PascalClassification,
    PascalSegmentation,
    Patience,
    RemoteFile,
)
from bf_batch.opensets.scenes.coco_masks import draw_mask, fill_polygon
from tests.batch.opensets.test_opensets import picture, tar

QUICK = Patience(tries=1, delay=0.01, timeout=10)
VOC = "VOCdevkit/VOC2012"


class Quiet(SimpleHTTPRequestHandler):
    """Serves the files of a folder."""

    def log_message(self, *args):
        pass


@pytest.fixture
def serve(tmp_path):
    """Return what puts a file on a server and says how it is fetched."""
    folder = tmp_path / "server"
    folder.mkdir()
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()

    def put(name: str, data: bytes) -> RemoteFile:
        (folder / name).write_bytes(data)
        url = f"http://127.0.0.1:{server.server_port}/{name}"
        return RemoteFile(name, hashlib.sha256(data).hexdigest(), (url,))

    yield put
    server.shutdown()
    thread.join()
    server.server_close()


def mask(values: np.ndarray, palette: list[int] | None = None) -> bytes:
    made = Image.fromarray(values.astype(np.uint8))
    if palette:
        made.putpalette(palette)
    file = io.BytesIO()
    made.save(file, "PNG")
    return file.getvalue()


def zipped(members: dict[str, bytes]) -> bytes:
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return packed.getvalue()


def blocks(*values: int) -> np.ndarray:
    """Return a mask (10, 12) of rows of some values."""
    return np.resize(np.repeat(values, 12 * 10 // len(values)), (10, 12))


# Pascal


def pascal() -> dict[str, bytes]:
    names = ["2007_000032", "2007_000033", "2008_000002"]
    photos = {f"{VOC}/JPEGImages/{name}.jpg": picture(60 * n, fmt="JPEG") for n, name in enumerate(names)}
    masks = {
        f"{VOC}/SegmentationClass/{name}.png": mask(
            blocks(0, n + 1, 255, 20), [0, 0, 0, 128, 0, 0, *[9] * (3 * 254)]
        )
        for n, name in enumerate(names)
    }
    lists = {f"{VOC}/ImageSets/{kind}/train.txt": "\n".join(names[:2]) for kind in ("Main", "Segmentation")}
    lists |= {f"{VOC}/ImageSets/{kind}/val.txt": f"{names[2]}\n" for kind in ("Main", "Segmentation")}
    for number, kind in enumerate(KINDS):
        signs = ["1" if number == 0 else "-1", "0" if number == 1 else "-1"]
        lists[f"{VOC}/ImageSets/Main/{kind}_train.txt"] = "".join(
            f"{name} {sign:>2}\n" for name, sign in zip(names, signs)
        )
        lists[f"{VOC}/ImageSets/Main/{kind}_val.txt"] = f"{names[2]} {'1' if number in (3, 19) else '-1'}\n"
    return photos | masks | {name: text.encode() for name, text in lists.items()}


KINDS = (  # noqa: SIM905
    "aeroplane bicycle bird boat bottle bus car cat chair cow diningtable dog horse motorbike person "
    "pottedplant sheep sofa train tvmonitor"
).split()


def test_pascal_has_the_class_of_each_pixel(serve, tmp_path):
    class Small(PascalSegmentation):
        file = serve("VOCtrainval_11-May-2012.tar", tar(pascal()))

    for _ in range(2):
        dataset = Small(folder=tmp_path / "cache", patience=QUICK)
        assert (len(dataset.train), len(dataset.test), dataset.num_classes) == (2, 1, 21)
        assert dataset.classes[:2] == ("background", "aeroplane")
        batch = dataset.train.next_batch(2).load().load_masks()
        assert batch.images.shape == (2, 10, 12, 3)
        np.testing.assert_array_equal(batch.masks[1], blocks(0, 2, 255, 20))
        (tmp_path / "server/VOCtrainval_11-May-2012.tar").unlink(missing_ok=True)  # it is there already
    assert dataset.palette[:4] == ["#000000", "#800000", "#008000", "#808000"]
    assert dataset.palette[15] == "#c08080"  # people, as everybody knows them
    assert dataset.mask_labels.ignored == 255


@pytest.mark.parametrize(("difficult", "value"), [("there", 1), ("absent", 0), ("left_out", 255)])
def test_pascal_says_which_kinds_a_photo_shows(serve, tmp_path, difficult, value):
    class Small(PascalClassification):
        file = serve("VOCtrainval_11-May-2012.tar", tar(pascal()))

    dataset = Small(folder=tmp_path / "cache", patience=QUICK, difficult=difficult)
    assert (len(dataset.train), len(dataset.test), dataset.num_classes) == (2, 1, 20)
    labels = dataset.train.next_batch(2).labels
    expected = np.zeros((2, 20), np.float32)
    expected[0, 0], expected[1, 1] = 1, value
    np.testing.assert_array_equal(labels, expected)
    batch = dataset.test.next_batch(1).load()
    assert np.flatnonzero(batch.labels[0]).tolist() == [3, 19]
    assert batch.images.shape == (1, 10, 12, 3)
    with pytest.raises(ValueError, match="difficult is one of there, absent, left_out, got 'no'"):
        Small(difficult="no")


@pytest.mark.parametrize("kind", ["archive", "folder", "folder inside"])
def test_an_archive_or_a_folder_of_one_s_own_is_taken(tmp_path, kind):
    packed = tmp_path / "voc.tar"
    packed.write_bytes(tar(pascal()))
    root = tmp_path / "voc"
    for name, data in pascal().items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    path = {"archive": packed, "folder": root, "folder inside": root / VOC}[kind]
    dataset = PascalSegmentation(path, folder=tmp_path / "cache")
    assert len(dataset) == 3
    assert (tmp_path / "cache").exists() == (kind == "archive")
    assert len(PascalSegmentation.unlabelled(root / VOC / "JPEGImages", folder="x")) == 3


def test_what_is_no_pascal_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither a folder nor an archive"):
        PascalSegmentation(tmp_path / "none")
    with pytest.raises(FileNotFoundError, match=r"is not the data set: there is no .*VOC2012/ImageSets"):
        PascalSegmentation(tmp_path)
    for name, data in pascal().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(data)
    lists = tmp_path / VOC / "ImageSets"
    (lists / "Main/bird_val.txt").write_text("2008_000002 2\n")
    with pytest.raises(ValueError, match=r"bird_val\.txt, line 1: expected a name and 1, 0 or -1"):
        PascalClassification(tmp_path)
    (lists / "Main/bird_val.txt").write_text("other 1\n")
    with pytest.raises(ValueError, match=r"bird_val\.txt says nothing of '2008_000002'"):
        PascalClassification(tmp_path)
    (lists / "Segmentation/val.txt").write_text("../../secret\n")
    with pytest.raises(ValueError, match=r"val\.txt, line 1: '../../secret' is no plain name"):
        PascalSegmentation(tmp_path)
    (lists / "Segmentation/val.txt").write_text("2000_1\n")
    with pytest.raises(FileNotFoundError, match=r"1 of 1 files are not there.*not whole"):
        PascalSegmentation(tmp_path)
    (lists / "Segmentation/val.txt").write_text("2007_000032\n")
    with pytest.raises(ValueError, match="a photo is named twice"):
        PascalSegmentation(tmp_path)
    (lists / "Segmentation/val.txt").write_text("2008_000002\n")
    bad = mask(blocks(0, 77))
    (tmp_path / VOC / "SegmentationClass/2008_000002.png").write_bytes(bad)
    with pytest.raises(ItemError, match=r"2008_000002\.png.*the number 77 .*is no class"):
        PascalSegmentation(tmp_path).test.next_batch(1).load_masks()


def test_an_archive_of_other_bytes_is_never_unpacked(serve, tmp_path):
    file = serve("VOCtrainval_11-May-2012.tar", tar(pascal()))
    (tmp_path / "server" / file.name).write_bytes(tar({"other": b""}))

    class Small(PascalSegmentation):
        pass

    Small.file = file
    with pytest.raises(DownloadError, match=f"sha256 is .*expected {file.sha256}"):
        Small(folder=tmp_path / "cache", patience=QUICK)
    assert list((tmp_path / "cache/pascal").iterdir()) == []


# ADE20K


def test_ade20k_has_its_classes_from_zero_and_leaves_others_out(serve, tmp_path):
    root = "ADEChallengeData2016"
    members = {
        f"{root}/objectInfo150.txt": (
            b"Idx\tRatio\tTrain\tVal\tName\n1\t0.1576\t11664\t1172\twall \n"
            b"2\t0.1072\t6046\t612\tbuilding, edifice\n"
            b"3\t0.08\t1\t1\tscreen, CRT screen\n4\t0.01\t1\t1\tscreen, silver screen\n"
        )
    }
    for part, name, level in (("training", "ADE_train_00000001", 10), ("validation", "ADE_val_00000001", 90)):
        members[f"{root}/images/{part}/{name}.jpg"] = picture(level, fmt="JPEG")
        members[f"{root}/annotations/{part}/{name}.png"] = mask(blocks(0, 1, 4))

    class Small(ADE20K):
        file = serve("ADEChallengeData2016.zip", zipped(members))

    dataset = Small(folder=tmp_path / "cache", patience=QUICK)
    assert dataset.classes == ("wall", "building", "screen", "screen 4")
    batch = dataset.test.next_batch(1).load().load_masks()
    np.testing.assert_array_equal(batch.masks[0], blocks(255, 0, 3))
    assert int(np.mean(batch.images[0])) in range(88, 93)
    assert dataset.mask_labels.legend["wall"] == 1
    inside = next((tmp_path / "cache/ade20k").glob("ADE*-*")) / root
    assert len(ADE20K(inside, palette=["#000000", "#ffffff", "#ff0000", "#00ff00"]).train) == 1
    with pytest.raises(ValueError, match="a colour as '#804080' for each of the 4 classes, got 1"):
        ADE20K(inside, palette=["#000000"])
    for classes in (["building", "wall"], {"building": 2, "wall": 1}):
        some = ADE20K(inside, classes=classes)
        assert some.classes == ("building", "wall")
        np.testing.assert_array_equal(some.test.next_batch(1).load_masks().masks[0], blocks(255, 1, 255))
    assert ADE20K(inside, classes=dataset.mask_labels.legend).mask_labels == dataset.mask_labels
    with pytest.raises(ValueError, match="did you mean 'wall'"):
        ADE20K(inside, classes=["wal", "building"])
    with pytest.raises(ValueError, match="masks have no number 7; classes are wall: 1"):
        ADE20K(inside, classes={"wall": 7, "building": 2})
    for classes in (["wall"], ["wall", "wall"], {"a": 1, "b": 1}):
        with pytest.raises(ValueError, match="two or more that differ"):
            ADE20K(inside, classes=classes)
    (inside / "objectInfo150.txt").write_text("Idx\tName\n2\tx\n")
    with pytest.raises(ValueError, match=r"objectInfo150\.txt, line 2: expected the class 1"):
        ADE20K(inside)


# COCO

CATEGORIES = [{"id": 90, "name": "toothbrush"}, {"id": 1, "name": "person"}, {"id": 17, "name": "cat"}]
SQUARE, SMALL = [1.0, 1.0, 9.0, 1.0, 9.0, 8.0, 1.0, 8.0], [3.0, 3.0, 5.0, 3.0, 5.0, 6.0, 3.0, 6.0]
RUNS = {"size": [10, 12], "counts": [0, 10, 110]}  # the first column


def notes(first: int, *objects: dict) -> dict:
    photos = [
        {"id": first + n, "file_name": f"{first + n:012}.jpg", "height": 10, "width": 12} for n in range(2)
    ]
    return {"images": photos, "categories": CATEGORIES, "annotations": list(objects)}


def thing(image: int, kind: int, area: float, outline: object, crowd: int = 0) -> dict:
    return {
        "image_id": image, "category_id": kind, "area": area, "segmentation": outline, "iscrowd": crowd,
    }  # fmt: skip


def coco() -> dict[str, dict[str, bytes]]:
    train = notes(1, thing(1, 17, 6, [SMALL]), thing(1, 1, 56, [SQUARE]), thing(1, 1, 10, RUNS, 1))
    test = notes(8, thing(9, 90, 12, [SMALL, [8.0, 0.0, 12.0, 0.0, 12.0, 3.0]]))
    return {
        "train2017": {f"train2017/{n:012}.jpg": picture(n, fmt="JPEG") for n in (1, 2)},
        "val2017": {f"val2017/{n:012}.jpg": picture(n, fmt="JPEG") for n in (8, 9)},
        "annotations": {
            "annotations/instances_train2017.json": json.dumps(train).encode(),
            "annotations/instances_val2017.json": json.dumps(test).encode(),
        },
    }


EXPECTED = np.zeros((10, 12), np.uint8)
EXPECTED[:, 0] = 255
EXPECTED[1:8, 1:9] = 1
EXPECTED[3:6, 3:5] = 2


@pytest.mark.parametrize("train", [True, False])
def test_coco_s_outlines_become_masks_once(serve, tmp_path, train):
    members = coco()

    class Small(COCOSegmentation):
        files = {
            name: serve(COCOSegmentation.files[name].name, zipped(members[name]))
            for name in (members if train else ("val2017", "annotations"))
        }

    for _ in range(2):
        dataset = Small(folder=tmp_path / "cache", train=train, patience=QUICK)
        assert dataset.classes == ("background", "person", "cat", "toothbrush")
        assert dataset.indices.tolist() == [f"{n:012}" for n in ([1, 2] if train else []) + [8, 9]]
        if train:
            batch = dataset.create_batch(["000000000001", "000000000002"]).load().load_masks()
            np.testing.assert_array_equal(batch.masks[0], EXPECTED)
            assert not np.any(batch.masks[1])
        last = np.asarray(dataset.create_batch(["000000000009"]).load_masks().masks[0])
        assert (last[4, 4], last[0, 10], last[2, 8]) == (3, 3, 0)  # two outlines of one thing
        for name in (tmp_path / "cache/coco").glob("annotations_trainval2017-*/annotations/*.json"):
            kept = name.stat()
            name.write_bytes(b" " * kept.st_size)  # the masks are there: it is not read again
            os.utime(name, ns=(kept.st_atime_ns, kept.st_mtime_ns))


def test_coco_of_one_s_own_is_folders_or_archives(tmp_path):
    members = coco()
    own = tmp_path / "own"
    own.mkdir()
    for name in ("train2017", "annotations"):
        (own / COCOSegmentation.files[name].name).write_bytes(zipped(members[name]))
    for name, data in members["val2017"].items():
        (own / name).parent.mkdir(exist_ok=True)
        (own / name).write_bytes(data)
    dataset = COCOSegmentation(own, folder=tmp_path / "cache")
    assert (len(dataset.train), len(dataset.test)) == (2, 2)
    np.testing.assert_array_equal(dataset.train.next_batch(2).load_masks().masks[0], EXPECTED)
    with pytest.raises(FileNotFoundError, match="it has train2017, val2017"):
        COCOSegmentation(own / "train2017.zip")
    with pytest.raises(
        FileNotFoundError, match=r"is not the data set: there is no .*instances_train2017\.json"
    ):
        COCOSegmentation(own / "val2017")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda told: told.pop("categories"), "no file of COCO's instances: 'categories'"),
        (lambda told: told["images"][0].update(file_name="../../x.jpg"), "no plain name of a JPEG"),
        (lambda told: told["images"][0].update(height=1 << 40), "can't be drawn: a photo of"),
        (lambda told: told["annotations"][0].update(category_id=5), "of the class 5, which is not there"),
        (lambda told: told["annotations"][0].update(segmentation=[[1, 2, 3]]), "an outline of 3 numbers"),
        (
            lambda told: told["annotations"][0].update(segmentation=[[1, 2, 3, 4, 1e400, 0]]),
            "an outline of 6",
        ),
        (
            lambda told: told["annotations"][0].update(segmentation={"size": [10, 12], "counts": [1 << 60]}),
            "runs that are not as long",
        ),
        (
            lambda told: told["annotations"][0].update(segmentation={"size": [1 << 20] * 2, "counts": []}),
            "runs of the size",
        ),
    ],
)
def test_annotations_that_lie_are_refused(tmp_path, change, message):
    members = coco()
    told = json.loads(members["annotations"]["annotations/instances_val2017.json"])
    change(told)
    (tmp_path / "annotations").mkdir()
    (tmp_path / "annotations/instances_val2017.json").write_text(json.dumps(told))
    with pytest.raises(ValueError, match=message):
        COCOSegmentation(tmp_path, folder=tmp_path / "cache", train=False)
    assert list((tmp_path / "cache/coco").iterdir()) == []


def test_pixels_are_of_an_outline_if_their_centres_are_inside():
    rng = np.random.default_rng(0)
    for _ in range(50):
        points = rng.uniform(-3, 25, (rng.integers(3, 9), 2))
        place, inside = fill_polygon(points.ravel().tolist(), (20, 22))
        found = np.zeros((20, 22), bool)
        found[place] = inside
        expected = polygon2mask((20, 22), points[:, ::-1] - 0.5)
        np.testing.assert_array_equal(found, expected)


def test_the_smaller_thing_lies_above():
    whole = [0.0, 0.0, 12.0, 0.0, 12.0, 10.0, 0.0, 10.0]
    things = [thing(1, 17, 6, [SMALL]), thing(1, 1, 120, [whole]), thing(1, 90, 56, [SQUARE])]
    drawn = draw_mask((10, 12), things, {1: 1, 17: 2, 90: 3})
    assert [drawn[0, 0], drawn[2, 2], drawn[4, 4]] == [1, 3, 2]


# Imagewoof


def woof(stem: str) -> dict[str, bytes]:
    return {
        f"{stem}/{part}/{folder}/{folder}_{number}.JPEG": picture(level, fmt="JPEG")
        for part, count in (("train", 2), ("val", 1))
        for level, folder in ((10, "n02086240"), (200, "n02115641"))
        for number in range(count)
    }


def test_imagewoof_has_breeds_of_dogs(serve, tmp_path):
    class Small(Imagewoof):
        files = {"160": serve("imagewoof2-160.tgz", tar(woof("imagewoof2-160")))}

    dataset = Small(folder=tmp_path / "cache", patience=QUICK)
    assert (len(dataset.train), len(dataset.test)) == (4, 2)
    assert dataset.classes == ("Shih-Tzu", "dingo")
    batch = dataset.test.next_batch(2).load()
    assert [int(np.mean(image)) // 10 for image in batch.images] == [1, 20]
    with pytest.raises(ValueError, match=r"no sum of imagewoof2\.tgz is published; download https://.*path="):
        Imagewoof("full")
    (tmp_path / "imagewoof2.tgz").write_bytes(tar(woof("imagewoof2")))
    assert len(Imagewoof("full", tmp_path / "imagewoof2.tgz", folder=tmp_path / "cache")) == 6
