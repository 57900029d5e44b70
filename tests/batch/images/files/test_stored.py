"""mode='stored' gives the numbers of a file: files written here byte by byte, and by tifffile."""

from __future__ import annotations

import struct
import warnings
import zlib

import numpy as np
import pytest
import tifffile
from numpy.testing import assert_array_equal
from PIL import Image

from bf_batch import Dataset, ImagesBatch, ItemError
from bf_index import FilesIndex

KINDS = {0: 1, 2: 3, 4: 2, 6: 4}  # channels of the colour types of PNG
PASSES = [(0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)]


def numbers(bits, channels, size=(9, 13)):
    top = (1 << bits) - 1
    found = np.random.default_rng(bits).integers(0, top + 1, (*size, channels))
    found[0, :2] = [[0], [top]]
    return found.astype(np.uint16 if bits > 8 else np.uint8)


def pack(values, bits):
    """Samples (h, w, c) as bytes: each row begins with a whole byte, the upper bits come first."""
    rows = values.reshape(len(values), -1).astype(">u2")
    places = np.unpackbits(rows.view(np.uint8).reshape(*rows.shape, 2), axis=2)[..., 16 - bits :]
    return np.packbits(places.reshape(len(rows), -1), axis=1)


def write_png(path, values, bits, kind, interlaced=False):
    def chunk(tag, data):
        return struct.pack(">I", len(data)) + tag + data + struct.pack(">I", zlib.crc32(tag + data))

    parts = [values]
    if interlaced:
        parts = [values[top::down, left::across] for top, left, down, across in PASSES]
    lines = b"".join(b"\0" + line.tobytes() for part in parts if part.size for line in pack(part, bits))
    head = struct.pack(">IIBBBBB", values.shape[1], values.shape[0], bits, kind, 0, 0, int(interlaced))
    body = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + body)


def write_tiff(path, values, bits, photometric, order="<", turned=False):
    """Write a TIFF file of one strip, without compression; ``turned``: the lower bits come first."""
    data = pack(values, bits)
    if turned:
        data = np.packbits(np.unpackbits(data.reshape(-1, 1), axis=1)[:, ::-1], axis=1)
    h, w = values.shape[:2]
    tags = [(256, w), (257, h), (258, bits), (259, 1), (262, photometric), (266, 1 + turned), (273, 200)]
    tags += [(277, 1), (278, h), (279, data.size)]
    entries = b"".join(struct.pack(order + "HHII", tag, 4, 1, value) for tag, value in tags)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    directory = struct.pack(order + "H", len(tags)) + entries + b"\0\0\0\0"
    path.write_bytes((head + directory).ljust(200, b"\0") + data.tobytes())


def stored(path, **options):
    batch = Dataset(FilesIndex(str(path)), ImagesBatch).next_batch(1)
    return batch.load_images(mode="stored", **options).images[0]


@pytest.mark.parametrize("interlaced", [False, True])
@pytest.mark.parametrize(
    ("bits", "kind"),
    [(1, 0), (2, 0), (4, 0), (8, 0), (16, 0), (8, 2), (16, 2), (8, 4), (16, 4), (8, 6), (16, 6)],
)
def test_png_files_of_every_depth_give_their_numbers(tmp_path, bits, kind, interlaced):
    values = numbers(bits, KINDS[kind])
    write_png(tmp_path / "a.png", values, bits, kind, interlaced)
    ours = stored(tmp_path / "a.png")
    assert_array_equal(ours, values[..., 0] if kind == 0 else values)
    assert ours.dtype == (bool if bits == 1 else values.dtype)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("white_is_zero", [False, True])
@pytest.mark.parametrize("bits", [1, 2, 4, 8, 16])
def test_tiff_files_of_every_depth_give_their_numbers(tmp_path, bits, white_is_zero, order):
    values = numbers(bits, 1, (6, 16))
    laid = values.byteswap() if bits == 16 and order == "<" else values
    write_tiff(tmp_path / "a.tif", laid, bits, int(not white_is_zero), order)
    if bits == 16 and white_is_zero and order == ">":
        with pytest.raises(ItemError, match=r"a\.tif"):  # Pillow does not know it
            stored(tmp_path / "a.tif")
        return
    assert_array_equal(stored(tmp_path / "a.tif"), values[..., 0])
    if bits < 8 or (bits == 8 and not white_is_zero):
        write_tiff(tmp_path / "b.tif", values, bits, int(not white_is_zero), order, turned=True)
        assert_array_equal(stored(tmp_path / "b.tif"), values[..., 0])


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize(
    "options",
    [{}, {"byteorder": ">"}, {"tile": (16, 16)}, {"compression": "zlib"},
     {"compression": "zlib", "predictor": True}, {"compression": "zlib", "byteorder": ">"}],
)  # fmt: skip
def test_tiff_files_of_16_bit_colours_give_their_numbers(tmp_path, channels, options):
    values = numbers(16, channels, (20, 17))
    extra = {"extrasamples": ["unassalpha"]} if channels == 4 else {}
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", **options, **extra)
    assert_array_equal(stored(tmp_path / "a.tif"), values, strict=True)
    for turn in (3, 6):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tifffile.imwrite(
                tmp_path / "b.tif",
                values,
                photometric="rgb",
                extratags=[(274, "H", 1, turn, True)],
                **options,
                **extra,
            )
        assert_array_equal(stored(tmp_path / "b.tif"), np.rot90(values, 2 if turn == 3 else -1))
        assert_array_equal(stored(tmp_path / "b.tif", exif=False), values)


@pytest.mark.parametrize("dtype", ["int8", "int16", "uint32", "int32", "float32", "float64"])
def test_tiff_files_of_other_numbers_give_them_or_say_that_they_cannot(tmp_path, dtype):
    values = (np.random.default_rng(0).random((5, 7)) * 100 - 20).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="minisblack")
    if dtype == "float64":  # Pillow does not know it
        with pytest.raises(ItemError, match=r"a\.tif"):
            stored(tmp_path / "a.tif")
    else:
        assert_array_equal(stored(tmp_path / "a.tif"), values)


@pytest.mark.parametrize("extra", ["unspecified", "assocalpha"])
@pytest.mark.parametrize("dtype", ["uint8", "uint16"])
def test_samples_that_pillow_leaves_out_or_divides_are_refused_as_stored(tmp_path, dtype, extra):
    values = numbers(8, 4).astype(dtype)
    tifffile.imwrite(tmp_path / "a.tif", values, photometric="rgb", extrasamples=[extra])
    with pytest.raises(ItemError, match=r"a\.tif: its numbers are stored as RGB.*; load it with mode='rgb'"):
        stored(tmp_path / "a.tif")


@pytest.mark.parametrize("top", [1, 3, 9, 200, 255, 256, 1000, 65535])
@pytest.mark.parametrize("magic", ["P2", "P3", "P5", "P6"])
def test_portable_maps_give_their_numbers_whatever_their_greatest(tmp_path, magic, top):
    values = np.random.default_rng(top).integers(0, top + 1, (5, 4, 3 if magic in ("P3", "P6") else 1))
    head = f"{magic}\n# a comment\n4 5\n{top}\n".encode()
    if magic in ("P2", "P3"):
        lines = [" ".join(map(str, line.ravel())) for line in values]
        data = "\n# another\n".join(lines).encode()
    else:
        data = values.astype(">u2" if top > 255 else "u1").tobytes()
    (tmp_path / "a.ppm").write_bytes(head + data)
    ours = stored(tmp_path / "a.ppm")
    assert_array_equal(ours, values[..., 0] if values.shape[2] == 1 else values)
    assert ours.dtype == (np.uint8 if top < 256 else np.uint16)
    (tmp_path / "a.ppm").write_bytes(head + data[: len(data) // 2])
    with pytest.raises(ItemError, match=r"a\.ppm: damaged picture"):
        stored(tmp_path / "a.ppm")


def test_numbers_of_a_bitmap_are_those_of_its_file(tmp_path):
    (tmp_path / "a.pbm").write_bytes(b"P1\n3 2\n1 0 0\n0 1 1\n")
    (tmp_path / "b.pbm").write_bytes(b"P4\n3 2\n" + bytes([0b10000000, 0b01100000]))
    for name in ("a.pbm", "b.pbm"):
        assert_array_equal(stored(tmp_path / name), [[1, 0, 0], [0, 1, 1]])


def test_jpeg_2000_files_give_their_numbers_or_say_that_they_cannot(tmp_path):
    grey = numbers(16, 1)[..., 0]
    Image.fromarray(grey).save(tmp_path / "a.jp2", irreversible=False)
    assert_array_equal(stored(tmp_path / "a.jp2"), grey)
    Image.fromarray(numbers(8, 3)).save(tmp_path / "b.jp2", irreversible=False)
    assert_array_equal(stored(tmp_path / "b.jp2"), numbers(8, 3))
    data = bytearray((tmp_path / "b.jp2").read_bytes())
    at = data.find(b"\xff\x4f\xff\x51") + 42
    data[at] = 11  # twelve bits of the first sample
    (tmp_path / "b.jp2").write_bytes(data)
    with pytest.raises(
        ItemError,
        match=r"b\.jp2: its numbers are stored as colours of 12 bits, which can't be read as they are",
    ):
        stored(tmp_path / "b.jp2")


def test_masks_of_a_mixed_folder_keep_their_own_numbers(tmp_path):
    write_png(tmp_path / "a.png", numbers(2, 1, (4, 5)), 2, 0)
    write_png(tmp_path / "b.png", numbers(16, 1, (4, 5)), 16, 0)
    write_png(tmp_path / "c.png", numbers(16, 3, (4, 5)), 16, 2)
    batch = ImagesBatch(FilesIndex(str(tmp_path / "*.png"))).load_images(dst="masks").flip(src="masks")
    for ours, (bits, channels) in zip(batch.masks, [(2, 1), (16, 1), (16, 3)]):
        values = numbers(bits, channels, (4, 5))[:, ::-1]
        assert_array_equal(ours, values if channels > 1 else values[..., 0], strict=True)
