"""Importing the light packages stays light, and the direction of imports is proved by reading them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

ROOT = Path(__file__).resolve().parents[2]
HEAVY = ["tensorflow", "keras", "hydra", "mlflow", "numba", "PIL", "pandas", "matplotlib", "sklearn", "torch"]


def loaded(statement: str) -> set[str]:
    """Top-level modules that a fresh interpreter has after a statement."""
    report = "print(json.dumps(sorted({name.split('.')[0] for name in sys.modules})))"
    code = f"import sys, json\n{statement}\n{report}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout))


def test_importing_index_batch_and_pipeline_loads_nothing_heavy() -> None:
    names = loaded("import bf_index, bf_batch, bf_pipeline; from bf_batch import Batch, Dataset, ImagesBatch")
    assert {"bf_index", "bf_batch", "bf_pipeline"} <= names
    assert sorted(names & set(HEAVY)) == []


def test_importing_models_and_research_loads_nothing_heavy() -> None:
    names = loaded("import bf_models, bf_research; from bf_research import Domain, Option, Research")
    assert sorted(names & set(HEAVY)) == []


def test_importing_the_plugins_loads_no_tensorflow_and_no_mlflow() -> None:
    plugins = "hydra_plugins.bf_launcher, hydra_plugins.bf_sweeper, hydra_plugins.bf_searchpath"
    names = loaded(f"import {plugins}; from hydra.core.plugins import Plugins; Plugins.instance()")
    assert "hydra" in names
    assert sorted(names & {"tensorflow", "keras", "mlflow", "numba", "pandas"}) == []


def test_the_direction_of_imports_holds(layers: ModuleType) -> None:
    assert layers.check(ROOT) == []
    assert {package for package, _ in layers.sources(ROOT)} == set(layers.LAYERS)


@pytest.mark.parametrize(
    ("module", "source", "message"),
    [
        ("bf_index.index", "import bf_batch", "bf_index imports bf_batch"),
        ("bf_batch.batch", "def f():\n    from bf_pipeline import B", "bf_batch imports bf_pipeline"),
        ("bf_models.config.spec", "from bf_batch import Batch", "bf_models imports bf_batch"),
        (
            "bf_research.train",
            "class A:\n  def f(self):\n    import bf_models",
            "bf_research imports bf_models",
        ),
        ("bf_pipeline.run", "import pandas", "pandas at module level"),
        (
            "bf_pipeline.run",
            "try:\n    import ray\nexcept ImportError:\n    ray = None",
            "ray at module level",
        ),
        ("bf_pipeline.run", "from bf_batch._private import x", "private to bf_batch"),
        ("bf_batch.images.batch", "from bf_batch.images.kernels.interpolate import warp", "loads numba"),
    ],
)
def test_a_breach_is_named(layers: ModuleType, module: str, source: str, message: str) -> None:
    rules = layers.LAYERS[module.split(".", maxsplit=1)[0]]
    assert message in " ".join(text for _, text in layers.breaches(module, rules, source))


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("bf_pipeline.run", "import os, numpy\nfrom bf_batch import Batch"),
        ("bf_pipeline.run", "def f():\n    import pandas"),
        (
            "bf_batch.batch",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from pandas import DataFrame",
        ),
        ("bf_batch.images.kernels.interpolate", "import numba"),
        ("bf_batch.images.batch", "def f():\n    from bf_batch.images.kernels.interpolate import warp"),
    ],
)
def test_what_is_allowed_passes(layers: ModuleType, module: str, source: str) -> None:
    assert list(layers.breaches(module, layers.LAYERS[module.split(".", maxsplit=1)[0]], source)) == []
