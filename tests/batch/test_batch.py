"""Batches: components, items, random addresses, parts and copies."""

from __future__ import annotations

import copy
import pickle

import numpy as np
import pytest

from bf_batch import Batch, Dataset, action
from bf_index import DatasetIndex, Place


class Points(Batch):
    components = "x", "y"
    note: str = ""

    @action
    def double(self):
        self.x = self.x * 2
        return self


@pytest.fixture
def points():
    return Points(4, preloaded=(np.arange(4.0), ["a", "bb", "ccc", "dddd"]))


def test_a_component_is_the_very_value_assigned(points):
    values = np.ones(4)
    points.x = values
    assert points.x is values
    points.x[0] = 5
    assert points.x[0] == 5


def test_a_component_says_whether_it_is_an_array_or_a_list(points):
    assert points.kinds() == {"x": "array", "y": "list"}
    assert Points(2).kinds() == {"x": "empty", "y": "empty"}


def test_a_tuple_becomes_a_list(points):
    points.y = (1, 2, 3, 4)
    assert points.y == [1, 2, 3, 4]


def test_iteration_gives_items_in_order_that_read_and_write(points):
    for number, item in enumerate(points):
        item.x = number * 10
        item.y += "!"
    assert points.x.tolist() == [0, 10, 20, 30]
    assert points.y == ["a!", "bb!", "ccc!", "dddd!"]
    assert [item.id for item in points] == [0, 1, 2, 3]


def test_an_item_is_found_by_its_id():
    batch = Points(DatasetIndex(["a", "b"]), preloaded=(np.array([1, 2]), None))
    assert batch["b"].x == 2
    assert batch.items[0].x == 1
    with pytest.raises(KeyError, match="zz"):
        batch["zz"]


def test_an_item_of_an_empty_component_can_be_filled():
    batch = Points(2)
    for item in batch:
        assert item.x is None
        item.x = item.position
    assert batch.x == [0, 1]


def test_an_item_of_another_shape_is_refused_with_the_way_out():
    batch = Points(2, preloaded=(np.zeros((2, 3)), None))
    with pytest.raises(ValueError, match=r"shape \(4,\).*shape \(3,\).*list"):
        batch.items[0].x = np.zeros(4)


def test_a_batch_without_components_has_data():
    batch = Batch(3, preloaded=np.arange(3))
    assert batch.data.tolist() == [0, 1, 2]
    assert [item.data for item in batch] == [0, 1, 2]
    dataset = Dataset(10, preloaded=np.arange(10) * 2)
    assert dataset.create_batch([4, 5]).data.tolist() == [8, 10]


def test_declared_attributes_are_free_and_private_ones_too(points):
    points.note = "mine"
    points._cache = 3
    assert points.note == "mine"


def test_attributes_can_be_added_to_a_batch(points):
    points.add_attributes(scale=2)
    points.scale = 3
    assert points.scale == 3
    assert not hasattr(Points(2), "scale")
    with pytest.raises(ValueError, match="'x'"):
        points.add_attributes(x=1)


def test_components_added_to_a_batch_are_not_those_of_its_class(points):
    points.add_components(("z", "w"), (np.arange(4), None))
    assert points.components == ("x", "y", "z", "w")
    assert Points.components == ("x", "y")
    assert isinstance(points, Points)
    with pytest.raises(ValueError, match="got 3 values for a batch of 4"):
        points.z = [1, 2, 3]
    again = pickle.loads(pickle.dumps(points))
    assert again.components == points.components
    assert again.z.tolist() == [0, 1, 2, 3]


@pytest.mark.parametrize("name", ["x", "index", "copy"])
def test_a_component_with_a_taken_name_is_refused(points, name):
    with pytest.raises(ValueError, match=name):
        points.add_components(name)


def test_a_list_of_component_names_is_taken():
    class Listed(Batch):
        components = ["a", "b"]

    assert Listed.components == ("a", "b")


def test_a_subclass_inherits_and_extends_components_and_actions():
    class More(Points):
        components = "x", "y", "z"

        def double(self):
            return self

    assert More(2).z is None
    assert "double" in More.actions
    assert Points.components == ("x", "y")


def test_random_numbers_depend_on_the_address_alone():
    def draw(**kwargs):
        return Points(2, **kwargs).rng().random()

    assert draw(seed=1) == draw(seed=1)
    assert draw(seed=1) != draw(seed=2)
    index = DatasetIndex(4)
    dataset = Dataset(index, Points)
    places = [Place(epoch, batch, slice(0, 2)) for epoch in range(2) for batch in range(2)]
    assert len({dataset.create_batch(place, 7).rng().random() for place in places}) == 4


def test_two_calls_differ_and_a_step_begins_anew(points):
    first, second = points.rng().random(), points.rng().random()
    assert first != second
    points.step = 1
    other = points.rng().random()
    assert other not in (first, second)
    points.step = 0
    assert points.rng().random() == first
    assert points.rng(5).random() != points.rng(5).random()


def test_a_subset_holds_the_data_of_its_items(points):
    part = points.subset([3, 1])
    assert part.x.tolist() == [3, 1]
    assert part.y == ["dddd", "bb"]
    assert part.indices.tolist() == [3, 1]
    assert len(points) == 4
    assert points.subset(points.x > 1).x.tolist() == [2, 3]
    assert points.subset(slice(1, 3)).y == ["bb", "ccc"]


def test_a_copy_can_be_changed_without_the_original(points):
    other = points.copy()
    other.x[0] = 99
    other.y[0] = "changed"
    assert points.x[0] == 0
    assert points.y[0] == "a"


def test_a_batch_with_a_data_set_can_be_pickled_and_copied():
    dataset = Dataset(10, Points, preloaded=(np.arange(10), np.arange(10)))
    batch = dataset.create_batch([7, 8])
    again = pickle.loads(pickle.dumps(batch))
    assert again.x.tolist() == [7, 8]
    assert again.dataset is None
    assert copy.deepcopy(batch).y.tolist() == [7, 8]


def test_to_dict_gives_the_components(points):
    assert list(points.to_dict()) == ["x", "y"]
    assert points.to_dict()["x"] is points.x


class Later:
    """Computes its values when they are read."""

    def __init__(self, values):
        self.values = values
        self.reads = 0

    def __len__(self):
        return len(self.values)

    def resolve(self):
        self.reads += 1
        return self.values


def test_a_pending_component_is_computed_at_the_first_read_only(points):
    later = Later(np.ones(4))
    points.x = later
    assert points.peek("x") is later
    assert points.kinds()["x"] == "pending"
    assert later.reads == 0
    assert points.x.sum() == 4
    assert points.x.sum() == 4
    assert later.reads == 1
    with pytest.raises(ValueError, match="got 3 values"):
        points.x = Later(np.ones(3))


def test_a_pending_component_is_computed_for_a_part(points):
    points.x = Later(np.arange(4.0))
    assert points.subset([2, 0]).x.tolist() == [2, 0]
    assert points.copy().x.tolist() == [0, 1, 2, 3]


def test_a_place_of_a_data_set_gives_its_items():
    dataset = Dataset(10, Points, preloaded=(np.arange(10), None))
    batch = dataset.create_batch(Place(0, 1, slice(2, 5)), seed=3)
    assert batch.indices.tolist() == [2, 3, 4]
    assert batch.x.tolist() == [2, 3, 4]
    assert (len(batch), batch.seed, batch.dataset) == (3, 3, dataset)


def test_importing_the_package_loads_nothing_heavy():
    import subprocess
    import sys

    heavy = (
        "pandas",
        "PIL",
        "numba",
        "asyncio",
        "multiprocessing",
        "tensorflow",
        "cloudpickle",
        "h5py",
        "zarr",
    )
    code = f"import sys, bf_batch; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
