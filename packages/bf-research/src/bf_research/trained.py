"""What a training leaves for those who use its network: model, configuration, names of classes; and where.

A run is named by its folder, its ``name``, a file in it, its MLflow id, ``models:/name/version`` or
``models:/name@alias``. All of it is data: the
configuration is read as plain YAML, in which no reference is followed.
"""

from __future__ import annotations

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_research.own_files import open_plain, write_whole
from bf_research.tracking.run_scope import FOLDER_TAG
from bf_research.tracking.store import address, find_run, open_store
from bf_research.training.checkpoints import MODEL
from bf_research.training.folder import FINISHED, RECORD, read_record, recorded_run

#: The task of items that are told again.
RECONSTRUCTION = "reconstruction"
CONFIG, CLASSES = "config.yaml", "classes.json"
#: Where a kept model stands among the files of an MLflow run, and what we need of it below.
KEPT, DATA = "model", "data/files"
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_REGISTERED = re.compile(r"models:/([^/@]+)(?:/(\d+)|@([^/@]+))")
#: Where trainings have their folders, in the working folder.
_OUTPUTS = Path("outputs")
#: Tasks that tell numbers: classes of the data are not those of their networks.
_OF_NUMBERS = ("regression", RECONSTRUCTION)
_MOST_LETTERS = 10_000_000


class NoModel(LookupError):
    """What was named holds no trained model, or not yet."""


@dataclass(frozen=True)
class Trained:
    """A trained model: its file, the configuration that it was trained with, the names of its classes."""

    shown: str
    model: Path
    config: Mapping[str, Any] = field(default_factory=dict)
    classes: tuple[str, ...] | None = None


def write_trained(folder: Path, config: str, classes: Sequence[Any] | None) -> None:
    """Write configuration and names of classes beside the model of a run."""
    texts = {CONFIG: config}
    if classes is not None:
        names = [str(name) for name in classes]
        strange = any("\udc80" <= letter <= "\udcff" for name in names for letter in name)  # of folders
        texts[CLASSES] = json.dumps(names, indent=0, ensure_ascii=strange)
    for name, text in texts.items():
        write_whole(folder / name, text)


def find_classes(dataset: Any) -> tuple[str, ...] | None:
    """Return the names of a data set's classes, numbers where they have none; None without classes."""
    names = getattr(dataset, "classes", None)
    if names is None and isinstance(count := getattr(dataset, "num_classes", None), int):
        names = range(count)
    return None if names is None else tuple(map(str, names))


def tells_numbers(task: Any) -> bool:
    """Whether a task has numbers as outputs, whatever classes the data have: its name, or its section."""
    name = task.get("name") if isinstance(task, Mapping) or hasattr(task, "get") else task
    return name in _OF_NUMBERS


def find_trained(name: str, uri: str | None = None, unfinished: bool = False, key: str = "run") -> Trained:
    """Return what a name stands for: a run's folder or ``name``, model file or MLflow id, a registered model.

    The last is ``models:/name/version`` or ``models:/name@alias``; ``uri`` is the store of MLflow's runs.
    ``NoModel`` says what is missing of the setting ``key`` and how to go on; with ``unfinished`` the best
    model so far is taken of a run that goes on.
    """
    path = Path(name).expanduser()
    if not path.exists() and re.fullmatch(r"\w[\w.=,+ -]*", name) and (_OUTPUTS / name).is_dir():
        path = _OUTPUTS / name
    if path.is_dir():
        return _read_folder(path, unfinished)
    if path.is_file():
        return _read_beside(path)
    if _REGISTERED.fullmatch(name) or _RUN_ID.fullmatch(name):
        return _find_recorded(name, address(uri), unfinished)
    raise NoModel(
        f"{key}={escape(name)}: it is no folder and no name of a run (a folder in {_OUTPUTS}), no model "
        "file, no MLflow run id (32 digits) and no models:/name/version (working folder "
        f"{escape(os.getcwd())})"
    )


def _read_folder(path: Path, unfinished: bool) -> Trained:
    """Read the folder of a run, or a model that MLflow has kept."""
    if (path / "MLmodel").is_file() and (path / DATA).is_dir():
        path = path / DATA
    record = read_record(path)
    if record and record.get("state") != FINISHED and not unfinished:
        raise NoModel(
            f"{escape(path)}: the training is not finished (iteration {record.get('iteration', 0)}); the "
            f"command that began it goes on with it; unfinished=true, or its file {MODEL} by name, takes the "
            "best model so far"
        )
    if not (path / MODEL).is_file():
        has = (
            "a training without checkpoints keeps no model" if record else f"no training left a {RECORD} here"
        )
        raise NoModel(f"{escape(path)}: there is no {MODEL}: {has}; name the folder of a run that has one")
    return _read_beside(path / MODEL)


def _read_beside(file: Path) -> Trained:
    """Read a model file with the configuration and the classes that stand beside it, if they do."""
    config = read_config(file.parent / CONFIG)
    return Trained(escape(file), file, config, read_classes(file.parent / CLASSES))


def read_text(path: Path) -> str | None:
    """Return what is in a file of a run; None where there is none, ``ValueError`` for too much."""
    try:
        with open(path, encoding="utf-8", opener=open_plain) as file:
            text = file.read(_MOST_LETTERS + 1)
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise ValueError(f"{escape(path)}: no text: {escape(error)}") from error
    if len(text) > _MOST_LETTERS:
        raise ValueError(f"{escape(path)}: more than {_MOST_LETTERS:,} letters")
    return text


def read_config(path: Path) -> Mapping[str, Any]:
    """Return the configuration in a file as plain data; nothing where there is none."""
    import yaml

    text = read_text(path)
    if text is None:
        return {}
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        for event in yaml.parse(text, Loader=loader):
            if isinstance(event, yaml.AliasEvent):
                raise ValueError("an alias (*name), which no configuration that a training wrote has")
        found = yaml.load(text, Loader=loader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        raise ValueError(f"{escape(path)}: no configuration of a run: {escape(error)}") from error
    if not isinstance(found, dict):
        raise ValueError(f"{escape(path)}: a mapping was expected, got {type(found).__name__}")
    return found


def read_classes(path: Path) -> tuple[str, ...] | None:
    """Return the names of classes in a file; None where there is none."""
    text = read_text(path)
    if text is None:
        return None
    with suppress(ValueError, RecursionError):
        found = json.loads(text)
        named = isinstance(found, list) and found and all(isinstance(name, str) for name in found)
        if named and len(set(found)) == len(found):
            return tuple(found)
    raise ValueError(f"{escape(path)}: a list of different names of classes was expected, got {text[:80]!r}")


def _find_recorded(name: str, uri: str, unfinished: bool) -> Trained:
    """Find what MLflow has of a run or of a registered version: its folder here, else the kept model."""
    client = open_store(uri)
    registered = _REGISTERED.fullmatch(name)
    run_id: str | None
    if registered is None:
        run_id, source = find_run(client, name), f"runs:/{name}/{KEPT}"
    else:
        run_id, source = _find_version(client, name, registered)
    if registered is None and run_id is None:
        raise NoModel(f"{name}: the store {uri} has no such run; tracking.uri=... names another store")
    if run_id is not None:
        run = client.get_run(run_id)
        folder = run.data.tags.get(FOLDER_TAG)
        # the folder of another run may stand under the name meanwhile
        if folder and registered is None and recorded_run(read_record(Path(folder)), "mlflow") == run_id:
            return _read_folder(Path(folder), unfinished)
    return _fetch(source, uri, name)


def _find_version(client: Any, shown: str, registered: re.Match[str]) -> tuple[str | None, str]:
    from mlflow.exceptions import MlflowException

    name, version, alias = registered.groups()
    try:
        if alias is not None:
            version = client.get_model_version_by_alias(name, alias).version
        found = client.get_model_version(name, version)
        return found.run_id, str(client.get_model_version_download_uri(name, version))
    except MlflowException as error:
        raise NoModel(f"{shown}: {str(error).partition(chr(10))[0]}") from error


def _fetch(source: str, uri: str, name: str) -> Trained:
    """Copy a kept model from the store into a folder that goes with this process."""
    from mlflow.artifacts import download_artifacts
    from mlflow.exceptions import MlflowException

    place = tempfile.TemporaryDirectory(prefix="bf-model-")
    try:
        path = download_artifacts(artifact_uri=source, dst_path=place.name, tracking_uri=uri)
    except (MlflowException, OSError) as error:
        place.cleanup()
        raise NoModel(
            f"{name}: MLflow keeps no model of this run, and its folder is not on this machine; train with "
            f"tracking.keep_model=true, or name the folder ({str(error).partition(chr(10))[0]})"
        ) from error
    try:
        found = _read_folder(Path(path), unfinished=True)
    except NoModel as error:
        raise NoModel(f"{name}: the model that MLflow has is none of BatchFlow: {error}") from None
    _PLACES.append(place)
    return Trained(name, found.model, found.config, found.classes)


#: Folders of models that were fetched; they go when the process ends.
_PLACES: list[tempfile.TemporaryDirectory[str]] = []
