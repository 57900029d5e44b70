"""The IX rows of the catalogue of faults: indices and plans of batches."""

from __future__ import annotations

import os
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from bf_batch import Batch
from bf_index import DatasetIndex, FilesIndex, StateError


@pytest.mark.faults("IX01a")
@pytest.mark.parametrize("nothing", [[], 0, np.array([]), range(0), (), lambda: []])
def test_an_empty_index_is_refused(nothing):
    with pytest.raises(ValueError, match="empty"):
        DatasetIndex(nothing)


@pytest.mark.faults("IX01b")
def test_a_pattern_that_matches_nothing_is_an_error_with_pattern_and_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError) as caught:
        FilesIndex(path="nowhere/*.png")
    assert "nowhere/*.png" in str(caught.value)
    assert str(tmp_path) in str(caught.value)


@pytest.mark.faults("IX02")
@pytest.mark.parametrize("ids", [["a", "b", "a"], np.array(["a", "b", "a"]), [("x",), ("y",), ("x",)]])
def test_duplicate_ids_are_listed(ids):
    with pytest.raises(ValueError, match=r"must be unique, got .* at positions 0 and 2"):
        DatasetIndex(ids)


@pytest.mark.faults("IX02")
def test_of_many_duplicates_the_first_are_listed():
    with pytest.raises(
        ValueError, match=r"1 at positions 0 and 4, 2 at positions 1 and 5, 3 at .* and 1 more"
    ):
        DatasetIndex([1, 2, 3, 4, 1, 2, 3, 4])


@pytest.mark.faults("IX03a", "IX03b")
@pytest.mark.parametrize("method", ["gen_batch", "next_batch", "endless"])
def test_batch_size_over_length_is_refused_at_the_call(method):
    with pytest.raises(ValueError, match=r"batch_size=8 for 5 items"):
        getattr(DatasetIndex(5), method)(8)


@pytest.mark.faults("IX03b")
def test_batch_size_over_length_is_refused_under_prefetch_at_the_call(run_script):
    done = run_script("""
        from bf_batch import Batch, Dataset
        from bf_pipeline import Pipeline
        try:
            (Pipeline() << Dataset(5, Batch)).gen_batch(8, n_epochs=1, prefetch=2)
        except ValueError as error:
            print("refused:", error)
    """)
    assert "refused: batch_size must be at most the number of items, got batch_size=8 for 5 items" in done.out


@pytest.mark.faults("IX04a", "IX04b")
@pytest.mark.parametrize("size", [-2, 0])
def test_batch_size_below_one_is_named(size):
    with pytest.raises(ValueError, match=f"batch_size must be an integer >= 1, got {size}"):
        DatasetIndex(5).gen_batch(size)


@pytest.mark.faults("IX05")
def test_epochs_and_iterations_together_are_refused_at_the_call():
    with pytest.raises(ValueError, match="n_epochs=2 and n_iters=3"):
        DatasetIndex(5).gen_batch(2, n_epochs=2, n_iters=3)


@pytest.mark.faults("IX06")
def test_a_negative_number_of_epochs_is_refused():
    with pytest.raises(ValueError, match="n_epochs must be an integer >= 0, got -1"):
        DatasetIndex(5).gen_batch(2, n_epochs=-1)


@pytest.mark.faults("IX07")
def test_every_epoch_is_a_permutation_with_a_short_last_batch():
    batches = [list(batch) for batch in DatasetIndex(5).gen_batch(2, shuffle=True, n_epochs=2, seed=1)]
    assert [len(batch) for batch in batches] == [2, 2, 1, 2, 2, 1]
    for epoch in (batches[:3], batches[3:]):
        assert sorted(item for batch in epoch for item in batch) == [0, 1, 2, 3, 4]


@pytest.mark.faults("IX07b")
@pytest.mark.parametrize("size", [2, 3, 5])
def test_no_batch_holds_an_item_twice(size):
    for seed in range(30):
        for batch in DatasetIndex(5).gen_batch(size, shuffle=True, n_epochs=2, seed=seed):
            assert len(set(batch)) == len(batch)


@pytest.mark.faults("IX08a", "IX08b")
@pytest.mark.parametrize("shares", [[0.7, 0.5], [1.2, -0.4], 1.5, -0.1])
def test_shares_that_make_no_sense_are_named(shares):
    with pytest.raises(ValueError) as caught:
        DatasetIndex(10).split(shares)
    assert str(shares) in str(caught.value)


@pytest.mark.faults("IX09")
def test_shares_may_be_a_tuple():
    assert [len(part) for part in DatasetIndex(10).split((0.6, 0.2, 0.2))] == [6, 2, 2]


@pytest.mark.faults("IX09b")
def test_a_share_of_nothing_gives_no_part():
    assert DatasetIndex(10).split([0.5, 0.5, 0]).validation is None


@pytest.mark.faults("IX10")
def test_ids_of_mixed_types_are_never_turned_into_strings():
    for mixed in ([1, 2, "a"], np.array([1, 2, "a"], object), [1, 2.5]):
        with pytest.raises(TypeError, match=r"of one type, got 1 \(int\) at position 0"):
            DatasetIndex(mixed)


@pytest.mark.faults("IX11")
def test_three_million_ids_need_little_memory():
    names = [f"item{number}" for number in range(3_000_000)]
    tracemalloc.start()
    try:
        index = DatasetIndex(names)
        held, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert held < index.indices.nbytes + (1 << 20)
    assert peak - index.indices.nbytes < 200 << 20


@pytest.mark.faults("IX12")
def test_an_unknown_id_has_close_matches():
    with pytest.raises(KeyError, match=r"unknown id 'scan_12'.*did you mean 'scan_012'"):
        DatasetIndex(["scan_011", "scan_012", "photo"]).positions("scan_12")
    for ids in ([3, 4], ["a"], 5):
        with pytest.raises(KeyError, match="unknown id 77"):
            DatasetIndex(ids).create_subset([77])


@pytest.mark.faults("IX13")
@pytest.mark.parametrize("ids", [np.zeros((2, 3)), [[1, 2], [3, 4]], [np.arange(2), np.arange(2)]])
def test_two_dimensional_ids_are_refused(ids):
    with pytest.raises(ValueError, match="1-d"):
        DatasetIndex(ids)


@pytest.mark.faults("IX14b")
def test_unicode_and_spaces_are_kept(tmp_path):
    folder = tmp_path / "мои снимки — 2026"
    folder.mkdir()
    names = ["été à la mer.png", "写真 1.png", " space.png"]
    for name in names:
        (folder / name).touch()
    index = FilesIndex(f"{tmp_path}/мои*/*.png")
    assert set(index) == set(names)
    assert all(Path(index.fullpath(name)).exists() for name in index)


@pytest.mark.faults("IX15")
def test_the_same_name_in_two_folders_is_named_with_both_paths(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "1.png").touch()
    with pytest.raises(ValueError) as caught:
        FilesIndex(f"{tmp_path}/*/*.png")
    for part in ("'1.png'", str(tmp_path / "a/1.png"), str(tmp_path / "b/1.png"), "relative=True"):
        assert part in str(caught.value)
    assert list(FilesIndex(f"{tmp_path}/*/*.png", relative=True)) == ["a/1.png", "b/1.png"]


@pytest.mark.faults("IX16")
def test_symlink_loops_end_and_each_file_comes_once(run_script, tmp_path):
    data = tmp_path / "data"
    (data / "a/b").mkdir(parents=True)
    for name in ("1.png", "a/2.png", "a/b/3.png"):
        (data / name).touch()
    os.symlink(data, data / "a/b/top")
    os.symlink(data / "a", data / "again")
    os.symlink("itself", data / "itself")
    done = run_script("from bf_index import FilesIndex; print(list(FilesIndex('data/**/*.png')))")
    assert done.out.strip() == "['1.png', '2.png', '3.png']"


@pytest.mark.faults("IX16")
def test_links_that_lead_nowhere_are_named(tmp_path):
    (tmp_path / "1.png").touch()
    os.symlink(tmp_path / "gone", tmp_path / "2.png")
    os.symlink("3.png", tmp_path / "3.png")
    for pattern in ("*.png", "**/*.png"):
        with pytest.raises(FileNotFoundError, match=r"2\.png.*lead nowhere"):
            FilesIndex(f"{tmp_path}/{pattern}")
        with pytest.warns(UserWarning, match=r"3\.png"):
            assert list(FilesIndex(f"{tmp_path}/{pattern}", on_error="warn")) == ["1.png"]
    with pytest.raises(FileNotFoundError, match="dangling"):
        FilesIndex(tmp_path / "2.png")


@pytest.mark.faults("IX17")
def test_an_unreadable_folder_is_named(run_script, tmp_path):
    for name in ("open/1.png", "closed/2.png"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).touch()
    (tmp_path / "closed").chmod(0)
    done = run_script(f"""
        import ctypes, warnings
        # Root may read everything by a capability; without any it is a user like others.
        ctypes.CDLL(None).capset((ctypes.c_uint32 * 2)(0x20080522, 0), (ctypes.c_uint32 * 6)())
        from bf_index import FilesIndex
        for pattern in ("*/*.png", "**/*.png", "closed/2.png"):
            try:
                FilesIndex(f"{tmp_path}/" + pattern)
            except PermissionError as error:
                print("refused", error)
        with warnings.catch_warnings(record=True) as seen:
            warnings.simplefilter("always")
            print(list(FilesIndex("{tmp_path}/**/*.png", on_error="warn")), "closed" in str(seen[0].message))
    """)
    (tmp_path / "closed").chmod(0o700)
    assert done.out.count("refused") == 3
    assert done.out.count(str(tmp_path / "closed")) >= 3
    assert "['1.png'] True" in done.out


@pytest.mark.faults("IX19")
@pytest.mark.parametrize("change", ["content", "time", "gone"])
def test_a_file_that_changed_is_named_at_load(tmp_path, change):
    for name in ("1.png", "2.png"):
        (tmp_path / name).write_text("before")
    index = FilesIndex(f"{tmp_path}/*.png", verify=True)
    batch = next(index.gen_batch(2))
    path = tmp_path / "2.png"
    if change == "content":
        path.write_text("after, and longer")
    elif change == "time":
        os.utime(path, ns=(1, 1))
    else:
        path.unlink()
    assert batch.fullpath("1.png")
    with pytest.raises(OSError, match=r"2\.png"):
        batch.fullpath("2.png")


@pytest.mark.faults("IX19")
def test_a_batch_names_the_file_that_changed_when_it_loads(tmp_path):
    for name in ("1.npy", "2.npy"):
        np.save(tmp_path / name, np.zeros(3))
    batch = next(FilesIndex(f"{tmp_path}/*.npy", verify=True).gen_batch(2))
    np.save(tmp_path / "2.npy", np.zeros(4))
    with pytest.raises(Exception, match=r"2\.npy' has changed since it was indexed"):
        Batch(batch).load(fmt="npy", dst="data")


@pytest.mark.faults("IX20")
def test_files_come_sorted_whatever_the_file_system_says(tmp_path):
    for number in np.random.default_rng(0).permutation(200):
        (tmp_path / f"{number:03}.png").touch()
    assert list(FilesIndex(f"{tmp_path}/*.png")) == [f"{number:03}.png" for number in range(200)]


@pytest.mark.faults("IX21")
def test_two_patterns_with_three_and_five_files_are_eight_items(tmp_path):
    for folder, count in (("a", 3), ("b", 5)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            (tmp_path / folder / f"{folder}{number}.png").touch()
    assert len(FilesIndex([f"{tmp_path}/a/*.png", f"{tmp_path}/b/*.png"])) == 8


@pytest.mark.faults("IX23")
def test_numpy_seeds_are_seeds():
    def run(seed):
        return [list(batch) for batch in DatasetIndex(20).gen_batch(5, shuffle=True, seed=seed)]

    assert run(np.int64(7)) == run(7) == run(np.uint8(7))


@pytest.mark.faults("IX24")
def test_a_state_of_other_data_is_refused_with_both_hashes():
    one, other = DatasetIndex(["a", "b", "c"]), DatasetIndex(["a", "b", "d"])
    state = one.gen_batch(2).state()
    with pytest.raises(StateError) as caught:
        other.gen_batch(2).restore(state)
    assert one.content_hash() in str(caught.value)
    assert other.content_hash() in str(caught.value)
    with pytest.raises(StateError, match=r"3 items .* 4 items"):
        DatasetIndex(4).gen_batch(2).restore(DatasetIndex(3).gen_batch(2).state())


@pytest.mark.faults("IX11")
def test_a_huge_index_is_shuffled_in_little_memory(run_script):
    done = run_script("""
        from pathlib import Path
        from bf_index import DatasetIndex
        def peak():
            return next(int(line.split()[1]) for line in Path("/proc/self/status").open() if "VmHWM" in line)
        before = peak()
        iterator = DatasetIndex(10**9).gen_batch(256, shuffle=True, n_epochs=2, seed=1)
        for _ in range(2000):
            next(iterator).indices
        parts = DatasetIndex(10**9).split(0.9)
        next(parts.train.shard(3, 8).gen_batch(256, shuffle=True)).indices
        print((peak() - before) // 1024)
    """)
    assert int(done.out) < 50
