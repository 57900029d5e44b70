"""Files of models that claim more than they hold: weights, and configurations of larger networks."""

from __future__ import annotations

import json
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest

from bf_models import MLP, VGG7
from bf_models.convert.h5 import read_h5
from bf_models.convert.pth import read_pth
from bf_models.errors import CorruptModel, ModelStateError
from bf_models.safetensors import load_file
from bf_models.saving import archive

LITTLE = 24 << 20


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("saved") / "model.bfm"
    MLP({"inputs": {"images": {"shape": (4,)}}, "num_classes": 2, "loss": "ce"}).build().save(path)
    return path


def forge(saved: Path, tmp_path: Path, **changes) -> Path:
    """Write a model file with right checksums and other words in its description."""
    held = archive.load(saved)
    told = {
        **held.description,
        **changes,
        "config": {**held.description["config"], **changes.get("config", {})},
    }
    archive.write(tmp_path / "b.bfm", archive.Saved(told, held.weights, held.optimizer))
    return tmp_path / "b.bfm"


@pytest.mark.parametrize(
    "config",
    [
        {"num_classes": 10**11},
        {"body": {"units": [10**6, 10**6]}},
        {"body": {"units": [1] * 100_000}},
        {"inputs": {"images": {"shape": [10**12]}}},
    ],
    ids=["classes", "wide", "deep", "inputs"],
)
def test_configs(saved, tmp_path, canary, config):
    path = forge(saved, tmp_path, config=config, **({"shapes": {}} if "inputs" in config else {}))
    with (
        canary.memory(64 << 20),
        pytest.raises(ModelStateError, match=r"b\.bfm: its config asks for more than"),
    ):
        MLP.load(path)


@pytest.mark.parametrize(
    ("config", "why"),
    [
        (
            {"body": {"_target_": "bf_models.blocks.ConvBlock", "layout": "a" * 1_000_000}},
            "1,000,000|letters",
        ),
        ({"body": {"_target_": "bf_models.blocks.ConvBlock", "layout": ["a"] * 1_000_000}}, "letters"),
        (
            {"body": {"_target_": "bf_models.blocks.Upsample", "factor": 100_000}},
            r"b\.bfm.* makes",
        ),
    ],
    ids=["letters", "list", "enlarged"],
)
def test_layers_without_weights(tmp_path, canary, config, why):
    VGG7({"inputs": {"images": {"shape": (8, 8, 3)}}, "num_classes": 2}).build().save(tmp_path / "v.bfm")
    path = forge(tmp_path / "v.bfm", tmp_path, config=config)
    with canary.memory(64 << 20), pytest.raises(ModelStateError, match=why):
        VGG7.load(path)


def test_layers_without_weights_for_pictures_of_any_size(tmp_path, canary):
    any_size = {"inputs": {"images": {"shape": (None, None, 3)}}, "num_classes": 2}
    made = VGG7(any_size).build()
    made.save(tmp_path / "v.bfm")
    images = np.random.default_rng(0).normal(size=(2, 40, 24, 3)).astype("f4")
    np.testing.assert_array_equal(VGG7.load(tmp_path / "v.bfm").predict(images), made.predict(images))
    enlarged = {"body": {"_target_": "bf_models.blocks.Upsample", "factor": 100_000}}
    path = forge(tmp_path / "v.bfm", tmp_path, config=enlarged)
    with canary.memory(64 << 20), pytest.raises(ModelStateError, match=r"b\.bfm.* makes"):
        VGG7.load(path)


def test_configs_of_honest_files(tmp_path):
    """A network with norms and dropout, which have variables beside weights, loads within its bounds."""
    config = {"inputs": {"images": {"shape": (8, 8, 3)}}, "num_classes": 2, "head": {"dropout": 0.5}}
    made = VGG7(config).build()
    made.save(tmp_path / "v.bfm")
    loaded = VGG7.load(tmp_path / "v.bfm")
    images = np.random.default_rng(0).normal(size=(2, 8, 8, 3)).astype("f4")
    np.testing.assert_array_equal(loaded.predict(images), made.predict(images))


def torch_file(path: Path, instructions: bytes, numbers: bytes) -> Path:
    """Write a file of torch whose pickle is made by hand."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as file:
        file.writestr("m/data.pkl", instructions)
        file.writestr("m/data/0", numbers)
    return path


def text(word: str) -> bytes:
    return b"X" + struct.pack("<I", len(word)) + word.encode()


def storage(count: int, kind: str = "FloatStorage") -> bytes:
    """Return the instructions for ('storage', torch.FloatStorage, '0', 'cpu', count) by persistent id."""
    name = b"ctorch\n" + kind.encode() + b"\n"
    return b"(" + text("storage") + name + text("0") + text("cpu") + b"J" + struct.pack("<i", count) + b"tQ"


def tensor(count: int, size: tuple[int, ...], strides: tuple[int, ...]) -> bytes:
    def numbers(values):
        return b"(" + b"".join(b"\x8a\x08" + struct.pack("<q", value) for value in values) + b"t"

    start = b"ctorch._utils\n_rebuild_tensor_v2\n("
    return start + storage(count) + b"K\0" + numbers(size) + numbers(strides) + b"\x89}tR"


def test_strides_of_torch_files(tmp_path, canary):
    """One number, repeated by strides of 0 to a tebibyte."""
    data = b"\x80\x02}(" + text("w") + tensor(1, (1 << 38,), (0,)) + b"u."
    path = torch_file(tmp_path / "b.pth", data, bytes(4))
    with canary.memory(LITTLE), pytest.raises(CorruptModel, match=r"b\.pth: its tensors take more than"):
        read_pth(path)


def test_storages_of_torch_files(tmp_path, canary):
    """One storage of 1 MiB that a hundred tensors name."""
    one = tensor(1 << 18, (1 << 18,), (1,))
    data = b"\x80\x02}(" + b"".join(text(f"w{k}") + one for k in range(100)) + b"u."
    path = torch_file(tmp_path / "b.pth", data, bytes(1 << 20))
    with (
        canary.memory(64 << 20),
        pytest.raises(CorruptModel, match=r"b\.pth: its tensors take more than 16 times"),
    ):
        read_pth(path)
    few = b"\x80\x02}(" + b"".join(text(f"w{k}") + one for k in range(3)) + b"u."
    assert list(read_pth(torch_file(tmp_path / "good.pth", few, bytes(1 << 20)))) == ["w0", "w1", "w2"]


@pytest.mark.parametrize(
    "swelling",
    [b"Nr\xff\xff\xff\x7f", b"\x96" + struct.pack("<Q", 1 << 40), b"Np2000000000\n"],
    ids=["memo", "bytearray", "text memo"],
)
def test_instructions_of_torch_files(tmp_path, canary, swelling):
    path = torch_file(tmp_path / "b.pth", b"\x80\x05" + swelling + b".", b"")
    with canary.memory(LITTLE), pytest.raises(CorruptModel, match=r"b\.pth"):
        read_pth(path)


def test_safetensors_files(tmp_path, canary):
    """Half numbers that become whole ones, all of the same bytes."""
    entry = {"dtype": "BF16", "shape": [1 << 19], "data_offsets": [0, 1 << 20]}
    head = json.dumps({f"w{k}": entry for k in range(200)}).encode()
    (tmp_path / "b.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(1 << 20))
    with (
        canary.memory(LITTLE),
        pytest.raises(CorruptModel, match=r"b\.safetensors does not fit: .* 209,715,200"),
    ):
        load_file(tmp_path / "b.safetensors")


def keras_file(path: Path, make) -> Path:
    h5py = pytest.importorskip("h5py")
    with h5py.File(path, "w") as file:
        file.attrs["layer_names"] = ["a"]
        group = file.create_group("a")
        group.attrs["weight_names"] = ["w"]
        make(group)
    return path


def test_keras_files(tmp_path, canary):
    path = keras_file(
        tmp_path / "b.h5", lambda group: group.create_dataset("w", (1 << 40,), "f4", chunks=(1024,))
    )
    with (
        canary.memory(LITTLE),
        pytest.raises(CorruptModel, match=r"b\.h5.* claim to become 4,398,046,511,104"),
    ):
        read_h5(path)


def test_keras_files_that_lead_to_other_files(tmp_path, canary):
    """Weights that stand in another file of this machine."""
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(64))
    given = [(str(secret), 0, 64)]
    path = keras_file(tmp_path / "b.h5", lambda group: group.create_dataset("w", (16,), "f4", external=given))
    with pytest.raises(CorruptModel, match=r"b\.h5: 'a/w' stands in another file"):
        read_h5(path)
