"""Which trackers a configuration or a program asks for: one or several, by name or with options."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from bf_index.errors import unknown
from bf_research import targets
from bf_research.tracking.several import SeveralTrackers
from bf_research.tracking.tracker import NoTracker, Tracker

_MLFLOW = "bf_research.tracking.MLflowTracker"
#: Trackers by the names that they have in ``conf/tracking``.
TRACKERS: Mapping[str, str] = {
    "mlflow": _MLFLOW,
    "csv": "bf_research.tracking.CSVTracker",
    "tensorboard": "bf_research.tracking.TensorBoardTracker",
    "wandb": "bf_research.tracking.WandbTracker",
}


def make_tracker(config: Mapping[str, Any], allow: Sequence[str] = ()) -> Tracker:
    """Return the tracker that ``tracking`` of a configuration asks for; for several, one that has them all.

    ``allow``: packages of the user. ``TargetError`` for what is no tracker.
    """
    parts = targets.find_parts(config)
    trackers: list[Tracker] = [
        targets.build(part, "tracking", allow, f"tracking.{name}" if name else "tracking")
        for name, part in parts.items()
    ]
    several = [tracker for tracker in trackers if type(tracker) is not NoTracker] or trackers
    return several[0] if len(several) == 1 else SeveralTrackers(*several)


def name_trackers(config: Any) -> dict[str, str]:
    """Return what kinds of trackers ``tracking`` of a configuration asks for, by the names they stand under.

    >>> name_trackers({'_target_': 'bf_research.tracking.MLflowTracker', 'csv': {'_target_': 'x.CSVTracker'}})
    {'': 'mlflow', 'csv': 'csv'}
    """
    parts = targets.find_parts(config).items()
    return {name: name or _kind(str(part.get("_target_", ""))) for name, part in parts}


def _kind(target: str) -> str:
    return target.rpartition(".")[2].removesuffix("Tracker").lower() or "tracker"


def read_tracking(given: Any) -> dict[str, Any] | None:
    """Return what ``Research.run(tracking=...)`` says as ``tracking`` of a configuration; None for nothing.

    A name, a list of names, options of ``MLflowTracker``, or options of several trackers by their names.
    ``ValueError`` for an unknown name, ``TypeError`` for anything else.

    >>> read_tracking({'experiment': 'digits'})
    {'_target_': 'bf_research.tracking.MLflowTracker', 'experiment': 'digits'}
    >>> read_tracking(['csv'])
    {'csv': {'_target_': 'bf_research.tracking.CSVTracker'}}
    """
    if given is None:
        return None
    if isinstance(given, str):
        given = [given]
    if isinstance(given, Sequence):
        given = {_check_name(name): {} for name in given}
        if not given:
            return None
    if not isinstance(given, Mapping):
        raise TypeError(
            "tracking must be a name such as 'csv', a list of names, a mapping such as "
            f"{{'experiment': 'digits'}}, or None, got {given!r}; {{}} records in mlflow.db of the working "
            "folder"
        )
    named = {str(name): options for name, options in given.items() if name in TRACKERS}
    if not named:
        return {"_target_": _MLFLOW, **given}
    for name in given:
        _check_name(name)
    return {name: {"_target_": TRACKERS[name], **_check_options(name, one)} for name, one in named.items()}


def _check_name(name: Any) -> str:
    if name not in TRACKERS:
        hint = f"; a store of MLflow is given as {{'uri': {str(name)!r}}}" if "://" in str(name) else ""
        raise ValueError(unknown("tracker", str(name), TRACKERS, "tracking") + hint)
    return str(name)


def _check_options(name: str, options: Any) -> Mapping[str, Any]:
    if options is not None and not isinstance(options, Mapping):
        raise TypeError(f"tracking[{name!r}] must be a mapping of options, got {options!r}")
    return options or {}
