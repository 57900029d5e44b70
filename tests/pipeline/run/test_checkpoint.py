"""Checkpoints: what was saved comes back exactly, and only whole ones count."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from bf_index.errors import StateError
from bf_pipeline.run.checkpoint.files import (
    CorruptCheckpoint,
    check_schema,
    latest,
    open_folder,
    read_checkpoint,
    write_checkpoint,
)
from bf_pipeline.run.checkpoint.values import Decoder, Encoder, class_name

VALUES = {
    "plain": [None, True, 3, 2.5, "text", -0.0],
    "exact": [0.1 + 0.2, 1e-308, math.inf],
    "arrays": [np.arange(6, dtype=np.int16).reshape(2, 3), np.zeros((0, 4)), np.array(["a", "bc"])],
    "scalars": [np.float32(0.1), np.int64(7), np.bool_(True)],
    "containers": {
        "tuple": (1, (2,)),
        "set": {3, 1},
        "frozen": frozenset("ab"),
        "complex": 1 + 2j,
        "bytes": b"\x00",
    },
    "keys": {1: "a", (2, 3): "b", "$": "not a tag"},
    "empty": [[], {}, (), set()],
}


def same(left, right):
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        np.testing.assert_array_equal(left, right)
    elif isinstance(left, dict):
        assert list(left) == list(right)
        for key in left:
            same(left[key], right[key])
    elif isinstance(left, list | tuple):
        assert len(left) == len(right)
        for a, b in zip(left, right):
            same(a, b)
    else:
        assert repr(left) == repr(right) or left == right


class Weights:
    """A model in miniature: one file."""

    def __init__(self, value):
        self.value = value

    def save(self, path):
        path.write_text(json.dumps(self.value))


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_exactly_from_json_alone(name):
    text = json.dumps(Encoder().encode(VALUES[name], name))
    same(Decoder().decode(json.loads(text)), VALUES[name])


@pytest.mark.parametrize("name", VALUES)
def test_a_value_comes_back_exactly_from_json_and_arrays(name):
    arrays = {}
    text = json.dumps(Encoder(arrays).encode(VALUES[name], name))
    same(Decoder(arrays).decode(json.loads(text)), VALUES[name])


@pytest.mark.parametrize("value", [object(), print, np.array([None]), [1, {2: {object()}}]])
def test_a_value_that_is_not_data_is_refused_by_name(value):
    with pytest.raises(TypeError, match="variable 'v'"):
        Encoder().encode(value, "variable 'v'")


class Counts:
    def __init__(self, matrix):
        self.matrix = matrix


def test_an_object_is_saved_by_its_attributes_if_its_class_is_known():
    classes = {class_name(Counts): Counts}
    tree = json.loads(json.dumps(Encoder(None, classes).encode([Counts(np.eye(2))], "v")))
    (found,) = Decoder({}, classes).decode(tree)
    assert type(found) is Counts
    np.testing.assert_array_equal(found.matrix, np.eye(2))
    with pytest.raises(ValueError, match="does not name"):
        Decoder().decode(tree)
    with pytest.raises(TypeError, match="Counts"):
        Encoder().encode(Counts(1), "v")


def write(folder, n, **more):
    """A small checkpoint."""
    return write_checkpoint(folder, {"n": n}, {"a": np.full(3, n)}, {}, **more)


def test_a_checkpoint_holds_state_arrays_and_models(tmp_path):
    folder = tmp_path / "my check points ✓"
    made = write_checkpoint(folder, {"position": {"batch": 3}}, {"a": np.eye(3)}, {"net/1": Weights(5)})
    found = latest(folder)
    assert found.folder == made
    assert found.state["position"] == {"batch": 3}
    np.testing.assert_array_equal(found.arrays["a"], np.eye(3))
    assert found.model_path("net/1").read_text() == "5"
    with pytest.raises(KeyError, match="net/1"):
        found.model_path("net")


def test_the_last_ones_are_kept_and_the_newest_is_found(tmp_path):
    for number in range(5):
        write(tmp_path, number, keep=2)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["checkpoint-000004", "checkpoint-000005"]
    assert latest(tmp_path).state["n"] == 4


def test_a_state_that_can_not_be_saved_leaves_nothing_behind(tmp_path):
    write(tmp_path, 1)
    with pytest.raises(TypeError):
        write_checkpoint(tmp_path, {"bad": object()}, {}, {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["checkpoint-000001"]


def test_no_checkpoint_is_an_error_naming_the_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        latest(tmp_path / "nowhere")


def test_a_state_without_a_schema_is_refused():
    with pytest.raises(StateError, match="schema"):
        check_schema({"epoch": 3})


def test_opening_the_folder_leaves_it_empty(tmp_path):
    assert list(open_folder(tmp_path / "a" / "b").iterdir()) == []


def test_a_file_that_was_added_or_linked_is_noticed(tmp_path):
    made = write_checkpoint(tmp_path, {}, {}, {})
    (made / "more.py").write_text("")
    with pytest.raises(CorruptCheckpoint, match=r"more\.py"):
        read_checkpoint(made)
    (made / "more.py").unlink()
    (made / "link").symlink_to("/etc/hostname")
    with pytest.raises(CorruptCheckpoint, match="link"):
        read_checkpoint(made)
