"""The changelog: a head stands once in a version, an entry once at all."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

TEXT = (Path(__file__).parents[2] / "CHANGELOG.md").read_text(encoding="utf-8")


def test_heads_of_a_version_and_entries_stand_once():
    for version in re.split(r"^## ", TEXT, flags=re.MULTILINE)[1:]:
        heads = re.findall(r"^### (.+)$", version, re.MULTILINE)
        assert len(heads) == len(set(heads)), (version.splitlines()[0], heads)
    entries = Counter(re.findall(r"^- .+$", TEXT, re.MULTILINE))
    assert [entry for entry, count in entries.items() if count > 1] == []
