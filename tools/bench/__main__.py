"""Run the benchmarks: ``python tools/bench`` runs all, ``python tools/bench index images`` those two.

Each is a module beside this file with ``main() -> bool``, which tells whether every target held; several run
in processes of their own, so that none leaves threads or memory to the next. What follows ``--`` are parts
of one benchmark, where it has ``PARTS``: ``python tools/bench models -- resnet18 vgg7``.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
sys.path.insert(0, str(FOLDER))


def main() -> int:
    """Run each in turn; ends with 1 when a target fell short."""
    known = sorted(path.stem for path in FOLDER.glob("[a-z]*.py") if path.stem != "common")
    words = sys.argv[1:]
    cut = words.index("--") if "--" in words else len(words)
    wanted, parts = words[:cut] or known, words[cut + 1 :]
    if strangers := [name for name in wanted if name not in known]:
        print(f"unknown benchmark: {', '.join(strangers)}; there are: {', '.join(known)}")
        return 2
    if len(wanted) > 1:
        if parts:
            print(f"parts after -- are those of one benchmark, got {len(wanted)}: {', '.join(wanted)}")
            return 2
        codes = [subprocess.run([sys.executable, FOLDER, name], check=False).returncode for name in wanted]
        return max(codes, key=abs)
    module = importlib.import_module(wanted[0])
    if parts and not hasattr(module, "PARTS"):
        print(f"{wanted[0]} has no parts, got: {', '.join(parts)}")
        return 2
    return 0 if module.main(*parts) else 1


if __name__ == "__main__":
    sys.exit(main())
