"""The command line's help, messages and exit codes."""

from __future__ import annotations

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from hydra.errors import MissingConfigException
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from bf_command.cli import explain
from bf_command.explain import configuration_message
from bf_command.help import describe
from bf_command.older_keys import rename_keys
from bf_research.clusters.launchers import KNOBS

ROOT = Path(__file__).parents[3]


def test_help_lists_parts_settings_and_their_defaults():
    text = describe(ROOT / "conf", "train", "train.py")
    for expected in (
        "resnet18",
        "dataset",
        "mnist",
        "batch_size",
        "64",
        "--multirun",
        "usage: python train.py",
    ):
        assert expected in text
    assert max(map(len, text.splitlines())) <= 120


@pytest.mark.parametrize("path", sorted((ROOT / "conf/launch").glob("*.yaml")), ids=lambda path: path.stem)
def test_a_preset_of_a_launcher_uses_every_knob_that_it_offers(path: Path):
    text = path.read_text()
    used = set(re.findall(r"\$\{launch\.(\w+)\}", text))
    if re.search("ray|submitit", text):
        used |= set(KNOBS)  # read by the sweep itself: the plugins have no place for them
    assert used == set(OmegaConf.load(path).launch)


def test_a_launcher_that_is_not_installed_names_its_package():
    error = MissingConfigException("no", "hydra/launcher/ray", ["basic", "gpu"])
    assert (
        configuration_message(error) == "the launcher 'ray' is not installed: pip install hydra-ray-launcher"
    )


def test_an_error_of_a_user_shows_the_deepest_lines():
    with pytest.raises(ZeroDivisionError) as caught:
        _ = 1 / 0
    text = explain(caught.value)
    assert text.startswith("error: ZeroDivisionError: division by zero\n  at ")
    assert "_ = 1 / 0" in text
    assert text.endswith("HYDRA_FULL_ERROR=1 shows the whole traceback")


def test_notes_are_part_of_the_message():
    error = ValueError("bad")
    error.add_note("in step 3 'rotate'")
    assert "  in step 3 'rotate'" in explain(error)


def test_the_text_of_a_key_error_is_not_quoted_twice():
    assert explain(KeyError("unknown variable 'x'")).startswith("error: KeyError: unknown variable 'x'")


def test_a_missing_option_has_close_matches():
    error = MissingConfigException("no", "model/resnet19", ["vgg7", "resnet18"])
    assert configuration_message(error) == (
        "unknown model 'resnet19'; did you mean 'resnet18'?\navailable: resnet18, vgg7"
    )


def test_a_missing_option_among_several_has_them_too(configure):
    with pytest.raises(MissingConfigException) as caught:
        configure("tracking=[mlflow,cvs]")
    assert configuration_message(caught.value) == (
        "unknown tracking 'cvs'; did you mean 'csv'?\navailable: csv, mlflow, none, tensorboard, wandb"
    )


def test_an_unknown_key_names_its_owner():
    config = OmegaConf.create({"model": {"stem": "small"}})
    OmegaConf.set_struct(config, True)
    with pytest.raises(OmegaConfBaseException) as caught:
        config.model.stemm = 1
    message = configuration_message(caught.value)
    assert message is not None
    assert message.startswith("unknown config key 'stemm' of model; did you mean 'stem'?")


PROGRAM = """
    import sys, time
    from bf_command import command
    sys.argv[1:] = []

    @command()
    def main(config):
        {body}

    main()
"""


@pytest.fixture
def conf(tmp_path: Path) -> None:
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/train.yaml").write_text("n: 0\nhydra: {output_subdir: null}\n")


@pytest.mark.usefixtures("conf")
@pytest.mark.parametrize(
    ("body", "code"), [("return 1", 0), ("raise ValueError('no')", 1), ("sys.exit(5)", 5)]
)
def test_the_exit_code_tells_how_it_ended(run_script, body, code):
    done = run_script(PROGRAM.format(body=body))
    assert done.code == code, done.err
    assert "Traceback" not in done.err


@pytest.mark.usefixtures("conf")
@pytest.mark.parametrize(
    "arguments",
    [
        ["n=1,2", "-m"],
        ["n=1,2", "--multirun", "+other=5", "hydra.sweep.dir=out"],
        ["n=1,2", "-m", "--config-name", "train", "+other=5", "-cd=conf"],
        ["--config-name", "train", "n=1,2", "-m", "+other=5"],
    ],
)
def test_options_stand_anywhere_among_the_overrides(run_script, arguments):
    program = PROGRAM.replace("sys.argv[1:] = []", f"sys.argv[1:] = {arguments!r}")
    done = run_script(program.format(body="print('n is', config.n)"))
    assert done.code == 0, done.err
    assert [line for line in done.out.splitlines() if line.startswith("n is")] == ["n is 1", "n is 2"]


@pytest.mark.usefixtures("conf")
@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_ends_the_program_with_its_code(start_script, number, code):
    script = start_script(PROGRAM.format(body="print('runs', flush=True); time.sleep(10**6)"))
    script.wait_for("runs")
    script.send(number)
    done = script.finish()
    assert done.code == code, done.err
    assert "Traceback" not in done.err


def test_an_older_key_is_taken_and_told(tmp_path: Path):
    command = [sys.executable, str(ROOT / "train.py"), "tracking=csv", "tracking.folder=x", "--cfg", "job"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert OmegaConf.create(done.stdout).tracking.csv.folder == "x"
    assert "tracking.folder is called tracking.csv.folder" in done.stderr
    # a file of one's own that has the key, and another tracker, mean it
    given = ["tracking=csv", "tracking.folder=x"]
    (tmp_path / "tracking").mkdir()
    (tmp_path / "tracking" / "csv.yaml").write_text("_target_: bf_research.tracking.CSVTracker\nfolder: a\n")
    assert rename_keys(given, tmp_path) == given
    assert rename_keys(["tracking=lines", given[1]], ROOT / "conf") == ["tracking=lines", given[1]]
