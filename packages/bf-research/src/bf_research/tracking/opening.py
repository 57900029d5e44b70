"""Where and how a run is recorded, and its beginning in the store."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from bf_pipeline.redaction.texts import redact_text
from bf_research.tracking import store
from bf_research.tracking.names import LONGEST_NAME, clean_text, is_sure
from bf_research.tracking.tracker import Location


@dataclass(frozen=True)
class Buffering:
    """Limits of waiting: seconds between writes, points in memory, seconds for a store that is down."""

    flush_seconds: float = 1.0
    points: int = 100_000
    patience: float = 30.0

    def __post_init__(self) -> None:
        if self.flush_seconds <= 0 or self.points < 1 or self.patience < 0:
            raise ValueError(
                "tracking.buffering: flush_seconds must be above 0, points at least 1, patience 0 or more, "
                f"got {self.flush_seconds:g}, {self.points} and {self.patience:g}"
            )


@dataclass(frozen=True)
class RecorderOptions:
    """Options of a recorder: where and how a run is recorded; see ``MLflowTracker``."""

    uri: str
    experiment: str
    experiment_id: str | None = None
    required: bool = True
    #: it has answered before: a server that is away now is waited for
    known: bool = False
    folder: str = "."
    system_metrics: bool = False
    buffering: Buffering = Buffering()

    @property
    def shown_uri(self) -> str:
        """The address of the store without a password."""
        return redact_text(self.uri)


def open_run(
    options: RecorderOptions, name: str, tags: Mapping[str, str], resumed: str | None
) -> tuple[Any, Location]:
    """Begin a run in the store, or go on with one that the store has; return a client and where the run is.

    Tags that MLflow might refuse are left for later. ``TrackingError`` says why the store can't be used.
    """
    client = store.open_store(options.uri)
    try:
        experiment = options.experiment_id or store.experiment_id(client, options.experiment, options.uri)
        run_id = resumed and store.find_run(client, resumed)
        if run_id is None:
            run_id = _create(client, experiment, options, name, tags)
    except store.TrackingError:
        raise
    except Exception as error:
        raise store.explain(options.uri, error) from error
    command, site = store.ui(options.uri)
    return client, Location(
        store=options.shown_uri,
        experiment=options.experiment,
        experiment_id=experiment,
        run_id=run_id,
        run_name=name,
        command=command,
        page=f"{site}/#/experiments/{quote(experiment)}/runs/{run_id}?{store.MENU}",
        tracker="mlflow",
    )


def _create(
    client: Any, experiment: str, options: RecorderOptions, name: str, tags: Mapping[str, str]
) -> str:
    sure = {tag: value for tag, value in tags.items() if is_sure(tag, value)}
    try:
        run = client.create_run(experiment, tags=sure, run_name=clean_text(name)[:LONGEST_NAME])
    except Exception:
        # for an experiment deleted meanwhile this raises with the way to restore it
        store.experiment_id(client, options.experiment, options.uri)
        raise
    return str(run.info.run_id)
