"""Pictures in files: formats, colours, EXIF, and decoding no more than needed."""

from __future__ import annotations

import struct
from io import BytesIO

import numpy as np
import pytest
import simplejpeg
import skimage.data
from numpy.testing import assert_allclose, assert_array_equal
from PIL import Image, ImageOps

from bf_batch import Batch, Dataset, ImagesBatch, ItemError
from bf_batch.data import jpeg
from bf_batch.images import PictureCache
from bf_index import FilesIndex


@pytest.fixture(scope="module")
def photo():
    return np.asarray(Image.fromarray(skimage.data.astronaut()).resize((500, 375)))


@pytest.fixture
def folder(tmp_path, photo):
    for number in range(4):
        Image.fromarray(photo[number * 10 :, number * 20 :]).save(tmp_path / f"{number}.jpg", quality=95)
    return tmp_path


def jpeg_of(picture, **options):
    stream = BytesIO()
    Image.fromarray(picture).save(stream, "JPEG", quality=92, **options)
    return stream.getvalue()


def loaded(folder, pattern="*", **options):
    return ImagesBatch(FilesIndex(str(folder / pattern))).load_images(**options)


def decoded(path, mode="RGB"):
    return np.asarray(Image.open(path).convert(mode))


def test_jpeg_files_are_decoded_when_pixels_are_read(folder):
    batch = loaded(folder)
    assert batch.kinds()["images"] == "pending"
    for ours, path in zip(batch.images, sorted(folder.iterdir())):
        assert_allclose(ours.astype(int), decoded(path), atol=1)


@pytest.mark.parametrize("name", ["a.png", "a.bmp", "a.gif", "a.tiff", "a.webp", "a.jpg"])
@pytest.mark.parametrize(
    ("mode", "pillow", "shape"),
    [("rgb", "RGB", (40, 50, 3)), ("gray", "L", (40, 50)), ("rgba", "RGBA", (40, 50, 4))],
)
def test_formats_come_in_the_colours_asked_for(tmp_path, photo, name, mode, pillow, shape):
    Image.fromarray(photo[:40, :50]).save(tmp_path / name)
    images = loaded(tmp_path, mode=mode).images
    assert images.shape == (1, *shape)
    assert np.abs(images[0].astype(int) - decoded(tmp_path / name, pillow)).max() <= (
        2 if name == "a.jpg" else 0
    )


@pytest.mark.parametrize("name", ["deep.png", "deep.tiff", "big_endian.tiff"])
def test_16_bit_files_keep_their_bits_or_are_scaled(tmp_path, name):
    values = np.linspace(0, 65535, 12 * 10).reshape(12, 10).astype(np.uint16)
    Image.fromarray(values.astype(">u2") if "endian" in name else values).save(tmp_path / name)
    stored = loaded(tmp_path, mode="stored").images[0]
    assert_array_equal(stored, values)
    assert stored.dtype.isnative
    assert_allclose(loaded(tmp_path, mode="gray").images[0], values / 257, atol=0.51)
    assert loaded(tmp_path, mode="rgba").images[0][..., 3].min() == 255


def test_numbers_that_are_no_colours_are_refused_unless_asked_for_as_stored(tmp_path):
    values = np.linspace(0, 1, 120, dtype=np.float32).reshape(12, 10)
    Image.fromarray(values).save(tmp_path / "depth.tiff")
    with pytest.raises(ItemError, match=r"float32 from 0\.0 to 1\.0, which have no meaning .* mode='stored'"):
        loaded(tmp_path)
    assert_array_equal(loaded(tmp_path, mode="stored").images[0], values)


def test_palette_grey_and_cmyk_files_are_read(tmp_path, photo):
    part = Image.fromarray(photo[:40, :50])
    for name, mode in {"a.png": "P", "b.jpg": "L", "c.jpg": "CMYK", "d.png": "LA", "e.png": "1"}.items():
        part.convert(mode).save(tmp_path / name)
    images = loaded(tmp_path).images
    assert images.shape == (5, 40, 50, 3)
    for ours, path in zip(images, sorted(tmp_path.iterdir())):
        assert_allclose(ours.astype(int), decoded(path), atol=2, err_msg=path.name)


def test_masks_of_classes_with_a_palette_keep_their_numbers(tmp_path):
    classes = np.random.default_rng(0).integers(0, 21, (30, 40), dtype=np.uint8)
    mask = Image.fromarray(classes)
    mask.putpalette(bytes(np.random.default_rng(1).integers(0, 256, 768, dtype=np.uint8)))
    mask.save(tmp_path / "mask.png")
    assert Image.open(tmp_path / "mask.png").mode == "P"
    batch = ImagesBatch(FilesIndex(str(tmp_path / "*"))).load_images(dst="masks")
    assert_array_equal(batch.masks[0], classes)


def test_a_film_gives_its_first_picture(tmp_path, photo):
    frames = [Image.fromarray(photo[top : top + 40, :50]) for top in (0, 100, 200)]
    for name in ("film.webp", "film.png"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:], lossless=True)
        assert Image.open(tmp_path / name).n_frames == 3
    frames[0].quantize().save(tmp_path / "film.gif", save_all=True, append_images=frames[1:])
    for ours, name in zip(loaded(tmp_path).images, ("film.gif", "film.png", "film.webp")):
        assert np.abs(ours.astype(int) - photo[:40, :50]).mean() < (8 if name == "film.gif" else 0.1)


def test_names_of_files_may_be_of_any_script(tmp_path, photo):
    for name in ("фото.jpg", "写真 1.jpg", "été.png"):
        Image.fromarray(photo[:40, :50]).save(tmp_path / name)
    batch = loaded(tmp_path)
    assert sorted(batch.indices) == sorted(["фото.jpg", "写真 1.jpg", "été.png"])
    assert batch.images.shape == (3, 40, 50, 3)


def test_what_follows_the_end_of_a_jpeg_file_does_no_harm(tmp_path, photo):
    film = bytes(np.random.default_rng(0).integers(0, 255, 20_000, dtype=np.uint8))  # as telephones append
    (tmp_path / "moving.jpg").write_bytes(jpeg_of(photo) + film)
    assert_array_equal(
        loaded(tmp_path).images[0], jpeg.decode(jpeg_of(photo), jpeg.read_header(jpeg_of(photo)), "rgb")
    )


@pytest.mark.faults("IM08")
@pytest.mark.parametrize("orientation", range(10))
@pytest.mark.parametrize("name", ["a.jpg", "a.png", "a.tiff", "a.webp"])
def test_exif_orientation_turns_the_picture_upright_or_not_as_asked(tmp_path, photo, orientation, name):
    exif = Image.Exif()
    exif[0x0112] = orientation
    part = photo[:41, :60]
    options = {"lossless": True} if name == "a.webp" else {}
    Image.fromarray(part).save(tmp_path / name, exif=exif, **options)
    stored = decoded(tmp_path / name) if name == "a.jpg" else part
    valid = orientation if 1 <= orientation <= 8 else 1
    upright = np.asarray(ImageOps.exif_transpose(_oriented(stored, valid)))
    assert_allclose(loaded(tmp_path).images[0].astype(int), upright, atol=1)
    assert_allclose(loaded(tmp_path, exif=False).images[0].astype(int), stored, atol=1)
    turned = loaded(tmp_path).crop((20, 30), "top_left").images[0]
    assert_allclose(turned.astype(int), upright[:20, :30], atol=1)


def _oriented(picture, orientation):
    image = Image.fromarray(picture)
    image.getexif()[0x0112] = orientation
    return image


@pytest.mark.parametrize("subsampling", ["444", "422", "420", "440", "411", "progressive"])
def test_upper_rows_alone_decode_to_the_same_pixels(photo, subsampling):
    progressive = subsampling == "progressive"
    if progressive:
        data = jpeg_of(photo, progressive=True)
    else:
        data = simplejpeg.encode_jpeg(photo, colorsubsampling=subsampling)
    head = jpeg.read_header(data)
    for shrink in (1, 2, 4, 8):
        whole = jpeg.decode(data, head, "rgb", shrink=shrink)
        for rows in (1, 7, 8, 14, 15, 16, 17, 31, 32, 33, 100, 350, 375):
            part = jpeg.decode(data, head, "rgb", rows, shrink)
            full = min(rows // shrink, len(whole))
            assert len(part) >= full
            assert_array_equal(part[:full], whole[:full])
    assert progressive or len(jpeg.decode(data, head, "rgb", 100)) == 112


@pytest.mark.parametrize("options", [{}, {"mode": "gray"}])
def test_random_resized_crop_of_files_equals_that_of_decoded_pictures(folder, options):
    def made(batch):
        return batch.random_resized_crop((300, 280)).flip("lr", p=0.5).to_array().images

    lazy = loaded(folder, **options)
    whole = loaded(folder, **options)
    whole.images = list(whole.images)
    assert_allclose(made(lazy), made(whole), atol=1e-3)


def test_a_small_result_is_decoded_small_and_lies_in_the_same_place(tmp_path, photo):
    large = np.asarray(Image.fromarray(photo).resize((2000, 1500), Image.Resampling.BICUBIC))
    Image.fromarray(large).save(tmp_path / "large.jpg", quality=95)
    batch = loaded(tmp_path).resize((150, 200))
    warp = batch.peek("images")
    part, matrix = warp.source.part(0, warp.matrices[0], (np.array([0.0, 149.0]), np.array([0.0, 199.0])))
    assert part.shape == (188, 250, 3)
    assert matrix[0, 0] == pytest.approx(1.25)
    smooth = np.asarray(Image.fromarray(large).resize((200, 150), Image.Resampling.BOX)).astype(int)
    assert np.abs(batch.images[0].astype(int) - smooth).mean() < 3


def test_masks_load_from_the_folder_of_each_item(tmp_path, photo):
    for name in ("cat", "dog"):
        (tmp_path / name).mkdir()
        Image.fromarray(photo[:60, :80]).save(tmp_path / name / "image.jpg")
        Image.fromarray((photo[:60, :80, 0] > 100).astype(np.uint8)).save(tmp_path / name / "mask.png")
    batch = ImagesBatch(FilesIndex(str(tmp_path / "*"), dirs=True))
    batch.load_images("image.jpg").load_images("mask.png", dst="masks")
    both = ["images", "masks"]
    batch.rotate(20, src=both).crop((40, 40), "random", src=both)
    assert batch.images.shape == (2, 40, 40, 3)
    assert batch.masks.shape == (2, 40, 40)
    assert set(np.unique(batch.masks)) <= {0, 1}


def test_load_by_format_reads_images_and_passes_other_formats_on(folder):
    assert len(ImagesBatch(FilesIndex(str(folder / "*"))).load(fmt="image").images) == 4


def test_dump_writes_files_that_load_again(folder, tmp_path, photo):
    batch = loaded(folder).resize((40, 50)).dump(tmp_path / "out", "image", src="images")
    names = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert names == ["0.jpg", "1.jpg", "2.jpg", "3.jpg"]
    assert np.abs(loaded(tmp_path / "out").images.astype(int) - batch.images).mean() < 12


def test_an_index_without_files_says_what_to_do():
    with pytest.raises(ValueError, match=r"ImagesBatch: the index has no files; use a FilesIndex"):
        ImagesBatch(3).load_images()


def test_cache_of_decoded_pictures_serves_later_epochs_and_stays_in_its_bound(folder, photo):
    size = photo.nbytes
    cache = PictureCache(2 * size + 1000)
    first = loaded(folder, cache=cache)
    expected = [p.copy() for p in first.images]
    assert len(cache) == 2
    assert cache.nbytes <= cache.max_bytes
    again = loaded(folder, cache=cache)
    assert isinstance(again.peek("images").source.pictures[0], np.ndarray)
    for one, two in zip(again.images, expected):
        assert_array_equal(one, two)
    with pytest.raises(ValueError, match="read-only"):
        cache.get(next(iter(cache._held)))[0][0, 0] = 1


def test_cache_sees_that_a_file_has_changed(tmp_path, photo):
    cache = PictureCache()
    Image.fromarray(photo).save(tmp_path / "a.png")
    assert_array_equal(loaded(tmp_path, cache=cache).images[0], photo)
    Image.fromarray(photo[:100]).save(tmp_path / "a.png")
    assert loaded(tmp_path, cache=cache).images.shape == (1, 100, 500, 3)


def test_a_data_set_of_files_gives_batches(folder):
    dataset = Dataset(FilesIndex(str(folder / "*")), ImagesBatch)
    shapes = [b.load_images().random_resized_crop((32, 32)).images.shape for b in dataset.gen_batch(2)]
    assert shapes == [(2, 32, 32, 3), (2, 32, 32, 3)]


# Damaged files


class Plain(Batch):
    components = ("x",)


LOADERS = {
    "load_images": lambda index: ImagesBatch(index).load_images().images,
    "stored": lambda index: ImagesBatch(index).load_images(mode="stored").images,
    "cache": lambda index: ImagesBatch(index).load_images(cache=PictureCache()).images,
    "load": lambda index: ImagesBatch(index).load(fmt="image").images,
    "crop": lambda index: ImagesBatch(index).load(fmt="image").crop((90, 20), "top_left").images,
    "small": lambda index: ImagesBatch(index).load(fmt="image").resize((16, 8)).images,
    "Batch.load": lambda index: Plain(index).load(fmt="image", dst="x").x,
    "Batch.load to grey": lambda index: Plain(index).load(fmt="image", dst="x", mode="L").x,
}


@pytest.mark.parametrize("loader", LOADERS)
@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"restart_marker_rows": 1}, {"subsampling": 0}]
)
@pytest.mark.parametrize("colours", ["RGB", "L", "CMYK"])
def test_every_loader_refuses_a_cut_off_jpeg_file_by_name(tmp_path, photo, loader, colours, options):
    stream = BytesIO()
    Image.fromarray(photo[:128, :64]).convert(colours).save(stream, "JPEG", **options)
    data = stream.getvalue()
    (tmp_path / "good.jpg").write_bytes(data)
    found = LOADERS[loader](FilesIndex(str(tmp_path / "good.jpg")))
    assert len(found) == 1
    longer = bytearray(data)
    at = jpeg.read_header(data).height_at
    longer[at : at + 2] = (256).to_bytes(2, "big")
    (tmp_path / "half.jpg").write_bytes(data[: len(data) // 2] + b"\xff\xd9")
    (tmp_path / "short.jpg").write_bytes(data[: len(data) // 2])
    (tmp_path / "long.jpg").write_bytes(longer)
    for name in (
        "half.jpg",
        "short.jpg",
        *(["long.jpg"] if loader != "crop" or "progressive" in options else []),
    ):
        with pytest.raises(ItemError, match=name):
            LOADERS[loader](FilesIndex(str(tmp_path / name)))


def test_batch_load_reads_jpeg_files_as_pillow_does(tmp_path, photo):
    for number, options in enumerate(({}, {"subsampling": 0}, {"progressive": True, "quality": 40})):
        for colours in ("RGB", "L", "CMYK"):
            path = tmp_path / f"{number}-{colours}.jpg"
            Image.fromarray(photo).convert(colours).save(path, **options)
            for mode in (None, "RGB", "L"):
                theirs = Image.open(path) if mode is None else Image.open(path).convert(mode)
                ours = Plain(FilesIndex(str(path))).load(fmt="image", dst="x", mode=mode).x[0]
                assert_array_equal(ours, np.asarray(theirs))


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(("kind", "word"), [(3, "Hxx"), (4, "I"), (8, "hxx"), (9, "i")])
@pytest.mark.parametrize("turn", range(1, 9))
def test_exif_orientation_of_every_whole_type_is_read_as_pillow_does(
    tmp_path, photo, turn, kind, word, order
):
    entry = struct.pack(order + "HHI", 0x112, kind, 1) + struct.pack(order + word, turn)
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(order + "IH", 8, 1)
    exif = b"Exif\0\0" + head + entry + b"\0\0\0\0"
    Image.fromarray(photo[:16, :32]).save(tmp_path / "a.jpg", exif=exif, subsampling=0)
    theirs = ImageOps.exif_transpose(Image.open(tmp_path / "a.jpg"))
    assert_array_equal(loaded(tmp_path).images[0], np.asarray(theirs))
