"""Faults of sweeps: trials, workers and drivers that die, hang or are stopped; domains that mean nothing."""

from __future__ import annotations

import json
import os
import re
import signal
import sqlite3
import time
import tracemalloc
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from bf_pipeline import C
from bf_research import Domain, Option, Research, Results
from bf_research.domain.config import Config
from bf_research.sweep import journal as journals
from bf_research.sweep.trial import TrialState, trial_id
from tests.conftest import PATIENCE

# Trials note that they ran; what else they do depends on `a`.
PREAMBLE = """
import os, signal, sys, time
from pathlib import Path
from bf_pipeline import C
from bf_research import Option, Research

def note(a):
    with open("ran.txt", "a") as file:
        file.write(f"{a} {os.getpid()}\\n")

def tries(a):
    return sum(line.split()[0] == str(a) for line in open("ran.txt"))

def research(function, values):
    return Research().init_domain(Option("a", values)).add_callable(function, C("a"), returns="b")
"""


def script(body: str) -> str:
    """A script with the helpers above; the body stands at its margin."""
    lines = [line for line in body.splitlines() if line.strip()]
    margin = min(len(line) - len(line.lstrip()) for line in lines)
    return PREAMBLE + "\n".join(line[margin:] for line in lines)


def history(folder: Path) -> dict[Any, journals.Record]:
    """Records of a sweep by the value of their option."""
    return {record.config["a"]: record for record in journals.read(folder / "sweep").records.values()}


def ran(folder: Path) -> list[str]:
    """Values of the trials that began, in order."""
    path = folder / "ran.txt"
    return [line.split()[0] for line in path.read_text().splitlines()] if path.exists() else []


@pytest.mark.faults("RS01")
def test_one_of_four_trials_raises_and_the_others_finish(
    run_script: Callable[..., Any], tmp_path: Path
) -> None:
    done = run_script(
        script("""
        def work(a):
            if a == 2:
                raise ValueError("two is bad")
            return a * 10
        r = research(work, [1, 2, 3, 4]).run(name="sweep", workers=2)
        print(r.results["b"].dropna().tolist(), r.results["state"].tolist().count("FAILED"))
        """)
    )
    assert done.code == 0
    assert "[10, 30, 40] 1" in done.out.replace(".0", "")
    assert "1 of 4 trials failed" in done.err
    failed = history(tmp_path)[2]
    assert failed.state is TrialState.FAILED
    assert failed.reason == "ValueError: two is bad"
    assert "in work" in failed.error


@pytest.mark.faults("RS02")
def test_trial_that_is_killed_is_crashed_after_its_retries(
    run_script: Callable[..., Any], tmp_path: Path
) -> None:
    done = run_script(
        script("""
        def work(a):
            note(a)
            if a == 2:
                os.kill(os.getpid(), signal.SIGKILL)
            return a
        research(work, [1, 2, 3, 4]).run(name="sweep", workers=2, retries=2)
        """)
    )
    assert done.code == 0, done.err
    records = history(tmp_path)
    assert {a: str(record.state) for a, record in records.items()} == {
        1: "DONE",
        2: "CRASHED",
        3: "DONE",
        4: "DONE",
    }
    assert records[2].attempts == 3
    assert "SIGKILL" in records[2].reason
    assert ran(tmp_path).count("2") == 3


@pytest.mark.faults("RS03")
def test_killed_worker_costs_its_trial_one_retry(start_script: Callable[..., Any], tmp_path: Path) -> None:
    started = start_script(
        script("""
        def work(a):
            note(a)
            time.sleep(10**6 if a == 2 and tries(2) == 1 else 0.1)
            return a
        print(research(work, [1, 2, 3, 4]).run(name="sweep", workers=2).results["b"].tolist())
        """)
    )
    started.wait_until(lambda: "2" in ran(tmp_path), "trial 2")
    (pid,) = [
        int(line.split()[1]) for line in (tmp_path / "ran.txt").read_text().splitlines() if line[0] == "2"
    ]
    os.kill(pid, signal.SIGKILL)
    done = started.finish()
    assert done.code == 0, done.err
    records = history(tmp_path)
    assert {str(record.state) for record in records.values()} == {"DONE"}
    assert {a: record.attempts for a, record in records.items()} == {1: 1, 2: 2, 3: 1, 4: 1}


SLOW = """
def work(a):
    note(a)
    time.sleep(10**6 if a in (3, 4) and tries(a) == 1 else 0.05)
    return a
research(work, [1, 2, 3, 4, 5]).run(name="sweep", workers=2, resume="missing", stop_grace=0.5)
"""


def until_two_hang(driver: Any, folder: Path) -> None:
    """Wait until trials 1 and 2 are noted as finished and 3 and 4 hang."""
    driver.wait_until(lambda: {"3", "4"} <= set(ran(folder)), "trials 3 and 4")
    driver.wait_until(lambda: all(history(folder)[a].state is TrialState.DONE for a in (1, 2)), "their notes")


@pytest.mark.faults("RS04")
def test_killed_driver_goes_on_with_what_is_missing(start_script: Callable[..., Any], tmp_path: Path) -> None:
    first = start_script(script(SLOW))
    until_two_hang(first, tmp_path)
    first.send(signal.SIGKILL)
    assert first.finish().code == -signal.SIGKILL
    assert {a: str(r.state) for a, r in history(tmp_path).items()} == {
        1: "DONE",
        2: "DONE",
        3: "RUNNING",
        4: "RUNNING",
    }
    again = start_script(script(SLOW)).finish()
    assert again.code == 0, again.err
    assert sorted(ran(tmp_path)) == ["1", "2", "3", "3", "4", "4", "5"]
    assert {str(record.state) for record in history(tmp_path).values()} == {"DONE"}
    assert "its driver died" in (tmp_path / "sweep" / journals.JOURNAL).read_text()


@pytest.mark.slow
@pytest.mark.faults("RS04b")
def test_driver_killed_at_any_moment_loses_no_finished_trial(
    start_script: Callable[..., Any], tmp_path: Path
) -> None:
    code = script("""
        def work(a):
            note(a)
            time.sleep(0.02)
            return a
        research(work, list(range(30))).run(name="sweep", workers=2, resume="missing")
        """)
    for number in range(6):
        driver = start_script(code)
        time.sleep(1.5 + 0.11 * number)
        driver.send(signal.SIGKILL)
        driver.finish()
        finished = {
            a for a, record in history_or_nothing(tmp_path).items() if record.state is TrialState.DONE
        }
        before = ran(tmp_path)
        assert all(before.count(str(a)) >= 1 for a in finished)
    done = start_script(code).finish()
    assert done.code == 0, done.err
    records = history(tmp_path)
    assert len(records) == 30
    assert {str(record.state) for record in records.values()} == {"DONE"}
    # a trial runs again only if a kill came between its beginning and the note of its end: two at most a kill
    assert len(ran(tmp_path)) <= 30 + 6 * 2


def history_or_nothing(folder: Path) -> dict[Any, journals.Record]:
    """Records, also before the first trial."""
    return history(folder) if (folder / "sweep").exists() else {}


@pytest.mark.faults("RS05")
def test_second_sweep_of_the_same_name_is_refused(tmp_path: Path) -> None:
    research = Research(Option("a", [1])).add_callable(int, C("a"), returns="b")
    research.run(name=tmp_path / "sweep", parallel=False)
    with pytest.raises(ValueError, match=r"holds a sweep already.*resume='missing'"):
        research.run(name=tmp_path / "sweep", parallel=False)


@pytest.mark.faults("RS06")
def test_option_without_values_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="option 'lr' has no values"):
        Option("lr", [])


@pytest.mark.faults("RS08")
def test_product_of_36_million_gives_its_first_at_once() -> None:
    tracemalloc.start()
    domain = Domain()
    for name in "abcdefg":
        domain = domain * Option(name, list(range(12)))
    first = next(iter(domain))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(domain) == 12**7
    assert set(first.values()) == {0}
    assert peak < 2**20


@pytest.mark.faults("RS09")
def test_weight_leaves_the_operand_unchanged() -> None:
    option = Option("a", [1, 2])
    weighted = 0.5 * option
    assert option == Option("a", [1, 2])
    assert weighted != option


@pytest.mark.faults("RS11")
def test_zip_of_two_and_three_names_both_numbers() -> None:
    with pytest.raises(ValueError, match="got 2 and 3"):
        Option("a", [1, 2]) @ Option("b", [1, 2, 3])


@pytest.mark.faults("RS12")
def test_text_as_values_is_refused_by_name() -> None:
    for values in ("abc", 3, None, {"a": 1}):
        with pytest.raises(TypeError, match="option 'x'"):
            Domain({"x": values})


@pytest.mark.faults("RS14")
def test_misspelt_method_has_a_hint() -> None:
    with pytest.raises(AttributeError, match="did you mean 'add_callable'"):
        Research().add_callabel
    with pytest.raises(AttributeError, match="did you mean 'set_iterator'"):
        Domain().set_iteratro


@pytest.mark.faults("RS15")
def test_unknown_config_name_in_a_unit_is_told_before_any_trial(tmp_path: Path) -> None:
    research = Research(Option("lr", [1])).add_callable(print, C("lrr"))
    with pytest.raises(ValueError, match=r"unit 'print'.*'lrr'.*did you mean 'lr'"):
        research.run(name=tmp_path / "sweep")
    assert not (tmp_path / "sweep").exists()


@pytest.mark.faults("RS16")
def test_names_with_unicode_slashes_and_spaces_work(tmp_path: Path) -> None:
    values = ["a/b", "../up", "ü ö", "x" * 300, "", ".", "a\nb", "*?<>|:", "\udc80"]
    research = Research(Option("скорость/обучения α", values)).add_callable(
        lambda a: a, C("скорость/обучения α"), returns="b"
    )
    trials = research.run(name=tmp_path / "свип мой", workers=1).trials
    assert [record.rows[0]["b"] for record in trials.records] == values
    assert [record.rows for record in Research.load(tmp_path / "свип мой").trials.records] == [
        record.rows for record in trials.records
    ]
    names = [path.name for path in (tmp_path / "свип мой" / "trials").iterdir()]
    assert len(names) == len(values)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]{1,100}", name) for name in names)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["свип мой"]


@pytest.mark.faults("RS17")
def test_loading_results_of_others_runs_no_code(tmp_path: Path) -> None:
    import pickle

    class Bomb:
        def __reduce__(self) -> Any:
            return os.mkdir, (str(tmp_path / "exploded"),)

    for name in ("results.json", "results.parquet", "results.pkl", "results.dill"):
        (tmp_path / name).write_bytes(pickle.dumps(Bomb()))
        with pytest.raises((ValueError, OSError)):
            Research.load(tmp_path / name)
    folder = tmp_path / "sweep"
    folder.mkdir()
    (folder / journals.JOURNAL).write_bytes(pickle.dumps(Bomb()) + b"\n")
    with pytest.raises(ValueError, match="line 1 is not JSON"):
        Research.load(folder)
    assert not (tmp_path / "exploded").exists()


@pytest.mark.faults("RS18")
def test_terminated_driver_leaves_no_process_and_marks_its_trials(
    start_script: Callable[..., Any], tmp_path: Path
) -> None:
    driver = start_script(script(SLOW))
    until_two_hang(driver, tmp_path)
    driver.send(signal.SIGTERM)
    done = driver.finish()
    assert done.code == 128 + signal.SIGTERM, done.err
    assert {a: str(r.state) for a, r in history(tmp_path).items()} == {
        1: "DONE",
        2: "DONE",
        3: "KILLED",
        4: "KILLED",
    }


@pytest.mark.faults("RS19")
def test_ctrl_c_marks_the_trials_and_a_later_start_goes_on(
    start_script: Callable[..., Any], tmp_path: Path
) -> None:
    driver = start_script(script(SLOW))
    until_two_hang(driver, tmp_path)
    driver.interrupt()
    done = driver.finish()
    assert done.code in (130, -signal.SIGINT), done.err
    assert {str(history(tmp_path)[a].state) for a in (3, 4)} == {"KILLED"}
    again = start_script(script(SLOW)).finish()
    assert again.code == 0, again.err
    assert sorted(ran(tmp_path)) == ["1", "2", "3", "3", "4", "4", "5"]


@pytest.mark.faults("RS19c")
def test_first_ctrl_c_lets_trials_stop_at_their_next_iteration(
    start_script: Callable[..., Any], tmp_path: Path
) -> None:
    driver = start_script(
        script("""
        def count():
            for number in range(10**6):
                time.sleep(0.05)
                (Path("steps") / str(number)).touch()
                yield number
        Path("steps").mkdir()
        counting = Research(Option("a", [1])).add_generator(count, returns="n")
        counting.run(name="sweep", workers=1, stop_grace=3600)
        """)
    )
    driver.wait_until((tmp_path / "steps" / "3").exists, "the third step")
    driver.interrupt()
    done = driver.finish()
    assert done.code in (130, -signal.SIGINT), done.err
    assert history(tmp_path)[1].state is TrialState.KILLED
    assert "stopped at an iteration" in history(tmp_path)[1].reason


@pytest.mark.faults("RS19b")
def test_second_ctrl_c_ends_at_once_also_without_workers(
    start_script: Callable[..., Any], tmp_path: Path
) -> None:
    driver = start_script(script(SLOW.replace("workers=2", "parallel=False")))
    driver.wait_until(lambda: "3" in ran(tmp_path), "trial 3")
    driver.interrupt()
    done = driver.finish()
    assert done.code in (130, -signal.SIGINT), done.err
    assert history(tmp_path)[3].state is TrialState.KILLED


@pytest.mark.faults("RS20")
def test_same_seed_gives_the_same_weighted_configurations(run_script: Callable[..., Any]) -> None:
    code = script("""
        from bf_research import uniform
        domain = 0.3 * Option("a", [1, 2, 3]) + 0.7 * Option("b", uniform(0, 1)) * Option("c", [4, 5])
        domain.set_iterator(seed=7)
        print([sorted(config.items()) for config in domain])
        """)
    first, second = run_script(code), run_script(code)
    assert first.code == 0
    assert first.out == second.out
    assert "('a', 3)" in first.out


@pytest.mark.faults("RS21")
def test_trial_that_hangs_is_timed_out_and_the_next_begins(
    run_script: Callable[..., Any], tmp_path: Path
) -> None:
    done = run_script(
        script("""
        def work(a):
            time.sleep(10**6 if a == 1 else 0)
            return a
        research(work, [1, 2, 3]).run(name="sweep", workers=1, timeout=2)
        """)
    )
    assert done.code == 0, done.err
    assert [str(record.state) for record in history(tmp_path).values()] == ["TIMEOUT", "DONE", "DONE"]
    assert "longer than 2 s" in history(tmp_path)[1].reason


@pytest.mark.faults("RS23")
def test_no_workers_are_refused(tmp_path: Path) -> None:
    for workers in (0, -1, True, 1.5):
        with pytest.raises(ValueError, match="workers"):
            Research(Option("a", [1])).add_callable(len).run(name=tmp_path / "sweep", workers=workers)


@pytest.mark.faults("RS24")
def test_second_driver_on_one_journal_is_refused_and_told_the_holder(
    start_script: Callable[..., Any], tmp_path: Path
) -> None:
    first = start_script(script(SLOW))
    until_two_hang(first, tmp_path)
    second = start_script(script(SLOW)).finish()
    assert second.code == 1
    assert f"process {first.process.pid} on " in second.err
    first.send(signal.SIGTERM)
    first.finish()
    assert start_script(script(SLOW)).finish().code == 0


@pytest.mark.faults("RS24b")
def test_second_sweep_of_one_process_on_one_journal_is_refused(tmp_path: Path) -> None:
    with (
        journals.Journal(tmp_path, {}),
        pytest.raises(journals.SweepLocked, match="this process"),
        journals.Journal(tmp_path, {}),
    ):
        pytest.fail("two journals on one folder")
    journals.Journal(tmp_path, {}).close()


@pytest.mark.faults("RS26")
def test_nan_is_never_the_best_and_is_listed(tmp_path: Path) -> None:
    scores = {1: float("nan"), 2: 0.5, 3: float("nan"), 4: 0.7}
    research = Research(Option("a", [1, 2, 3, 4])).add_callable(lambda a: scores[a], C("a"), returns="score")
    research.run(name=tmp_path / "sweep", parallel=False)
    trials = Research.load(tmp_path / "sweep").trials
    assert trials.best("score").config == {"a": 4}
    assert trials.best("score", "min").config == {"a": 2}
    assert [row["missing"] for row in trials.summary("score")] == [0, 0, 1, 1]
    with pytest.raises(ValueError, match="none of 2 finished trials has a finite number"):
        Results(tuple(r for r in trials.records if r.config["a"] in (1, 3)), declared=("score",)).best(
            "score"
        )


@pytest.mark.faults("RS27")
def test_torn_last_line_of_the_journal_is_left_out_and_run_again(tmp_path: Path) -> None:
    research = Research(Option("a", [1, 2, 3])).add_callable(lambda a: a, C("a"), returns="b")
    research.run(name=tmp_path / "sweep", parallel=False)
    path = tmp_path / "sweep" / journals.JOURNAL
    whole = path.read_bytes()
    for cut in (1, 20, 150):
        path.write_bytes(whole[:-cut])
        assert history(tmp_path)[3].state is TrialState.RUNNING
        research.run(name=tmp_path / "sweep", parallel=False, resume="missing")
        assert research.results["b"].tolist() == [1, 2, 3]
        assert all(json.loads(line) for line in path.read_bytes().splitlines())


@pytest.mark.faults("RS22")
def test_full_disk_names_the_journal_and_a_later_start_goes_on(
    run_script: Callable[..., Any], tmp_path: Path
) -> None:
    code = script("""
        import resource
        if MOST:
            resource.setrlimit(resource.RLIMIT_FSIZE, (MOST, MOST))
        def work(a):
            return [a] * 200
        research(work, [1, 2, 3]).run(name="sweep", parallel=False, resume="missing")
        """)
    done = run_script(code.replace("MOST", "2000"))
    assert done.code == 1
    assert f"{tmp_path / 'sweep' / journals.JOURNAL} can't be written" in done.err
    done = run_script(code.replace("MOST", "0"))
    assert done.code == 0, done.err
    assert {str(record.state) for record in history(tmp_path).values()} == {"DONE"}


@pytest.mark.faults("RS28")
def test_journal_damaged_in_the_middle_or_of_a_newer_version_is_refused(tmp_path: Path) -> None:
    (tmp_path / journals.JOURNAL).write_text('{"journal": 1}\n{"trial": "x", "sta\n{"trial": "y"}\n')
    with pytest.raises(ValueError, match="line 2 is not JSON"):
        Research.load(tmp_path)
    (tmp_path / journals.JOURNAL).write_text('{"journal": 99}\n')
    with pytest.raises(ValueError, match="version 99"):
        Research.load(tmp_path)


@pytest.mark.faults("RS29")
def test_function_that_can_not_be_sent_is_told_before_any_trial(tmp_path: Path) -> None:
    file = (tmp_path / "open.txt").open("w")
    research = Research(Option("a", [1])).add_callable(lambda: file.write("x"), returns="b")
    with file, pytest.raises(ValueError, match="can't be sent to the workers"):
        research.run(name=tmp_path / "sweep", workers=1)


@pytest.mark.faults("RS31")
def test_update_that_raises_stops_the_sweep_in_order(run_script: Callable[..., Any], tmp_path: Path) -> None:
    done = run_script(
        script("""
        def work(a):
            note(a)
            if a == 2:
                time.sleep(10**6)
            while not tries(2):
                time.sleep(0.02)
            return a
        def update(results):
            return 1 / 0
        domain = Option("a", [1, 2, 3])
        domain.set_update(update, when=1)
        Research(domain).add_callable(work, C("a"), returns="b").run(name="sweep", workers=2)
        """)
    )
    assert done.code == 1
    assert "ZeroDivisionError" in done.err
    *_, last = done.err.strip().splitlines()
    assert "in the function of set_update" in last
    assert "ZeroDivisionError: division by zero" in last
    assert "Exception ignored" not in done.err
    assert str(history(tmp_path)[1].state) == "DONE"
    assert str(history(tmp_path)[2].state) == "KILLED"


@pytest.mark.faults("RS30")
def test_exit_of_a_trial_ends_the_trial_only(run_script: Callable[..., Any], tmp_path: Path) -> None:
    done = run_script(
        script("""
        def work(a):
            if a == 1:
                sys.exit(3)
            if a == 2:
                os._exit(7)
            return a
        research(work, [1, 2, 3]).run(name="sweep", workers=1, retries=0)
        """)
    )
    assert done.code == 0, done.err
    records = history(tmp_path)
    assert [str(record.state) for record in records.values()] == ["FAILED", "CRASHED", "DONE"]
    assert "exit code 7" in records[2].reason


@pytest.mark.parametrize("branches", [1, 2])
def test_exit_of_a_trial_in_this_process_ends_the_trial_only(
    run_script: Callable[..., Any], tmp_path: Path, branches: int
) -> None:
    done = run_script(
        script(f"""
        from bf_batch import Batch, Dataset
        from bf_pipeline import Pipeline
        def work(a):
            if a == 1:
                sys.exit(0)
            return a
        r = research(work, [1, 2, 3])
        root = Pipeline().run_later(1, n_epochs=1) << Dataset(1, Batch)
        r.add_pipeline(root=root, branch=Pipeline())
        print(r.run(name="sweep", parallel=False, branches={branches}).results["state"].tolist())
        print("went on")
        """)
    )
    assert done.code == 0, done.err
    assert done.out.splitlines() == ["['FAILED', 'DONE', 'DONE']", "went on"]
    assert "sys.exit(0)" in history(tmp_path)[1].reason


def test_sigterm_ends_a_sweep_in_this_process(start_script: Callable[..., Any], tmp_path: Path) -> None:
    started = start_script(
        script("""
        def work(a):
            note(a)
            time.sleep(10**6)
        research(work, [1, 2]).run(name="sweep", parallel=False)
        """)
    )
    started.wait_until(lambda: ran(tmp_path) == ["1"], "trial 1")
    started.send(signal.SIGTERM)
    assert started.finish().code == 143
    assert {a: str(record.state) for a, record in history(tmp_path).items()} == {1: "KILLED"}


def test_trial_ids_of_odd_values_differ() -> None:
    values = ["a/b", "a-b", "a b", "a_b", "A B"]
    assert len({trial_id(Config({"x": value})) for value in values}) == len(values)


@pytest.mark.faults("ML04")
def test_a_store_that_is_gone_at_the_end_costs_no_results(
    ready_store: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store = ready_store

    def work(number: int) -> int:
        if number == 2:
            with closing(sqlite3.connect(store, timeout=PATIENCE)) as database:
                database.executescript("drop table metrics; drop table latest_metrics;")
        return number

    research = Research(Option("number", [1, 2])).add_callable(work, C("number"), returns="value")
    tracking = {"uri": f"sqlite:///{store}", "folder": str(tmp_path), "buffering": {"patience": 0.1}}
    research.run(name=tmp_path / "sweep", parallel=False, tracking=tracking)
    assert research.results["value"].tolist() == [1, 2]
    assert "the sweep's summary is not in MLflow" in caplog.text
    assert list(tmp_path.glob("tracking-*.jsonl"))
