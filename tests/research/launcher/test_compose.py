"""Configurations of jobs are those that Hydra makes, and a job shows the same as one run by Hydra."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import cloudpickle
import pytest
from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.utils import JobReturn, run_job
from hydra.types import HydraContext
from omegaconf import DictConfig, OmegaConf, open_dict

from bf_command.schema import register
from bf_research.launcher.compose import Composer
from bf_research.launcher.hydra_job import run_composed
from bf_research.launcher.hydra_private import split_config
from bf_research.launcher.job_files import JobFiles

OVERRIDES = [
    ["model=vgg7", "seed=1"],
    ["model=vgg7", "seed=2", "n_iters=5"],
    ["model=resnet18", "+model.x={a: 1}", "optimizer.learning_rate=1e-3"],
    ["~schedule", "optimizer=adam"],
    ["hydra.sweep.subdir=abc", "batch_size=3", "++bf.id='x y'"],
    ["schedule={name: constant}"],
    [],
]


@pytest.fixture(scope="module")
def composer() -> Iterator[tuple[Composer, object]]:
    """Our composer and Hydra's, over the project's own configurations."""
    folder = Path(__file__).parents[3] / "conf"
    register(folder)
    with initialize_config_dir(config_dir=str(folder), version_base="1.3"):
        master = compose("train", overrides=["hydra/launcher=gpu"], return_hydra_config=True)
        with open_dict(master):
            master.hydra.job.config_name = "train"
            master.hydra.overrides.hydra = ["hydra/launcher=gpu"]
        loader = GlobalHydra.instance().hydra.config_loader
        yield Composer(loader, master), lambda one: loader.load_sweep_config(master, one)


class TestComposing:
    @pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda one: " ".join(one) or "none")
    def test_a_kept_composition_equals_that_of_hydra(self, composer, overrides):
        made, whole = composer
        for _ in range(2):
            assert OmegaConf.to_yaml(made.compose(overrides)) == OmegaConf.to_yaml(whole(overrides))

    def test_a_wrong_key_is_refused_as_by_hydra(self, composer):
        made, _ = composer
        with pytest.raises(Exception, match="nosuch"):
            made.compose(["model=vgg7", "nosuch=1"])

    @pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda one: " ".join(one) or "none")
    def test_a_check_takes_what_can_be_composed_and_changes_nothing(self, composer, overrides):
        made, whole = composer
        made.check(overrides)
        assert OmegaConf.to_yaml(made.compose(overrides)) == OmegaConf.to_yaml(whole(overrides))

    @pytest.mark.parametrize(
        "overrides", [["nosuch=1"], ["model=nosuch"], ["+batch_size=3"], ["~nosuch"], ["hydra.job.num=text"]]
    )
    def test_a_check_refuses_what_can_not(self, composer, overrides):
        made, _ = composer
        with pytest.raises(Exception) as composed:
            made.compose(overrides)
        with pytest.raises(type(composed.value)) as checked:
            made.check(overrides)
        assert str(checked.value) == str(composed.value)

    @pytest.mark.parametrize(
        ("first", "second"),
        [
            ("schedule=null", "schedule.name=constant"),
            ("schedule={name: constant}", "schedule={warmup: 1}"),
            ("targets=[]", "targets.0=a"),
            ("targets=[a, b]", "targets=[c]"),
            ("++launch.x=1", "launch.x=2"),
            ("~schedule", "schedule.name=constant"),
            ("batch_size=3", "batch_size=text"),
            ("n_iters=null", "n_iters=5"),
            ("loss=ce", "loss={a: 1}"),
            ("loss={a: 1}", "loss.a=2"),
        ],
    )
    def test_a_check_does_not_depend_on_what_was_checked_before(self, composer, first: str, second: str):
        made, _ = composer
        alone, after = (Composer(made._loader, made._master) for _ in range(2))
        with suppress(Exception):
            after.check([first])
        composed = refusal(alone.compose, [second])
        assert refusal(alone.check, [second]) == composed
        assert refusal(after.check, [second]) == composed

    @pytest.mark.parametrize("overrides", OVERRIDES, ids=lambda one: " ".join(one) or "none")
    def test_files_put_together_from_kept_parts_are_those_written_at_once(
        self, composer, overrides, tmp_path: Path
    ):
        made, _ = composer
        files = JobFiles()
        for number, one in enumerate([[], ["n_iters=3", "hydra.sweep.subdir=x"], overrides, overrides]):
            config, origin = made.compose_known(one)
            assert origin is not None
            with open_dict(config):
                config.hydra.job.num = number
                config.hydra.runtime.output_dir = str(tmp_path / str(number))
            own, hydra = split_config(config)
            files.write(tmp_path / "parts", own, hydra, one, origin)
            JobFiles().write(tmp_path / "whole", own, hydra, one, None)
            for name in ("config.yaml", "hydra.yaml", "overrides.yaml"):
                parts, whole = ((tmp_path / way / name).read_text() for way in ("parts", "whole"))
                assert parts == whole
            assert whole == OmegaConf.to_yaml(one)
            assert OmegaConf.load(tmp_path / "parts/hydra.yaml").hydra.job.num == number

    def test_a_configuration_changed_as_a_whole_has_no_kept_parts(self, composer):
        made, _ = composer
        assert made.compose_known(["hydra={verbose: true}"])[1] is None

    def test_another_process_composes_no_choice_again(self, composer, monkeypatch: pytest.MonkeyPatch):
        made, whole = composer
        made.compose(["model=vgg7"])
        there: Composer = cloudpickle.loads(cloudpickle.dumps(made))
        monkeypatch.setattr(Composer, "_whole", None)
        overrides = ["model=vgg7", "seed=2"]
        assert OmegaConf.to_yaml(there.compose(overrides)) == OmegaConf.to_yaml(whole(overrides))


def refusal(work: Callable[[list[str]], object], overrides: list[str]) -> str:
    """What an error of the work says; nothing when there is none."""
    try:
        work(overrides)
    except Exception as error:  # noqa: BLE001 - any refusal of Hydra's
        return f"{type(error).__name__}: {error}"
    return ""


class Noting:
    """Callbacks that note what they are told."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def on_job_start(self, config: DictConfig, task_function: object) -> None:
        """Note the beginning."""
        self.told.append(f"start {OmegaConf.to_yaml(config)} {HydraConfig.get().runtime.output_dir}")

    def on_job_end(self, config: DictConfig, job_return: JobReturn) -> None:
        """Note the end."""
        self.told.append(f"end {OmegaConf.to_yaml(config)} {job_return.status}")


def seen_by(runner: Callable[..., JobReturn], composer: Any, folder: Path, fails: bool) -> dict[str, Any]:
    """Everything that a run of a job shows, its folder called FOLDER."""

    def task(config: DictConfig) -> object:
        seen.update(
            config=OmegaConf.to_yaml(config), struct=OmegaConf.is_struct(config), kind=HydraConfig.get().mode
        )
        logging.getLogger("job").info("a line")
        if fails:
            raise ValueError("bad")
        config.batch_size = 1  # is not seen by callbacks
        return 5

    seen: dict[str, Any] = {}
    config = composer[0].compose(
        [f"hydra.sweep.dir={folder}", "hydra.sweep.subdir=${hydra.job.num}", "seed=3"]
    )
    with open_dict(config):
        config.hydra.job.id, config.hydra.job.num = "4", 4
    before = HydraConfig.instance().cfg
    HydraConfig.instance().cfg = config
    callbacks = Noting()
    loader = GlobalHydra.instance().hydra.config_loader
    try:
        result = runner(task, config, HydraContext(loader, callbacks))  # type: ignore[arg-type]
    finally:
        HydraConfig.instance().cfg = before
        logging.getLogger().handlers.clear()
    for path in sorted(folder.rglob("*")):
        seen[path.relative_to(folder).as_posix()] = path.read_text() if path.is_file() else ""
    seen["told"] = "\n".join(callbacks.told)
    for name in ("overrides", "working_dir", "task_name", "status", "_return_value"):
        seen[name] = repr(getattr(result, name))
    seen |= {"cfg": OmegaConf.to_yaml(result.cfg), "hydra_cfg": OmegaConf.to_yaml(result.hydra_cfg)}
    return {name: str(value).replace(str(folder), "FOLDER") for name, value in seen.items()}


@pytest.mark.parametrize("fails", [False, True])
def test_a_job_shows_the_same_as_one_run_by_hydra(composer, tmp_path: Path, monkeypatch, fails: bool):
    monkeypatch.chdir(tmp_path)

    def hydras(task: Any, config: DictConfig, context: HydraContext) -> JobReturn:
        return run_job(task, config, "hydra.sweep.dir", "hydra.sweep.subdir", context)

    ours = seen_by(run_composed, composer, tmp_path / "ours", fails)
    theirs = seen_by(hydras, composer, tmp_path / "theirs", fails)
    # Hydra 1.4 writes the error to the job's log as well; a worker writes it to stdout.txt, without secrets
    assert ours == {name: text.partition("Job failed\n")[0] for name, text in theirs.items()}
    assert "4/.hydra/hydra.yaml" in ours
