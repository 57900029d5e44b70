"""Why a store did not take a record: it is away, the run is gone, or the record can't be taken at all."""

from __future__ import annotations

import re
from typing import Any, Literal

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text

#: The store is away; the run was deleted in it; it never takes this record; nobody can tell.
Verdict = Literal["away", "gone", "refused", "unclear"]

#: Answers of a store that another try may change.
_PASSING = frozenset(
    {
        "ABORTED",
        "CANCELLED",
        "DEADLINE_EXCEEDED",
        "REQUEST_LIMIT_EXCEEDED",
        "RESOURCE_EXHAUSTED",
        "TEMPORARILY_UNAVAILABLE",
    }
)
#: Answers that no other try changes, from a store that answers otherwise.
_REFUSALS = frozenset(
    {
        "ALREADY_EXISTS",
        "BAD_REQUEST",
        "ENDPOINT_NOT_FOUND",
        "INVALID_PARAMETER_VALUE",
        "INVALID_STATE",
        "NOT_FOUND",
        "NOT_IMPLEMENTED",
        "RESOURCE_ALREADY_EXISTS",
        "RESOURCE_CONFLICT",
        "RESOURCE_DOES_NOT_EXIST",
    }
)
_BUSY = re.compile(r"(?i)\b(is locked|busy|deadlock|time[d ]?-?out|too many connections)\b")
#: What a file that is gone, a network that can't be saved or a text that is none raise before the store.
_LOCAL = (ValueError, TypeError, AttributeError, LookupError, ImportError, NotImplementedError)


class RunGone(Exception):
    """The run was deleted in the store; the message says how it comes back."""


def judge(error: Exception, client: Any, run_id: str) -> Verdict:
    """Return what an error of a write means; a store that refuses is asked for the run itself."""
    code = getattr(error, "error_code", None)
    if code in _PASSING or type(error.__cause__).__name__ == "TimeoutError":
        return "away"
    try:
        run = client.get_run(run_id)
    except Exception as second:  # noqa: BLE001 - whatever a store that is away raises
        return "gone" if getattr(second, "error_code", None) == "RESOURCE_DOES_NOT_EXIST" else "away"
    if run.info.lifecycle_stage == "deleted":
        return "gone"
    if code in _REFUSALS or isinstance(error, FileNotFoundError):
        return "refused"
    return "refused" if code is None and isinstance(error, _LOCAL) else "unclear"


def is_busy(error: BaseException) -> bool:
    """Whether a store is there but has no time: locked by another process, out of connections."""
    return bool(_BUSY.search(str(error)))


def is_away(error: BaseException) -> bool:
    """Whether a server could not be heard, or its answer says that it may be otherwise later."""
    code = getattr(error, "error_code", None)
    return code is None or code == "INTERNAL_ERROR" or code in _PASSING


def first_line(error: BaseException) -> str:
    """Return kind and first line of an error, without secrets."""
    return escape(redact_text(f"{type(error).__name__}: {error}".partition("\n")[0]))
