"""Batches of images, with labels and masks."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from bf_batch.images.colour.filter_actions import FilterActions
from bf_batch.images.colour.noise_actions import NoiseActions
from bf_batch.images.colour.scaling_actions import PixelActions, get_waiting
from bf_batch.images.colour.transform_actions import TransformActions
from bf_batch.images.drawing import show
from bf_batch.images.files.actions import FileActions
from bf_batch.images.geometry.distort_actions import DistortActions
from bf_batch.images.patches.actions import PatchActions
from bf_batch.images.patches.background_actions import BackgroundActions
from bf_batch.images.policies import PolicyActions


class ImagesBatch(
    PolicyActions,
    DistortActions,
    PixelActions,
    TransformActions,
    FilterActions,
    NoiseActions,
    PatchActions,
    BackgroundActions,
    FileActions,
):
    """Pictures with labels and masks, and the actions of augmentation.

    ``images`` and ``masks`` are arrays (n, height, width) or (n, height, width, channels), or lists of
    arrays when sizes differ. Geometric actions pile up and pixels are resampled once, when
    ``batch.images`` is read.

    >>> import numpy as np
    >>> batch = ImagesBatch(2, preloaded=(np.zeros((2, 32, 32), np.uint8), [0, 1]))
    >>> batch.rotate(10).crop((28, 28)).to_array().images.shape
    (2, 28, 28, 1)
    """

    components = "images", "labels", "masks"
    worker_modules: ClassVar[tuple[str, ...]] = ("bf_batch.images.kernels.kept",)

    def find_sizes(self, src: str = "images") -> NDArray[np.int64]:
        """Return (height, width) of each picture, (n, 2), as all steps so far leave it; no pixel is computed.

        ValueError for a component that was not loaded.
        """
        sizes = get_waiting(self, src, "find_sizes").sizes
        return np.broadcast_to(np.asarray(sizes, np.int64), (len(self), 2)).copy()

    def show(self, n: int = 16, **options: Any) -> Any:
        """Draw the first ``n`` pictures, see ``bf_batch.images.show``."""
        return show(self, n, **options)
