"""FashionMNIST: 28 x 28 pictures of clothes."""

from __future__ import annotations

import os
from collections.abc import Sequence

from bf_batch.batch import Batch
from bf_batch.opensets.base import ArrayOpenset
from bf_batch.opensets.download import Patience
from bf_batch.opensets.idx import make_idx_files

FILES = make_idx_files(
    (
        "https://storage.googleapis.com/tensorflow/tf-keras-datasets",
        "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion",
    ),
    (
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
    ),
)

CLASSES = (
    "T-shirt/top", "Trouser", "Pullover", "Dress", "Coat", "Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot",
)  # fmt: skip


class FashionMNIST(ArrayOpenset):
    """Clothes: images uint8 (28, 28, 1), 60,000 to train on and 10,000 to test, downloaded once (30 MB).

    ``folder`` is where downloads are kept, see ``cache_folder``.
    """

    files = FILES

    def __init__(
        self,
        folder: str | os.PathLike[str] | None = None,
        batch_class: type[Batch] | None = None,
        patience: Patience = Patience(),  # noqa: B008 (frozen)
        only: Sequence[str | int] | None = None,
        per_class: int | None = None,
    ) -> None:
        images, labels, trained = self.files.load(folder, "fashion-mnist", patience)
        super().__init__(images, labels, trained, CLASSES, batch_class, only, per_class)
