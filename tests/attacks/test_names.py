"""Names in data that lead to what may not stand there: in configurations, model configs and pipelines."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from bf_batch import Dataset
from bf_batch.opensets import Openset
from bf_index.names import Kind, TargetError, resolve
from bf_models import MLP, KerasModel, SklearnModel
from bf_models.config import targets as models
from bf_pipeline import BindError, build
from bf_research import targets
from bf_research.trusted import refuse_swept, trusted_packages

ROOT = Path(__file__).parents[2]
KINDS = {
    "part": models.PART,
    "loss": models.LOSS,
    "optimizer": models.OPTIMIZER,
    "schedule": models.SCHEDULE,
    "estimator": models.ESTIMATOR,
    **targets.KINDS,
}
GADGETS = [
    # other packages, by their own name, by way of ours, of a class, of a value
    "os.system",
    "builtins.eval",
    "bf_models.saving.archive.os.system",
    "bf_research.tracking.store.sys",
    "bf_models.zoo.CATALOG.get",
    # what imports, builds, or is told whom to trust
    "bf_index.names.resolve",
    "bf_index.names.importlib.import_module",
    "bf_models.config.targets.build_target",
    "bf_research.targets.build",
    "bf_models.ResNet18.load",
    "bf_models.SklearnModel.load",
    "bf_pipeline.build",
    "bf_batch.opensets.fetch",
    "hydra.utils.instantiate",
    # what Keras offers to everybody
    "keras.utils.get_file",
    "keras.models.load_model",
    "keras.saving.deserialize_keras_object",
    "keras.config.enable_unsafe_deserialization",
    "keras.layers.Lambda",
    "keras.losses.deserialize",
    "keras.losses.MeanSquaredError.from_config",
    "keras.src.utils.file_utils.get_file",
    # no public name of an object
    "bf_models",
    "bf_models.zoo",
    "bf_models._backend.tensorflow",
    "bf_models.errors.__builtins__",
    "bf_models.MLP.__init__.__globals__",
    "bf_models..MLP",
    "",
    None,
    ["bf_models.MLP"],
]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", GADGETS, ids=str)
def test_gadgets(name: Any, kind: str):
    with pytest.raises(TargetError, match=r"^evil\.yaml, key: _target_ .* is refused") as caught:
        resolve(name, KINDS[kind], (), "evil.yaml, key")
    assert repr(name) in str(caught.value)


def offered() -> Iterator[str]:
    """Yield every public dotted name in every module of ours, and in the public modules of Keras."""
    for package in ("bf_index", "bf_batch", "bf_pipeline", "bf_models", "bf_research"):
        module = importlib.import_module(package)
        found = [package, *(info.name for info in pkgutil.walk_packages(module.__path__, f"{package}."))]
        for name in found:
            yield from (f"{name}.{word}" for word in dir(importlib.import_module(name)))
    for name in ("keras", *(f"keras.{part}" for part in dir(importlib.import_module("keras")))):
        owner = importlib.import_module("keras")
        for part in name.split(".")[1:]:
            owner = getattr(owner, part)
        if inspect.ismodule(owner):
            yield from (f"{name}.{word}" for word in dir(owner))


def test_all_that_may_be_named_is_of_its_kind():
    import keras

    bases: dict[str, tuple[type, ...]] = {
        "optimizer": (keras.optimizers.Optimizer,),
        "schedule": (keras.optimizers.schedules.LearningRateSchedule,),
        "model": (KerasModel, SklearnModel),
        "dataset": (Openset,),
    }
    names = [name for name in offered() if not any(part.startswith("_") for part in name.split("."))]
    assert len(names) > 3000
    for kind, value in KINDS.items():
        taken = []
        for name in names:
            try:
                taken.append(resolve(name, value))
            except TargetError:
                continue
        assert all(isinstance(item, type) or kind == "part" for item in taken), kind
        assert all(issubclass(item, bases.get(kind, object)) for item in taken if isinstance(item, type)), (
            kind
        )
        takes = [inspect.signature(item).parameters for item in taken if isinstance(item, type)]
        assert not any("allow" in parameters for parameters in takes), kind
        assert (len(taken) > 0) == (kind not in ("update", "estimator")), kind


def test_a_target_with_an_allow_list_of_its_own(canary):
    inner = {"_target_": "os.system", "command": canary.command}
    for name in ("bf_models.config.targets.build_target", "bf_research.targets.build"):
        config = {
            "_target_": name,
            "options": inner,
            "config": inner,
            "allow": ["os", "posix"],
            "what": "dataset",
        }
        with pytest.raises(TargetError, match=f"dataset: _target_ '{name}' is refused"):
            targets.build(config, "dataset")


@pytest.mark.parametrize("key", ["body", "head", "loss", "optimizer", "schedule"])
@pytest.mark.parametrize("name", ["os.system", "bf_models.saving.archive.os.system", "keras.utils.get_file"])
def test_the_config_of_a_model(canary, key, name):
    told = {"_target_": name, "command": canary.command}
    config = {"inputs": {"images": {"shape": (4,)}}, "num_classes": 2, "loss": "ce", key: told}
    with pytest.raises(TargetError, match=rf"MLP\.{key}: _target_ '{name}' is refused"):
        MLP(config).build()


@pytest.mark.parametrize(
    "told",
    [
        {
            "class_name": "function",
            "module": "keras.utils",
            "config": "get_file",
            "registered_name": "get_file",
        },
        {"class_name": "Lambda", "module": "keras.layers", "config": {"function": "lambda x: x"}},
        {"class_name": "__lambda__", "config": {"value": "4wAAAA=="}},
        {"deep": [{"registered_name": "os>system"}]},
    ],
)
@pytest.mark.parametrize("key", ["common/activation", "loss", "body/norm", "optimizer"])
def test_objects_as_keras_writes_them(told, key):
    with pytest.raises(TargetError, match=rf"MLP\.{key.replace('/', '.')}.* as Keras writes it"):
        MLP({key: told})


def test_an_own_package_is_taken_at_the_word_of_the_caller_only(tmp_path, monkeypatch, canary):
    (tmp_path / "strangers.py").write_text(
        f"import os\nfrom os import system\nos.system({canary.command!r})\n"
    )
    (tmp_path / "mine.py").write_text(
        "from os import system\n"
        "from bf_models.config.targets import build_target\n"
        "import subprocess\n"
        "__all__ = ['loss', 'system', 'build_target']\n"
        "def loss(targets, outputs):\n    return outputs\n"
        "def hidden(targets, outputs):\n    return outputs\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    kind = models.LOSS
    assert resolve("mine.loss", kind, ["mine"]).__module__ == "mine"
    for name in (
        "strangers.Net",
        "mine.system",
        "mine.build_target",
        "mine.subprocess.run",
        "mine.hidden",
        "mine.x",
    ):
        with pytest.raises(TargetError, match=name):
            resolve(name, kind, ["mine"])
    with pytest.raises(TypeError, match="list of packages"):
        resolve("mine.loss", kind, "mine")
    for name in ("keras.utils.get_file", "bf_models.config.targets.build_target"):
        with pytest.raises(TargetError, match="a loss is asked for"):
            resolve(name, kind, ["keras", "bf_models"])


def test_a_refusal_says_what_where_why_and_what_next():
    kind = Kind("a loss", ("bf_models.losses",), lambda found: False, "say targets=[{package}]")
    with pytest.raises(TargetError) as caught:
        resolve("stranger.Loss", kind, ["mine"], "evil.zip, model.json: MLP.loss")
    text = str(caught.value)
    assert text.startswith("evil.zip, model.json: MLP.loss: _target_ 'stranger.Loss' is refused: ")
    assert "its package is not one of bf_index, " in text
    assert text.endswith("mine; if you trust it, say targets=[stranger]")


@pytest.fixture
def composed(tmp_path: Path) -> Callable[..., Any]:
    """Compose a configuration whose group ``model`` has a file of a stranger."""
    stranger = tmp_path / "conf" / "model" / "stranger.yaml"
    stranger.parent.mkdir(parents=True)
    stranger.write_text("# @package _global_\ntargets: [strangers]\n")

    def run(main: str, *overrides: str) -> Any:
        text = f"defaults: [_self_, optional model: null]\ntargets: {main}\n"
        (tmp_path / "conf" / "train.yaml").write_text(text)
        with initialize_config_dir(config_dir=str(tmp_path / "conf"), version_base="1.3"):
            return compose("train", overrides=list(overrides), return_hydra_config=True)

    return run


def test_a_group_does_not_say_whom_to_trust(composed):
    config = composed("[mine]", "model=stranger")
    with pytest.raises(TargetError, match=r"'strangers' is refused.*targets=\[strangers\].*train\.yaml"):
        trusted_packages(config, config.hydra)
    for main, overrides in (
        ("[mine, strangers]", ["model=stranger"]),
        ("[]", ["model=stranger", "targets=[strangers]"]),
        ("[]", ["model=stranger", "++targets=[strangers]"]),
        ("[other]", ["targets.0=strangers"]),
    ):
        config = composed(main, *overrides)
        assert trusted_packages(config, config.hydra) == ("strangers",)
    assert trusted_packages({"targets": ["mine"]}) == ("mine",)


@pytest.mark.parametrize(
    "key",
    [
        *("targets", "+targets", "targets.0", "++targets@other", "tracking", "experiment@targets"),
        *("tracking.uri", "++tracking.wandb", "tracking.csv.folder", "tracking[wandb].mode", "tracking/more"),
        *("model@tracking", "model@other:tracking.wandb", "hydra.job.chdir", "hydra/launcher"),
    ],
)
def test_a_sweep_in_a_file_does_not_say_whom_to_trust(composed, key):
    with pytest.raises(TargetError, match=r"hydra\.sweeper\.domain.*whom to trust, nor where"):
        refuse_swept([key], "hydra.sweeper.domain")
    for trusted in ("[os]", "[]"):
        config = composed("[]", f"targets={trusted}")
        OmegaConf.update(config, "hydra.sweeper.params", {key: "[os]"}, merge=False)
        with pytest.raises(TargetError, match=r"hydra\.sweeper\.params.*whom to trust, nor where"):
            trusted_packages(config, config.hydra)


def test_a_sweep_in_a_file_says_the_rest(composed):
    names = ["model", "+model.targets", "lr", "loss@model.loss", "tracking_rate"]
    refuse_swept(names, "hydra.sweeper.domain")


def test_steps_in_data_do_not_say_whom_to_trust(canary):
    body = {"_target_": "os.system", "command": canary.command}
    config = {"allow": ["os", "posix"], "body": body}
    step = {"mode": "static", "model_class": "net", "name": "m", "config": config}
    for key in ("allow", "allow/0"):
        step["config"] = {key: ["os", "posix"], "body": body}
        with pytest.raises(BindError, match=r"config.*allow.*is refused"):
            build({"steps": [{"init_model": step}]}, Dataset(4), names={"net": MLP})
    step["config"] = "=C('net')"
    with pytest.raises(BindError, match=r"config\.net\.allow"):
        build({"steps": [{"init_model": step}], "config": {"net": config}}, Dataset(4), names={"net": MLP})


def test_an_allow_list_that_is_none():
    for allow in ({"os": 1}, "os", [1]):
        with pytest.raises(TypeError, match="'allow' is a list"):
            MLP({"allow": allow})
    with pytest.raises(TypeError, match="'allow' is a list"):
        MLP({"allow/os": 1, "body": {"_target_": "os.system", "command": "true"}})


MODEL = """
_target_: bf_models.MLP
allow: [os, posix]
body: {{_target_: os.system, command: {command}}}
"""
GROUP = """
# @package _global_
targets: [os, posix]
model: {{_target_: bf_models.MLP, body: {{_target_: os.system, command: {command}}}}}
"""
HYDRA = """
# @package _global_
hydra: {{{{{part}}}}}
""".format
CALLBACK = HYDRA(part="callbacks: {{evil: {{_target_: %s, command: {command}}}}}")
HANDLER = HYDRA(
    part="job_logging: {{handlers: {{evil: {{class: subprocess.Popen, args: {command}, shell: true}}}}}}"
)
FACTORY = HYDRA(part="hydra_logging: {{formatters: {{evil: {{(): os.system, command: {command}}}}}}}")
VALUE = HYDRA(
    part="job_logging: {{handlers: {{evil: {{class: logging.StreamHandler, stream: 'ext://antigravity'}}}}}}"
)
NESTED = HYDRA(part="sweeper: {{params: {{evil: {{_target_: os.system, command: {command}}}}}}}")
PRELOAD = HYDRA(part="launcher: {{preload: [stranger_of_a_module]}}")


@pytest.mark.parametrize(
    ("group", "text", "why"),
    [
        ("model", MODEL, "model.allow"),
        ("model", MODEL.replace("allow:", "allow/os:"), "model.allow/os"),
        ("model", GROUP, "'os.system' is refused"),
        ("experiment", GROUP, "targets: 'os' is refused"),
        ("experiment", CALLBACK % "os.system", "hydra.callbacks.evil._target_: 'os.system' is refused"),
        ("experiment", CALLBACK % "bf_batch.opensets.fetch", "'bf_batch.opensets.fetch' is refused"),
        ("experiment", CALLBACK % "bf_research.targets.build", "'bf_research.targets.build' is refused"),
        ("experiment", CALLBACK % "'${{oc.decode:os.system}}'", "is refused"),
        ("experiment", HANDLER, "hydra.job_logging.handlers.evil.class: 'subprocess.Popen' is refused"),
        ("experiment", FACTORY, "hydra.hydra_logging.formatters.evil.(): 'os.system' is refused"),
        ("experiment", VALUE, "'ext://antigravity' is refused"),
        ("experiment", NESTED, "hydra.sweeper.params.evil._target_: 'os.system' is refused"),
    ],
)
def test_a_group_of_a_stranger_on_the_command_line(canary, run_script, tmp_path, group, text, why):
    folder = tmp_path / "more" / group
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(text.format(command=canary.command).lstrip())
    done = run_script(f"""
        import runpy, sys
        sys.argv = ["train.py", "--config-dir={tmp_path / "more"}", "{group}=evil", "tracking=none"]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """)
    assert done.code == 1
    assert why in done.err


def test_modules_that_workers_import(run_script, tmp_path):
    folder = tmp_path / "more" / "experiment"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(PRELOAD.format().lstrip())
    (tmp_path / "stranger_of_a_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    sweep = [
        "-m",
        "model=mlp",
        "n_iters=1",
        "tracking=none",
        "hydra/launcher=gpu",
        "hydra.launcher.devices=[cpu:0]",
    ]
    command = f"""
        import runpy, sys
        sys.path.insert(0, {str(tmp_path)!r})
        sys.argv = ["train.py", "--config-dir={tmp_path / "more"}", *{sweep!r}, %r]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """
    done = run_script(command % "experiment=evil")
    assert done.code == 1
    assert "hydra.launcher.preload.0: 'stranger_of_a_module' is refused" in done.err
    assert not (tmp_path / "ran").exists()
    trusted = run_script(command % "hydra.launcher.preload=[stranger_of_a_module]")
    assert trusted.code == 0, trusted.err
    assert (tmp_path / "ran").exists(), "what the command says is imported"


@pytest.mark.parametrize(
    ("command", "why"),
    [
        (["targets=[os]", "dataset._target_=os.system"], "says whose code may run"),
        (["++targets=[os]"], "says whose code may run"),
        (["dataset._target_=os.system", "+dataset.command=touch {ran}"], "'os.system' is refused"),
        (["+hydra.callbacks.evil._target_=os.system"], "'os.system' is refused"),
        (["hydra.run.dir=/tmp/elsewhere"], "leads out of the working folder"),
        (["tracking.uri=http://198.51.100.1"], "runs would be recorded there"),
        (["tracking=wandb", "tracking.wandb.mode=online"], "runs would be sent to another machine"),
        (["model.password=***0123456789ab"], "was begun with a secret in model.password"),
    ],
)
def test_a_folder_that_is_resumed(run_script, tmp_path, command, why):
    folder, ran = tmp_path / "outputs/sent", tmp_path / "ran"
    folder.mkdir(parents=True)
    command = ["n_iters=1", *(text.replace("{ran}", str(ran)) for text in command)]
    (folder / "run.json").write_text(json.dumps({"settings": {}, "state": "running", "command": command}))
    done = run_script("""
        from bf_programs.batchflow import main
        main(["resume", "outputs/sent"])
    """)
    assert done.code == 1
    assert why in done.err
    assert not ran.exists()


def test_a_sweep_that_is_resumed(run_script, tmp_path):
    folder = tmp_path / "multirun/sent"
    folder.mkdir(parents=True)
    (folder / "journal.jsonl").write_text(json.dumps({"journal": 1}) + "\n")
    hydra = ["hydra.launcher.preload=[stranger_of_a_module]", "hydra/launcher=gpu"]
    text = json.dumps({"hydra": {"overrides": {"task": ["model=mlp", "tracking=none"], "hydra": hydra}}})
    (folder / "multirun.yaml").write_text(text)
    (tmp_path / "stranger_of_a_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')")
    done = run_script("""
        from bf_programs.batchflow import main
        main(["resume", "multirun/sent"])
    """)
    assert done.code == 1
    assert "'stranger_of_a_module' is refused" in done.err
    assert not (tmp_path / "ran").exists()
