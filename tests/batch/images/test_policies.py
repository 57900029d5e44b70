"""Augmentation policies against Pillow, step by step."""

from __future__ import annotations

import numpy as np
import pytest
import skimage.data
from PIL import Image, ImageEnhance, ImageOps

from bf_batch import ImagesBatch
from bf_batch.images.policies import RAND, STEPS, WIDE, take_steps


def digits(n=64, shape=(28, 28), seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def by_pillow(name, strength, ranges, picture):
    """What a step of the papers does to a picture, done by Pillow alone."""
    image, (height, width) = Image.fromarray(picture), picture.shape[:2]
    part, moved = abs(strength), (height if ranges.shift < 1 else 1) * ranges.shift * strength
    tangent, middle = ranges.shear * strength, (width / 2, height / 2)
    matrices = {
        "shear_x": (1, -tangent, tangent * middle[1], 0, 1, 0),
        "shear_y": (1, 0, 0, -tangent, 1, tangent * middle[0]),
        "translate_x": (1, 0, -moved, 0, 1, 0),
        "translate_y": (1, 0, 0, 0, 1, -moved),
    }
    enhancers = {
        "brightness": "Brightness",
        "saturation": "Color",
        "contrast": "Contrast",
        "sharpness": "Sharpness",
    }
    if name in matrices:
        sampling = Image.Resampling.BILINEAR
        return image.transform(image.size, Image.Transform.AFFINE, matrices[name], sampling)
    if name == "rotate":
        return image.rotate(strength * ranges.angle, Image.Resampling.BILINEAR)
    if name.startswith("adjust_"):
        factor = 1 + strength * ranges.blend
        return getattr(ImageEnhance, enhancers[name.removeprefix("adjust_")])(image).enhance(factor)
    if name == "posterize":
        return ImageOps.posterize(image, 8 - round(part * ranges.bits))
    if name == "solarize":
        return ImageOps.solarize(image, 255 * (1 - part))
    return image if name == "identity" else getattr(ImageOps, name)(image)


@pytest.mark.parametrize("name", STEPS)
@pytest.mark.parametrize("ranges", [RAND, WIDE], ids=["rand", "trivial"])
@pytest.mark.parametrize("strength", [0.2, 0.8, 1.0])
def test_each_step_of_a_policy_is_that_of_pillow_at_the_strength_of_the_papers(name, ranges, strength):
    photo = skimage.data.astronaut()[20:100, 180:260]
    batch = ImagesBatch(2, preloaded={"images": np.stack([photo, photo])})
    signs = np.array([1.0, -1.0])
    take_steps(batch, np.full(2, STEPS.index(name)), np.full(2, strength), signs, ranges, 0.0, "images", name)
    for ours, sign in zip(batch.images, signs):
        theirs = np.asarray(by_pillow(name, sign * strength, ranges, photo)).astype(int)
        error = np.abs(ours - theirs)
        if name in STEPS[1:6]:  # at the border we blend with the fill, Pillow does not
            assert (error > 2).mean() < 0.03
        else:
            assert error.max() <= (1 if name.startswith("adjust_") else 0)


def test_policies_give_each_item_its_own_steps_and_masks_their_geometry():
    images = np.repeat(digits(1, (32, 32)), 60, axis=0)
    batch = ImagesBatch(60, preloaded={"images": images, "masks": images // 128})
    batch.rand_augment(2, 15, src=["images", "masks"])
    assert len({one.tobytes() for one in batch.images}) > 30
    assert set(np.unique(batch.masks)) <= {0, 1}
    assert len({one.tobytes() for one in batch.masks}) > 10
    trivial = ImagesBatch(60, preloaded={"images": images}).trivial_augment()
    assert len({one.tobytes() for one in trivial.images}) > 30
    with pytest.raises(ValueError, match="magnitude from 0 to 30, got n=2, magnitude=31"):
        batch.rand_augment(2, 31)
