"""Writing to a run through MLflow's client, one method a kind of record, without global state."""

from __future__ import annotations

import json
import logging
import math
import os
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from bf_index.errors import escape
from bf_research.tracking import names
from bf_research.tracking.backlog import Point
from bf_research.tracking.names import Names
from bf_research.tracking.refusals import Verdict, first_line, judge
from bf_research.tracking.surroundings import git_changes, git_tags, packages

log = logging.getLogger(__name__)

Record = TypeVar("Record")

#: What MLflow takes in one call.
POINTS_A_CALL, PARAMS_A_CALL = 1000, 100
#: Kinds of records; those of FILES may take long, and wait for nothing but each other.
FILES = frozenset({"text", "artifact", "surroundings", "model"})
KINDS = FILES | {"params", "tags", "data"}
#: MLflow refuses longer names, digests and sources of data.
_LONGEST_DATA, _LONGEST_DIGEST = 500, 36
#: Names in one message.
_MOST_TOLD = 5


class Writer:
    """A writer to one run of a store: one record that is refused costs no other.

    Names that MLflow refuses are written otherwise, and apart from all others; what it refuses nevertheless
    is left out. Both are told once. Every method may raise what a store that is away raises.
    """

    def __init__(
        self, client: Any, run_id: str, run: str = "", given: Mapping[str, Mapping[str, str]] | None = None
    ) -> None:
        self._client, self._run_id, self._run = client, run_id, run or run_id
        given = given or {}
        self._names = {kind: Names(given=given.get(kind)) for kind in ("metric", "parameter", "tag")}
        self._names["file"] = Names(names.clean_path, given.get("file"))
        self._nonfinite: set[str] = set()
        self._told: set[tuple[str, str]] = set()
        self._known: dict[str, set[int]] = {}

    def continue_run(self) -> None:
        """Go on with a run: it is running again, and points of steps that it has are not written twice."""
        self._client.update_run(self._run_id, status="RUNNING")
        for name in self._client.get_run(self._run_id).data.metrics:
            history = self._client.get_metric_history(self._run_id, name)
            self._known[name] = {point.step for point in history}

    @property
    def given(self) -> dict[str, dict[str, str]]:
        """The names of each kind as they were wanted, and as they are written."""
        return {kind: dict(found.given) for kind, found in self._names.items()}

    def judge(self, error: Exception) -> Verdict:
        """Return what an error of one of the other methods means."""
        return judge(error, self._client, self._run_id)

    def write(self, kind: str, payload: Any) -> None:
        """Write a record of a kind that is the name of a method."""
        if kind not in KINDS:
            raise ValueError(f"unknown kind of record {kind!r}: known are {', '.join(sorted(KINDS))}")
        getattr(self, kind)(payload)

    # Records of the run itself

    def params(self, params: Mapping[str, str]) -> None:
        """Write parameters; one that has another value already keeps it."""
        from mlflow.entities import Param

        self._write_pairs("parameter", params, names.LONGEST_VALUE, Param, "params")

    def tags(self, tags: Mapping[str, str]) -> None:
        """Write tags."""
        from mlflow.entities import RunTag

        self._write_pairs("tag", tags, names.LONGEST_TAG, RunTag, "tags")

    def _write_pairs(
        self, kind: str, values: Mapping[str, str], longest: int, entity: Callable[[str, str], Any], to: str
    ) -> None:
        self._fit(kind, values)
        given = self._names[kind].given
        pairs = [(name, names.clean_text(str(value))) for name, value in values.items()]
        for name, value in pairs:
            if len(value) > longest:
                self._tell(
                    f"long {kind}", name, f"{kind} {name!r} of run {self._run} is cut to {longest} characters"
                )

        def write(some: Sequence[tuple[str, str]]) -> None:
            entities = [entity(given[name], value[:longest]) for name, value in some]
            self._client.log_batch(self._run_id, **{to: entities})

        for start in range(0, len(pairs), PARAMS_A_CALL):
            self._write_apart(kind, pairs[start : start + PARAMS_A_CALL], write)

    def points(self, points: Sequence[Point]) -> None:
        """Write points of metrics; a metric that was NaN or infinite is named in a tag."""
        from mlflow.entities import Metric

        self._fit("metric", (str(point.name) for point in points))
        given = self._names["metric"].given
        good = [
            (str(point.name), point)
            for point in points
            if self._has_step(point) and point.step not in self._known.get(given[str(point.name)], ())
        ]

        def write(some: Sequence[tuple[str, Point]]) -> None:
            metrics = [Metric(given[name], p.value, p.when, int(p.step)) for name, p in some]
            self._client.log_batch(self._run_id, metrics=metrics)

        if good:
            self._write_apart("metric", good, write)
        odd = self._nonfinite | {name for name, point in good if not math.isfinite(point.value)}
        if odd > self._nonfinite:
            self.tags({"bf.nonfinite": ", ".join(sorted(odd))})
            self._nonfinite = odd

    def _has_step(self, point: Point) -> bool:
        step = point.step
        good = names.LEAST_STEP <= step <= names.LARGEST_STEP and int(step) == step
        if not good:
            what = f"metric {point.name!r} of run {self._run} at step {step!r} is left out: MLflow takes"
            self._tell("step", str(point.name), f"{what} whole numbers of 64 bits")
        return good

    def data(self, data: Mapping[str, Any]) -> None:
        """Write which data were used, for what."""
        from mlflow.entities import Dataset, DatasetInput, InputTag

        profile = json.dumps({"items": data["items"]})
        name, source, context = (
            names.clean_text(str(data[key]))[:_LONGEST_DATA] for key in ("name", "source", "context")
        )
        dataset = Dataset(name, str(data["digest"])[:_LONGEST_DIGEST], "code", source, None, profile)
        tag = InputTag("mlflow.data.context", context)
        self._client.log_inputs(self._run_id, [DatasetInput(dataset, [tag])])

    def close(self, status: str, when: int | None = None) -> None:
        """End the run, at a time in milliseconds since 1970."""
        self._client.set_terminated(self._run_id, status, when)

    # Files

    def text(self, item: Sequence[str]) -> None:
        """Write a text, given with the name of its file."""
        text, name = item
        self._fit("file", [name])
        self._client.log_text(self._run_id, names.clean_text(text), self._names["file"].given[name])

    def artifact(self, item: Sequence[str | None]) -> None:
        """Copy a file or a folder, given with the folder of the run that it goes to."""
        path, folder = Path(str(item[0])), item[1]
        if not path.exists():
            raise FileNotFoundError(
                f"{escape(path)} is not there any more; a file must stay until the end of its run"
            )
        if path.is_dir():
            self._folder(path, folder)
        else:
            self._file(path, folder)

    def _folder(self, path: Path, folder: str | None) -> None:
        """Copy a folder; where a file of it can't be read, all others."""
        try:
            self._client.log_artifacts(self._run_id, str(path), folder and names.clean_path(folder))
        except Exception as error:
            if self.judge(error) in ("away", "gone"):
                raise
            files = sorted(found for found in path.rglob("*") if not found.is_dir())
            for file in files:
                if file.is_file() and os.access(file, os.R_OK):
                    inside = file.parent.relative_to(path).as_posix()
                    self._file_apart(
                        file, "/".join(part for part in (folder, inside) if part not in (None, "."))
                    )
                else:
                    self._tell_left_out("file", str(file), "it is no file that can be read")
            if not files:
                raise

    def _file_apart(self, path: Path, folder: str) -> None:
        """Copy a file of a folder; one that is refused costs no other."""
        try:
            self._file(path, folder)
        except Exception as error:
            if self.judge(error) != "refused":
                raise
            self._tell_left_out("file", str(path), first_line(error))

    def _file(self, path: Path, folder: str | None) -> None:
        wanted = f"{folder.rstrip('/')}/{path.name}" if folder else path.name
        self._fit("file", [wanted])
        parent, _, name = self._names["file"].given[wanted].rpartition("/")
        if name == path.name:
            self._client.log_artifact(self._run_id, str(path), parent or None)
            return
        with tempfile.TemporaryDirectory() as place:  # MLflow takes the name from the file
            (Path(place) / name).symlink_to(path.absolute())
            self._client.log_artifact(self._run_id, str(Path(place) / name), parent or None)

    def surroundings(self, folder: str) -> None:
        """Write the state of the code and the environment."""
        self.tags(git_tags(folder))
        self.text((packages(), "environment.txt"))
        if changes := git_changes(folder):
            self.text((changes, "changes.diff"))

    def model(self, item: Mapping[str, Any]) -> None:
        """Write a model's signature; the model itself and its registration if asked for."""
        from mlflow.models import infer_signature

        signature = None
        if item["examples"] is not None:
            signature = infer_signature(*item["examples"])
            self.text((json.dumps(signature.to_dict(), indent=1), "signature.json"))
        if not item["keep"]:
            return
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model"
            if item["kept"] is not None:
                item["kept"].write(path)
            else:
                _write_keras(item["network"], path, signature)
            self._client.log_artifacts(self._run_id, str(path), "model")
        if item["register"]:
            self._register(str(item["register"]))

    def _register(self, name: str) -> None:
        from mlflow.exceptions import MlflowException

        try:
            self._client.create_registered_model(name)
        except MlflowException as error:
            if error.error_code != "RESOURCE_ALREADY_EXISTS":
                raise
        source = f"{self._client.get_run(self._run_id).info.artifact_uri}/model"
        self._client.create_model_version(name, source, self._run_id)

    # What MLflow does not take

    def tell_refused(self, kind: str, payload: Any, error: Exception) -> None:
        """Log, once, that a record is left out."""
        name = payload[0] if kind == "artifact" else payload[1] if kind == "text" else ""
        self._tell_left_out(kind, name, first_line(error))

    def _write_apart(
        self,
        kind: str,
        records: Sequence[tuple[str, Record]],
        write: Callable[[Sequence[tuple[str, Record]]], None],
    ) -> None:
        """Write records, given with their names, at once; halves of them where some are refused."""
        try:
            write(records)
        except Exception as error:
            if self.judge(error) != "refused":
                raise
            if len(records) == 1:
                self._tell_left_out(kind, records[0][0], first_line(error))
                return
            half = len(records) // 2
            self._write_apart(kind, records[:half], write)
            self._write_apart(kind, records[half:], write)

    def _fit(self, kind: str, wanted: Any) -> None:
        """Give names to what has none yet; log those that are not as wanted."""
        changed = self._names[kind].fit(wanted)
        if changed:
            told = [f"{name!r} as {given!r}" for name, given in changed.items()]
            more = f" and {len(told) - _MOST_TOLD} more" if len(told) > _MOST_TOLD else ""
            log.warning(
                "names that MLflow does not take are written otherwise in run %s: %s %s%s",
                self._run, kind, ", ".join(told[:_MOST_TOLD]), more,
            )  # fmt: skip

    def _tell_left_out(self, kind: str, name: str, why: str) -> None:
        what = f"{kind} {name!r}" if name else kind
        self._tell(kind, name, f"MLflow refuses {what} of run {self._run}, it is left out: {why}")

    def _tell(self, kind: str, name: str, message: str) -> None:
        if (kind, name) not in self._told:
            self._told.add((kind, name))
            log.warning("%s", message)


def _write_keras(network: Any, path: Path, signature: Any) -> None:
    """Write a bare network as an MLflow model."""
    from mlflow import keras

    # MLflow would take ten seconds to find the requirements out
    keras.save_model(network, str(path), signature=signature, pip_requirements=["tensorflow", "keras"])
