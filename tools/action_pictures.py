"""Draw a small picture of each image action, before and after, for the table in docs/images.md.

Both pictures are of scikit-learn: "china.jpg" and "flower.jpg". Floats are shown as 0 to 1 and other numbers
as 0 to 255; what lies outside is cut off.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_image

from bf_batch import ImagesBatch

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "pictures" / "actions"
SIDE = 80
GAP = 6
#: What these change is the kind of numbers, and how pictures are kept.
SAME = {"rgb", "to_array", "to_pil"}
#: The actions that join pictures of a batch.
OF_TWO = {"mixup", "cutmix"}
BACKGROUND = "background"

#: Positional arguments, then named ones, of the call that is shown of each action.
CALLS: dict[str, tuple[Any, ...]] = {
    "add": (0.3,),
    "adjust_brightness": (1.5,),
    "adjust_contrast": (2,),
    "adjust_gamma": (2.5,),
    "adjust_hue": (0.25,),
    "adjust_saturation": (2.5,),
    "adjust_sharpness": (3,),
    "autocontrast": (),
    "blur": (2,),
    "clip": (100, 180),
    "crop": ((50, 50), "center"),
    "cutmix": (1.0, 2),
    "cutout": ((30, 30), {"origin": "center"}),
    "denormalize": (0.5, 0.25),
    "dequantize": (0, 1),
    "elastic": (34, 4),
    "enhance": ((2, 1.5, 0.8), "hcb"),
    "equalize": (),
    "filter": ("find_edges",),
    "fit": ((40, 80),),
    "flip": ("lr",),
    "gray": (),
    "invert": (),
    "load_images": ({"src": "photos"},),
    "mixup": (1.0, 2),
    "multiplicative_noise": (0.3,),
    "multiply": (0.5,),
    "noise": (0.15,),
    "normalize": (0.5, 0.25),
    "pad": (12, {"fill": "reflect"}),
    "perspective": (0.5,),
    "posterize": (2,),
    "put_on_background": (BACKGROUND, "center"),
    "quantize": (0, 255),
    "rand_augment": (2, 15),
    "random_resized_crop": ((60, 60),),
    "resize": ((40, 60),),
    "rgb": (),
    "rotate": (30,),
    "salt": (0.1,),
    "scale": (0.6, {"preserve_size": True}),
    "shear": (20,),
    "shift": ((10, 25),),
    "solarize": (0.5,),
    "split_to_patches": ((40, 40),),
    "stitch_patches": (),
    "to_array": ("float32", 1 / 255),
    "to_pil": (),
    "transform": ([[1, 0.3, -10], [0.2, 1, 0]],),
    "trivial_augment": (),
}
#: What is done to the picture that stands on the left.
FIRST: dict[str, tuple[str, tuple[Any, ...]]] = {
    "autocontrast": ("multiply", (0.5,)),
    "denormalize": ("normalize", (0.5, 0.25)),
    "dequantize": ("quantize", (0, 255)),
    "rgb": ("gray", ()),
    "stitch_patches": ("split_to_patches", ((40, 40),)),
}
#: Seeds that draw something to be seen; 0 for the others.
SEEDS = {"cutmix": 1, "mixup": 1, "rand_augment": 7, "random_resized_crop": 5, "trivial_augment": 3}


@cache
def read_source(name: str = "china.jpg") -> np.ndarray:
    """Return a square picture, (SIDE, SIDE, 3) bytes."""
    picture = Image.fromarray(load_sample_image(name)).crop((100, 0, 527, 427))
    return np.asarray(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS))


@cache
def read_background() -> np.ndarray:
    """Return a wider picture, (100, 120, 3) bytes."""
    picture = Image.fromarray(load_sample_image("flower.jpg"))
    return np.asarray(picture.resize((120, 100), Image.Resampling.LANCZOS))


def split_call(name: str) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Return the positional and the named arguments of the call that is shown."""
    given = CALLS[name]
    if given and isinstance(given[-1], dict):
        return given[:-1], given[-1]
    return given, {}


def write_call(name: str) -> str:
    """Return the call that is shown as text."""
    positional, named = split_call(name)
    words = [_write(value) for value in positional] + [
        f"{key}={_write(value)}" for key, value in named.items()
    ]
    return f"{name}({', '.join(words)})"


def _write(value: Any) -> str:
    text = repr(value)
    return {repr(BACKGROUND): BACKGROUND, repr(1 / 255): "1/255"}.get(text, text)


def apply(name: str) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the pictures before and after an action, as bytes; only the first is shown of those joined."""
    pictures = [read_source(), read_source("flower.jpg")][: 2 if name in OF_TWO else 1]
    batch = ImagesBatch(
        len(pictures),
        preloaded={"images": np.stack(pictures), "labels": np.arange(len(pictures))},
        seed=SEEDS.get(name, 0),
    )
    if name == "load_images":
        return [], _load(pictures[0])
    if name in FIRST:
        first, arguments = FIRST[name]
        batch = getattr(batch, first)(*arguments)
    before = [_show(picture) for picture in batch.copy().images]
    positional, named = split_call(name)
    positional = tuple(read_background() if value is BACKGROUND else value for value in positional)
    after = [_show(picture) for picture in getattr(batch, name)(*positional, **named).images]
    return before, after[:1] if name in OF_TWO else after


def _load(picture: np.ndarray) -> list[np.ndarray]:
    with TemporaryDirectory() as folder:
        Image.fromarray(picture).save(Path(folder, "0.png"))
        return [_show(one) for one in ImagesBatch(["0.png"]).load_images(folder).images]


def _show(picture: Any) -> np.ndarray:
    """Return a picture as it looks, (height, width, 3) bytes."""
    values = np.asarray(picture)
    whole = 1.0 if values.dtype.kind == "f" else 255.0
    values = (np.clip(values / whole, 0, 1) * 255).round().astype(np.uint8)
    return np.broadcast_to(values.reshape(*values.shape[:2], -1), (*values.shape[:2], 3))


def draw(name: str) -> Image.Image:
    """Return the picture of an action: on the left before it, on the right after it."""
    before, after = apply(name)
    right = _tile(after)
    if not before:
        return right
    left = _tile(before)
    drawn = Image.new("RGBA", (left.width + GAP + right.width, max(left.height, right.height)))
    drawn.paste(left, (0, (drawn.height - left.height) // 2))
    drawn.paste(right, (left.width + GAP, (drawn.height - right.height) // 2))
    return drawn


def _tile(pictures: Sequence[np.ndarray]) -> Image.Image:
    """Return pictures of one size as one, two in a row."""
    height, width = pictures[0].shape[0] + GAP // 2, pictures[0].shape[1] + GAP // 2
    columns = min(len(pictures), 2)
    rows = -(-len(pictures) // columns)
    tiled = Image.new("RGBA", (columns * width - GAP // 2, rows * height - GAP // 2))
    for place, picture in enumerate(pictures):
        one = Image.fromarray(np.ascontiguousarray(picture))
        tiled.paste(one, (place % columns * width, place // columns * height))
    return tiled


def refer(name: str) -> str:
    """Return the picture of an action and the call that made it, as Markdown in docs/."""
    return f"![before and after {name}](pictures/actions/{name}.webp)<br>`{write_call(name)}`"


def write_all() -> None:
    """Write the pictures of all actions, and take away those of others."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    for path in FOLDER.glob("*.webp"):
        if path.stem not in CALLS:
            path.unlink()
    for name in CALLS:
        draw(name).save(FOLDER / f"{name}.webp", quality=80, method=6)
