"""Batches for PyTorch: those of a run, shared by the workers of a loader, each pass anew (nox -s torch)."""

from __future__ import annotations

import copy
import pickle
import sys

import numpy as np
import pytest

from bf_batch import Batch, Dataset, ImagesBatch, SkipBatch, action
from bf_index import FilesIndex
from bf_pipeline import B, P, Pipeline, R, V


class Points(Batch):
    """Points of the plane, the side of a line that they are on, and their names."""

    components = ("points", "sides", "names")

    @action
    def make(self, shift=0):
        self.points = self.rng().normal(size=(len(self), 2)).astype(np.float32) + np.float32(shift)
        self.sides = (self.points.sum(axis=1) > 0).astype(np.int64)
        self.names = [f"point {number}" for number in self.indices]
        return self

    @action
    def uneven(self):
        self.points = [np.zeros(n) for n in range(len(self))]
        return self


PIPELINE = Pipeline(Dataset(50, Points)).make(R("uniform", 0, 1))


def test_without_torch_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    from bf_pipeline.torch_dataset import _make_class

    _make_class.cache_clear()
    with pytest.raises(ImportError, match=r"pip install 'bf-pipeline\[torch\]'"):
        PIPELINE.to_torch(8, "points")
    _make_class.cache_clear()


def make_loader(data, workers=0, **options):
    loading = pytest.importorskip("torch.utils.data", reason="PyTorch is not installed: nox -s torch")
    return loading.DataLoader(data, batch_size=None, num_workers=workers, **options)


def read_points(loader):
    return [points.tolist() for points in loader]


def run_points(seed, pipeline=PIPELINE, **options):
    return [batch.points.tolist() for batch in pipeline.gen_batch(8, seed=seed, **options)]


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("plan", [{}, {"drop_last": True}, {"n_epochs": 2}, {"n_iters": 10, "prefetch": 2}])
def test_workers_share_the_batches_of_a_run_in_its_order(workers, plan):
    pytest.importorskip("torch")
    data = PIPELINE.to_torch(8, "points", shuffle=True, seed=5, **plan)
    loader = make_loader(data, workers)
    wanted = run_points(5, shuffle=True, **plan)
    assert read_points(loader) == wanted
    assert len(loader) == len(data) == len(wanted)


def test_every_pass_has_an_order_of_its_own_that_workers_agree_on():
    pytest.importorskip("torch")
    alone = make_loader(PIPELINE.to_torch(8, "points", shuffle=True, seed=5))
    shared = make_loader(PIPELINE.to_torch(8, "points", shuffle=True, seed=5), 2)
    staying = make_loader(PIPELINE.to_torch(8, "points", shuffle=True, seed=5), 2, persistent_workers=True)
    passes = [read_points(alone) for _ in range(3)]
    assert passes[0] != passes[1] != passes[2]
    assert [read_points(shared) for _ in range(3)] == passes
    assert [read_points(staying) for _ in range(3)] == passes


def test_a_pass_that_was_left_early_counts():
    pytest.importorskip("torch")
    data = PIPELINE.to_torch(8, "points", shuffle=True, seed=5)
    for workers in (0, 2):
        batches = iter(make_loader(data, workers))
        next(batches)
        del batches
    third = PIPELINE.to_torch(8, "points", shuffle=True, seed=5)
    third.set_epoch(2)
    wanted = read_points(make_loader(third, 2))
    assert read_points(make_loader(data, 2)) == wanted


@pytest.mark.parametrize("workers", [0, 2])
def test_a_training_that_goes_on_says_which_pass_comes(workers):
    pytest.importorskip("torch")
    passes = PIPELINE.to_torch(8, "points", shuffle=True, seed=5)
    wanted = [read_points(make_loader(passes)) for _ in range(3)]
    data = PIPELINE.to_torch(8, "points", shuffle=True, seed=5)
    loader = make_loader(data, workers, persistent_workers=workers > 0)
    for epoch in (2, 0, 1):
        data.set_epoch(epoch)
        assert read_points(loader) == wanted[epoch]
    with pytest.raises(ValueError, match="set_epoch"):
        data.set_epoch(-1)


def test_a_copy_counts_its_passes_and_spawned_workers_read_it():
    pytest.importorskip("torch")
    data = PIPELINE.to_torch(8, "points", shuffle=True, seed=5)
    wanted = [read_points(make_loader(data)) for _ in range(2)]
    made = PIPELINE.to_torch(8, "points", shuffle=True, seed=5)
    for one in (copy.deepcopy(made), pickle.loads(pickle.dumps(made))):
        assert [read_points(make_loader(one, 2)) for _ in range(2)] == wanted
    assert read_points(make_loader(made, 2, multiprocessing_context="spawn")) == wanted[0]


def test_outputs_have_their_structure_and_types():
    torch = pytest.importorskip("torch")
    data = PIPELINE.to_torch(8, {"inputs": ("points", "names"), "targets": "sides"}, seed=1)
    first = next(iter(make_loader(data)))
    assert first["inputs"][0].dtype == torch.float32
    assert first["inputs"][0].shape == (8, 2)
    assert first["inputs"][1] == [f"point {number}" for number in range(8)]
    assert first["targets"].dtype == torch.int64


def test_tensors_of_preloaded_data_are_the_readers_own(recwarn):
    pytest.importorskip("torch")
    values = np.zeros((50, 2), np.float32)
    pipeline = Pipeline(Dataset(50, Points, preloaded=(values, None, None)))
    for points in make_loader(pipeline.to_torch(8, "points")):
        points += 1
    assert not values.any()
    assert not [one for one in recwarn if "writable" in str(one.message)]


def test_batches_that_are_left_out_cost_no_other():
    pytest.importorskip("torch")

    def skip(batch):
        if batch.place.batch == 2:
            raise SkipBatch

    data = PIPELINE.call(skip, B()).to_torch(8, "points", seed=5)
    wanted = run_points(5)
    del wanted[2]
    assert read_points(make_loader(data)) == wanted
    assert sorted(read_points(make_loader(data, 2))) != sorted(wanted)  # another pass
    data.set_epoch(0)
    assert sorted(read_points(make_loader(data, 2))) == sorted(wanted)


def test_steps_that_need_all_batches_are_for_one_worker():
    pytest.importorskip("torch")
    counting = PIPELINE.init_variable("n", 0).update(V("n"), V("n") + 1)
    data = counting.to_torch(8, "points", seed=5)
    data.set_epoch(0)
    assert read_points(make_loader(data)) == read_points(make_loader(data, 1)) == run_points(5)
    with pytest.raises(TypeError, match=r"'update'.*2 workers"):
        list(make_loader(data, 2))
    rebatched = PIPELINE.rebatch(5).to_torch(8, "points", seed=5)
    assert [len(points) for points in make_loader(rebatched)] == [5] * 10
    with pytest.raises(TypeError, match=r"rebatch.*2 workers"):
        list(make_loader(rebatched, 2))
    with pytest.raises(TypeError, match="not known"):
        len(rebatched)


def test_mistakes_are_told_at_the_call():
    pytest.importorskip("torch")
    with pytest.raises(TypeError, match="to_torch: outputs are names of components, got 3"):
        PIPELINE.to_torch(8, ("points", 3))
    with pytest.raises(AttributeError, match="points"):
        PIPELINE.to_torch(8, "pionts")
    with pytest.raises(TypeError, match="shuffle"):
        PIPELINE.to_torch(8, "points", shufle=True)
    with pytest.raises(TypeError, match="bar"):
        PIPELINE.to_torch(8, "points", bar=True)
    with pytest.raises((ValueError, TypeError)) as caught:
        PIPELINE.uneven().to_torch(8, "points")
    assert "'points'" in "\n".join([str(caught.value), *getattr(caught.value, "__notes__", [])])


def test_workers_decode_and_turn_pictures(tmp_path):
    pytest.importorskip("torch")
    image = pytest.importorskip("PIL.Image")
    for number in range(24):
        pixels = np.random.default_rng(number).integers(0, 255, (20, 24, 3), np.uint8)
        image.fromarray(pixels).save(tmp_path / f"{number:02d}.jpg")
    dataset = Dataset(FilesIndex(str(tmp_path / "*.jpg"), no_ext=True), ImagesBatch)
    pipeline = (
        Pipeline(dataset)
        .load(dst="images")
        .rotate(angle=P(R("uniform", -30, 30)))
        .crop(size=(16, 16))
        .to_array()
    )
    wanted = [batch.images for batch in pipeline.gen_batch(4, shuffle=True, seed=3)]
    got = list(make_loader(pipeline.to_torch(4, "images", shuffle=True, seed=3), 2))
    assert len(got) == 6
    for one, other in zip(got, wanted, strict=True):
        np.testing.assert_array_equal(one.numpy(), other)


def test_a_network_learns_from_a_pipeline():
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    loader = make_loader(Pipeline(Dataset(200, Points)).make().to_torch(20, ("points", "sides"), seed=1), 2)
    net = torch.nn.Linear(2, 2)
    optimizer = torch.optim.Adam(net.parameters(), 0.1)
    for _ in range(5):
        for points, sides in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(net(points), sides).backward()
            optimizer.step()
    right = [(net(points).argmax(1) == sides).float().mean() for points, sides in loader]
    assert np.mean(right) > 0.95
