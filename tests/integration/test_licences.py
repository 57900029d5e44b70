"""Every library that comes with BatchFlow has a licence under which it may be given on."""

from __future__ import annotations

import re
from importlib.metadata import Distribution, distributions

#: Words of licences that ask for no more than that they are named; MPL asks for changes to its own files.
FREE = re.compile(
    r"apache|\bbsd\b|0bsd|\bmit\b|mit-0|mit-cmu|psf|python software foundation|mozilla|\bmpl|isc\b|zlib|cc0"
    r"|unlicense|hpnd",
    re.IGNORECASE,
)
STRICT = re.compile(
    r"\bA?GPL|affero|general public(?! license v?[\d.]* with)|proprietary|commercial", re.IGNORECASE
)
#: Those that say nothing in their metadata; what stands in the licence file of their wheel.
READ_BY_HAND = {"huey": "MIT", "namex": "Apache-2.0", "skops": "MIT"}


def find_licence(found: Distribution) -> str:
    """Return what a distribution says of its licence."""
    data = found.metadata
    classifiers = [text for text in data.get_all("Classifier") or () if text.startswith("License")]
    words = [data.get("License-Expression") or "", *(text.rpartition(" :: ")[2] for text in classifiers)]
    said = " ".join(words).strip()
    first = (data.get("License") or "").strip().partition("\n")[0][:80]
    return READ_BY_HAND.get(data["Name"]) or (said if FREE.search(said) else f"{said} {first}".strip())


def test_every_library_has_a_free_licence():
    licences = {found.metadata["Name"]: find_licence(found) for found in distributions()}
    assert len(licences) > 100
    assert {name: text for name, text in licences.items() if not FREE.search(text)} == {}
    assert {name: text for name, text in licences.items() if STRICT.search(text)} == {}


def test_other_licences_would_be_seen():
    assert not FREE.search("GNU General Public License v3 (GPLv3)")
    assert STRICT.search("GNU Affero General Public License v3")
    assert STRICT.search("GPL-3.0-only")
