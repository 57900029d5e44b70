"""The report of a sweep: what stands in the file, where it comes from, and its measure of importance."""

from __future__ import annotations

import json
import math
import random
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from bf_index.errors import StateError
from bf_pipeline import C
from bf_programs.batchflow import main
from bf_programs.showing import show
from bf_research import RI, Option, Research, write_report
from bf_research.domain.config import Config
from bf_research.report.axes import Scale, choose_scale, round_numbers
from bf_research.report.contents import read_contents
from bf_research.report.histories import join_trials, read_curves
from bf_research.report.importance import explained, rate_options
from bf_research.report.runs import Runs, find_runs
from bf_research.sweep.journal import JOURNAL, Journal
from bf_research.sweep.records import Told
from bf_research.sweep.trial import Ended, Trial, TrialState
from bf_research.tracking.choice import make_tracker, read_tracking
from bf_research.training.folder import RunFolder


def write_sweep(folder: Path, ends: list[tuple[dict, int, list[dict], TrialState]], **head) -> Path:
    """Write a journal: configuration, repetition, rows and state of each trial."""
    with Journal(folder, {"returns": [], **head}) as journal:
        for number, (config, repetition, rows, state) in enumerate(ends):
            trial = Trial(Config(config, repetition), number)
            journal.begin(trial)
            if state is TrialState.PRUNED:
                journal.tell(Told(trial.id, "accuracy", len(rows), rows[-1]["accuracy"]), "asha")
            reason, error = (
                ("ValueError: no", "Traceback\n  ValueError: no") if state is TrialState.FAILED else ("", "")
            )
            journal.end(Ended(trial, state, tuple(rows), reason, error, 2.0))
    return folder


def cells(text: str) -> list[list[str]]:
    """Return the texts of the rows of the first table of a page."""
    body = text[text.index("<tbody>") : text.index("</tbody>")]
    rows = re.findall(r"<tr>(.*?)</tr>", body)
    return [[re.sub("<[^>]+>", "", cell) for cell in re.findall(r"<td[^>]*>(.*?)</td>", row)] for row in rows]


@pytest.fixture
def sweep(tmp_path) -> Path:
    """Two models at two rates, two repetitions each; one configuration was pruned, one failed."""
    ends = []
    for model, base in (("lenet", 0.5), ("vgg7", 0.7)):
        for rate, more in ((0.1, 0.0), (0.01, 0.15)):
            for repetition in (0, 1):
                last = base + more + 0.02 * repetition
                rows = [{"iteration": step, "accuracy": last * (step + 1) / 5} for step in range(5)]
                config = {"model": model, "optimizer.learning_rate": rate}
                ends.append((config, repetition, rows, TrialState.DONE))
    ends.append(
        (
            {"model": "mlp", "optimizer.learning_rate": 0.1},
            0,
            [{"iteration": 0, "accuracy": 0.1}],
            TrialState.PRUNED,
        )
    )
    ends.append(({"model": "mlp", "optimizer.learning_rate": 0.01}, 0, [], TrialState.FAILED))
    return write_sweep(tmp_path / "sweep", ends, fixed=["n_epochs=5", "api_key=***"])


def test_configurations_are_ranked_with_mean_deviation_count_and_state(sweep):
    text = write_report(sweep).read_text()
    assert cells(text) == [
        ["1", "vgg7", "0.01", "0.86", "0.014", "2", "done"],
        ["2", "vgg7", "0.1", "0.71", "0.014", "2", "done"],
        ["3", "lenet", "0.01", "0.66", "0.014", "2", "done"],
        ["4", "lenet", "0.1", "0.51", "0.014", "2", "done"],
        ["5", "mlp", "0.1", "–", "–", "0", "pruned at step 1"],
        ["6", "mlp", "0.01", "–", "–", "0", "failed"],
    ]
    assert '10</b><span class="soft">trials: 8 done, 1 pruned, 1 failed' in text
    assert "n_epochs=5 api_key=***" in text


def test_less_is_better_of_a_loss_or_when_it_is_said(sweep):
    text = write_report(sweep, minimize=True).read_text()
    assert [row[1] for row in cells(text)][:2] == ["lenet", "lenet"]
    with pytest.raises(ValueError, match="did you mean 'accuracy'"):
        write_report(sweep, metric="acuracy")


@pytest.mark.parametrize(
    ("ranking", "metric", "first"),
    [
        ({"metric": "cost", "mode": "auto", "by_fold": False}, "cost", 2),
        ({"metric": "cost", "mode": "min", "by_fold": False}, "cost", 1),
        ({"metric": None, "mode": "auto", "by_fold": True}, "validation/loss", 1),
        ({"metric": None, "mode": "auto", "by_fold": False}, "test/accuracy", 2),
        ({"metric": "gone", "mode": "min", "by_fold": False}, "test/accuracy", 2),
        ({"metric": 1, "mode": [], "by_fold": "yes"}, "test/accuracy", 2),
        ("cost", "test/accuracy", 2),
    ],
)
def test_a_sweep_is_ranked_later_as_it_ranked_its_trials(tmp_path, capsys, ranking, metric, first):
    names = ("validation/loss", "test/accuracy", "cost")
    ends = [({"a": number}, 0, [dict.fromkeys(names, float(number))], TrialState.DONE) for number in (1, 2)]
    folder = write_sweep(tmp_path / "sweep", ends, ranking=ranking)
    found = read_contents(folder)
    assert (found.metric, found.ranked[0].config["a"]) == (metric, first)
    show(folder)
    table = [line.split() for line in capsys.readouterr().out.splitlines() if line.strip()]
    assert ["a", metric, "std", "n"] in table
    assert [row[1] for row in table if row[0] in ("1", "2")] == [str(first), str(3 - first)]


def test_curves_are_means_with_the_least_and_the_most_repetition(sweep):
    curves = read_curves(read_contents(sweep), Runs())
    best = curves["accuracy"][0]
    assert best.steps == (0, 1, 2, 3, 4)
    assert best.mean == pytest.approx([0.86 * (step + 1) / 5 for step in range(5)])
    assert best.least == pytest.approx([0.85 * (step + 1) / 5 for step in range(5)])
    assert best.most == pytest.approx([0.87 * (step + 1) / 5 for step in range(5)])
    assert [curve.trials for curve in curves["accuracy"]] == [2, 2, 2, 2, 1]
    # steps that fewer than half of the repetitions have are no mean of them
    joined = join_trials(0, [{0: 1.0, 1: 2.0}, {0: 3.0}, {0: 5.0}])
    assert joined is not None
    assert joined.steps == (0,)


def test_the_page_has_every_part_and_asks_nobody_for_anything(sweep):
    text = write_report(sweep).read_text()
    parts = re.findall(r'<section id="(\w+)">', text)
    assert parts == ["ranking", "curves", "parallel", "importance", "changes", "failures", "origin"]
    assert "epsilon squared" in text
    assert "ValueError: no" in text
    assert not re.search(r"<script|<link|<img|@import|url\(|\bsrc=|http:|https:", text)
    assert "default-src &#x27;none&#x27;" in text
    changes = text[text.index('id="changes"') :]
    assert re.search(r"learning_rate: 0.01 → <b>0.1</b></td><td class=\"number\">0.71</td>", changes)
    assert "-0.15 ± 0.014" in changes  # of 2 and 2 trials with a deviation of 0.0141 each


def test_importance_is_the_corrected_share_of_an_analysis_of_variance():
    rng = np.random.default_rng(0)
    groups = [rng.normal(mean, 1.0, size).tolist() for mean, size in ((0, 12), (1, 9), (3, 14))]
    f = stats.f_oneway(*groups).statistic
    count, parts = 35, 3
    eta = f * (parts - 1) / (f * (parts - 1) + count - parts)
    assert explained(groups) == pytest.approx(1 - (1 - eta) * (count - 1) / (count - parts))
    # of noise nothing is explained, on average of nothing: eta squared alone would say 0.2
    noise = [explained(np.split(rng.normal(size=20), 5)) for _ in range(300)]
    assert np.mean([value == 0 for value in noise]) > 0.5
    assert explained([[1e300, 1e300], [-1e300, -1e300]]) == pytest.approx(1.0)
    assert math.isnan(explained([[1.0], [2.0]]))


def test_options_that_matter_come_first_numbers_of_many_values_in_groups():
    rng = np.random.default_rng(1)
    configs = [
        {"rate": float(rng.uniform()), "model": str(rng.choice(["a", "b"])), "noise": float(rng.uniform())}
        for _ in range(200)
    ]
    values = [3 * config["rate"] + (config["model"] == "b") * 0.3 for config in configs]
    rated = rate_options(configs, values, ["noise", "model", "rate"], less=False)
    assert [found.option for found in rated] == ["rate", "model", "noise"]
    assert rated[0].share > 0.8
    assert rated[2].share < 0.05
    assert [level.count for level in rated[0].levels] == [40] * 5
    lows = [level.mean for level in rated[0].levels]
    assert lows == sorted(lows)


def test_curves_and_pages_come_from_the_store_of_runs(ready_store, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tracking = {"_target_": "bf_research.tracking.MLflowTracker", "experiment": "powers"}
    research = Research(Option("a", [2, 3])).add_callable(lambda a, i: a**i, C("a"), RI(), returns="power")
    research.run(4, name="powers", parallel=False, bar=False, tracking=tracking)
    runs = find_runs(Path("powers"))
    trial = research.trials.best("power")
    assert runs.history(trial.id, "power") == {0: 1, 1: 3, 2: 9, 3: 27}
    text = write_report("powers").read_text()
    assert f'href="{runs.page(trial.id)}"'.replace("&", "&amp;") in text
    # what a folder says of a store is no reason to ask that store
    memory = json.loads(Path("powers/tracking.json").read_text())
    Path("powers/tracking.json").write_text(json.dumps({**memory, "store": "sqlite:////elsewhere/mlflow.db"}))
    assert find_runs(Path("powers")).found == {}
    assert write_report("powers").is_file()


def test_a_sweep_of_a_thousand_trials_makes_a_page_that_a_browser_takes(tmp_path):
    draw = random.Random(0)
    lines: list[dict] = [{"journal": 1}]
    for number in range(1000):
        config = {"rate": draw.uniform(1e-4, 0.1), "model": draw.choice("abc")}
        rows = [{"iteration": step, "accuracy": draw.random()} for step in range(20)]
        lines.append(
            {"trial": str(number), "state": "DONE", "number": number, "config": config, "rows": rows}
        )
    (tmp_path / JOURNAL).write_text("".join(json.dumps(line) + "\n" for line in lines))
    text = write_report(tmp_path).read_text()
    assert len(text) < 1_000_000
    assert text.count('class="curve ') == 8
    assert "975 more configurations" in text


def test_the_command_writes_where_it_is_told(sweep, tmp_path, capsys):
    with pytest.raises(SystemExit) as ended:
        main(["report", str(sweep), "--out", str(tmp_path / "r.html"), "--metric", "accuracy"])
    assert ended.value.code in (0, None)
    assert capsys.readouterr().out == f"report    {tmp_path / 'r.html'}\n"
    assert (tmp_path / "r.html").read_text().startswith("<!DOCTYPE html>")


def test_what_is_no_sweep_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no sweep"):
        write_report(tmp_path)
    begun = write_sweep(tmp_path / "begun", [({"a": 1}, 0, [], TrialState.FAILED)])
    with pytest.raises(StateError, match="no trial has a result yet"):
        write_report(begun)


def test_scales_have_round_numbers_inside():
    assert round_numbers(0.12, 0.93) == [0.2, 0.4, 0.6, 0.8]
    assert choose_scale([0.001, 1.0], 0, 100).log
    assert choose_scale([0.001, 1.0], 0, 100).ticks() == [0.001, 0.01, 0.1, 1.0]
    assert choose_scale([-1e308, 1e308], 0, 100)(0.0) == 50
    assert Scale(2, 2, 0, 100)(2) == 50
    rng = np.random.default_rng(0)
    for _ in range(200):
        least, most = sorted((10.0 ** rng.uniform(-300, 300, 2) * rng.choice([-1, 1], 2)).tolist())
        ticks = round_numbers(least, most)
        assert 1 <= len(ticks) <= 20
        room = 1e-9 * (most - least)
        assert all(least - room <= tick <= most + room for tick in ticks)


@pytest.fixture
def recorded(tmp_path, monkeypatch):
    """Record two trials of a sweep of the command line, whose journal has their last values alone."""
    monkeypatch.chdir(tmp_path)

    def make(*kinds: str) -> Path:
        ends = [({"rate": rate}, 0, [{"test/accuracy": rate}], TrialState.DONE) for rate in (0.1, 0.2)]
        folder = write_sweep(tmp_path / "sweep", ends)
        for record in read_contents(folder).results.records:
            tracker, place = make_tracker(read_tracking(list(kinds))), folder / record.id
            tracker.start(record.id, {"bf.folder": str(place)})
            for step in range(1, 6):
                tracker.log_metric("train/loss", record.config["rate"] / step, step)
            tracker.log_metric("train/loss", math.inf, 6)
            tracker.log_metric("test/accuracy", record.config["rate"], 5)
            with RunFolder(place) as own:
                own.begin({})
                own.note_run(tracker.end(), tracker)
        return folder

    return make


@pytest.mark.parametrize(
    "kinds", [("csv",), ("tensorboard",), ("wandb",), ("csv", "tensorboard")], ids="-".join
)
def test_curves_come_from_the_files_of_trackers_too(recorded, kinds):
    for kind in kinds:
        pytest.importorskip(kind)
    folder = recorded(*kinds)
    contents = read_contents(folder)
    (curves,) = read_curves(contents, find_runs(folder)).values()
    for curve, configuration in zip(curves, contents.ranked, strict=True):
        assert curve.steps == (1, 2, 3, 4, 5)
        rate = configuration.records[0].config["rate"]
        np.testing.assert_allclose(curve.mean, [rate / step for step in range(1, 6)], rtol=1e-6)
    assert "train/loss" in write_report(folder).read_text()


@pytest.mark.parametrize("page", ["/etc/passwd", "../theirs.csv", "link.csv", "no.csv", "run\0.csv", 3])
def test_tables_outside_of_the_folders_are_not_read(recorded, tmp_path, page, monkeypatch, caplog):
    folder = recorded("csv")
    (tmp_path.parent / "theirs.csv").write_text("step,metric,value,time\n1,theirs,1,0\n2,theirs,2,0\n")
    (tmp_path / "link.csv").symlink_to(tmp_path.parent / "theirs.csv")
    for path in folder.glob("*/run.json"):
        record = json.loads(path.read_text())
        record["runs"] = {"csv": {"run_id": "a", "page": page}}
        path.write_text(json.dumps(record))
    assert read_curves(read_contents(folder), Runs()) == {}
