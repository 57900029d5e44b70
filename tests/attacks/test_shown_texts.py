"""Names of files and other texts of strangers that write to a terminal or begin a line of a log."""

from __future__ import annotations

import ast
import json
import zipfile
from pathlib import Path

import pytest

from bf_batch import Batch, Dataset
from bf_batch.opensets.archives import unpack
from bf_index import FilesIndex
from bf_index.errors import escape, unknown
from bf_models.convert.load import load_file as load_weights
from bf_models.model import KerasModel
from bf_models.safetensors import load_file
from bf_pipeline.run.checkpoint.files import latest, read_checkpoint, write_checkpoint
from bf_research import Results
from bf_research.launcher.display.lines import describe
from bf_research.launcher.jobs import Done, Job
from bf_research.sweep import journal

#: A line that nobody wrote, a terminal that is cleared, a line written over, a text that runs backwards.
SIGNS = ["\nERROR root: fake", "\x1b[2J\x1b[31m", "\r overwritten", "\x9b2J", "\u202etxt"]


#: Variables that hold the name of a file or a folder.
NAMES = {"path", "path.parent", "folder", "archive", "self.path", "self.folder", "self._where"}
#: Where ``path`` is a dotted name of Python's.
DOTTED = {"pickling.py", "targets.py"}
SOURCES = sorted((Path(__file__).resolve().parents[2] / "packages").glob("*/src/**/*.py"))


class X(Batch):
    components = ("x",)


class XY(Batch):
    components = ("x", "y")


def is_plain(error: BaseException) -> bool:
    told = [str(error), *map(str, getattr(error, "__notes__", ()))]
    return all(sign not in text for text in told for part in SIGNS for sign in part if not sign.isprintable())


@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
@pytest.mark.parametrize(
    "ending", [".npy", ".npz", ".csv", ".parquet", ".feather", ".h5", ".blosc", ".png", ".wav"]
)
def test_names_of_data(tmp_path, sign, ending):
    (tmp_path / f"a{sign}b{ending}").write_bytes(b"" if ending == ".csv" else b"garbage")
    with pytest.raises(Exception, match=r"a.*b") as caught:
        X(FilesIndex(str(tmp_path / "*"))).load(dst="x").x
    assert is_plain(caught.value), str(caught.value)
    assert escape(sign) in str(caught.value)


@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
@pytest.mark.parametrize("ending", [".npy", ".h5", ".zarr"])
def test_names_of_preloaded_files(tmp_path, sign, ending):
    path = tmp_path / f"a{sign}b{ending}"
    path.write_bytes(b"garbage")
    with pytest.raises(Exception, match=r"a.*b") as caught:
        Dataset(2, X, preloaded={"x": str(path)}).next_batch(1).x
    assert is_plain(caught.value), str(caught.value)


@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
@pytest.mark.parametrize(
    ("ending", "read"),
    [
        (".bfm", KerasModel.load),
        (".safetensors", load_file),
        (".json", Results.load),
        (".parquet", Results.load),
        (".zip", lambda path: unpack(path, path.parent / "out")),
        (".tar", lambda path: unpack(path, path.parent / "out")),
        (".pth", lambda path: load_weights(None, path)),
        (".odd", lambda path: load_weights(None, path)),
    ],
)
def test_names_of_models_results_and_archives(tmp_path, sign, ending, read):
    path = tmp_path / f"a{sign}b{ending}"
    path.write_bytes(b"garbage")
    with pytest.raises(Exception) as caught:
        read(path)
    assert is_plain(caught.value), str(caught.value)


@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
def test_names_of_folders(tmp_path, sign):
    folder = write_checkpoint(tmp_path / f"a{sign}b", {}, {}, {})
    (folder / "state.json").write_text("{")
    for read in (latest, read_checkpoint):
        with pytest.raises(Exception) as caught:
            read(folder.parent if read is latest else folder)
        assert is_plain(caught.value), str(caught.value)
    sweep = tmp_path / f"c{sign}d"
    sweep.mkdir()
    (sweep / journal.JOURNAL).write_text("{}}\n{}\n")
    with pytest.raises(Exception) as caught:
        journal.read(sweep)
    assert is_plain(caught.value), str(caught.value)


@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
def test_texts_inside_files(tmp_path, sign):
    assert is_plain(KeyError(unknown("column", f"x{sign}", [f"y{sign}"])))
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        archive.writestr(f"../x{sign}", b"")
    with pytest.raises(Exception) as caught:
        unpack(tmp_path / "a.zip", tmp_path / "out")
    assert is_plain(caught.value)
    head = json.dumps({f"w{sign}": {"dtype": "F99", "shape": [1], "data_offsets": [0, 4]}}).encode()
    (tmp_path / "w.safetensors").write_bytes(len(head).to_bytes(8, "little") + head + bytes(4))
    with pytest.raises(Exception) as caught:
        load_file(tmp_path / "w.safetensors")
    assert is_plain(caught.value), str(caught.value)
    (tmp_path / "t.csv").write_text(f'id,"y{sign}"\na,1\n')
    with pytest.raises(Exception) as caught:
        Dataset(["a"], XY).next_batch(1).load(str(tmp_path / "t.csv"), dst=("x", "y")).x
    assert is_plain(caught.value), str(caught.value)


@pytest.mark.parametrize("sign", SIGNS, ids=ascii)
def test_labels_of_jobs(sign):
    done = Done(Job(0, None, f"data={sign}"), "failed", ValueError(f"bad {sign} text"), "cpu:0", 1.0)
    assert is_plain(ValueError(describe(done)))


def test_plain_texts_stay():
    for text in ("Größe 3 µm/été.png", "模型 1", "a\\nb", ""):
        assert escape(text) == text
    assert escape("a\nb\x1b", keep="\n") == "a\nb\\x1b"
    assert escape(Path("a\udcff.png")) == "a\\udcff.png"
    assert escape(escape("a\n")) == "a\\n"


def bare_names(tree: ast.AST) -> list[str]:
    """Return the names of files that messages of raised errors and of logs hold as they are."""
    told = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Raise)
        or (
            isinstance(node, ast.Call)
            and ast.unparse(node.func) in ("log.warning", "log.info", "warnings.warn")
        )
    ]
    return [
        f"line {part.lineno}: {ast.unparse(part.value)}"
        for node in told
        for part in ast.walk(node)
        if isinstance(part, ast.FormattedValue) and part.conversion == -1 and ast.unparse(part.value) in NAMES
    ]


def test_no_message_has_the_name_of_a_file_as_it_is():
    assert bare_names(ast.parse('raise ValueError(f"{path} is bad, {name}, {folder!r}")')) == ["line 1: path"]
    found = {
        str(path): bare
        for path in SOURCES
        if path.name not in DOTTED and (bare := bare_names(ast.parse(path.read_text())))
    }
    assert found == {}, "show them as {escape(path)} or {str(path)!r}"
