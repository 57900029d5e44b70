"""Write the table of all image actions into docs/images.md, from the actions themselves, and their pictures.

Which arguments there are, their defaults, whether each item may have its own value and what joins the one
resample are read from the code; what an argument means is said here, and a missing word ends with an error.

    python tools/image_actions.py            # writes the table and the pictures
    python tools/image_actions.py --check    # ends with 1 when the table in the page is another one
"""

from __future__ import annotations

import inspect
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import action_pictures
from bf_batch import Batch, ImagesBatch

PAGE = Path(__file__).resolve().parent.parent / "docs" / "images.md"
BEGIN, END = "<!-- table of actions: python tools/image_actions.py -->\n", "<!-- end of the table -->\n"

COMMON = ("p", "src", "dst", "order", "fill", "fuse")
"""Arguments that mean the same everywhere and are told above the table."""

EVERYTHING = "masks, boxes, keypoints"
FOLLOW = {
    **dict.fromkeys(
        [
            "crop",
            "elastic",
            "fit",
            "flip",
            "pad",
            "perspective",
            "put_on_background",
            "rand_augment",
            "random_resized_crop",
            "resize",
            "rotate",
            "scale",
            "shear",
            "shift",
            "split_to_patches",
            "transform",
            "trivial_augment",
        ],
        EVERYTHING,
    ),
    "cutout": "masks",
    "mixup": "labels",
    "cutmix": "labels",
    "stitch_patches": "labels and others: of the first patch",
}
"""What goes along with the pictures when it is named in ``src`` (labels: always)."""

BACK = "a `Normalizer`, its state or its file"
LEVELS = "a `Quantizer`, its state or its file"
BLEND = "1 is the picture as it is, 0 without any"
WORDS = {
    "alpha": "of Beta(alpha, alpha)",
    "angle": "degrees, counter-clockwise",
    "antialias": "average before shrinking, as Pillow; at once",
    "axes": "order of a point in the matrix: 'yx' or 'xy'",
    "axis": "'x': rows move, 'y': columns move",
    "background": "picture, component, or one an item",
    "bits": "1 to 8, of each byte",
    "border": "pixels: one, (vertical, horizontal) or (top, bottom, left, right)",
    "by_channel": "noise of its own for each channel",
    "cache": "`PictureCache`",
    "channels": "'all', a number from 0, or several",
    "classes": "how many, where labels are numbers",
    "deviation": "part of full white",
    "distortion": "0 to 1: how far corners move, of half a side",
    "drop_last": "leave out what does not fit",
    "dtype": "numpy's name of a dtype",
    "exif": "turn upright",
    "expand": "the frame grows so that corners stay inside",
    "gain": "factor after the power",
    "gamma": "power; above 1 darkens",
    "inverse": "the matrix leads from the result to the picture",
    "kind": "name, or weights (rows, columns)",
    "labels": "component",
    "layout": "letters: h saturation, c contrast, b brightness, s sharpness",
    "low": "value of pixels",
    "high": "value of pixels",
    "magnitude": "0 to 30",
    "margin": "share of each side that is cut off",
    "mask": "component or array: what is pasted",
    "matrix": "2 x 3 or 3 x 3, pixels",
    "max_pixels": "of a file; more is refused",
    "mean": "in units after scaling; one, or one a channel",
    "n": "steps for each item",
    "offset": "pixels (down, right)",
    "on_error": "'raise' or 'skip'",
    "origin": "'random', 'center', a corner, ints (pixels), floats (parts of the room)",
    "overlap": "'mean', 'smooth' or 'last'",
    "pepper": "part of the share that is black",
    "preserve_size": "the frame stays",
    "ratio": "(low, high) of width to height",
    "scale": "factor of values",
    "share": "of all pixels",
    "shift": "part of the circle, -0.5 to 0.5",
    "sigma": "pixels",
    "size": "(height, width), pixels",
    "std": "as mean",
    "stride": "pixels (down, across); None: the size",
    "term": "part of full white",
    "threshold": "part of full white",
    "adjust_brightness.factor": BLEND,
    "adjust_contrast.factor": BLEND,
    "adjust_saturation.factor": BLEND,
    "adjust_sharpness.factor": "0 smooth, 1 as it is, 2 sharper",
    "denormalize.by": BACK,
    "dequantize.by": LEVELS,
    "elastic.alpha": "pixels, times noise of -1 to 1",
    "enhance.factor": f"one, or one a letter; {BLEND}",
    "filter.offset": "part of full white",
    "filter.scale": "divides the weights",
    "filter.size": "odd side of a window, pixels",
    "flip.mode": "'lr' or 'ud'",
    "load_images.mode": "'rgb', 'gray', 'rgba' or 'stored'",
    "load_images.src": "file, folder or index",
    "load_images.dst": "component",
    "multiplicative_noise.deviation": "part of the pixel",
    "multiplicative_noise.mean": "factor",
    "multiply.factor": "factor of values",
    "noise.mean": "part of full white",
    "normalize.by": BACK,
    "quantize.by": LEVELS,
    "random_resized_crop.scale": "(low, high), shares of the area",
    "resize.size": "(height, width), pixels; one may be None",
    "shear.angle": "degrees; lower rows go right, or right columns down",
    "scale.factor": "one, or (vertical, horizontal); above 1 enlarges",
    "to_array.channels": "'last', 'first' or None",
    "to_pil.mode": "Pillow's name of a mode",
}
_ITEM = re.compile(r"PerItem|Number|Origin|^Any$")
_NO_ITEM = {"filter.kind", "put_on_background.mask"}


def actions() -> list[str]:
    """Return the names of the actions of images."""
    return sorted(set(ImagesBatch.actions) - set(Batch.actions))


def table() -> str:
    """Return the table; a KeyError names the argument that has no word."""
    lines = ["| action | arguments: default, meaning | joins the resample | follow |", "|---|---|---|---|"]
    for name in actions():
        joins = "yes" if name in _joining() else ""
        shown = f"**`{name}`**<br>{action_pictures.refer(name)}"
        lines.append(f"| {shown} | {'; '.join(_arguments(name))} | {joins} | {FOLLOW.get(name, '')} |")
    return "\n".join(lines) + "\n"


def _joining() -> set[str]:
    """Return the actions whose work waits for the one resample: those with ``fuse``, and the scaling ones."""
    geometry = {
        name for name in actions() if "fuse" in inspect.signature(getattr(ImagesBatch, name)).parameters
    }
    recorded = {name for name in actions() if ImagesBatch.actions[name].pending is not None}
    return geometry | recorded | {"rand_augment", "trivial_augment"}


def _arguments(name: str) -> Iterator[str]:
    """Yield each argument of an action: its name, its default, what it means and whether items may differ."""
    common = []
    for parameter in list(inspect.signature(getattr(ImagesBatch, name)).parameters.values())[1:]:
        key = f"{name}.{parameter.name}"
        if parameter.name in COMMON and key not in WORDS:
            common.append(parameter.name)
            continue
        default = "" if parameter.default is parameter.empty else f"={_show(parameter.default)}"
        each = _ITEM.search(str(parameter.annotation)) and key not in _NO_ITEM
        kind = _type_of(str(parameter.annotation))
        named = f"{parameter.name}: {kind}" if kind else parameter.name
        yield f"`{named}{default}` {WORDS.get(key) or WORDS[parameter.name]}{' *' if each else ''}"
    if common:
        yield ", ".join(f"`{one}`" for one in common)


def _type_of(annotation: str) -> str:
    """Return the word for the type of an argument, where the first of an annotation says it."""
    first = annotation.split(" | ", maxsplit=1)[0]
    known = {"Number": "number", "float": "number", "Floats": "numbers", "DTypeLike": "dtype", "Mode": "str"}
    if first.startswith("Literal") or first == "Overlap":
        return "str"
    return known.get(first, first) if re.fullmatch(r"int|bool|str|" + "|".join(known), first) else ""


def _show(default: object) -> str:
    text = repr(default)
    return "(3/4, 4/3)" if text.startswith("(0.75, 1.33") else text


def main() -> int:
    """Write or check the table."""
    text = PAGE.read_text(encoding="utf-8")
    before, rest = text.split(BEGIN)
    whole = before + BEGIN + "\n" + table() + "\n" + END + rest.split(END)[1]
    if "--check" not in sys.argv:
        PAGE.write_text(whole, encoding="utf-8")
        action_pictures.write_all()
        return 0
    if whole != text:
        sys.stderr.write(
            f"{PAGE}: the table of actions is not that of the code; run tools/image_actions.py\n"
        )
    return int(whole != text)


if __name__ == "__main__":
    sys.exit(main())
