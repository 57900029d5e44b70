"""Pipeline: what ten trivial actions and two named expressions cost a batch, beside the peers."""

from __future__ import annotations

import statistics
from collections.abc import Callable

import numpy as np
from common import Target, Timing, have, judge, measure, table

from bf_batch import Batch, Dataset, action
from bf_pipeline import B, Pipeline, V

ITEMS = 1_000_000
BATCH = 64
BATCHES = 2_000
EPOCH = ITEMS // BATCH
ACTIONS = 10
OURS = "bf-pipeline"


class Trivial(Batch):
    """Actions that do nothing, so that only the way to them is timed."""

    components = ("x",)

    @action
    def nothing(self):
        return self

    @action
    def take(self, left, right):
        return self


class Bare:
    """What the bare loop calls: a batch with nothing around it."""

    def __init__(self, ids: np.ndarray) -> None:
        self.ids = ids

    def nothing(self) -> Bare:
        return self


def ten(pipeline: Pipeline) -> Pipeline:
    """Ten trivial actions."""
    for _ in range(ACTIONS):
        pipeline = pipeline.nothing()
    return pipeline


def runner(pipeline: Pipeline, batches: int = BATCHES, **options: object) -> Callable[[], None]:
    """Give a function that runs through the batches of a pipeline."""

    def run() -> None:
        for _ in pipeline.gen_batch(BATCH, n_iters=batches, **options):
            pass

    return run


def bare_loop() -> None:
    """The same calls written by hand."""
    ids = np.arange(ITEMS)
    for number in range(EPOCH):
        batch = Bare(ids[number * BATCH : (number + 1) * BATCH])
        for _ in range(ACTIONS):
            batch = batch.nothing()


def older() -> Callable[[], None]:
    """Give the run of batchflow 0.10.1."""
    from batchflow import Batch as OlderBatch
    from batchflow import Dataset as OlderDataset
    from batchflow import action as older_action

    class OlderTrivial(OlderBatch):
        @older_action
        def nothing(self):
            return self

    pipeline = OlderDataset(ITEMS, OlderTrivial).p
    for _ in range(ACTIONS):
        pipeline = pipeline.nothing()

    def run() -> None:
        for _ in pipeline.gen_batch(BATCH, n_iters=BATCHES, drop_last=True):
            pass

    return run


def torch_loader() -> Callable[[], None]:
    """Give the run of torch's DataLoader: whole batches of ids, the calls in the collate function."""
    from torch.utils.data import BatchSampler, DataLoader, SequentialSampler
    from torch.utils.data import Dataset as TorchDataset

    class Ids(TorchDataset):
        def __len__(self) -> int:
            return BATCH * BATCHES

        def __getitem__(self, ids: list[int]) -> Bare:
            batch = Bare(np.asarray(ids))
            for _ in range(ACTIONS):
                batch = batch.nothing()
            return batch

    data = Ids()
    sampler = BatchSampler(SequentialSampler(data), BATCH, drop_last=True)
    loader = DataLoader(data, sampler=sampler, batch_size=None, collate_fn=lambda batch: batch)

    def run() -> None:
        for _ in loader:
            pass

    return run


def tf_data() -> Callable[[], None]:
    """Give the run of tf.data: batched first, then ten maps that do nothing."""
    import tensorflow as tf

    data = tf.data.Dataset.range(ITEMS).batch(BATCH).take(BATCHES)
    for _ in range(ACTIONS):
        data = data.map(lambda ids: ids)

    def run() -> None:
        for _ in data:
            pass

    return run


def grain_map() -> Callable[[], None]:
    """Give the run of grain: batched first, then ten maps that do nothing."""
    import grain.python as grain

    data = grain.MapDataset.source(np.arange(BATCH * BATCHES)).batch(BATCH)
    for _ in range(ACTIONS):
        data = data.map(lambda ids: ids)

    def run() -> None:
        for number in range(BATCHES):
            data[number]

    return run


def microseconds(timing: Timing, batches: int) -> float:
    """Give the CPU time of a batch, the median: unlike the wall clock it bears a busy machine."""
    return statistics.median(timing.cpu) * 1e6 / batches


def at_most(what: str, value: float, bound: float) -> bool:
    """Print an absolute target and whether it holds."""
    good = value <= bound
    print(f"- {what}: {value:.2f} us (goal <= {bound:g}): {'holds' if good else 'FALLS SHORT'}")
    return good


def beside_a_bare_loop(rounds: int) -> bool:
    """Ten trivial actions over all ids, inline, index and batch creation included."""
    pipeline = ten(Pipeline(Dataset(ITEMS, Trivial)))
    contenders = {
        OURS: runner(pipeline, EPOCH),
        f"{OURS} shuffled": runner(pipeline, EPOCH, shuffle=True, seed=1),
        "bare loop": bare_loop,
    }
    timings = measure(contenders, rounds)
    table(
        f"{ACTIONS} trivial actions, batch {BATCH}, an epoch of {ITEMS:,} ids", timings, EPOCH, "batch", OURS
    )
    held = judge(timings, [Target(OURS, "bare loop", 4, at_least=False, cpu=True)])
    return at_most("a batch of ten trivial actions", microseconds(timings[OURS], EPOCH), 8) and held


def beside_peers(rounds: int) -> bool:
    """The same beside what a user would take instead."""
    contenders = {OURS: runner(ten(Pipeline(Dataset(ITEMS, Trivial))))}
    peers = {
        "batchflow 0.10.1": ("batchflow", older),
        "torch DataLoader": ("torch", torch_loader),
        "tf.data": ("tensorflow", tf_data),
        "grain": ("grain", grain_map),
    }
    for name, (module, make) in peers.items():
        if have(module):
            contenders[name] = make()
    timings = measure(contenders, rounds)
    table(f"{ACTIONS} trivial actions, batch {BATCH} of {ITEMS:,} ids", timings, BATCHES, "batch", OURS)
    targets = [Target(OURS, "batchflow 0.10.1", 12)]
    return judge(timings, targets + [Target(OURS, name, 1) for name in peers if name != "batchflow 0.10.1"])


def expressions(rounds: int) -> bool:
    """An action with two named expressions beside the same action with constants."""
    dataset = Dataset(ITEMS, Trivial)
    named = Pipeline(dataset).init_variable("v", 1).take(V("v"), B("size"))
    plain = Pipeline(dataset).take(1, BATCH)
    timings = measure({"constants": runner(plain, EPOCH), "expressions": runner(named, EPOCH)}, rounds)
    table("An action with two arguments", timings, EPOCH, "batch", "expressions")
    extra = microseconds(timings["expressions"], EPOCH) - microseconds(timings["constants"], EPOCH)
    return at_most("two named expressions over the direct call", extra, 3)


def main(rounds: int = 7) -> bool:
    """Run all."""
    return all([beside_a_bare_loop(rounds), beside_peers(rounds), expressions(rounds)])


if __name__ == "__main__":
    main()
