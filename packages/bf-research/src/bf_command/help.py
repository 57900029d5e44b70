"""The text of ``--help``, read from files alone so that it answers at once."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Container
from pathlib import Path

from bf_command.schema import offered_models

COLUMNS = 100
#: A group in a list of defaults.
_NAMED = re.compile(r"^ *- +(?:optional +)?/?([a-z]\w*): (?!null  # unused)", re.MULTILINE)
FLAGS = """\
options (Hydra's own):
  -m, --multirun             run every combination of the values given: model=vgg7,resnet18
  --cfg job                  print the configuration and stop; --cfg all includes Hydra's
  --steps                    of train.py: list the steps of the data set's batches with their arguments
  --config-name, -cn NAME    another file of conf/ than train
  --config-dir, -cd FOLDER   one more folder of configurations
  --info, --hydra-help       about the configuration's sources; everything Hydra can do
"""


def describe(folder: Path, config_name: str, program: str, standard: Path | None = None) -> str:
    """Return what can be set and to what, for the application whose configurations are in ``folder``.

    ``standard`` is a folder that has what is not in that one.
    """
    groups, settings = list_parts(folder, config_name, standard)
    width = max((len(name) for name in (*groups, *settings)), default=10) + 2
    program = f"python {program}" if program.endswith(".py") else program
    lines = [f"usage: {program} [name=value ...]", ""]
    lines += [f"  {example}" for example in _examples(groups, program)]
    lines += ["", "parts to choose:"]
    for name, options in groups.items():
        lines += textwrap.wrap(
            ", ".join(options),
            COLUMNS,
            initial_indent=f"  {name:{width}} ",
            subsequent_indent=" " * (width + 3),
        )
    lines += ["", "settings and their defaults:"]
    lines += [f"  {name:{width}} {value}" for name, value in settings.items()]
    return "\n".join(lines) + "\n\n" + FLAGS


def list_parts(
    folder: Path, config_name: str, standard: Path | None = None
) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Return the options of each group, and the settings with their defaults as they are written."""
    return _groups(folder, config_name, standard), _settings(folder / f"{config_name}.yaml")


def _examples(groups: Container[str], program: str) -> list[str]:
    """Return commands to begin with."""
    if "model" in groups:
        return [f"{program} model=resnet18", f"{program} -m model=vgg7,resnet18"]
    return [
        f"{program} run=outputs/NAME",
        f"{program} run=outputs/NAME dataset.path=new_photos",
    ]


def _groups(folder: Path, config_name: str, standard: Path | None) -> dict[str, list[str]]:
    """Return the options of every group: its YAML files, and the models that bf_models offers.

    Of several applications in one folder each has the groups that its list of defaults names.
    """
    main = folder / f"{config_name}.yaml"
    named = _NAMED.findall(main.read_text(encoding="utf-8")) if main.exists() else []
    folders = [folder] if standard is None else [folder, standard]
    paths = {path.relative_to(place) for place in folders for path in place.rglob("*.yaml")}
    paths |= {Path("model") / f"{name}.yaml" for name in offered_models(folder, config_name)}
    found: dict[str, list[str]] = {}
    for path in sorted(paths):
        group = path.parent.as_posix()
        if group != "." and (not named or group in named):
            found.setdefault(group, []).append(path.stem)
    return found


def _settings(path: Path) -> dict[str, str]:
    """Return the top-level ``name: value`` lines, with the comment on the same line."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return {name: value.strip() for name, value in re.findall(r"^([a-z_]+): +(\S.*)$", text, re.MULTILINE)}
