"""Write the resolved versions of the whole tree into pyproject.toml, by name and version alone.

``uv lock --upgrade && python tools/pins.py`` takes the newest; uv.lock itself stays out of the repository,
since it holds the addresses of the registry it was made with.
"""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BEGIN, END = "constraint-dependencies = [\n", "]  # end of pins\n"


def marker(package: dict) -> str:
    """Which Pythons a version is for, where uv had to choose two versions of one package."""
    texts = package.get("resolution-markers", [])
    if not texts:
        return ""
    old = ["python_full_version < '3.12'" in text for text in texts]
    if all(old):
        return " ; python_full_version < '3.12'"
    return "" if any(old) else " ; python_full_version >= '3.12'"


def pins(lock: dict) -> list[str]:
    """One requirement a package, or two where Python's version decides, sorted.

    Where only a choice of extras parts two versions (with TensorFlow, without), the older one suits both.
    """
    packages = [package for package in lock["package"] if "registry" in package["source"]]
    several = {p["name"] for p in packages if sum(q["name"] == p["name"] for q in packages) > 1}
    chosen: dict[tuple[str, str], str] = {}
    for package in packages:
        key = package["name"], marker(package) if package["name"] in several else ""
        version = package["version"]
        chosen[key] = min(
            chosen.get(key, version), version, key=lambda text: [int(n) for n in re.findall(r"\d+", text)]
        )
    return sorted(f"{name}=={version}{condition}" for (name, condition), version in chosen.items())


def main() -> None:
    """Replace the list between the two marks."""
    path = ROOT / "pyproject.toml"
    text = path.read_text()
    rows = pins(tomllib.loads((ROOT / "uv.lock").read_text()))
    body = BEGIN + "".join(f'    "{row}",\n' for row in rows) + END
    pattern = re.escape(BEGIN) + ".*?" + re.escape(END)
    path.write_text(re.sub(pattern, lambda _: body, text, flags=re.DOTALL))
    print(f"{len(rows)} pins written to {path.name}")


if __name__ == "__main__":
    main()
