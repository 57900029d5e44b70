"""The types of the public API are as documented."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.slow
def test_the_api_of_pipelines_is_typed_and_refuses_wrong_options(monkeypatch):
    mypy = pytest.importorskip("mypy.api")
    monkeypatch.chdir(ROOT)
    page = "tests/typing/pipeline_api.py"
    out, err, code = mypy.run(["--warn-unused-ignores", "--config-file", "pyproject.toml", page])
    assert code == 0, out + err
