"""``train.py -m stopping=asha``: what is stopped has a checkpoint, says so in MLflow, and goes on from it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bf_research import Results, TrialState
from bf_research.sweep import journal as journals
from bf_research.tracking.store import open_store

ROOT = Path(__file__).parents[3]
SWEEP = [
    "-m",
    "dataset=digits",
    "model=mlp",
    "n_iters=null",
    "n_epochs=3",
    "batch_size=128",
    "bar=false",
    "launch=local",
]


def program(*arguments: str) -> str:
    return f"""
        import runpy, sys
        sys.argv = ["train.py", *{list(arguments)!r}]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """


@pytest.mark.slow
@pytest.mark.usefixtures("ready_store")
def test_a_stopped_training_is_pruned_in_mlflow_and_taken_up_again(run_script, tmp_path: Path):
    sweep = [*SWEEP, "hydra.sweep.dir=sweep", "optimizer.learning_rate=0.01,0.000001"]
    done = run_script(program(*sweep, "stopping=asha"))
    assert done.code == 0, done.err
    good, bad = journals.read(tmp_path / "sweep").records.values()
    assert (good.state, bad.state) == (TrialState.DONE, TrialState.PRUNED)
    assert (good.step, bad.step) == (3, 1)
    epoch = bad.rows[-1]["iteration"]
    folder = tmp_path / "sweep" / bad.id
    assert any((folder / "checkpoints").glob("checkpoint-*"))
    client = open_store(f"sqlite:///{tmp_path}/mlflow.db")
    pruned = find_trial(client, "learning_rate=1e-06")
    assert (pruned.info.status, pruned.data.tags["bf.state"]) == ("KILLED", "pruned")
    assert "stopping.rule" not in pruned.data.params

    done = run_script(program(*sweep))
    assert done.code == 0, done.err
    assert "1 of them were stopped early: without stopping these go on" in done.out + done.err
    results = Results.of(journals.read(tmp_path / "sweep"))
    assert [record.state for record in results.records] == [TrialState.DONE] * 2
    again = find_trial(client, "learning_rate=1e-06")
    assert again.info.run_id == pruned.info.run_id
    assert (again.info.status, again.data.tags["bf.state"]) == ("FINISHED", "resumed")
    steps = [one.step for one in client.get_metric_history(again.info.run_id, "train/loss")]
    assert steps == list(range(1, 3 * epoch + 1))  # from the checkpoint, not from the beginning


def find_trial(client: Any, name: str) -> Any:
    (found,) = client.search_runs(["1"], f"attributes.run_name = '{name}'")
    return found


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["stopping=asha"], "a rule stops trials of a sweep (-m)"),
        (["-m", "stopping=asha", "stopping.metric=validation/acuracy"], "did you mean 'validation/accuracy'"),
        (["-m", "stopping=asha", "validation=null"], "there is no validation"),
        (["-m", "stopping=asha,median"], "stopping is swept: a sweep has one"),
        (["-m", "stopping=asha", "stopping.facter=3"], "facter"),
    ],
)
def test_stopping_that_cannot_be_is_refused_before_anything_is_trained(
    run_script, tmp_path, arguments, message
):
    swept = ["optimizer.learning_rate=0.1,0.2"] if "-m" in arguments else []
    done = run_script(
        program(*arguments, "dataset=digits", "model=mlp", "n_iters=1", "tracking=none", *swept)
    )
    assert done.code == 1
    assert message in done.err
    assert not list(tmp_path.glob("**/journal.jsonl"))
