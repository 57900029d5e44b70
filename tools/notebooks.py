"""Run the notebooks of docs/examples from a clean start: they must end without an error and show a picture.

``python tools/notebooks.py`` runs all in folders of their own; ``--write`` puts the new outputs into the
files, without counts of executions and what programs wrote to standard error.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient

FOLDER = Path(__file__).resolve().parent.parent / "docs" / "examples"


def run_notebook(path: Path) -> nbformat.NotebookNode:
    """Return a notebook with the outputs of all its cells; an error of one ends it."""
    notebook = nbformat.read(path, as_version=4)
    with tempfile.TemporaryDirectory() as folder:
        NotebookClient(notebook, timeout=900, resources={"metadata": {"path": folder}}).execute()
    return notebook


def strip_outputs(notebook: nbformat.NotebookNode) -> None:
    """Keep what is shown: no counts, no times, no messages of libraries."""
    notebook.metadata = {"kernelspec": {"name": "python3", "display_name": "Python 3", "language": "python"}}
    for cell in notebook.cells:
        cell.metadata = {}
        if cell.cell_type == "code":
            cell.execution_count = None
            cell.outputs = [one for one in cell.outputs if one.get("name") != "stderr"]
            for one in cell.outputs:
                if "execution_count" in one:
                    one.execution_count = None


def main() -> None:
    """Run what the command line names."""
    parser = argparse.ArgumentParser(description="Run the notebooks of docs/examples.")
    parser.add_argument("names", nargs="*", help="without ending; all if none is named")
    parser.add_argument("--write", action="store_true", help="put the outputs into the files")
    given = parser.parse_args()
    for path in [FOLDER / f"{name}.ipynb" for name in given.names] or sorted(FOLDER.glob("*.ipynb")):
        print(path.name, flush=True)
        notebook = run_notebook(path)
        if not any(
            "image/png" in one.get("data", {}) for cell in notebook.cells for one in cell.get("outputs", ())
        ):
            raise SystemExit(f"{path.name}: it shows no picture")
        if given.write:
            strip_outputs(notebook)
            nbformat.write(notebook, path)


if __name__ == "__main__":
    main()
