"""The command line ``batchflow``: one name for all that is done with trainings and sweeps."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

#: Commands whose arguments are settings, as those of ``python train.py``.
PROGRAMS = ("train", "predict")


class Command(NamedTuple):
    """One command: what it does, the module with its function of the same name, and its arguments."""

    help: str
    module: str
    arguments: Callable[[argparse.ArgumentParser], Any] = lambda parser: None


def _takes_folder(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="of a run or of a sweep")


def _ranks(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--metric", help="the one to rank by; test/accuracy, or the last one there is")
    parser.add_argument("--minimize", action="store_true", default=None, help="less is better")
    parser.add_argument("--json", action="store_true", dest="as_json", help="write JSON")


def _of_init(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="of the new project")


def _of_show(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, nargs="?", help="of a run or of a sweep; without: what there is")
    _ranks(parser)


def _of_compare(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folders", type=Path, nargs="+", help="of runs and sweeps")
    _ranks(parser)


def _of_best(parser: argparse.ArgumentParser) -> None:
    _takes_folder(parser)
    _ranks(parser)


def _of_report(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", type=Path, help="of a sweep")
    parser.add_argument("--out", type=Path, help="the file; report.html in the folder by default")
    parser.add_argument("--metric", help="the one to rank by; test/accuracy, or the last one there is")
    parser.add_argument("--minimize", action="store_true", default=None, help="less is better")
    parser.add_argument("--store", help="the MLflow store with the runs, if it is not the default one")


def _of_resume(parser: argparse.ArgumentParser) -> None:
    _takes_folder(parser)
    parser.add_argument("settings", nargs="*", help="more settings: name=value")


COMMANDS = {
    "init": Command("begin a project: train.py, conf/, a test", "project", _of_init),
    "train": Command("train one network, or with -m many: model=vgg7 n_epochs=2", "train"),
    "predict": Command("use a trained network: run=outputs/NAME dataset.path=photos", "predict"),
    "show": Command("tell what a run or a sweep is and how it went", "showing", _of_show),
    "compare": Command("rank runs and trials of sweeps in one table", "showing", _of_compare),
    "best": Command("tell the best trial of a sweep and how to use it", "showing", _of_best),
    "report": Command("write what a sweep found out into one HTML file", "reporting", _of_report),
    "resume": Command("go on with a run or a sweep that was cut off", "resumption", _of_resume),
    "doctor": Command("tell devices, versions and what does not fit", "doctor"),
}
COMPLETE = "complete"


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command and end the process: 0, 1 after an error, 2 for a wrong command, 130 after Ctrl-C."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    if given[:1] == [COMPLETE]:  # of the shell: complete -C 'batchflow complete' batchflow
        from bf_programs.completion import complete  # late: start-up time

        complete(list(COMMANDS))
    elif given[:1] and given[0] in PROGRAMS:
        _run_program(given)
    else:
        _check_command(given)
        told = _parse(given)
        module = importlib.import_module(f"bf_programs.{COMMANDS[told.command].module}")
        from bf_command.cli import end_well  # late: start-up time

        sys.exit(end_well(lambda: getattr(module, told.command)(**_arguments(told))))


def _check_command(given: Sequence[str]) -> None:
    """End the process with code 2 for a command that there is not, and name the close match."""
    if given and not given[0].startswith("-") and given[0] not in COMMANDS:
        from bf_index.errors import unknown  # late: start-up time

        sys.stderr.write(f"{unknown('command', given[0], list(COMMANDS))}\nbatchflow --help tells of each\n")
        sys.exit(2)


def _arguments(told: argparse.Namespace) -> dict[str, Any]:
    return {name: value for name, value in vars(told).items() if name != "command"}


def _parse(given: Sequence[str]) -> argparse.Namespace:
    about = "Train networks, compare them, and use them."
    more = "batchflow COMMAND --help tells more; in a checkout python train.py is batchflow train"
    parser = argparse.ArgumentParser("batchflow", description=about, epilog=more)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        command.arguments(commands.add_parser(name, help=command.help, description=command.help))
    return parser.parse_args(given)


def _run_program(given: Sequence[str]) -> None:
    """Run ``train`` or ``predict`` with the configurations of the working folder, if it has any."""
    module = importlib.import_module(f"bf_programs.{given[0]}")
    sys.argv = [f"batchflow {given[0]}", *given[1:]]
    sys.path.insert(0, "")  # modules of the user, as for python train.py
    own = Path("conf").absolute()
    if (own / f"{given[0]}.yaml").is_file():
        module.main(own)
    else:
        module.main()
