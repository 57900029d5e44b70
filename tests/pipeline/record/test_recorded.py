"""A recorded pipeline is a value that can be read without what records and runs it."""

from __future__ import annotations

import pickle
import subprocess
import sys

import pytest

from bf_pipeline import C, Pipeline
from bf_pipeline.errors import Location
from bf_pipeline.plain_config import PlainConfig
from bf_pipeline.record.recorded import Call, Recorded, Repeat, walk_all_calls, walk_calls, with_config

HERE = Location("here.py", 1)


def test_a_config_is_made_plain_once_and_merged():
    recorded = Recorded(None, {"model": {"lr": 1, "depth": 2}})
    assert isinstance(recorded.config, PlainConfig)
    more = with_config(recorded, {"model": {"lr": 3}})
    assert more.config == {"model": {"lr": 3, "depth": 2}}
    assert recorded.config["model"]["lr"] == 1
    assert type(with_config(Pipeline().add(C("lr")), {"lr": 1})) is Pipeline


@pytest.mark.parametrize("wrong", [5, [1]])
def test_what_is_no_dataset_and_no_config_is_refused(wrong):
    with pytest.raises(TypeError, match="the first argument is a Dataset"):
        Recorded(wrong)
    with pytest.raises(TypeError, match="config must be a mapping"):
        with_config(Recorded(), wrong)


def test_calls_are_walked_in_the_order_of_running():
    first, second, third = (Call(name, (), {}, HERE) for name in ("one", "two", "three"))
    recorded = Recorded(steps=(Repeat((second,), 2, HERE),), before_steps=(first,), after_steps=(third,))
    assert list(walk_all_calls(recorded)) == [first, second, third]
    assert list(walk_calls(recorded.steps)) == [second]


def test_a_pickled_pipeline_is_the_same_value():
    pipeline = Pipeline(None, {"lr": 1}).before.print("go").main.add(C("lr")) * 2
    assert repr(pickle.loads(pickle.dumps(pipeline))) == repr(pipeline)


def test_what_is_recorded_is_read_without_what_runs_it():
    code = (
        "import sys, types, pathlib, importlib.util as u\n"
        "package = types.ModuleType('bf_pipeline')\n"
        "package.__path__ = list(u.find_spec('bf_pipeline').submodule_search_locations)\n"
        "sys.modules['bf_pipeline'] = package\n"
        "import bf_pipeline.record.recorded, bf_pipeline.record.text, bf_pipeline.record.yaml\n"
        "above = ('bf_pipeline.bind', 'bf_pipeline.run', 'bf_pipeline.pipeline')\n"
        "sys.exit(', '.join(name for name in sys.modules if name.startswith(above)) or None)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
