"""Cross-validation as an option: each configuration on each fold, ranked by the mean."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf

from bf_batch.opensets import Digits
from bf_pipeline import C
from bf_research import Option, Research, Results
from bf_research.recipe.data import Fold, split_validation
from bf_research.sweep import journal as journals
from bf_research.sweep.records import Record
from bf_research.sweep.trial import TrialState

ROOT = Path(__file__).parents[3]
APPLICATION = """
import sys
import hydra


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config):
    assert config.dataset.folds == config.folds == 3
    return {"score": config.lr * 10 ** config.dataset.fold + config.repetition}


sys.argv[1:1] = ARGUMENTS
main()
"""
CONFIG = """
defaults: [_self_, {override hydra/sweeper: domain}]
folds: 3
lr: 0.1
repetition: 0
dataset: {fold: null, folds: 5}
hydra: {output_subdir: null}
"""


@pytest.fixture
def sweep(tmp_path: Path, run_script):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/train.yaml").write_text(CONFIG)
    return lambda *arguments: run_script(
        APPLICATION.replace("ARGUMENTS", repr(["-m", "hydra.sweep.dir=out", *arguments]))
    )


def test_each_configuration_runs_on_each_fold_and_is_ranked_by_the_mean(tmp_path: Path, sweep):
    done = sweep("lr=1,2", "hydra.sweeper.n_reps=2")
    assert done.code == 0, done.err
    results = Results.of(journals.read(tmp_path / "out"))
    assert len(results) == 12
    for row, lr in zip(results.summary("score"), (2, 1), strict=True):
        values = [lr * 10**fold + repetition for repetition in (0, 1) for fold in range(3)]
        assert (row["lr"], row["count"]) == (lr, 6)
        assert row["mean"] == pytest.approx(statistics.fmean(values))
        assert row["std"] == pytest.approx(statistics.stdev(values))


def test_values_that_are_drawn_are_the_same_on_all_folds(tmp_path: Path, sweep):
    done = sweep("lr=interval(0,1)", "hydra.sweeper.n_iters=2", "hydra.sweeper.seed=0")
    assert done.code == 0, done.err
    records = list(journals.read(tmp_path / "out").records.values())
    assert len(records) == 6
    assert len({record.config["lr"] for record in records}) == 2


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["folds=1"], "folds must be a whole number above 1, or null for none, got 1"),
        (["dataset.fold=1"], "and dataset.fold=1 says otherwise"),
        (["dataset.fold=range(3)"], "and dataset.fold says otherwise"),
    ],
)
def test_folds_that_cannot_be_are_refused_before_any_trial(tmp_path: Path, sweep, arguments, message):
    done = sweep("lr=1,2", *arguments)
    assert done.code == 1
    assert message in done.err
    assert not (tmp_path / "out/journal.jsonl").exists()


STOPPED = """
import sys
import hydra
from bf_research.launcher import report, stopping


@hydra.main(version_base="1.3", config_path="conf", config_name="train")
def main(config):
    for step in range(1, 10):
        report(step, 9, score=config.lr * step + 100 * config.dataset.fold)
        if stopping():
            raise KeyboardInterrupt
    return {"score": config.lr * step + 100 * config.dataset.fold}


sys.argv[1:1] = ARGUMENTS
main()
"""
#: Worked by hand for one fold: rungs at steps 1 and 3 of 9, the best third of those that came there goes on.
LRS, STEPS = [0.5, 0.6, 0.4, 0.7, 0.3, 0.65, 0.62, 0.9, 0.1], [9, 9, 1, 9, 1, 3, 1, 9, 1]


def test_a_rule_compares_configurations_on_the_same_fold(tmp_path: Path, sweep, run_script):
    rule = (
        "hydra.sweeper.stopping={rule: asha, metric: score}"  # whatever the fold, an easier one than before
    )
    swept = ["-m", "hydra.sweep.dir=out", f"lr={','.join(map(str, LRS))}", rule]
    done = run_script(STOPPED.replace("ARGUMENTS", repr(swept)))
    assert done.code == 0, done.err
    results = Results.of(journals.read(tmp_path / "out"))
    assert [record.step for record in results.records] == STEPS * 3
    rows = results.summary("score")
    assert [row["lr"] for row in rows[:4]] == [0.9, 0.7, 0.6, 0.5]
    assert [(row["count"], row["pruned"]) for row in rows] == [(3, 0)] * 4 + [(0, 3)] * 5


def test_a_configuration_stopped_on_a_fold_ranks_behind_those_of_all_folds():
    def record(number: int, lr: float, score: float, state: str) -> Record:
        return Record(
            str(number), number, {"lr": lr}, number % 2, 0, TrialState(state), rows=[{"score": score}]
        )

    lucky = [record(0, 1, 0.9, "DONE"), record(1, 1, 0.1, "PRUNED")]
    whole = [record(2, 2, 0.6, "DONE"), record(3, 2, 0.4, "DONE")]
    stopped = [record(4, 3, 0.99, "PRUNED"), record(5, 3, 0.99, "PRUNED")]
    order = [row["lr"] for row in Results((*stopped, *lucky, *whole)).summary("score")]
    assert order == [2, 1, 3]


def test_the_folds_are_those_of_scikit_learn_by_definition():
    model_selection = pytest.importorskip("sklearn.model_selection")
    dataset = Digits()
    config = OmegaConf.create({"validation": {"part": "auto", "share": 0.1}, "seed": 3})
    items = dataset.train.indices
    labels = np.asarray(dataset.train.rows("labels", slice(0, len(items))))
    reference = model_selection.StratifiedKFold(5, shuffle=True, random_state=0).split(items, labels)
    tested = []
    for number, (_, expected) in enumerate(reference):
        training, validation = split_validation(config, dataset, Fold(number, 5))
        found = np.asarray(validation.rows("labels", slice(0, len(validation))))
        # the same sizes, and as many of each class but for one item
        assert abs(len(found) - len(expected)) <= 1
        assert np.abs(np.bincount(found) - np.bincount(labels[expected])).max() <= 1
        assert not set(training.indices.tolist()) & set(validation.indices.tolist())
        tested += validation.indices.tolist()
    assert sorted(tested) == sorted(items.tolist())  # each item in exactly one test fold


def test_options_of_a_research_count_as_repetitions(tmp_path: Path):
    domain = Option("lr", [1, 2]) * Option("fold", [0, 1, 2])
    research = Research(domain).add_callable(lambda lr, fold: lr * fold, C("lr"), C("fold"), returns="score")
    trials = research.run(name=tmp_path / "sweep", parallel=False).trials
    first, second = trials.summary("score", over="fold")
    assert (first["lr"], first["mean"], first["std"], first["count"]) == (2, 2, 2, 3)
    assert (second["lr"], second["mean"], second["std"]) == (1, 1, 1)
    assert "fold" not in first
    with pytest.raises(ValueError, match="unknown option 'flod' of over; did you mean 'fold'"):
        trials.summary("score", over=["flod"])


def test_a_training_by_itself_has_no_folds(run_script):
    done = run_script(
        f"""
        import runpy, sys
        sys.argv = ["train.py", "folds=3", "dataset=digits", "model=mlp", "n_iters=1", "tracking=none"]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
        """
    )
    assert done.code == 1
    assert "folds=3: it runs a training on each fold, which are trials of a sweep; add -m" in done.err
