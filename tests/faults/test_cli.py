"""Faults of the command line and of configurations: each is one clear message, before anything is trained."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from bf_research import targets
from bf_research.targets import TargetError

ROOT = Path(__file__).parents[2]
PROGRAM = """
    import runpy, sys
    sys.argv = ["train.py", *{arguments!r}]
    try:
        runpy.run_path({program!r}, run_name="__main__")
    finally:
        heavy = {{"tensorflow", "keras", "mlflow"}} & set(sys.modules)
        print("loaded", sorted(heavy), file=sys.stderr)
"""


@pytest.fixture
def command(run_script) -> Callable[..., object]:
    """``command("model=vgg7")`` runs the project's ``train.py`` in an empty folder."""

    def run(*arguments: str):
        return run_script(PROGRAM.format(arguments=list(arguments), program=str(ROOT / "train.py")))

    return run


def refused(done, *texts: str, code: int = 1) -> None:
    """Assert one clear message, no traceback, nothing heavy loaded."""
    assert done.code == code, done.err
    for text in texts:
        assert text in done.err
    assert "Traceback" not in done.err
    assert len(done.err.splitlines()) <= 8, done.err
    assert "loaded []" in done.err


@pytest.mark.faults("CL01")
def test_an_unknown_option_or_command_is_refused_with_a_hint(command):
    refused(command("--hlep"), "unknown option '--hlep'; did you mean '--help'", code=2)
    refused(command("trian"), "unknown command 'trian'", "name=value", code=2)


@pytest.mark.faults("CL04")
def test_help_needs_neither_hydra_nor_tensorflow(run_script):
    done = run_script(
        PROGRAM.format(arguments=["--help"], program=str(ROOT / "train.py")).replace('"keras"', '"hydra"')
    )
    assert done.code == 0
    assert "resnet18" in done.out
    assert "n_epochs" in done.out
    assert "loaded []" in done.err


@pytest.mark.faults("CL04")
def test_printing_the_configuration_loads_nothing_heavy(command):
    done = command("--cfg", "job", "model=vgg7")
    assert done.code == 0
    assert "_target_: bf_models.VGG7" in done.out
    assert "loaded []" in done.err


def test_printing_the_configuration_of_many_runs_is_a_wrong_command_line(command):
    done = command("-m", "--cfg", "job", "model=vgg7,mlp")
    assert done.code == 2
    assert "leave -m out" in done.err


@pytest.mark.faults("CL05")
def test_a_sweep_with_a_failed_trial_ends_with_1_and_a_table(run_script, tmp_path: Path):
    (tmp_path / "conf").mkdir()
    (tmp_path / "conf/train.yaml").write_text("n: 0\nhydra: {output_subdir: null}\n")
    done = run_script(
        """
        import sys
        from bf_command import command

        sys.argv[1:] = ["-m", "n=1,2", "hydra/sweeper=domain"]

        @command()
        def main(config):
            if config.n == 2:
                raise ValueError("two is bad")

        main()
        """
    )
    assert done.code == 1
    assert "1 of 2 trials failed" in done.err
    assert "two is bad" in done.err


@pytest.mark.faults("CF06")
@pytest.mark.parametrize(
    ("argument", "texts"),
    [
        (
            "lerning_rate=0.1",
            ["unknown config key 'lerning_rate'", "n_epochs", "optimizer.learning_rate=..."],
        ),
        ("optimizer.lerning_rate=0.1", ["'lerning_rate' of optimizer; did you mean 'learning_rate'?"]),
        ("n_epoch=3", ["did you mean 'n_epochs'?", "part.name=..."]),
        ("+n_epoch=3", ["unknown config key 'n_epoch'; did you mean 'n_epochs'?"]),
        ("++n_epoch=3", ["unknown config key 'n_epoch'; did you mean 'n_epochs'?"]),
        (
            "+lerning_rate=0.1",
            ["unknown config key 'lerning_rate'", "a part has it: optimizer.learning_rate=..."],
        ),
        ("+my.setting=1", ["unknown config key 'my.setting'", "known: dataset, model"]),
        ("+modle=vgg7", ["unknown config key 'modle'; did you mean 'model'?"]),
        ("+pipeline.augmnt=[]", ["unknown config key 'augmnt' of pipeline; did you mean 'augment'?"]),
        ("pipeline.augmnt=[]", ["unknown config key 'augmnt' of pipeline; did you mean 'augment'?"]),
        ("model.nosuch=1", ["'nosuch' of model"]),
    ],
)
def test_a_misspelt_key_is_named_with_its_close_matches(command, argument, texts):
    refused(command(argument), *texts)


@pytest.mark.faults("CF06")
def test_a_misspelt_key_in_a_file_is_refused(command, tmp_path: Path):
    (tmp_path / "mine/experiment").mkdir(parents=True)
    (tmp_path / "mine/experiment/a.yaml").write_text("# @package _global_\nlerning_rate: 0.1\n")
    refused(command("--config-dir", "mine", "experiment=a"), "lerning_rate")


@pytest.mark.faults("CF07")
def test_a_value_of_the_wrong_type_names_its_path(command):
    refused(command("batch_size=ten"), "'batch_size'", "ten", "Integer")


@pytest.mark.faults("CF07", "ML03", "LA02")
@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["launch=gpu", "launch.devices=[gpu:77]"], "gpu:77 is not on this machine"),
        (["launch=gpu", "launch.timeout=-1"], "timeout must be above 0"),
        (["launch=gpu", "launch.timeouts=3"], "did you mean 'timeout'? known: workers, devices, per_device"),
        (["launch=ray"], "the launcher 'ray' is not installed: pip install hydra-ray-launcher"),
        (["tracking.uri=http://127.0.0.1:9"], "the MLflow server http://127.0.0.1:9 does not answer"),
        (["hydra.sweep.dir=/proc/nowhere"], "/proc/nowhere can't be made"),
    ],
)
def test_a_sweep_that_cannot_begin_is_refused_before_anything_is_made(
    command, tmp_path: Path, arguments: list[str], text: str
):
    refused(command("-m", "model=lenet,mlp", *arguments), text)
    assert not (tmp_path / "mlflow.db").exists()


@pytest.mark.faults("CF10", "CF07")
@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("model=lenet,mpl", "unknown model 'mpl'; did you mean 'mlp'?"),
        ("batch_size=8,ten", "'batch_size': Value 'ten'"),
    ],
)
def test_a_value_of_a_sweep_that_cannot_be_is_refused_before_any_trial(command, tmp_path: Path, option, text):
    done = command("-m", option, "tracking=none")
    assert done.code == 1
    assert text in done.err
    assert not list(tmp_path.glob("multirun/*/*/journal.jsonl"))


@pytest.mark.faults("CF07")
def test_a_missing_value_names_its_path(command):
    refused(command("tracking=none", "dataset.source=???"), "dataset.source", "no value")


@pytest.mark.faults("CF08")
@pytest.mark.parametrize("name", ["os.system", "builtins.eval", "subprocess.Popen"])
def test_a_target_outside_the_allowed_packages_is_refused(name):
    with pytest.raises(TargetError, match=r"is refused: its package is not one of bf_index, .* keras"):
        targets.resolve(name, "dataset")


@pytest.mark.faults("CF08")
@pytest.mark.parametrize(
    "name",
    [
        "bf_research.tracking.store.os.system",
        "bf_index.names.importlib.import_module",
        "bf_research.tracking.store.sys",
        "bf_models",
    ],
)
def test_a_target_that_only_passes_through_an_allowed_package_is_refused(name):
    with pytest.raises(TargetError, match=r"refused|dotted name"):
        targets.resolve(name, "dataset")


@pytest.mark.faults("CF08")
def test_a_refused_target_runs_nothing(command, tmp_path: Path):
    done = command("tracking=none", "dataset._target_=os.system", "+dataset.command=touch done")
    refused(done, "'os.system' is refused")
    assert not (tmp_path / "done").exists()


@pytest.mark.faults("CF10")
def test_an_unknown_option_of_a_group_lists_those_there_are(command):
    refused(command("model=resnet19"), "unknown model 'resnet19'", "'resnet18'", "vgg7, ")


@pytest.mark.faults("CF10")
def test_an_unknown_group_is_named(command):
    refused(command("+modle=vgg7", "tracking=none", "dataset.source=???"), "modle")


@pytest.mark.faults("CF10")
def test_an_interpolation_cycle_is_named(command):
    refused(command("tracking=none", "seed=${batch_size}", "batch_size=${seed}"), "seed")


@pytest.mark.faults("PI01a", "PI02")
@pytest.mark.parametrize(
    ("steps", "text"),
    [
        ("[{rotat: {angle: 5}}]", "unknown action 'rotat' of ImagesBatch; did you mean 'rotate'"),
        ("[{rotate: {angel: 5}}]", "angel"),
        ("[{to_array: {src: \"=B('imags')\"}}]", "imags"),
    ],
)
def test_a_mistake_in_the_steps_is_told_before_anything_is_trained(command, steps, text):
    refused(command("tracking=none", f"pipeline.augment={steps}"), text)


def test_users_packages_are_allowed_by_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "my_nets.py").write_text("class Net:\n    pass\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(TargetError, match="targets"):
        targets.resolve("my_nets.Net", "model")
    assert targets.resolve("my_nets.Net", "model", ["my_nets"]).__name__ == "Net"


def test_a_name_that_is_not_there_has_close_matches():
    with pytest.raises(TargetError, match="did you mean 'ResNet18'"):
        targets.resolve("bf_models.Resnet18", "model")


def test_the_whole_traceback_is_there_on_request(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, str(ROOT / "train.py"), "tracking=none", "dataset._target_=os.system"],
        capture_output=True,
        text=True,
        env={"HYDRA_FULL_ERROR": "1", "PATH": ""},
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 1
    assert "Traceback" in done.stderr
