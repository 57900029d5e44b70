"""Who gets which device, and leases on GPUs."""

from __future__ import annotations

import math
import os
from pathlib import Path

import pytest

from bf_research.launcher import LauncherError
from bf_research.launcher.devices import (
    Found,
    Gpu,
    Machine,
    choose,
    find_machine,
    group_devices,
    mask_gpus,
    parse,
    plan,
    share,
)
from bf_research.launcher.gpu_leases import Leases

TWO = Machine((Gpu("0", 8000), Gpu("1", 16000)), (0, 1, 2, 3))


class TestDevices:
    def test_auto_takes_every_gpu(self):
        assert choose("auto", TWO) == ["gpu:0", "gpu:1"]

    def test_auto_without_gpus_makes_places_of_the_cores(self):
        assert choose("auto", Machine((), (0, 1))) == ["cpu:0", "cpu:1"]
        assert choose("auto", Machine((), (0, 1)), workers=3) == ["cpu:0", "cpu:1", "cpu:2"]

    def test_an_existing_mask_renumbers_the_gpus(self):
        found = [Found("GPU-aa", 1), Found("GPU-bb", 2), Found("GPU-cc", 3)]
        assert mask_gpus(found, "2,0") == ((Gpu("2", 3), Gpu("0", 1)), "")
        assert mask_gpus(found, "GPU-b") == ((Gpu("GPU-b", 2),), "")
        assert mask_gpus(found, "1,7,0") == ((Gpu("1", 2),), "7")
        assert mask_gpus(found, "") == mask_gpus(found, "-1") == ((), "")
        assert mask_gpus(found, None) == ((Gpu("0", 1), Gpu("1", 2), Gpu("2", 3)), "")

    @pytest.mark.parametrize("devices", ["auto", ["gpu:0"]])
    def test_mig_instances_are_told_and_not_taken_for_no_gpu(self, devices, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "MIG-8c1a2b,MIG-9d")
        with pytest.raises(LauncherError, match=r"the MIG instance MIG-8c1a2b: .*whole GPUs; launch=local"):
            choose(devices, find_machine())
        with pytest.raises(LauncherError, match="gpu:0 is split into MIG instances"):
            choose(devices, Machine((Gpu("0", 80000, split=True),)))
        assert choose(["cpu:0"], find_machine()) == ["cpu:0"]

    def test_a_mask_that_names_no_gpu_is_told(self, caplog: pytest.LogCaptureFixture):
        gone = Machine((), (0,), hidden="7")
        assert choose("auto", gone) == ["cpu:0"]
        assert "CUDA_VISIBLE_DEVICES names 7, which is no GPU of this machine" in caplog.text
        with pytest.raises(LauncherError, match=r"gpu:0 is not on this machine.*ends at 7"):
            choose(["gpu:0"], gone)

    def test_workers_see_their_device_through_the_mask_that_is_there(self):
        slots = plan(["gpu:0", "gpu:1"], Machine((Gpu("5"), Gpu("3")), (0, 1)))
        assert [slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots] == ["5", "3"]
        assert [slot.environment["BF_DEVICES"] for slot in slots] == ["gpu:0", "gpu:1"]
        assert all(slot.environment["TF_FORCE_GPU_ALLOW_GROWTH"] == "true" for slot in slots)

    def test_cpu_workers_see_no_gpu_and_share_the_cores(self):
        slots = plan(["cpu:0", "cpu:1"], TWO)
        assert [slot.cores for slot in slots] == [(0, 1), (2, 3)]
        assert {slot.environment["CUDA_VISIBLE_DEVICES"] for slot in slots} == {"-1"}
        assert {slot.environment["TF_NUM_INTRAOP_THREADS"] for slot in slots} == {"2"}

    def test_several_workers_on_a_device_come_after_one_on_each(self):
        slots = plan("auto", TWO, per_device=2)
        assert [slot.name for slot in slots] == ["gpu:0/0", "gpu:1/0", "gpu:0/1", "gpu:1/1"]
        assert slots[0].memory_limit == 3680
        assert slots[0].environment["XLA_PYTHON_CLIENT_MEM_FRACTION"] == "0.460"

    def test_a_job_may_get_several_devices(self):
        (slot,) = plan("auto", TWO, devices_per_job=2)
        assert slot.devices == ("gpu:0", "gpu:1")
        assert slot.environment["CUDA_VISIBLE_DEVICES"] == "0,1"
        assert plan("auto", TWO, per_device=0.5) == [slot]

    @pytest.mark.parametrize(("part", "size"), [(1 / 3, 3), (0.333, 3), (0.25, 4), (0.1666667, 6)])
    def test_a_fraction_is_one_of_a_whole_number_of_devices(self, part: float, size: int):
        devices = [f"cpu:{number}" for number in range(12)]
        assert group_devices(devices, part, 1) == group_devices(devices, 1, size)

    def test_workers_are_at_most_so_many(self):
        assert len(plan("auto", TWO, per_device=3, workers=4)) == 4

    @pytest.mark.parametrize(
        ("devices", "options", "text"),
        [
            (["gpu:x"], {}, "gpu:0 or cpu:0"),
            ([], {}, "empty"),
            (["cpu:0", "cpu:0"], {}, "twice"),
            (["cpu:0"], {"per_device": 0}, "above 0"),
            (["cpu:0"], {"per_device": 1.5}, "whole"),
            (["cpu:0", "cpu:1"], {"per_device": 0.4}, r"0\.4; devices_per_job=3"),
            (["cpu:0"], {"per_device": 0.7}, r"0\.7"),
            (["cpu:0"], {"per_device": math.nan}, "nan"),
            (["cpu:0"], {"per_device": math.inf}, "inf"),
            (["cpu:0"], {"devices_per_job": 2}, "needs 2 devices, there are 1"),
            (["cpu:0"], {"devices_per_job": 0}, "at least 1"),
            (["cpu:0", "cpu:1"], {"per_device": 0.5, "devices_per_job": 2}, "one of them"),
            (["cpu:0"], {"workers": 0}, "at least 1"),
        ],
    )
    def test_numbers_that_do_not_fit_are_refused(self, devices, options, text):
        with pytest.raises(LauncherError, match=text):
            plan(devices, TWO, **options)

    def test_cores_are_apart_while_there_are_enough(self):
        assert [share(range(5), number, 2) for number in range(2)] == [(0, 1), (2, 3, 4)]
        assert [share((4, 7), number, 3) for number in range(3)] == [(4,), (7,), (4,)]

    def test_a_device_is_kind_and_number(self):
        assert parse(" GPU:1 ") == ("gpu", 1)
        assert group_devices(["a", "b", "c"], 1, 2) == [(("a", "b"), 1)]


class TestLeases:
    def test_a_second_holder_is_told_the_first(self, tmp_path: Path):
        with Leases(["gpu:0"], tmp_path), pytest.raises(LauncherError, match=f"process {os.getpid()}"):
            Leases(["gpu:1", "gpu:0"], tmp_path)

    def test_a_refused_lease_gives_back_the_others(self, tmp_path: Path):
        with Leases(["gpu:0"], tmp_path), pytest.raises(LauncherError):
            Leases(["gpu:1", "gpu:0"], tmp_path)
        with Leases(["gpu:1"], tmp_path):
            assert sorted(path.name for path in tmp_path.iterdir()) == ["gpu-0.lease", "gpu-1.lease"]
