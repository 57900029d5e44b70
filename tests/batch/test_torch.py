"""Data sets of preloaded data under a DataLoader of PyTorch (nox -s torch)."""

from __future__ import annotations

import numpy as np
import pytest

from bf_batch import Batch, Dataset, ImagesBatch
from bf_index import DatasetIndex

torch = pytest.importorskip("torch", reason="PyTorch is not installed: nox -s torch")
loading = pytest.importorskip("torch.utils.data")


class Pairs(Batch):
    """A row of numbers and a label."""

    components = "x", "y"


ROWS = np.random.default_rng(0).normal(size=(30, 3)).astype(np.float32)
LABELS = np.arange(30) % 4


def make_dataset(path=None):
    return Dataset(30, Pairs, preloaded=(ROWS if path is None else path, LABELS))


@pytest.mark.parametrize("options", [{}, {"num_workers": 2}])
def test_a_loader_reads_what_the_batches_hold(options):
    dataset = make_dataset().split(0.8, shuffle=True, seed=1)
    read = list(loading.DataLoader(dataset.train, batch_size=7, **options))
    wanted = list(dataset.train.gen_batch(7))
    assert len(read) == len(wanted) == 4
    for (x, y), batch in zip(read, wanted, strict=True):
        np.testing.assert_array_equal(x.numpy(), batch.x)
        np.testing.assert_array_equal(y.numpy(), batch.y)
        assert x.dtype == torch.float32


def test_spawned_workers_read_a_file_of_their_own(tmp_path):
    np.save(tmp_path / "rows.npy", ROWS)
    dataset = make_dataset(str(tmp_path / "rows.npy"))
    loader = loading.DataLoader(dataset, batch_size=10, num_workers=1, multiprocessing_context="spawn")
    np.testing.assert_array_equal(torch.cat([x for x, _ in loader]).numpy(), ROWS)


def test_a_shuffled_pass_has_every_item_once(recwarn):
    seen = [x for x, _ in loading.DataLoader(make_dataset(), batch_size=4, shuffle=True)]
    np.testing.assert_array_equal(np.sort(torch.cat(seen).numpy(), axis=0), np.sort(ROWS, axis=0))
    assert not [one for one in recwarn if "writable" in str(one.message)]


def test_components_without_data_are_left_out():
    dataset = Dataset(
        30, ImagesBatch, preloaded={"images": np.zeros((30, 4, 4, 1), np.uint8), "labels": LABELS}
    )
    images, labels = next(iter(loading.DataLoader(dataset, batch_size=6)))
    assert images.shape == (6, 4, 4, 1)
    assert labels.tolist() == LABELS[:6].tolist()


def test_an_index_says_which_items_of_a_foreign_data_set_come_together():
    foreign = loading.TensorDataset(torch.arange(30) * 10)
    sampler = DatasetIndex(30).gen_batch(4, shuffle=True, n_epochs=2, seed=3)
    read = [values.tolist() for (values,) in loading.DataLoader(foreign, batch_sampler=sampler)]
    wanted = [[10 * id for id in batch] for batch in DatasetIndex(30).gen_batch(4, True, n_epochs=2, seed=3)]
    assert read == wanted
