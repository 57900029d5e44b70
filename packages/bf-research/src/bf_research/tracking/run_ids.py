"""Ids of a run that several trackers record: one text, from which each takes its own."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

_MOST_LETTERS = 10_000


def join_ids(ids: Mapping[str, str]) -> str:
    """Return the ids of a run, by the kind of tracker, as one text.

    >>> join_ids({'mlflow': '8f0c', 'csv': '2026_net'})
    '{"mlflow": "8f0c", "csv": "2026_net"}'
    """
    return json.dumps(dict(ids))


def split_ids(run_id: str | None) -> dict[str, str]:
    """Return the ids of a run by the kind of tracker; nothing for an id of one tracker.

    >>> split_ids('{"mlflow": "8f0c", "csv": "2026_net"}'), split_ids('8f0c')
    ({'mlflow': '8f0c', 'csv': '2026_net'}, {})
    """
    if run_id is None or not run_id.startswith("{") or len(run_id) > _MOST_LETTERS:
        return {}
    try:
        found = json.loads(run_id)
    except (ValueError, RecursionError):
        return {}
    texts = isinstance(found, dict) and all(isinstance(value, str) for value in found.values())
    return found if texts else {}


def choose_id(run_id: str | None, kind: str) -> str | None:
    """Return the id that one tracker goes on with, of those of several too; None where it has none of them.

    >>> choose_id('{"mlflow": "8f0c", "csv": "2026_net"}', 'csv'), choose_id('8f0c', 'csv')
    ('2026_net', '8f0c')
    """
    several = split_ids(run_id)
    return several.get(kind) if several else run_id


def kind_of(tracker: Any) -> str:
    """Return what kind of tracker it is: what it says itself, else the name of its class."""
    kind = getattr(tracker, "kind", None)
    return kind if isinstance(kind, str) else type(tracker).__name__.removesuffix("Tracker").lower()
