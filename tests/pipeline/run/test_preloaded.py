"""Preloaded data: no action changes them, in any form, order or engine."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pandas as pd
import pytest

from bf_batch import Batch, Dataset, ItemError, action, inbatch_parallel
from bf_pipeline import Pipeline

N = 6


class Raw(Batch):
    """Actions that change what they are given in place."""

    components = ("x",)

    @action
    def add_to_rows(self):
        for row in self.x:
            row += 1
        return self

    @action
    @inbatch_parallel(init="x", post="take", target="inline")
    def add_to_items(self, item):
        item += 1
        return item

    def take(self, results):
        self.x = np.stack(results) if len({np.shape(one) for one in results}) == 1 else results
        return self

    @action
    def grow(self):
        for entry in self.x:
            entry.append(0) if isinstance(entry, list) else entry["more"].append(0)
        return self


def rows(number=N):
    return np.arange(2.0 * number).reshape(number, 2)


def as_objects(values):
    made = np.empty(len(values), object)
    made[:] = values
    return made


def mapped(folder):
    np.save(folder / "x.npy", rows())
    return str(folder / "x.npy")


def hdf5(folder):
    h5py = pytest.importorskip("h5py")
    file = h5py.File(folder / "x.h5", "w")
    file["x"] = rows()
    return file["x"]


def zarr_array(folder):
    zarr = pytest.importorskip("zarr")
    made = zarr.create_array(str(folder / "x.zarr"), shape=(N, 2), chunks=(2, 2), dtype="f8")
    made[:] = rows()
    return made


FORMS = {
    "array": lambda folder: rows(),
    "Fortran array": lambda folder: np.asfortranarray(rows()),
    "part of a larger array": lambda folder: rows(N + 3),
    "list of arrays": lambda folder: list(rows()),
    "ragged list": lambda folder: [np.arange(float(n + 1)) for n in range(N)],
    "array of arrays": lambda folder: as_objects([np.arange(float(n + 1)) for n in range(N)]),
    "mapping": lambda folder: dict(enumerate(rows())),
    "series of arrays": lambda folder: pd.Series(list(rows())),
    "npy file": mapped,
    "memory-mapped array": lambda folder: np.load(mapped(folder), mmap_mode="r+"),
    "hdf5": hdf5,
    "zarr": zarr_array,
}
ORDERS = {"in order": {}, "shuffled": {"shuffle": True}}
ENGINES: dict[str, dict[str, Any]] = {
    "inline": {},
    "threads": {"prefetch": 2},
    "processes": {"prefetch": 2, "engine": "processes"},
}

CASES = [
    (form, order, engine)
    for form in FORMS
    for order in ORDERS
    for engine in ENGINES
    if engine != "processes" or (form, order) in (("array", "shuffled"), ("ragged list", "in order"))
]


def refused():
    return pytest.raises((ValueError, ItemError), match="read-only")


def values_of(data, names=range(N)):
    """The items' values as lists, however they are held."""
    batch = Dataset(N, Raw, preloaded={"x": data}).create_batch(list(names))
    return [np.asarray(entry).tolist() for entry in batch.x]


@pytest.mark.parametrize(("form", "order", "engine"), CASES)
def test_an_action_in_place_is_refused_in_every_form_order_and_engine(tmp_path, form, order, engine):
    data = FORMS[form](tmp_path)
    before = values_of(data)
    options = {**ORDERS[order], **ENGINES[engine], "seed": 1, "n_epochs": 2}
    for step in ("add_to_rows", "add_to_items"):
        pipeline = getattr(Pipeline(Dataset(N, Raw, preloaded={"x": data})), step)()
        with refused() as caught:
            pipeline.run(3, **options)
        assert any("copy=True" in note for note in caught.value.__notes__)
        assert values_of(data) == before


@pytest.mark.parametrize(("form", "order", "engine"), CASES)
def test_with_copies_each_batch_may_change_its_own(tmp_path, form, order, engine):
    data = FORMS[form](tmp_path)
    before = values_of(data)
    options = {**ORDERS[order], **ENGINES[engine], "seed": 1, "n_epochs": 2}
    pipeline = Pipeline(Dataset(N, Raw, preloaded={"x": data}, copy=True)).add_to_rows().add_to_items()
    count = 0
    for batch in pipeline.gen_batch(3, **options):
        for id, entry in zip(batch.indices.tolist(), batch.x):
            assert (np.asarray(entry) - 2).tolist() == before[id]
            count += 1
    assert count == 2 * N
    assert values_of(data) == before


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("copies", [False, True])
@pytest.mark.parametrize(
    "data",
    [
        [[n] for n in range(N)],
        [{"more": [n]} for n in range(N)],
        {n: [n] for n in range(N)},
        as_objects([[n] for n in range(N)]),
    ],
    ids=["lists", "dicts", "mapping", "array of lists"],
)
def test_of_lists_and_dicts_each_batch_has_copies(data, order, copies):
    kept = copy.deepcopy(data)
    pipeline = Pipeline(Dataset(N, Raw, preloaded={"x": data}, copy=copies)).grow()
    for batch in pipeline.gen_batch(3, n_epochs=3, seed=1, **ORDERS[order]):
        for id, entry in zip(batch.indices.tolist(), batch.x):
            assert entry in ([id, 0], {"more": [id, 0]})
    assert list(data) == list(kept)


@pytest.mark.parametrize("form", ["array", "ragged list", "array of arrays", "mapping"])
@pytest.mark.parametrize("size", [3, N])
def test_memory_that_a_step_loads_from_is_not_changed_either(tmp_path, form, size):
    data = FORMS[form](tmp_path)
    before = values_of(data)
    source = data if size == N or form == "mapping" else dict(enumerate(data))
    pipeline = Pipeline(Dataset(N, Raw)).load(source, dst="x").add_to_rows()
    with pytest.raises(ValueError, match="read-only"):
        pipeline.run(size, n_epochs=2)
    assert values_of(data) == before


@pytest.mark.parametrize("engine", ENGINES)
def test_what_comes_out_of_a_run_is_read_only_in_every_engine(engine):
    for data in (rows(), list(rows())):
        for batch in Pipeline(Dataset(N, Raw, preloaded={"x": data})).gen_batch(3, **ENGINES[engine]):
            with pytest.raises(ValueError, match="read-only"):
                batch.x[0][:] = 5
            batch.items[0].x = np.array([7.0, 7.0])  # an entry of the batch's own
            assert batch.x[0].tolist() == [7, 7]
    assert data[0].tolist() == [0, 1]


@pytest.mark.parametrize("target", ["inline", "threads", "processes"])
def test_items_are_read_only_for_every_target(target):
    for data in (rows(), list(rows())):
        batch = Dataset(N, Raw, preloaded={"x": data}).next_batch(N)
        with refused():
            batch.add_to_items(target=target)
