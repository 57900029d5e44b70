"""A project to begin with: its own ``train.py`` and ``conf/``, and all else from what is installed."""

from __future__ import annotations

import sys
from pathlib import Path

from bf_index.errors import escape
from bf_programs.train import CONFIGURATIONS

_PROGRAM = '''"""{about}"""

from pathlib import Path

from bf_programs.{name} import main

if __name__ == "__main__":
    main(Path(__file__).with_name("conf"))
'''
_ABOUT = {
    "train": "The main command: ``python train.py model=resnet18`` trains, tests and records one model.",
    "predict": "The second command: ``python predict.py run=outputs/NAME dataset.path=photos`` uses a "
    "trained network.",
}
_EXPERIMENT = """\
# @package _global_
# Settings of your own under one name: python train.py experiment=first
defaults:
  - override /model: lenet

n_epochs: 2
optimizer: {learning_rate: 0.002}
"""
_TEST = '''"""The project trains: ``python -m pytest`` from its folder."""

import json
import math
import subprocess
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parents[1]


def test_a_short_training_ends_with_finite_metrics(tmp_path):
    command = [sys.executable, str(PROJECT / "train.py"), "experiment=first", "debug=short", "name=short"]
    subprocess.run(command, cwd=tmp_path, check=True)
    record = json.loads((tmp_path / "outputs" / "short" / "run.json").read_text())
    assert record["state"] == "finished"
    assert all(math.isfinite(value) for value in record["metrics"].values())
'''
_README = """\
# {name}

    python train.py experiment=first                  # train; the settings are in conf/experiment/first.yaml
    python train.py --help                            # the parts and settings there are
    python train.py -m model=mlp,lenet,vgg7           # compare
    python predict.py run=outputs/NAME dataset.path=photos
    batchflow show                                    # what was trained here
    python -m pytest

`conf/train.yaml` and `conf/predict.yaml` are yours to change. Parts that `conf/` does not have, such as
`model=resnet18` or `dataset=image_folder`, come with bf-research; a file of the same name below `conf/` takes
their place.
"""
_IGNORED = "outputs/\nmultirun/\nresearch/\nmlflow.db\nmlartifacts/\nmlruns/\n__pycache__/\n.venv/\n"


def init(folder: Path) -> None:
    """Write a project into a folder that is new or empty, and tell how to go on.

    ``FileExistsError`` for a folder with something in it.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise FileExistsError(
            f"{escape(folder)} is not empty: a project begins in a new folder; name another"
        )
    for path, text in files(folder.resolve().name).items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text, encoding="utf-8")
    sys.stdout.write(
        f"{escape(folder)} has train.py, predict.py, conf/ and a test; begin with\n"
        f"  cd {escape(folder)}\n  python train.py experiment=first\n"
    )


def files(name: str) -> dict[str, str]:
    """Return the texts of a project's files by their paths."""
    return {
        **{f"{one}.py": _PROGRAM.format(name=one, about=about) for one, about in _ABOUT.items()},
        **{f"conf/{one}.yaml": (CONFIGURATIONS / f"{one}.yaml").read_text("utf-8") for one in _ABOUT},
        "conf/experiment/first.yaml": _EXPERIMENT,
        "tests/test_train.py": _TEST,
        "README.md": _README.format(name=name),
        ".gitignore": _IGNORED,
    }
