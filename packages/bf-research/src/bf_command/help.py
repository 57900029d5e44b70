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


def describe(folder: Path, config_name: str, program: str) -> str:
    """Return what can be set and to what, for the application whose configurations are in ``folder``."""
    groups = _groups(folder, config_name)
    settings = _settings(folder / f"{config_name}.yaml")
    width = max((len(name) for name in (*groups, *settings)), default=10) + 2
    lines = [f"usage: python {program} [name=value ...]", ""]
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


def _examples(groups: Container[str], program: str) -> list[str]:
    """Return commands to begin with."""
    if "model" in groups:
        return [f"python {program} model=resnet18", f"python {program} -m model=vgg7,resnet18"]
    return [
        f"python {program} run=outputs/NAME",
        f"python {program} run=outputs/NAME dataset.path=new_photos",
    ]


def _groups(folder: Path, config_name: str) -> dict[str, list[str]]:
    """Return the options of every group: its YAML files, and the models that bf_models offers.

    Of several applications in one folder each has the groups that its list of defaults names.
    """
    main = folder / f"{config_name}.yaml"
    named = _NAMED.findall(main.read_text(encoding="utf-8")) if main.exists() else []
    models = [folder / "model" / f"{name}.yaml" for name in offered_models(folder, config_name)]
    found: dict[str, list[str]] = {}
    for path in sorted([*folder.rglob("*.yaml"), *models]):
        group = path.parent.relative_to(folder).as_posix()
        if group != "." and (not named or group in named):
            found.setdefault(group, []).append(path.stem)
    return found


def _settings(path: Path) -> dict[str, str]:
    """Return the top-level ``name: value`` lines, with the comment on the same line."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    return {name: value.strip() for name, value in re.findall(r"^([a-z_]+): +(\S.*)$", text, re.MULTILINE)}
