"""Configs of pipelines: one place for each path, and nothing that changes them."""

from __future__ import annotations

import copy
import json
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from bf_batch import Batch, Dataset, action
from bf_pipeline import C, Pipeline
from bf_pipeline.plain_config import UNSET, PlainConfig, find_value, merge_configs

NAMES = st.lists(st.sampled_from("abc"), min_size=1, max_size=4)


class Points(Batch):
    components = ("x",)

    @action
    def show(self, value, seen):
        seen.append(value)
        return self

    @action
    def change(self, value):
        value.update(changed=1) if isinstance(value, dict) else value.append(1)
        return self


@st.composite
def spellings(draw, value_only=False):
    """A path with a value, as one of the nested mappings that say so, with slashes anywhere."""
    names, value = draw(NAMES), draw(st.integers(0, 99))
    config = value
    end = len(names)
    while end:
        start = draw(st.integers(0, end - 1))
        config, end = {"/".join(names[start:end]): config}, start
    return names, value, config


def put(tree, names, value):
    """The reference: the last one wins, and what lies below or above a value goes."""
    for name in names[:-1]:
        if not isinstance(tree.get(name), dict):
            tree[name] = {}
        tree = tree[name]
    tree[names[-1]] = value


def expand(config):
    """A config as a tree of plain names."""
    if not isinstance(config, dict):
        return config
    tree = {}
    for key, value in config.items():
        *path, last = key.split("/")
        place = tree
        for name in path:
            place = place.setdefault(name, {})
            assert isinstance(place, dict)
        inner = expand(value)
        if isinstance(place.get(last), dict) and isinstance(inner, dict):
            assert not place[last].keys() & inner.keys()
            place[last].update(inner)
        else:
            assert last not in place
            place[last] = inner
    return tree


def read(tree, names):
    for name in names:
        if not isinstance(tree, dict) or name not in tree:
            return UNSET
        tree = tree[name]
    return tree


@given(st.lists(spellings(), min_size=1, max_size=6), st.lists(NAMES, max_size=6))
def test_merged_configs_have_one_answer_for_each_path(given_, asked):
    tree, config = {}, PlainConfig.of({})
    for names, value, spelled in given_:
        before = copy.deepcopy(dict(config))
        put(tree, names, value)
        merged = PlainConfig.of(merge_configs(config, PlainConfig.of(spelled)))
        assert dict(config) == before
        config = merged
    assert expand(dict(config)) == tree
    heads = [names[:n] for names, _, _ in given_ for n in range(1, len(names) + 1)]
    for names in [*asked, *heads]:
        found, right = find_value(config, "/".join(names)), read(tree, names)
        if right is UNSET:
            assert found is UNSET
        else:
            assert expand(found) == right


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"a": 1, "a/b": 2}, "a is set to 1 and to {'b': 2}"),
        ({"a/b/c": 2, "a/b": 1}, "a/b is set to {'c': 2} and to 1"),
        ({"a": {"b": 1}, "a/b/c": 2}, "a/b is set to 1 and to {'c': 2}"),
        ({"x": [1], "y": {"a": {"b": 1}, "a/b": 2}}, "y/a/b is set to 1 and to 2"),
    ],
)
def test_a_config_that_contradicts_itself_is_refused(config, words):
    for make in (lambda: Pipeline(config=config), lambda: Pipeline() << config):
        with pytest.raises(ValueError, match="which one is meant") as caught:
            make()
        assert words in str(caught.value)


def test_keys_that_do_not_meet_stay_as_they_are():
    config = {
        "a": {"b": 1},
        "a/c": 2,
        "files": {"in/1.png": 3, "in/2.png": 4},
        1: {"x/y": 5},
        "w": {0: 0.5, 1: 2},
    }
    made = Pipeline(config=config).config
    assert made == {**{key: config[key] for key in ("files", 1, "w")}, "a": {"b": 1, "c": 2}}


@pytest.mark.parametrize("ahead", [{}, {"prefetch": 2}])
def test_a_config_can_not_be_changed_in_place(ahead):
    given_ = {"m": {"k": 1}, "l": [1, {"k": [2]}]}
    pipeline = Pipeline(Dataset(2, Points), given_)
    changes = [
        lambda c: c.update(m=2),
        lambda c: c["m"].__setitem__("k", 9),
        lambda c: c["m"].pop("k"),
        lambda c: c["m"].setdefault("z", 1),
        lambda c: c["m"].__ior__({"z": 1}),
        lambda c: c["l"].append(3),
        lambda c: c["l"].reverse(),
        lambda c: c["l"][1]["k"].__iadd__([3]),
        lambda c: c["l"][1].clear(),
        lambda c: c.__delitem__("m"),
    ]
    for change in changes:
        for config in (pipeline.config, pickle.loads(pickle.dumps(pipeline.config))):
            with pytest.raises(TypeError, match="can't be changed in place"):
                change(config)
        change(copy.deepcopy(pipeline.config))
    for path in ("m", "l"):
        with pytest.raises(TypeError, match="can't be changed in place"):
            pipeline.change(C(path)).run(1, **ahead)
    given_["m"]["k"] = 7
    given_["l"].append(8)
    assert pipeline.config == {"m": {"k": 1}, "l": [1, {"k": [2]}]}
    assert json.loads(json.dumps(pipeline.config)) == pipeline.config
    assert type(pipeline.config | {"z": 1}) is dict
