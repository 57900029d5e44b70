"""The benchmarks say truly what they ran on, and take no name that is not there."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest

BENCH = Path(__file__).resolve().parents[2] / "tools" / "bench"

ZEN_2 = """\
processor\t: 0
vendor_id\t: AuthenticAMD
model name\t: AMD EPYC 7B12
flags\t\t: fpu vme sse2 ssse3 fma cx16 sse4_1 avx f16c bmi1 avx2 bmi2 sha_ni

processor\t: 1
model name\t: AMD EPYC 7B12
flags\t\t: fpu vme sse2 ssse3 fma cx16 sse4_1 avx f16c bmi1 avx2 bmi2 sha_ni
"""
SAPPHIRE_RAPIDS = """\
processor\t: 0
model name\t: Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz
flags\t\t: fpu fma avx2 avx512f avx512dq avx_vnni avx512_bf16 avx512_vnni amx_bf16 amx_tile amx_int8
"""


def run(*words: str, **environment: str | None) -> subprocess.CompletedProcess[str]:
    """Run Python in the folder of the benchmarks; None takes a variable away."""
    wanted = {**os.environ, **environment}
    return subprocess.run(
        [sys.executable, *words],
        cwd=BENCH,
        capture_output=True,
        text=True,
        check=False,
        env={name: value for name, value in wanted.items() if value is not None},
    )


@pytest.fixture
def cpu(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(BENCH)
    import _cpu

    yield _cpu
    del sys.modules["_cpu"]


@pytest.mark.parametrize(
    ("text", "model", "sets", "kind"),
    [
        (ZEN_2, "AMD EPYC 7B12", {"avx2", "fma"}, "AVX2"),
        (
            SAPPHIRE_RAPIDS,
            "Intel(R) Xeon(R) Platinum 8481C CPU @ 2.70GHz",
            {"avx2", "fma", "avx512f", "avx512_vnni", "avx512_bf16", "avx_vnni", "amx_tile"},
            "AVX-512",
        ),
    ],
)
def test_the_head_of_a_table_names_the_cpu_and_its_sets(
    cpu: ModuleType, monkeypatch: pytest.MonkeyPatch, text: str, model: str, sets: set[str], kind: str
) -> None:
    monkeypatch.setattr(cpu, "_cpuinfo", lambda: text)
    told = cpu.head()
    assert f"CPU: {model}; has " in told
    has, lacks = told.split("; has ")[1].split("; lacks ")
    assert set(has.split()) == sets
    assert set(lacks.split(";")[0].split()) - {"none"} == set(cpu.SETS) - sets
    assert cpu.kind() == kind


def test_the_cores_that_others_keep_busy_are_counted(cpu: ModuleType) -> None:
    work = "print(flush=True)\nwhile True: pass"
    alone = cpu.others(1.0)
    assert 0 <= alone <= os.cpu_count()
    with subprocess.Popen([sys.executable, "-c", work], stdout=subprocess.PIPE) as process:
        process.stdout.readline()
        beside = cpu.others(1.0)
        process.kill()
    assert beside > 0.5, (alone, beside)


@pytest.mark.parametrize(("value", "seen"), [(None, "1"), ("0", "0")])
def test_onednn_is_asked_for_unless_the_user_has_said_otherwise(value: str | None, seen: str) -> None:
    code = "import os, common; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
    assert run("-c", code, TF_ENABLE_ONEDNN_OPTS=value).stdout.split() == [seen]


@pytest.mark.slow
@pytest.mark.parametrize(("value", "word"), [("1", "on"), ("0", "OFF")])
def test_onednn_is_told_as_tensorflow_has_it(value: str, word: str) -> None:
    code = "import common, _cpu, tensorflow; print(_cpu.head())"
    done = run("-c", code, TF_ENABLE_ONEDNN_OPTS=value)
    assert f"oneDNN {word} (TF_ENABLE_ONEDNN_OPTS = {value})" in done.stdout, done.stderr


EQUAL = """
import numpy as np, common, _models_steps as steps
for network in steps.NETWORKS.values():
    _, made = steps.ours(network)
    plain = steps.plain(made)
    assert all(type(layer).__module__.startswith("keras.") for layer in plain.layers)
    plain.set_weights(made.get_weights())
    images = network.data()[0][:4]
    ours, theirs = (np.asarray(one(images)) for one in (made, plain))
    print(float(np.abs(ours - theirs).max() / np.abs(theirs).max()))
"""


@pytest.mark.slow
def test_the_networks_that_keras_trains_compute_the_same_by_its_own_layers() -> None:
    done = run("-c", EQUAL)
    differences = [float(line) for line in done.stdout.split()]
    assert len(differences) == 5, done.stderr
    assert max(differences) < 1e-4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["modles"], "unknown benchmark: modles; there are: batch, images"),
        (["models", "images", "--", "resnet18"], "parts after -- are those of one benchmark, got 2"),
        (["batch", "--", "making"], "batch has no parts, got: making"),
        (["models", "--", "resnet19"], "unknown part: resnet19; there are: host, resnet18, vgg7"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(words: list[str], message: str) -> None:
    done = run(str(BENCH), *words)
    assert done.returncode != 0
    assert message in done.stdout + done.stderr
