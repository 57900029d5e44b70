"""Pickles for workers: quick where they can be, by value where they must be."""

from __future__ import annotations

import pickle
import sys
import types

import numpy as np
import pytest

from bf_batch.engines.pickling import dumps, dumps_quickly, explain_failure, find_culprit


def test_a_quick_pickle_is_a_plain_one_where_that_is_enough():
    value = {"a": [1, np.arange(3)], "b": np.mean}
    assert dumps_quickly(value) == pickle.dumps(value, pickle.HIGHEST_PROTOCOL)


def test_a_quick_pickle_takes_what_plain_pickle_refuses():
    assert pickle.loads(dumps_quickly(lambda: 5))() == 5


def test_classes_of_modules_that_were_run_twice_go_by_name():
    twin = type("OrderedDict", (), {"__module__": "collections"})
    assert pickle.loads(dumps_quickly(twin, ("collections",))) is __import__("collections").OrderedDict
    assert pickle.loads(dumps_quickly(twin)) is not __import__("collections").OrderedDict


def test_functions_of_modules_that_a_worker_cannot_import_go_by_value(monkeypatch: pytest.MonkeyPatch):
    module = types.ModuleType("bf_made_here")
    exec("def answer():\n    return 42", module.__dict__)
    monkeypatch.setitem(sys.modules, "bf_made_here", module)
    data = dumps(module.answer)
    monkeypatch.delitem(sys.modules, "bf_made_here")
    assert pickle.loads(data)() == 42


def test_the_part_that_cannot_be_pickled_is_found():
    frames = sys._getframe()
    assert explain_failure([1]) is None
    assert "frame" in str(explain_failure(frames))
    assert find_culprit("argument 0", {"a": [1, frames]}) == ("argument 0['a'][1]", frames)
