"""The MLflow store: its address, its safe creation, why it can't be used, and the trials of a sweep in it."""

from __future__ import annotations

import json
import logging
import math
import os
import re
import socket
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from bf_pipeline.redaction.texts import redact_text
from bf_research.launcher.errors import PassingError
from bf_research.tracking.local.database import connect as connect_database
from bf_research.tracking.refusals import first_line, is_away, is_busy
from bf_research.tracking.run_scope import PRUNED, STATE, TRIAL

log = logging.getLogger(__name__)

CONNECT_SECONDS = 5.0
#: Runs that are asked for at once; a page of MLflow holds 50,000 at most.
RUNS_A_PAGE = 1000
#: Without this MLflow's pages open in the mode for language models.
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}
#: The same for the menu beside the pages, at the end of their addresses.
MENU = "workflowType=machine_learning"

#: Clients of stores in files that this process has opened before, and found whole.
_READY: dict[tuple[int, str], Any] = {}


class TrackingError(PassingError):
    """The store of runs can't be used."""


class StoreBusy(TrackingError):
    """The store of runs is there, but has no time: another process holds it."""


class StoreAway(TrackingError):
    """The store of runs does not answer; a server may come back."""


def address(uri: str | None) -> str:
    """Return an absolute tracking URI; None is ``mlflow.db`` in the working folder."""
    if uri is None:
        uri = os.environ.get("MLFLOW_TRACKING_URI") or "sqlite:///mlflow.db"
    prefix = "sqlite:///"
    if uri.startswith(prefix):
        return prefix + str(Path(uri[len(prefix) :]).expanduser().absolute())
    return uri


def database(uri: str) -> Path | None:
    """Return the file of an sqlite store, None for any other store."""
    prefix = "sqlite:///"
    return Path(uri[len(prefix) :]) if uri.startswith(prefix) else None


def open_store(uri: str) -> Any:
    """Return an ``MlflowClient`` of a store that answers, created if need be; ``TrackingError`` if not."""
    _check_reachable(uri)
    quiet()
    path = database(uri)
    if path is not None:
        if (os.getpid(), uri) in _READY and path.exists():
            return _READY[os.getpid(), uri]
        import_module("mlflow.store.tracking.sqlalchemy_store")  # for seconds, in which nobody has to wait
    from mlflow import MlflowClient
    from mlflow.exceptions import MlflowException
    from sqlalchemy.exc import SQLAlchemyError

    def connect(address: str) -> Any:
        client = MlflowClient(tracking_uri=address)
        client.search_experiments(max_results=1)
        return client

    try:
        if path is None:
            return connect(uri)
        client = _READY[os.getpid(), uri] = connect_database(path, connect)
        return client
    except (MlflowException, SQLAlchemyError, OSError) as error:
        raise explain(uri, error) from error


def wait_for(uri: str, seconds: float) -> Any:
    """Return a client of a store, waiting some time for one that is away or busy; raise what keeps it so."""
    end, pause = time.monotonic() + seconds, 0.1
    while True:
        try:
            return open_store(uri)
        except (StoreAway, StoreBusy) as error:
            if time.monotonic() > end:
                raise
            if pause == 0.1:
                log.warning("%s; waiting for it", error)
            pause = min(2 * pause, 2.0)
            time.sleep(pause)


def explain(uri: str, error: Exception) -> TrackingError:
    """Return what to raise for an error of a store at the start.

    ``StoreBusy`` if another try may help, ``StoreAway`` for a server that has gone.
    """
    kind = StoreBusy if is_busy(error) else StoreAway if _is_server(uri) and is_away(error) else TrackingError
    return kind(
        f"the MLflow store {redact_text(uri)} can't be used: {first_line(error)}; "
        "set tracking.uri to one that can, or tracking=none to record nothing"
    )


def get_run(client: Any, run_id: str) -> Any:
    """Return a run, also a deleted one; None if the store has not got it."""
    from mlflow.exceptions import MlflowException

    try:
        return client.get_run(run_id)
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def find_run(client: Any, run_id: str) -> str | None:
    """Return the id of a run that the store has, None if it has not; ``TrackingError`` for a deleted one."""
    run = get_run(client, run_id)
    if run is None:
        return None
    if run.info.lifecycle_stage == "deleted":
        raise TrackingError(
            f"run {run_id} was deleted: {sys.executable} -m mlflow runs restore --run-id {run_id} "
            "brings it back, with MLFLOW_TRACKING_URI set to its store"
        )
    return run_id


def quiet() -> None:
    """Set MLflow to log little and not to try a server for minutes: the recorder tries again itself."""
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    # else it would keep the uv.lock of the working folder with a model, which has the addresses of registries
    os.environ.setdefault("MLFLOW_UV_AUTO_DETECT", "false")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "1")
    os.environ.setdefault("MLFLOW_HTTP_REQUEST_TIMEOUT", "20")
    for name in ("alembic", "mlflow.store.db.utils", "mlflow.system_metrics", "mlflow.utils.environment"):
        logging.getLogger(name).setLevel(logging.ERROR)


def _is_server(uri: str) -> bool:
    return urlsplit(uri).scheme in ("http", "https")


def _check_reachable(uri: str) -> None:
    """Raise ``TrackingError`` for a server that does not answer: MLflow would try for minutes."""
    parts = urlsplit(uri)
    if not _is_server(uri) or not parts.hostname:
        return
    port = parts.port or (443 if parts.scheme == "https" else 80)
    try:
        socket.create_connection((parts.hostname, port), CONNECT_SECONDS).close()
    except OSError as error:
        raise StoreAway(
            f"the MLflow server {redact_text(uri)} does not answer: {error}; start it, set tracking.uri to "
            "another, or tracking.required=false to keep the records in a file until it is back"
        ) from error


def experiment_id(client: Any, name: str, uri: str) -> str:
    """Return the id of the experiment, created if new; ``TrackingError`` when it lies in MLflow's trash."""
    from mlflow.exceptions import MlflowException

    found = client.get_experiment_by_name(name)
    if found is None:
        options: dict[str, Any] = {"tags": EXPERIMENT_TAGS}
        path = database(uri)
        if path is not None:
            folder = re.sub(r"[^\w.-]+", "_", name).strip(".") or "_"
            options["artifact_location"] = (path.parent / "mlartifacts" / folder).as_uri()
        try:
            return str(client.create_experiment(name, **options))
        except MlflowException:  # another process was first
            found = client.get_experiment_by_name(name)
            if found is None:
                raise
    if found.lifecycle_stage == "deleted":
        command = f"{sys.executable} -m mlflow experiments restore --experiment-id {found.experiment_id}"
        shown = redact_text(uri)
        raise TrackingError(
            f"experiment {name!r} was deleted in {shown}: bring it back with "
            f"MLFLOW_TRACKING_URI={shown} {command}, or choose another tracking.experiment"
        )
    return str(found.experiment_id)


def ui(uri: str) -> tuple[str, str]:
    """Return the command that opens MLflow's pages, and the address at which they are, without a password."""
    uri = redact_text(uri)
    if _is_server(uri):
        return uri, uri.rstrip("/")
    return f"{sys.executable} -m mlflow ui --backend-store-uri {uri}", "http://127.0.0.1:5000"


@dataclass(frozen=True)
class Row:
    """One trial as the store has it."""

    run_id: str
    name: str
    status: str
    params: Mapping[str, str]
    metrics: Mapping[str, float]
    seconds: float
    #: what the journal of the sweep calls the trial; empty for runs that tell it by their names alone
    trial: str = ""


def search_all(client: Any, experiment: str, asked: str, order_by: Sequence[str] = ()) -> Iterator[Any]:
    """Yield all runs that a filter lets through, page by page: MLflow gives so many at once.

    Nothing that the filter asks for may be changed meanwhile.
    """
    token = None
    while True:
        page = client.search_runs(
            [experiment], asked, order_by=list(order_by), max_results=RUNS_A_PAGE, page_token=token
        )
        yield from page
        token = page.token
        if not token:
            return


def child_runs(client: Any, experiment: str, parent: str) -> Iterator[Any]:
    """Yield all runs of a sweep's trials as MLflow has them, oldest first."""
    asked = f"tags.`mlflow.parentRunId` = '{parent}'"
    return search_all(client, experiment, asked, ["attributes.start_time ASC"])


def choose_tries(found: Sequence[Row]) -> list[Row]:
    """Return one run for each trial of a sweep, of those given oldest first.

    That is one that finished, or the last of a trial that never did. A trial whose worker died between the
    end of its run and that of its job has finished twice: the last one counts.
    """
    stands = standing(found)
    return [row for row in found if row.run_id in stands[row.trial, row.name]]


def standing(found: Sequence[Row]) -> dict[tuple[str, str], set[str]]:
    """Return the ids of the runs that stand for a trial, by its names; several only where names are equal."""
    stands: dict[tuple[str, str], set[str]] = {}
    finished: set[tuple[str, str]] = set()
    for row in found:
        key = row.trial, row.name
        if row.status == "FINISHED":
            before = stands[key] if key in finished and not row.trial else set()
            stands[key] = before | {row.run_id}
            finished.add(key)
        elif key not in finished:
            stands[key] = {row.run_id}
    return stands


def read_row(run: Any) -> Row:
    """Return a run of a trial as the sweep's tables have it."""
    end = run.info.end_time or run.info.start_time
    return Row(
        run_id=run.info.run_id,
        name=run.info.run_name,
        status=state_of(run),
        params=_options(run.data),
        metrics={name: _as_logged(value) for name, value in run.data.metrics.items()},
        seconds=(end - run.info.start_time) / 1000,
        trial=run.data.tags.get(TRIAL, ""),
    )


def state_of(run: Any) -> str:
    """Return the status of a run; PRUNED, which MLflow lacks, for one that a stopping rule stopped."""
    pruned = run.info.status == "KILLED" and run.data.tags.get(STATE) == PRUNED
    return "PRUNED" if pruned else str(run.info.status)


def _as_logged(value: float) -> float:
    """Return infinity for the largest number there is: databases hold that in its place."""
    return math.copysign(math.inf, value) if abs(value) == sys.float_info.max else value


def _options(data: Any) -> dict[str, str]:
    """Return what the sweep set for a trial; all parameters where that is not recorded."""
    try:
        return dict(json.loads(data.tags.get("bf.overrides") or "null") or data.params)
    except ValueError:  # cut by the store, which takes no longer tags
        return dict(data.params)
