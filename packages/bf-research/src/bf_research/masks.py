"""Masks of the secrets of one sweep: they tell equal secrets from others, and nothing else."""

from __future__ import annotations

import hmac
import os
import secrets
from pathlib import Path
from typing import Any

from bf_index.errors import escape
from bf_pipeline.redaction.texts import MASK
from bf_research.own_files import open_plain

KEY = "masks.key"
_BYTES = 32
_SHOWN = 12


class Masks:
    """A function that masks a secret as ``***`` and a hash with the key of a sweep's folder.

    The sweep knows by it which trials are done and which were begun with other settings. The key is drawn
    when the first secret is masked, stays in the folder, and only its owner can read it; who has the journal
    alone can't try passwords against it. Without a folder there is no key: for what is not written.
    """

    def __init__(self, folder: Path | None = None, key: bytes = b"") -> None:
        self._folder, self._key = folder, key

    def __call__(self, secret: str) -> str:
        """Return the mask of a secret."""
        digest = hmac.digest(self.key, secret.encode(errors="surrogatepass"), "sha256")
        return MASK + digest.hex()[:_SHOWN]

    @property
    def key(self) -> bytes:
        """The key, read from the folder or made there."""
        if not self._key and self._folder is not None:
            self._key = _read_or_make(self._folder)
        return self._key

    def __reduce__(self) -> tuple[Any, ...]:
        return Masks, (None, self._key)


def is_masked(value: Any) -> bool:
    """Whether there is a mask in a recorded value, or in a text inside it."""
    return MASK in str(value)


def _read_or_make(folder: Path) -> bytes:
    """Return the key of a folder; two processes that make it at once get the same one."""
    path = folder / KEY
    folder.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        draft = folder / f".{KEY}.{secrets.token_hex(8)}"
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
            file.write(secrets.token_bytes(_BYTES))
        try:
            os.link(draft, path)  # whole, and never over another one
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    with open(path, "rb", opener=open_plain) as file:
        key = file.read(_BYTES + 1)
    if len(key) != _BYTES:
        raise ValueError(
            f"{escape(path)} is damaged: it has {len(key)} bytes, not {_BYTES}; restore it, or "
            "start the sweep "
            "in a new folder"
        )
    return key
