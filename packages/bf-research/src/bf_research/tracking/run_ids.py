"""Ids of a run that several trackers record: one text, from which each takes its own."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

_MOST_LETTERS = 10_000
#: What a record has an id under whose kind of tracker is not known.
UNKNOWN = "tracker"
_OURS = frozenset({"mlflow", "csv", "tensorboard", "wandb"})
#: Ids that a record of version 0.2.0 may have, which says no kind.
_FORMS = {
    "mlflow": re.compile(r"[0-9a-f]{32}"),
    "csv": re.compile(r"\d{4}-\d\d-\d\d_\d\d-\d\d-\d\d_[\w.-]+_[0-9a-f]{8}"),
}


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


def name_ids(run_id: str | None) -> dict[str, str]:
    """Return the ids of a run by the kind of tracker; of one id alone its form tells who wrote it.

    It stands under ``tracker`` where that is none of ours.

    >>> name_ids('0123456789abcdef' * 2), name_ids('RUN7')
    ({'mlflow': '0123456789abcdef0123456789abcdef'}, {'tracker': 'RUN7'})
    """
    if run_id is None:
        return {}
    kind = next((kind for kind, form in _FORMS.items() if form.fullmatch(run_id)), UNKNOWN)
    return split_ids(run_id) or {kind: run_id}


def choose_id(run_id: str | None, kind: str, alone: bool = True) -> str | None:
    """Return the id that one tracker goes on with, of those of several too; None where it has none of them.

    An id without a kind is that of a tracker that is ``alone``; of several it is that of the one whose form
    it has, else of all. One of an unknown kind is that of no tracker of ours.

    >>> choose_id('{"mlflow": "8f0c", "csv": "2026_net"}', 'csv'), choose_id('8f0c', 'csv')
    ('2026_net', '8f0c')
    >>> choose_id('0123456789abcdef' * 2, 'csv', alone=False), choose_id('{"tracker": "RUN7"}', 'csv')
    (None, None)
    """
    several, named = split_ids(run_id), name_ids(run_id)
    if not several and (alone or UNKNOWN in named):
        return run_id
    own = kind.partition("#")[0]
    return named.get(kind, None if own in _OURS else named.get(UNKNOWN))


def kind_of(tracker: Any) -> str:
    """Return what kind of tracker it is: what it says itself, else the name of its class."""
    kind = getattr(tracker, "kind", None)
    return kind if isinstance(kind, str) else type(tracker).__name__.removesuffix("Tracker").lower()
