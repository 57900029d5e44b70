"""FilesIndex: which files patterns find, and under which ids."""

from __future__ import annotations

import os
import pickle
import re

import pytest

from bf_index import DatasetIndex, FilesIndex


@pytest.fixture
def tree(tmp_path):
    """Make files by relative path; returns the root."""

    def make(*names):
        for name in names:
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(name)
        return tmp_path

    return make


def test_the_seed_s_files_and_folders(tree):
    root = tree("1.png", "2.png", "notes.txt", "a/image.png", "b/image.png")
    files = FilesIndex(path=f"{root}/*.png")
    assert list(files) == ["1.png", "2.png"]
    assert files.fullpath("2.png") == str(root / "2.png")
    folders = FilesIndex(path=f"{root}/*", dirs=True)
    assert list(folders) == ["a", "b"]
    assert folders.paths == {"a": str(root / "a"), "b": str(root / "b")}


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*", ["1.png", "10.png", "2.jpg"]),
        ("?.png", ["1.png"]),
        ("[12].*", ["1.png", "2.jpg"]),
        ("[!1]*", ["2.jpg"]),
        ("*.PNG", None),
        ("**", ["1.png", "10.png", "2.jpg", "3.png", "4.png", "5.png"]),
        ("**/*.png", ["1.png", "10.png", "3.png", "4.png", "5.png"]),
        ("**/deep/*", ["4.png"]),
        ("*/*.png", ["3.png", "5.png"]),
        ("*/deep/*", ["4.png"]),
        ("a/**/*", ["3.png", "4.png"]),
        ("a/**/**/*", ["3.png", "4.png"]),
        ("a/../b/5.png", ["5.png"]),
        ("./a//3.png", ["3.png"]),
        (".*", [".hidden"]),
        ("1.png", ["1.png"]),
    ],
)
def test_patterns_find_what_a_shell_would(tree, monkeypatch, pattern, expected):
    root = tree("1.png", "10.png", "2.jpg", "a/3.png", "a/deep/4.png", "b/5.png", ".hidden", ".dir/6.png")
    monkeypatch.chdir(root)
    for given in (pattern, f"{root}/{pattern}"):
        if expected is None:
            with pytest.raises(FileNotFoundError):
                FilesIndex(given)
        else:
            assert list(FilesIndex(given)) == expected


def test_one_name_in_many_folders_is_looked_up_without_reading_them(tree):
    root = tree("a/image.png", "a/mask.png", "b/image.png", "c/other.png")
    os.symlink("nowhere", root / "c/mask.png")
    assert list(FilesIndex(f"{root}/*/image.png", relative=True)) == ["a/image.png", "b/image.png"]
    assert list(FilesIndex(f"{root}/**/image.png", relative=True)) == ["a/image.png", "b/image.png"]
    with pytest.raises(FileNotFoundError, match=r"c/mask\.png"):
        FilesIndex(f"{root}/*/mask.png")


def test_patterns_agree_with_glob(tree):
    glob = pytest.importorskip("glob")
    root = tree(
        "1.png", "a/3.png", "a/deep/4.png", "b/5.png", ".hidden", ".dir/6.png", "b/.x/7.png", "[c]/8.png"
    )
    for pattern in ("*", "**", "**/*", "*/*", "**/*.png", "[[]c]/*", "*/**/*.png", "?/*"):
        expected = {path for path in glob.glob(f"{root}/{pattern}", recursive=True) if os.path.isfile(path)}
        assert set(FilesIndex(f"{root}/{pattern}").paths.values()) == expected


def test_recursion_can_be_switched_off(tree):
    root = tree("a/1.png", "a/b/2.png")
    assert list(FilesIndex(f"{root}/**/*.png", recursive=False)) == ["1.png"]
    assert list(FilesIndex(f"{root}/a/**", recursive=False)) == ["1.png"]
    assert list(FilesIndex(f"{root}/**/**")) == ["1.png", "2.png"]


def test_a_relative_pattern_gives_paths_that_survive_a_change_of_folder(tree, monkeypatch, tmp_path):
    root = tree("a/1.png")
    monkeypatch.chdir(root)
    index = FilesIndex("a/*.png")
    monkeypatch.chdir("/")
    assert index.fullpath("1.png") == str(root / "a/1.png")
    assert index.open("1.png", "r").read() == "a/1.png"


def test_home_and_path_objects_are_understood(tree, monkeypatch):
    root = tree("1.png")
    monkeypatch.setenv("HOME", str(root))
    assert list(FilesIndex("~/*.png")) == list(FilesIndex(root / "*.png")) == ["1.png"]


@pytest.mark.parametrize("folder", ["a[1]", "[1] scans", "[x", "à é", "with space", "日本"])
def test_folders_with_brackets_spaces_and_accents_are_literal(tree, folder):
    root = tree(f"{folder}/1.png", f"{folder}/2[a].png", "1/3.png", "a1/4.png")
    assert list(FilesIndex(f"{root}/{folder}/*.png")) == ["1.png", "2[a].png"]
    assert list(FilesIndex(f"{root}/{folder}/2[a].png")) == ["2[a].png"]
    assert list(FilesIndex(f"{root}/{folder}", dirs=True)) == [folder]


def test_brackets_that_name_nothing_are_a_pattern(tree):
    root = tree("a1/4.png", "a2/5.png")
    assert list(FilesIndex(f"{root}/a[12]/*.png")) == ["4.png", "5.png"]


def test_ids_may_lose_their_last_extension(tree):
    root = tree("1.png", "2.tar.gz", ".hidden", "plain")
    index = FilesIndex([f"{root}/*", f"{root}/.*"], no_ext=True)
    assert list(index) == [".hidden", "1", "2.tar", "plain"]
    assert index.fullpath("2.tar") == str(root / "2.tar.gz")


def test_a_file_that_two_patterns_find_comes_once(tree):
    root = tree("1.png", "2.png")
    assert list(FilesIndex([f"{root}/*", f"{root}/1.*", f"{root}//./1.png"])) == ["1.png", "2.png"]


def test_one_pattern_of_several_that_finds_nothing_is_an_error_that_may_be_a_warning(tree):
    root = tree("1.png")
    for missing in (f"{root}/*.jpg", f"{root}/nope/*.png", f"{root}/2.png"):
        for patterns in ([f"{root}/*.png", missing], [missing, f"{root}/1.png"]):
            with pytest.raises(FileNotFoundError, match=re.escape(f"no file matches {missing!r}")):
                FilesIndex(patterns)
            with pytest.warns(UserWarning, match=re.escape(missing)):
                assert list(FilesIndex(patterns, on_error="warn")) == ["1.png"]


def test_ids_can_be_relative_paths(tree):
    root = tree("train/cat/1.png", "train/dog/1.png", "test/cat/1.png")
    assert list(FilesIndex(f"{root}/train/*/*.png", relative=True)) == ["cat/1.png", "dog/1.png"]
    both = FilesIndex([f"{root}/train/*/*.png", f"{root}/test/**"], relative=True, no_ext=True)
    assert list(both) == ["test/cat/1", "train/cat/1", "train/dog/1"]
    assert both.fullpath("test/cat/1") == str(root / "test/cat/1.png")
    assert list(FilesIndex(f"{root}/train/cat/1.png", relative=True)) == ["1.png"]


def test_order_is_that_of_ids_whatever_the_folders(tree):
    root = tree("z/1.png", "a/3.png", "m/2.png")
    assert list(FilesIndex(f"{root}/*/*.png")) == ["1.png", "2.png", "3.png"]
    assert sorted(FilesIndex(f"{root}/*/*.png", sort=False)) == ["1.png", "2.png", "3.png"]


def test_parts_and_batches_keep_their_paths(tree):
    root = tree(*[f"{number}.png" for number in range(10)])
    index = FilesIndex(f"{root}/*.png")
    for batch in index.split(0.5, shuffle=True, seed=1).train.gen_batch(2):
        assert type(batch) is FilesIndex
        assert all(batch.fullpath(name) == str(root / name) for name in batch)
    part = pickle.loads(pickle.dumps(index.subset([3, 4])))
    assert part.paths == {"3.png": str(root / "3.png"), "4.png": str(root / "4.png")}
    assert part == index.subset([3, 4])


def test_a_large_pickled_index_has_the_paths_of_its_part_only(tree):
    root = tree(*[f"{number}.png" for number in range(300)])
    assert len(pickle.dumps(FilesIndex(f"{root}/*.png").subset([0]))) < 1000


def test_files_indices_add_up(tree):
    root = tree("a/1.png", "b/2.png", "c/1.png")
    both = FilesIndex(f"{root}/a/*") + FilesIndex(f"{root}/b/*")
    assert both.paths == {"1.png": str(root / "a/1.png"), "2.png": str(root / "b/2.png")}
    with pytest.raises(ValueError, match=r"two files have the id '1.png'.*a/1.png.*c/1.png"):
        both + FilesIndex(f"{root}/c/*")
    with pytest.raises(ValueError, match="only 2 of them are different"):
        both + FilesIndex(f"{root}/a/*")
    with pytest.raises(TypeError, match="only another FilesIndex"):
        both + ["x"]  # noqa: RUF005
    with pytest.raises(TypeError, match="only another FilesIndex"):
        both + DatasetIndex(3)


def test_known_paths_make_an_index(tmp_path):
    index = FilesIndex.from_paths({"first": tmp_path / "a.png", "second": "/b.png"})
    assert index.paths == {"first": str(tmp_path / "a.png"), "second": "/b.png"}
    assert list(FilesIndex.from_paths(["/x/b.png", "/y/a.png"])) == ["b.png", "a.png"]
    with pytest.raises(ValueError, match="two files have the id"):
        FilesIndex.from_paths(["/x/a.png", "/y/a.png"])
    with pytest.raises(ValueError, match="no paths"):
        FilesIndex.from_paths([])


def test_hash_is_of_ids_not_of_where_they_are(tree):
    root = tree("a/1.png", "b/1.png")
    assert FilesIndex(f"{root}/a/*").content_hash() == FilesIndex(f"{root}/b/*").content_hash()


def test_an_unknown_id_has_close_matches(tree):
    root = tree("img001.png", "img002.png")
    with pytest.raises(KeyError, match=r"unknown id 'img0001.png'.*did you mean 'img001.png'"):
        FilesIndex(f"{root}/*").fullpath("img0001.png")


def test_links_to_files_and_folders_are_followed(tree):
    root = tree("real/1.png", "other/2.png")
    os.symlink(root / "other/2.png", root / "real/link.png")
    os.symlink(root / "other", root / "real/folder")
    assert list(FilesIndex(f"{root}/real/*")) == ["1.png", "link.png"]
    assert FilesIndex(f"{root}/real/**/*.png").paths == {
        "1.png": str(root / "real/1.png"),
        "2.png": str(root / "real/folder/2.png"),
        "link.png": str(root / "real/link.png"),
    }
    assert list(FilesIndex(f"{root}/real/*", dirs=True)) == ["folder"]


def test_a_folder_reached_by_itself_and_by_a_link_is_entered_once(tree):
    root = tree("z/1.png", "z/deep/2.png")
    os.symlink(root / "z", root / "a")
    assert FilesIndex(f"{root}/**/*.png").fullpath("2.png") == str(root / "z/deep/2.png")


@pytest.mark.parametrize("wrong", [3, None, [3], b"x", {"a": 1}])
def test_what_is_no_pattern_is_a_type_error(wrong):
    with pytest.raises(TypeError, match="pattern"):
        FilesIndex(wrong)


def test_an_empty_list_and_wrong_options_are_refused(tree):
    root = tree("1.png")
    with pytest.raises(ValueError, match="empty list"):
        FilesIndex([])
    with pytest.raises(ValueError, match="'raise' or 'warn'"):
        FilesIndex(f"{root}/*", on_error="ignore")
    with pytest.raises(TypeError, match="dirs must be True or False"):
        FilesIndex(f"{root}/*", dirs=1)


def test_a_folder_given_for_files_says_how_to_get_its_files(tree):
    root = tree("1.png")
    with pytest.raises(FileNotFoundError, match=r"is a folder: for its files give '.*/\*'"):
        FilesIndex(str(root))
    with pytest.raises(FileNotFoundError, match=r"is a file: leave dirs out"):
        FilesIndex(f"{root}/1.png", dirs=True)


def test_odd_names_are_kept(tree):
    root = tree("new\nline.png", " lead.png", "a'b\"c.png", "-dash.png")
    (root / os.fsdecode(b"bad\xff.png")).write_text("x")
    index = FilesIndex(f"{root}/*.png")
    assert len(index) == 5
    assert all(os.path.isfile(index.fullpath(name)) for name in index)
    assert len(index.content_hash()) == 32
