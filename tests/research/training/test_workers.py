"""``strategy``: the command on several devices of a process, and in several processes that train together."""

from __future__ import annotations

import json
import signal
import socket
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bf_models import KerasModel
from bf_research.tracking.store import open_store
from bf_research.training.folder import read_record
from bf_research.training.workers import Workers, read_workers

ROOT = Path(__file__).parents[3]
SETTINGS = [
    *("dataset=digits", "model=vgg7", "+model.body={stages: [[1, 0, 4], [1, 0, 8]]}"),
    *(
        "+model.head.dropout=0",
        "optimizer=sgd",
        "schedule=constant",
        "batch_size=48",
        "n_iters=12",
        "bar=false",
    ),
]
PROGRAM = """
import json, os, sys
from bf_models._backend import tensorflow
if os.environ.get("LOGICAL"):
    config = tensorflow().config
    (cpu,) = config.list_physical_devices("CPU")
    config.set_logical_device_configuration(cpu, [config.LogicalDeviceConfiguration()] * 2)
sys.argv = ["train.py", *json.loads(os.environ["SETTINGS"])]
from bf_programs.train import main
main()
"""
#: One process makes the batches of both shards and trains on them as one.
REFERENCE = """
import json, os
import numpy as np
from hydra import compose, initialize_config_dir
from bf_batch.opensets import Digits
from bf_command.schema import register
from bf_models import VGG7
from bf_pipeline import Pipeline, build, register_resolvers
from bf_research.recipe.data import split_validation
from bf_research.recipe.pipelines import as_plain
from pathlib import Path

root = Path(os.environ["ROOT"]) / "conf"
register(root)
register_resolvers()
with initialize_config_dir(config_dir=str(root), version_base="1.3"):
    config = compose("train", overrides=json.loads(os.environ["SETTINGS"]))
steps = [*as_plain(config.pipeline.augment), *as_plain(config.pipeline.prepare)]
training, _ = split_validation(config, Digits())
model = VGG7({"num_classes": 10, "seed": 0, "body": {"stages": [[1, 0, 4], [1, 0, 8]]},
              "head": {"dropout": 0}, "optimizer": as_plain(config.optimizer)})
# steps draw by their numbers: those of the command come after two that declare
before = Pipeline().init_variable("validation", "-").init_model("static", VGG7, "net", {})
halves = [
    ((before + build({"steps": steps})) << training.shard(number, 2, even=True)).gen_batch(
        24, shuffle=True, drop_last=True, n_iters=12, seed=0)
    for number in (0, 1)
]
losses = []
for one, two in zip(*halves):
    images = np.concatenate([one.images, two.images])
    losses.append(model.train(images, np.concatenate([one.labels, two.labels]), fetches="loss"))
assert len(losses) == 12 and losses[-1] < losses[0], losses
model.save("reference.bf")
Path("losses.json").write_text(json.dumps(losses))
"""


def read_losses(folder: Path, name: str) -> list[float]:
    run_id = read_record(folder / "outputs" / name)["run_id"]
    client = open_store(f"sqlite:///{folder}/mlflow.db")
    told = {point.step: point.value for point in client.get_metric_history(run_id, "train/loss")}
    return [told[step] for step in sorted(told)]


def read_weights(path: Path) -> list[np.ndarray]:
    model: Any = KerasModel.load(path, config={"strategy": None})
    return [item.numpy() for item in model.network.weights]


def assert_equal_models(one: Path, other: Path) -> None:
    for a, b in zip(read_weights(one), read_weights(other), strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-5)


def settings(*more: str) -> str:
    return json.dumps([*SETTINGS, *more])


@pytest.mark.slow
@pytest.mark.usefixtures("ready_store")
def test_the_command_on_two_logical_devices_is_the_command_on_one(run_script, tmp_path: Path):
    for name, logical in (("one", ""), ("two", "yes")):
        more = [f"name={name}", "checkpoint.best=null", "validation=null"]
        more += ["strategy=mirrored"] if logical else []
        done = run_script(PROGRAM, SETTINGS=settings(*more), LOGICAL=logical)
        assert done.code == 0, done.err[-3000:]
    np.testing.assert_allclose(read_losses(tmp_path, "one"), read_losses(tmp_path, "two"), atol=1e-5)
    outputs = tmp_path / "outputs"
    assert_equal_models(outputs / "one" / "model.bf", outputs / "two" / "model.bf")


@pytest.mark.slow
@pytest.mark.usefixtures("ready_store")
def test_two_workers_of_which_one_was_killed_end_as_one_process_on_the_whole_batches(
    run_script, start_script, tmp_path: Path
):
    def start() -> list[Any]:
        with socket.socket() as one, socket.socket() as other:
            for item in (one, other):
                item.bind(("127.0.0.1", 0))
            hosts = [f"127.0.0.1:{item.getsockname()[1]}" for item in (one, other)]
        given = settings("name=both", "strategy=multiworker", "checkpoint={every: 3, best: null}")
        return [
            start_script(
                PROGRAM,
                SETTINGS=given,
                TF_CONFIG=json.dumps(
                    {"cluster": {"worker": hosts}, "task": {"type": "worker", "index": number}}
                ),
            )
            for number in range(2)
        ]

    folder = tmp_path / "outputs" / "both"
    scripts = start()
    scripts[0].wait_until(lambda: list(folder.glob("checkpoints/checkpoint-*")), "a checkpoint")
    scripts[1].kill()
    lost = scripts[0].finish()  # it waits for the other one, and does not wait for ever
    assert lost.code == 1
    assert "worker 1 of TF_CONFIG has died or can't be reached" in lost.err
    assert read_record(folder)["state"] != "finished"
    ends = [script.finish() for script in start()]
    assert [end.code for end in ends] == [0, 0], [end.err[-3000:] for end in ends]
    assert all("going on after" in end.out for end in ends)
    done = run_script(REFERENCE, SETTINGS=settings(), ROOT=str(ROOT))
    assert done.code == 0, done.err[-3000:]
    wanted = json.loads((tmp_path / "losses.json").read_text())
    np.testing.assert_allclose(read_losses(tmp_path, "both"), wanted, atol=1e-5)
    assert_equal_models(folder / "model.bf", tmp_path / "reference.bf")
    # the second worker has its log, and nothing else of its own
    other = {path.name for path in (tmp_path / "outputs" / "both.worker1").iterdir()}
    assert other == {".hydra", "train.log"}
    runs = open_store(f"sqlite:///{tmp_path}/mlflow.db").search_runs(["1"])
    assert [run.info.status for run in runs] == ["FINISHED"]
    assert "test/accuracy" in runs[0].data.metrics


JOIN = """
import json, os, socket
with socket.socket() as one, socket.socket() as other:
    for item in (one, other):
        item.bind(("127.0.0.1", 0))
    hosts = [f"127.0.0.1:{item.getsockname()[1]}" for item in (one, other)]
task = {"type": "worker", "index": 0}
os.environ["TF_CONFIG"] = json.dumps({"cluster": {"worker": hosts}, "task": task})
from bf_models._backend import tensorflow
from bf_models.training.setup import make_strategy
tensorflow()
print("joins", flush=True)
from types import SimpleNamespace
make_strategy(SimpleNamespace(strategy="multiworker"))
"""


def test_a_worker_whose_peers_never_come_is_ended_by_ctrl_c(start_script):
    script = start_script(JOIN)
    script.wait_for("joins")

    def handles_no_signal() -> bool:  # Python's handler would note it, and the wait go on
        status = Path(f"/proc/{script.process.pid}/status").read_text()
        (caught,) = [line.split()[1] for line in status.splitlines() if line.startswith("SigCgt")]
        return not int(caught, 16) & (1 << (signal.SIGINT - 1))

    script.wait_until(handles_no_signal, "the wait for the others")
    script.send(signal.SIGINT)
    assert script.finish().code == -signal.SIGINT


CLUSTER = {"worker": ["a:1", "b:1"]}


@pytest.mark.parametrize(
    ("cluster", "task", "expected"),
    [
        (CLUSTER, {"type": "worker", "index": 1}, Workers(1, 2)),
        ({"chief": ["c:1"], **CLUSTER}, {"type": "worker", "index": 0}, Workers(1, 3)),
        ({"chief": ["c:1"], **CLUSTER}, {"type": "chief", "index": 0}, Workers(0, 3)),
    ],
)
def test_the_number_of_a_worker_is_read_from_the_variable(cluster, task, expected):
    assert (
        read_workers("multiworker", {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}) == expected
    )


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"cluster": {"worker": []}, "task": {"type": "worker", "index": 0}}',
             '{"cluster": {"ps": ["a:1"]}, "task": {"type": "ps", "index": 0}}']
)  # fmt: skip
def test_a_variable_that_is_not_understood_is_refused_with_an_example(text: str):
    with pytest.raises(ValueError, match=r"TF_CONFIG=.* is not understood .*looks like"):
        read_workers("multiworker", {"TF_CONFIG": text})


def test_workers_take_equal_parts_of_a_batch():
    assert Workers(1, 2).deal(64) == 32
    with pytest.raises(ValueError, match=r"batch_size=63 .* such as 64"):
        Workers(1, 2).deal(63)
    with pytest.raises(ValueError, match="TF_CONFIG says who trains together"):
        read_workers("multiworker", {})
    with pytest.raises(ValueError, match="strategy must be null, mirrored or multiworker"):
        read_workers("mirored", {})


@pytest.mark.parametrize(
    ("number", "more", "message"),
    [
        (0, (), "name is null"),
        (1, ("name=a", "resume=never"), "resume=never: strategy=multiworker"),
        (1, ("name=a", "max_time=1h"), "max_time=1h does not go with strategy=multiworker"),
        (0, ("name=a", "hydra.run.dir=elsewhere"), "one folder for all workers"),
    ],
)
@pytest.mark.slow
def test_what_does_not_go_with_workers_is_refused_before_they_wait(
    run_script, number: int, more: tuple[str, ...], message: str
):
    task = json.dumps({"cluster": CLUSTER, "task": {"type": "worker", "index": number}})
    given = settings("strategy=multiworker", "tracking=none", *more)
    done = run_script(PROGRAM, SETTINGS=given, TF_CONFIG=task)
    assert done.code == 1
    assert message in done.err
