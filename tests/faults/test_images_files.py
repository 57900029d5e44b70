"""Bad picture files: each is an error that names it, or is left out and reported."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image

from bf_batch import Dataset, ImagesBatch, ItemError, SkipBatch
from bf_index import FilesIndex
from bf_pipeline import Pipeline


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for number in range(30):
        picture = np.repeat(np.repeat(rng.integers(0, 256, (8, 10, 3), dtype=np.uint8), 8, axis=0), 8, axis=1)
        Image.fromarray(picture).save(tmp_path / f"{number:03}.jpg")
    return tmp_path


def load(folder, **options):
    return ImagesBatch(FilesIndex(str(folder / "*"))).load_images(**options)


@pytest.mark.faults("IM01")
@pytest.mark.parametrize(
    "content", [b"not a picture at all", b"\xff\xd8\xff\xe0 and then nonsense", b"\x89PNG\r\n\x1a\nxx"]
)
def test_garbage_file_is_named(folder, content):
    (folder / "017.jpg").write_bytes(content)
    with pytest.raises(ItemError, match=r"'017.jpg' \(number 17 of the batch\).*017\.jpg") as caught:
        load(folder)
    assert caught.value.id == "017.jpg"


@pytest.mark.faults("IM02")
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.1])
def test_truncated_jpeg_is_an_error_of_the_load_that_names_it(folder, kept):
    data = (folder / "003.jpg").read_bytes()
    (folder / "003.jpg").write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ItemError, match=r"003\.jpg.*truncated JPEG"):
        load(folder)


@pytest.mark.faults("IM02")
@pytest.mark.parametrize("name", ["x.png", "x.webp", "x.tiff", "x.gif", "x.bmp", "print.jpg"])
@pytest.mark.parametrize("kept", [0.9, 0.5, 0.05])
def test_truncated_file_of_any_format_is_an_error_of_the_load_that_names_it(tmp_path, name, kept):
    noise = np.random.default_rng(0).integers(0, 256, (60, 80, 3), dtype=np.uint8)
    Image.fromarray(noise).convert("CMYK" if name == "print.jpg" else "RGB").save(tmp_path / name)
    data = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(data[: int(len(data) * kept)])
    with pytest.raises(ItemError, match=rf"{name}.*(damaged picture|truncated JPEG|not a picture)"):
        load(tmp_path)


@pytest.mark.faults("IM01")
def test_folder_with_the_name_of_a_picture_is_named(folder):
    (folder / "031.jpg").mkdir()
    batch = ImagesBatch(FilesIndex([str(folder / "*"), str(folder / "031.jpg")], dirs=True))
    with pytest.raises(ItemError, match=r"031\.jpg"):
        batch.load_images()


@pytest.mark.faults("IM02")
def test_jpeg_damaged_inside_is_named_when_its_pixels_are_read(folder):
    data = bytearray((folder / "003.jpg").read_bytes())
    middle = len(data) // 2 + 100
    data[middle : middle + 60] = b"\xff\xd0" * 30
    (folder / "003.jpg").write_bytes(bytes(data))
    with pytest.raises(ItemError, match=r"'003\.jpg'"):
        _ = load(folder).images


@pytest.mark.faults("IM03")
def test_zero_byte_file_is_named(folder):
    (folder / "011.jpg").write_bytes(b"")
    with pytest.raises(ItemError, match=r"011\.jpg: the file is empty \(0 bytes\)"):
        load(folder)


@pytest.mark.faults("IM04")
def test_file_deleted_after_indexing_is_named(folder):
    batch = ImagesBatch(FilesIndex(str(folder / "*")))
    (folder / "020.jpg").unlink()
    with pytest.raises(ItemError, match=r"'020\.jpg'.*FileNotFoundError.*020\.jpg"):
        batch.load_images()


@pytest.mark.faults("IM06")
def test_one_bad_of_thirty_is_left_out_and_reported(folder):
    (folder / "017.jpg").write_bytes(b"garbage")
    batch = load(folder, on_error="skip")
    assert len(batch) == 29
    assert batch.images.shape == (29, 64, 80, 3)
    assert "017.jpg" not in batch.indices
    assert [error.id for error in batch.skipped] == ["017.jpg"]


@pytest.mark.faults("IM06")
def test_damage_inside_a_jpeg_is_found_at_once_by_the_skip_policy(folder):
    data = bytearray((folder / "003.jpg").read_bytes())
    middle = len(data) // 2 + 100
    data[middle : middle + 60] = b"\xff\xd0" * 30
    (folder / "003.jpg").write_bytes(bytes(data))
    batch = load(folder, on_error="skip")
    assert len(batch.images) == 29
    assert [error.id for error in batch.skipped] == ["003.jpg"]


@pytest.mark.faults("IM06")
def test_a_batch_of_bad_files_alone_is_skipped(tmp_path):
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"garbage")
    with pytest.raises(SkipBatch, match="all 3 items failed"):
        load(tmp_path, on_error="skip")


@pytest.mark.faults("IM06")
@pytest.mark.parametrize("prefetch", [0, 2])
def test_pipeline_delivers_all_but_the_bad_file(folder, prefetch):
    (folder / "017.jpg").write_bytes(b"garbage")
    pipeline = Pipeline().load(fmt="image", on_error="skip").resize((16, 20))
    pipeline = pipeline << Dataset(FilesIndex(str(folder / "*")), ImagesBatch)
    batches = list(pipeline.gen_batch(8, n_epochs=1, prefetch=prefetch))
    assert sum(len(batch.images) for batch in batches) == 29
    assert [error.id for batch in batches for error in batch.skipped] == ["017.jpg"]


@pytest.mark.faults("IM02")
@pytest.mark.parametrize("prefetch", [0, 2])
def test_pipeline_names_file_and_step_of_damage_found_when_pixels_are_computed(folder, prefetch):
    data = bytearray((folder / "003.jpg").read_bytes())
    middle = len(data) // 2 + 100
    data[middle : middle + 60] = b"\xff\xd0" * 30
    (folder / "003.jpg").write_bytes(bytes(data))
    pipeline = Pipeline().load(fmt="image").resize((60, 70))
    pipeline = pipeline << Dataset(FilesIndex(str(folder / "*")), ImagesBatch)
    with pytest.raises(ItemError, match=r"'003\.jpg'.*003\.jpg") as caught:
        list(pipeline.gen_batch(8, n_epochs=1, prefetch=prefetch))
    assert any("resize" in note for note in caught.value.__notes__)


@pytest.mark.faults("IM10")
@pytest.mark.parametrize("name", ["bomb.jpg", "bomb.png"])
def test_image_bomb_is_refused_before_it_is_decoded(tmp_path, name):
    Image.new("L", (64, 64)).save(tmp_path / name)
    data = bytearray((tmp_path / name).read_bytes())
    if name == "bomb.jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 60_000, 60_000)
    else:
        import zlib

        data[16:24] = struct.pack(">II", 60_000, 60_000)
        data[29:33] = struct.pack(">I", zlib.crc32(bytes(data[12:29])))
    (tmp_path / name).write_bytes(bytes(data))
    with pytest.raises(ItemError, match=r"60000 x 60000 pixels is more than max_pixels|3600000000 pixels"):
        load(tmp_path)


@pytest.mark.faults("IM10")
def test_a_limit_of_ones_own_is_kept(folder):
    with pytest.raises(
        ItemError, match=r"64 x 80 pixels is more than max_pixels=5000; if it is meant, raise max_pixels"
    ):
        load(folder, max_pixels=5000)
    assert len(load(folder, max_pixels=5120).images) == 30
