"""The sweep's own run in MLflow: a Hydra callback that makes it, hands it to the trials and sums it up."""

from __future__ import annotations

import atexit
import logging
import os
import socket
import sys
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from hydra.experimental.callback import Callback

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text
from bf_pipeline.redaction.values import redact_command, redact_override
from bf_research.launcher.errors import SweepRefused
from bf_research.launcher.hydra_private import task_overrides
from bf_research.masks import Masks
from bf_research.targets import find_part
from bf_research.tracking import kept, store
from bf_research.tracking.choice import name_trackers
from bf_research.tracking.opening import Buffering
from bf_research.tracking.refusals import first_line, is_busy
from bf_research.tracking.replay import replay_sweep
from bf_research.tracking.run_scope import MEMORY, SweepContext, process_mark
from bf_research.tracking.store import TrackingError
from bf_research.tracking.summaries.places import find_places, note, read_memory, tell_places
from bf_research.tracking.summaries.summary import summarize
from bf_research.tracking.writer import Writer

if TYPE_CHECKING:
    from omegaconf import DictConfig

log = logging.getLogger(__name__)

#: How often a store that is busy is asked to close the run; MLflow waits 20 s each time.
_TRIES = 3


class EarlierState(NamedTuple):
    """The state of a sweep's run before the sweep was started again."""

    status: str
    end: int | None
    trials: frozenset[str]


class SweepTracking(Callback):
    """A callback that records a sweep (``-m``) as a parent run whose children are the trials.

    The process of the sweep creates the store, the experiment and the parent before any trial starts, closes
    runs that killed processes left open, and sums up at the end. It holds plain data only, since Hydra
    pickles it.
    """

    def __init__(self, metric: str = "test/accuracy", minimize: bool | None = None) -> None:
        self.metric, self.minimize = metric, minimize
        self._around: int | None = None

    def on_multirun_start(self, config: DictConfig, **kwargs: Any) -> None:
        """Create or find the parent run, and publish it to the trials."""
        SweepContext.withdraw()
        self._around = _passing()
        tracking = find_part(config.get("tracking"), "MLflowTracker")
        if tracking is None:
            if set(name_trackers(config.get("tracking")).values()) - {"no", "tracker"}:
                _gather_settings(config).publish()
                _note_places(config)
            return
        try:
            try:
                context, before = self._open(config, tracking)
            except Exception as error:
                if not hasattr(error, "error_code"):  # none of MLflow's, which may not be loaded yet
                    raise
                raise store.explain(store.address(tracking.get("uri")), error) from error
        except TrackingError as error:
            if tracking.get("required", True):
                raise SweepRefused(str(error)) from error
            log.warning(
                "the sweep has no run of its own: %s; its trials keep records in tracking-*.jsonl files",
                error,
            )
            return
        context.publish()
        _note_places(config)
        atexit.register(_abandon_quietly, context.run_id, before)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Close trials of dead workers, log the summary, print table and addresses."""
        context = SweepContext.current()
        # Hydra 1.3 tells nothing of a sweep that raises, 1.4 does: its run is closed as the process ends
        if context is None or (_passing() != self._around and not _tells_failures()):
            return
        told = tell_places(find_places(config.get("tracking"), str(config.hydra.sweep.dir)))
        if not context.run_id:
            SweepContext.withdraw()
            sys.stdout.write(told)
            sys.stdout.flush()
            return
        sweeper = config.hydra.get("sweeper") or {}
        # our own sweeper ranks by configuration, over repetitions: one table is enough
        ranked = str(sweeper.get("_target_", "")).endswith("DomainSweeper")
        metric = str(sweeper.get("metric") or self.metric)
        text = ""
        try:
            tracking = find_part(config.tracking, "MLflowTracker") or {}
            store.wait_for(context.store, _read_patience(tracking))
            folder = Path(str(config.hydra.sweep.dir)).absolute()
            _write_kept(context, [Path(str(tracking.get("folder", "."))), *folder.glob("*/")])
            finish_trials(context, ended=True)
            text = summarize(context, metric, sweeper.get("minimize", self.minimize), table=not ranked)
        except Exception as error:  # noqa: BLE001 - the trials are done: a store that is away costs none of them
            log.warning(
                "all trials are done, but the sweep's summary is not in MLflow: %s; the same command with "
                "hydra.sweep.dir=%s writes it, and what trials have kept in files",
                first_line(error),
                escape(config.hydra.sweep.dir),
            )
        SweepContext.withdraw()
        _finish_run(context)
        sys.stdout.write(text + told)
        sys.stdout.flush()

    def _open(
        self, config: DictConfig, tracking: Mapping[str, Any]
    ) -> tuple[SweepContext, EarlierState | None]:
        uri = store.address(tracking.get("uri"))
        experiment = str(tracking.get("experiment", "batchflow"))
        client = store.open_store(uri)
        number = store.experiment_id(client, experiment, uri)
        close_abandoned(client, number)
        folder = Path(str(config.hydra.sweep.dir)).absolute()
        masks = Masks(folder)
        run_id, before = _find_earlier_run(folder, redact_text(uri, masks), client), None
        if run_id is None:
            tags = {
                "bf.kind": "sweep",
                "bf.folder": str(folder),
                "bf.command": redact_command(sys.argv),
                "bf.host": socket.gethostname(),
                "bf.process": process_mark(os.getpid()),
            }
            # a day and a time of day, as sweeps are filed
            name = "/".join(folder.parts[-2:])
            folder.mkdir(parents=True, exist_ok=True)
            run_id = str(client.create_run(number, tags=tags, run_name=name).info.run_id)
            note(folder, store=redact_text(uri, masks), run_id=run_id)
            _record_surroundings(Writer(client, run_id, name))
        else:
            run = client.get_run(run_id)
            _refuse_second(run, folder)
            before = EarlierState(run.info.status, run.info.end_time, frozenset(trials_of(client, run_id)))
            client.set_tag(run_id, "bf.process", process_mark(os.getpid()))
            client.update_run(run_id, status="RUNNING")
        own = _gather_settings(config)
        return replace(own, store=uri, experiment=experiment, run_id=run_id, experiment_id=number), before


def _passing() -> int | None:
    """Return which error is on its way through this function's callers, None without one."""
    error = sys.exception()
    return None if error is None else id(error)


def _tells_failures() -> bool:
    """Whether the error on its way is that of a sweep that came to its end, with trials that failed."""
    from bf_research.sweep.sweep import SweepFailed  # late: start-up time

    return isinstance(sys.exception(), SweepFailed)


def _gather_settings(config: DictConfig) -> SweepContext:
    """Return what trials of a sweep have in common, wherever they are recorded."""
    folder, given = Path(str(config.hydra.sweep.dir)).absolute(), task_overrides(config.hydra)
    secret = any(redact_override(text) != text for text in (*given, *sys.argv[1:]))
    key = Masks(folder).key.hex() if secret else ""
    return SweepContext("", "", "", {"bf.sweep": folder.name}, given, None, key)


def _note_places(config: DictConfig) -> None:
    """Note in the sweep's folder where its trials are recorded in files."""
    folder = str(config.hydra.sweep.dir)
    if places := find_places(config.get("tracking"), folder):
        note(Path(folder), places=places)


def _find_earlier_run(folder: Path, uri: str, client: Any) -> str | None:
    """Return the run of an earlier start of the same sweep, if the store still has it."""
    path = folder / MEMORY
    if not path.exists():
        return None
    memory = read_memory(folder)
    if "store" not in memory and "places" in memory:  # it was not recorded in MLflow
        return None
    if not all(isinstance(memory.get(name), str) for name in ("store", "run_id")):
        log.warning("%s is damaged, the sweep gets a new run in MLflow", escape(path))
        return None
    if memory["store"] != uri:
        return None
    run = store.get_run(client, memory["run_id"])
    return None if run is None or run.info.lifecycle_stage == "deleted" else memory["run_id"]


def _record_surroundings(writer: Writer) -> None:
    """Write the state of code and environment; what can't be written costs the sweep nothing."""
    try:
        writer.surroundings(os.getcwd())
    except Exception as error:  # noqa: BLE001 - the store took the run itself
        log.warning("code and environment of the sweep are not in MLflow: %s", first_line(error))


def _read_patience(tracking: Any) -> float:
    """Return for how many seconds a store that is away is waited for."""
    given = (tracking.get("buffering") or {}).get("patience")
    return Buffering().patience if given is None else float(given)


def _write_kept(context: SweepContext, folders: Iterable[Path]) -> None:
    """Write what trials have kept in files while the store was away; log what is left in some."""
    try:
        left = replay_sweep(context, folders)
    except (ValueError, OSError) as error:
        log.warning("files of records that trials have kept can't be written: %s", first_line(error))
        return
    if left:
        log.warning(
            "%d files of records are still not in the store, such as %s; one is written by "
            "python -m bf_research.tracking.replay %s",
            len(left),
            escape(left[0]),
            kept.arguments(left[0], redact_text(context.store)),
        )


def _finish_run(context: SweepContext) -> None:
    """Close the run of a sweep that came to its end; log what keeps it open."""
    for left in reversed(range(_TRIES)):
        try:
            store.open_store(context.store).set_terminated(context.run_id, "FINISHED")
            return
        except Exception as error:  # noqa: BLE001 - the trials are done: a store that is away costs none of them
            if not left or not is_busy(error):
                log.warning("the sweep's run %s can't be closed: %s", context.run_id, first_line(error))
                return


def _refuse_second(run: Any, folder: Path) -> None:
    """Raise ``SweepRefused`` when another process of this machine is running the sweep."""
    mark = str(run.data.tags.get("bf.process", ""))
    pid = int(mark.partition(":")[0] or 0)
    here = run.data.tags.get("bf.host") == socket.gethostname() and pid not in (0, os.getpid())
    if here and run.info.status == "RUNNING" and process_mark(pid) == mark:
        raise SweepRefused(
            f"{escape(folder)}: process {pid} is running the sweep of this folder; wait for it, stop it, "
            "or give this sweep a folder of its own"
        )


def abandon(run_id: str, before: EarlierState | None = None) -> None:
    """Close the run of a sweep that did not come to its end, once, and its trials that nobody runs any more.

    It is KILLED when a trial was, else FAILED: its sweeper raised. A sweep that was refused before it had any
    trial leaves no run, and a run that it was to go on with as it was ``before``.
    """
    context = SweepContext.current()
    if context is None or context.run_id != run_id:
        return
    SweepContext.withdraw()
    if not run_id:  # there is no MLflow in it
        return
    finish_trials(context)
    client = store.open_store(context.store)
    states = trials_of(client, run_id)
    if before is not None and before.trials == frozenset(states) and before.end is not None:
        client.set_terminated(run_id, before.status, before.end)
        return
    client.set_terminated(run_id, "FAILED" if states and "KILLED" not in states.values() else "KILLED")
    if not states:
        folder = client.get_run(run_id).data.tags.get("bf.folder")
        client.delete_run(run_id)
        if folder:
            Path(folder, MEMORY).unlink(missing_ok=True)


def _abandon_quietly(run_id: str, before: EarlierState | None) -> None:
    """Close the run of a sweep that this process leaves unfinished; log what goes wrong."""
    try:
        abandon(run_id, before)
    except Exception as error:  # noqa: BLE001 - nobody is left to catch it; the next sweep closes the run
        log.warning("the sweep's run %s can't be closed, the next sweep will: %s", run_id, error)


def trials_of(client: Any, run_id: str) -> dict[str, str]:
    """Return the states of a sweep's trials by their runs."""
    experiment = str(client.get_run(run_id).info.experiment_id)
    found = store.search_all(client, experiment, f"tags.`mlflow.parentRunId` = '{run_id}'")
    return {str(run.info.run_id): store.state_of(run) for run in found}


def finish_trials(context: SweepContext, ended: bool = False) -> None:
    """Mark the trials of a sweep KILLED whose processes are gone; when it has ended, all that are open."""
    client = store.open_store(context.store)
    experiment = str(client.get_run(context.run_id).info.experiment_id)
    close_abandoned(client, experiment, context.run_id, ended)


def close_abandoned(
    client: Any, experiment: str, parent: str | None = None, ended: bool = False
) -> list[str]:
    """Mark runs KILLED that a process of this machine started and that has ended since; return their ids.

    ``ended``: the sweep ``parent`` has, so that nobody writes to any run of its trials. A server that was
    killed before it could answer leaves such.
    """
    found = "attributes.status = 'RUNNING'"
    if not ended:
        found += f" and tags.`bf.host` = '{socket.gethostname()}'"
    if parent is not None:
        found += f" and tags.`mlflow.parentRunId` = '{parent}'"
    closed = []
    for run in list(store.search_all(client, experiment, found)):  # all are found before one is changed
        mark = run.data.tags.get("bf.process", "")
        if ended or (mark and process_mark(int(mark.partition(":")[0])) != mark):
            client.set_terminated(run.info.run_id, "KILLED")
            closed.append(str(run.info.run_id))
    return closed
