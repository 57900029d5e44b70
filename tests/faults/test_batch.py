"""Faults of batches, actions and work inside batches (BA) that need no process of their own."""

from __future__ import annotations

import pickle
import threading

import numpy as np
import pytest

from bf_batch import Batch, Dataset, ItemError, action, inbatch_parallel
from bf_index import DatasetIndex, FilesIndex
from bf_pipeline import Pipeline
from tests.conftest import PATIENCE


class SatelliteBatch(Batch):
    components = "images", "masks"

    @action
    def forget(self):
        self.images = self.images * 2

    @action
    def array(self):
        return self.images

    @action
    def shorter(self):
        return self.subset(slice(0, 2))

    @action(resizes=True)
    def crop_items(self):
        return self.subset(slice(0, 2))

    @action(use_lock=True)
    def locked(self, fail):
        if fail:
            raise RuntimeError("inside the lock")
        return self

    def plain(self):
        return self

    @action
    @inbatch_parallel(init="indices", post="_keep", target="threads", n_workers=4)
    def open_item(self, id):
        if id == 7:
            raise FileNotFoundError("no file")
        return id * 10

    def _keep(self, results):
        self.images = np.array(results)
        return self

    @inbatch_parallel(init="indices", post="_keep", target="threads")
    def wait_at(self, id, bad, event):
        if id == bad:
            event.wait()
        return id


@pytest.fixture
def batch():
    return SatelliteBatch(4, preloaded=(np.arange(4.0), None))


@pytest.fixture
def dataset():
    return Dataset(8, SatelliteBatch, preloaded=(np.arange(8.0), None))


@pytest.mark.faults("BA01")
@pytest.mark.parametrize("values", [[1, 2, 3], np.ones(3), np.ones((3, 5)), (1, 2, 3)])
def test_values_of_another_number_are_refused(batch, values):
    with pytest.raises(ValueError, match=r"SatelliteBatch.images: got 3 values for a batch of 4 items"):
        batch.images = values
    assert batch.images.tolist() == [0, 1, 2, 3]


@pytest.mark.faults("BA01")
@pytest.mark.parametrize("value", [5, "abcd", {1: 2}, {1, 2, 3, 4}, np.float64(3), np.array(3)])
def test_what_is_no_sequence_of_items_is_refused(batch, value):
    with pytest.raises(
        TypeError, match=r"SatelliteBatch.images: got .* for a batch of 4 items; give an array or a list"
    ):
        batch.images = value


@pytest.mark.faults("BA01")
def test_preloaded_values_of_another_number_are_refused():
    with pytest.raises((ValueError, IndexError), match="3"):
        SatelliteBatch(4, preloaded=(np.ones(3), None))
    with pytest.raises((ValueError, IndexError), match="3"):
        Dataset(4, SatelliteBatch, preloaded=(np.ones(3), None))


@pytest.mark.faults("BA02")
def test_a_misspelt_component_is_hinted_at(batch):
    with pytest.raises(AttributeError, match=r"SatelliteBatch; did you mean 'images'\?"):
        batch.imagse
    with pytest.raises(AttributeError, match="did you mean 'images'"):
        batch.items[0].imagse


@pytest.mark.faults("BA03")
def test_an_assignment_to_a_misspelt_component_is_refused(batch):
    with pytest.raises(AttributeError, match=r"SatelliteBatch; did you mean 'images'\?.*add_attributes"):
        batch.imagse = np.ones(4)
    with pytest.raises(AttributeError, match="imagse"):
        batch.items[0].imagse = 3
    assert "imagse" not in vars(batch)


@pytest.mark.faults("BA04")
def test_components_as_a_string_are_refused_at_the_class():
    with pytest.raises(TypeError, match=r"Wrong.components is the string 'images'.*components = 'images',"):

        class Wrong(Batch):
            components = "images"


@pytest.mark.faults("BA04")
@pytest.mark.parametrize(
    ("names", "error"),
    [
        (("a", "a"), "given twice"),
        (("a b",), "can't be"),
        (("index",), "already"),
        ((3,), "strings"),
        (5, "tuple"),
    ],
)
def test_components_with_impossible_names_are_refused_at_the_class(names, error):
    with pytest.raises((TypeError, ValueError), match=error):

        class Wrong(Batch):
            components = names


@pytest.mark.faults("BA06")
def test_an_action_that_returns_nothing_is_named(dataset):
    with pytest.raises(TypeError, match=r"SatelliteBatch.forget returned NoneType.*return self"):
        Pipeline(dataset).forget().next_batch(4)


@pytest.mark.faults("BA07")
def test_an_action_that_returns_no_batch_is_named(dataset):
    with pytest.raises(TypeError, match=r"SatelliteBatch.array returned ndarray, not a batch"):
        Pipeline(dataset).array().next_batch(4)


@pytest.mark.faults("BA07")
def test_an_action_that_returns_another_number_of_items_is_named(dataset):
    with pytest.raises(ValueError, match=r"SatelliteBatch.shorter returned .* of 2 items for a batch of 4"):
        Pipeline(dataset).shorter().next_batch(4)
    assert len(Pipeline(dataset).crop_items().next_batch(4)) == 2


@pytest.mark.faults("BA08")
@pytest.mark.parametrize("target", ["inline", "threads"])
def test_a_failed_item_is_named_with_its_action_and_cause(target):
    with pytest.raises(
        ItemError, match=r"SatelliteBatch.open_item: item 7 .*FileNotFoundError: no file"
    ) as caught:
        SatelliteBatch(20).open_item(target=target)
    assert (caught.value.id, caught.value.action) == (7, "SatelliteBatch.open_item")
    assert type(caught.value.__cause__) is FileNotFoundError


@pytest.mark.faults("BA08")
@pytest.mark.parametrize("target", ["inline", "threads"])
def test_the_other_items_are_unaffected_when_failures_are_left_out(target):
    batch = SatelliteBatch(20).open_item(target=target, on_error="skip")
    assert batch.images.tolist() == [id * 10 for id in range(20) if id != 7]
    assert 7 not in batch.indices
    assert [error.id for error in batch.skipped] == [7]


@pytest.mark.faults("BA08")
def test_an_item_error_survives_pickling():
    with pytest.raises(ItemError) as caught:
        SatelliteBatch(20).open_item()
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.id, str(again)) == (7, str(caught.value))
    assert type(again.__cause__) is FileNotFoundError


@pytest.mark.faults("BA10")
@pytest.mark.parametrize("argument", ["init", "post"])
def test_a_misspelt_init_or_post_is_refused_at_the_class(argument):
    given = {"init": "indices", "post": "_keep", argument: {"init": "indicez", "post": "_kepe"}[argument]}
    with pytest.raises(AttributeError, match=rf"{argument}='.*did you mean '(indices|_keep)'"):

        class Wrong(Batch):
            @inbatch_parallel(**given)
            def work(self, id):
                return id

            def _keep(self, results):
                return self


@pytest.mark.faults("BA15")
@pytest.mark.parametrize("target", ["inline", "threads"])
def test_an_item_over_the_timeout_is_named_soon(target):
    event = threading.Event()
    try:
        with pytest.raises(TimeoutError, match=r"SatelliteBatch.wait_at: item 2 .*timeout=1") as caught:
            SatelliteBatch(4).wait_at(2, event, timeout=1, target=target)
    finally:
        event.set()
    assert caught.value.id == 2
    waited = SatelliteBatch(4).wait_at(None, event, timeout=PATIENCE, target=target)
    assert waited.images.tolist() == [0, 1, 2, 3]


@pytest.mark.faults("BA17")
def test_a_failure_releases_the_lock(batch):
    with pytest.raises(RuntimeError, match="inside the lock"):
        batch.locked(True)
    done = []
    thread = threading.Thread(target=lambda: done.append(batch.locked(False)), daemon=True)
    thread.start()
    thread.join(PATIENCE)
    assert done == [batch]


@pytest.mark.faults("BA19")
@pytest.mark.parametrize("fmt", ["dill", "pickle", "joblib"])
def test_formats_that_run_code_do_not_exist(batch, fmt, tmp_path):
    with pytest.raises(ValueError, match=r"there is no such format.*use one of npy"):
        batch.load(tmp_path, fmt, "images")
    with pytest.raises(ValueError, match="there is no such format"):
        batch.dump(tmp_path, fmt, "images")


class Bomb:
    """Makes a file when it is unpickled."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.faults("BA19")
@pytest.mark.parametrize("fmt", ["npy", "npz"])
def test_a_pickle_inside_an_array_file_is_not_run(fmt, tmp_path):
    victim = tmp_path / "victim"
    objects = np.array([Bomb(str(victim))], dtype=object)
    (np.save if fmt == "npy" else np.savez)(tmp_path / f"0.{fmt}", objects, allow_pickle=True)
    with pytest.raises(ItemError, match="objects, which are pickles"):
        SatelliteBatch(FilesIndex(str(tmp_path / "0.*"))).load(dst="images")
    if fmt == "npy":
        with pytest.raises(ValueError, match="objects, which are pickles"):
            Dataset(1, SatelliteBatch, preloaded={"images": tmp_path / "0.npy"})
    assert not victim.exists()


@pytest.mark.faults("BA22")
def test_a_method_that_is_no_action_is_named(dataset):
    with pytest.raises(Exception, match=r"plain.*@action"):
        Pipeline(dataset).plain()


@pytest.mark.faults("BA23")
def test_merging_batches_with_other_components_names_the_missing_one():
    class Other(Batch):
        components = ("images",)

    one = SatelliteBatch(2, preloaded=(np.ones(2), np.ones(2)))
    other = Other(2, preloaded=(np.ones(2),))
    with pytest.raises(ValueError, match=r"batch 1 \(Other\) has no component 'masks'"):
        Batch.merge([one, other])
    with pytest.raises(ValueError, match=r"batch 0 \(Other\) has no component 'masks', which batch 1 has"):
        Batch.merge([other, one])
    with pytest.raises(ValueError, match="component 'masks' is empty in batch 1"):
        SatelliteBatch.merge([one, SatelliteBatch(2, preloaded=(np.ones(2), None))])
    with pytest.raises(ValueError, match="no batches"):
        SatelliteBatch.merge([])


@pytest.mark.faults("BA01")
def test_ids_that_are_not_in_the_data_set_are_named(dataset):
    with pytest.raises(KeyError, match="99"):
        dataset.create_batch([1, 99])
    with pytest.raises(KeyError, match="99"):
        SatelliteBatch(DatasetIndex([1, 99]), dataset)
