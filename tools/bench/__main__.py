"""Run the benchmarks: ``python tools/bench`` runs all, ``python tools/bench index images`` those two.

Each is a module beside this file with ``main() -> bool``, which tells whether every target held.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))


def main() -> int:
    """Run each in turn; ends with 1 when a target fell short."""
    known = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "common")
    wanted = sys.argv[1:] or known
    if strangers := [name for name in wanted if name not in known]:
        print(f"unknown benchmark: {', '.join(strangers)}; there are: {', '.join(known)}")
        return 2
    held = [importlib.import_module(name).main() for name in wanted]
    return 0 if all(held) else 1


if __name__ == "__main__":
    sys.exit(main())
