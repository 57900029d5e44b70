"""The command line: a Hydra application with quick help, clean errors and honest exit codes."""

from __future__ import annotations

import contextlib
import functools
import gc
import inspect
import io
import os
import signal
import sys
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn, TypeVar

if TYPE_CHECKING:
    from omegaconf import DictConfig

Result = TypeVar("Result")

FAILED = 1
MISUSED = 2
INTERRUPTED = 128 + signal.SIGINT
TERMINATED = 128 + signal.SIGTERM
FULL_ERROR = "HYDRA_FULL_ERROR"
#: Options of Hydra's command line in its order; a test holds them against the installed version.
HYDRA_OPTIONS = (
    "--help -h --hydra-help --version --cfg -c --resolve --package -p --run -r --multirun -m "
    "--shell-completion -sc --config-path -cp --config-name -cn --config-dir -cd --experimental-rerun "
    "--info -i"
)
#: Those that take the next argument as their value.
VALUED_OPTIONS = (
    *("--config-name", "-cn", "--config-path", "-cp", "--config-dir", "-cd", "--package", "-p"),
    *("--cfg", "-c", "--info", "-i", "--experimental-rerun"),
)
#: Deepest frames shown for an error raised outside BatchFlow: enough to find the line, not a screen.
SHOWN_FRAMES = 4


def command(
    config_path: str = "conf",
    config_name: str = "train",
    shows: Mapping[str, Callable[[DictConfig], str]] | None = None,
    completes: Callable[[str], str] | None = None,
) -> Callable[[Callable[[DictConfig], Result]], Callable[[], None]]:
    """Make a function of a configuration the program: ``@command("conf", "train")``.

    Like ``hydra.main``, and: ``--help`` answers without loading Hydra, an error is one message with what,
    got, where and what next (``HYDRA_FULL_ERROR=1`` shows the whole traceback), and the exit code is 0,
    1 for an error, 2 for a wrong command line, 130 after Ctrl-C and 143 after SIGTERM. An option of ``shows``
    prints what its function makes of the configuration; ``completes`` gets what ``--cfg job`` would print.
    """

    def decorate(task: Callable[[DictConfig], Result]) -> Callable[[], None]:
        base = Path(inspect.getfile(task)).resolve().parent

        @functools.wraps(task)
        def program() -> None:
            run_program(Program(task, base, config_path, config_name, shows or {}, completes))

        return program

    return decorate


@dataclass(frozen=True)
class Program:
    """A function of a configuration with what ``command`` says of it.

    ``base`` is the folder that ``config_path`` begins in, ``standard`` one more folder of configurations:
    groups and options that the program's own folder has not. Arguments that are ``quoted`` come from a file,
    and say not what the person has said.
    """

    task: Callable[[DictConfig], Any]
    base: Path
    config_path: str = "conf"
    config_name: str = "train"
    shows: Mapping[str, Callable[[DictConfig], str]] = field(default_factory=dict)
    completes: Callable[[str], str] | None = None
    standard: Path | None = None
    quoted: Sequence[str] = ()


def run_program(program: Program) -> None:
    """Run a program with the arguments of the process, and end the process with its exit code."""
    if sys.argv[1:] in (["--help"], ["-h"]):
        from bf_command.help import describe  # late: start-up time

        folder, name = program.base / program.config_path, Path(sys.argv[0]).name
        sys.stdout.write(describe(folder, program.config_name, name, program.standard))
        return
    sys.exit(end_well(lambda: _run(program)))


def end_well(function: Callable[[], Any]) -> int:
    """Call a function and return the exit code of a program that does nothing else.

    An error is one message on standard error, without secrets; ``HYDRA_FULL_ERROR=1`` shows the traceback.
    """
    complete = os.environ.get(FULL_ERROR) == "1"
    signal.signal(signal.SIGTERM, _terminate)
    try:
        function()
    except KeyboardInterrupt as error:
        _write_error(" ".join(["interrupted", *getattr(error, "__notes__", ())]))
        return INTERRUPTED
    except SystemExit as error:
        if notes := getattr(error, "__notes__", ()):  # of a training that SIGTERM ended: where it is saved
            _write_error(" ".join(["terminated", *notes]))
        raise
    except Exception as error:  # noqa: BLE001 - the edge of the process: it writes the error and returns its code
        if complete:
            traceback.print_exc()
        else:
            _write_error(explain(error))
        return FAILED
    finally:
        if not complete:
            os.environ.pop(FULL_ERROR, None)
    return 0


def _run(program: Program) -> None:
    """Run the Hydra application."""
    own, completes = program.shows, program.completes
    # Hydra would print a long traceback for an unexpected error; asked for all, it raises it to here.
    os.environ[FULL_ERROR] = "1"
    # imports make objects that stay: collecting among them is a fifth of the time
    gc.disable()
    import hydra

    gc.freeze()
    gc.enable()
    shown = next((argument for argument in sys.argv[1:] if argument in own), None)
    arguments = [argument for argument in sys.argv[1:] if argument != shown]
    _check_arguments(arguments, list(own))
    sys.argv[1:] = arguments = put_options_first(arguments)
    folder, name = _prepare(program, arguments)
    if shown is not None:
        sys.stdout.write(own[shown](_compose(folder, name, arguments)))
        return
    shows = {"--cfg", "-c", "--info", "-i"} & {argument.partition("=")[0] for argument in arguments}
    with _without_secrets(completes if _prints_all(arguments) else None) if shows else _NOTHING:
        path = program.config_path if program.config_path.startswith("pkg://") else str(folder)
        hydra.main(config_path=path, config_name=name, **_ways())(program.task)()


def _ways() -> dict[str, Any]:
    """Return what has Hydra behave as version 1.3 does; later ones do without a word."""
    import hydra

    return {"version_base": "1.3"} if hydra.__version__.startswith("1.3.") else {}


def _prepare(program: Program, arguments: list[str]) -> tuple[Path, str]:
    """Return the folder and the name of the primary configuration; Hydra knows types, models and limits.

    A folder that ``--config-path`` names begins where the program's own does: it is written from the root
    into ``arguments`` and ``sys.argv``, for Hydra would look beside the file of the task.
    """
    from bf_command.aliases import bound_aliases  # late: start-up time
    from bf_command.guard import guard_hydra  # late: start-up time
    from bf_command.older_keys import rename_keys  # late: start-up time
    from bf_command.schema import folder_of, register  # late: start-up time
    from bf_command.standard import use_standard  # late: start-up time

    given = _option(arguments, "--config-path", "-cp")
    folder = folder_of(given or program.config_path, program.base) or program.base
    name = _option(arguments, "--config-name", "-cn") or program.config_name
    if given and not given.startswith("pkg://"):
        options = ("--config-path", "-cp")
        for place, argument in enumerate(arguments):
            if argument.partition("=")[0] in options:
                arguments[place : place + (1 if "=" in argument else 2)] = [f"--config-path={folder}"]
        sys.argv[1:] = arguments
    use_standard(program.standard, folder)
    sys.argv[1:] = arguments[:] = rename_keys(arguments, folder)
    register(folder, name, _option(arguments, "--config-dir", "-cd"), arguments)
    bound_aliases()
    said = [argument for argument in arguments if argument not in program.quoted]
    guard_hydra(folder / f"{name.removesuffix('.yaml')}.yaml", said)
    if "--resolve" in arguments:
        from bf_pipeline import register_resolvers

        register_resolvers()
    return folder, name


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    """Turn SIGTERM into an exit that runs every ``finally`` on the way."""
    raise SystemExit(TERMINATED)


def _write_error(message: str) -> None:
    from bf_index.errors import escape
    from bf_pipeline.redaction.texts import redact_text  # late: start-up time

    sys.stderr.write(escape(redact_text(message.rstrip()), keep="\n\t") + "\n")


_NOTHING = contextlib.nullcontext()


def _compose(folder: Path, name: str, arguments: list[str]) -> DictConfig:
    """Return the configuration of a command without running anything."""
    from hydra import compose, initialize_config_dir

    with initialize_config_dir(config_dir=str(folder.resolve()), **_ways()):
        return compose(name.removesuffix(".yaml"), overrides=[text for text in arguments if "=" in text])


def _prints_all(arguments: list[str]) -> bool:
    """Whether the whole configuration of the job is printed, as it is written."""
    options = {argument.partition("=")[0] for argument in arguments}
    job = _option(arguments, "--cfg", "-c") == "job"
    return job and not {"--package", "-p", "--resolve"} & options


@contextlib.contextmanager
def _without_secrets(completes: Callable[[str], str] | None = None) -> Iterator[None]:
    """Write what is printed meanwhile at the end, without secrets: Hydra prints the whole configuration."""
    from bf_pipeline.redaction.texts import redact_file  # late: start-up time

    printed = io.StringIO()
    try:
        with contextlib.redirect_stdout(printed):
            yield
    finally:
        text = printed.getvalue()
        sys.stdout.write(redact_file(completes(text) if completes is not None and text else text))


def _check_arguments(arguments: list[str], own: Sequence[str] = ()) -> None:
    """Refuse what is neither an option nor an override, with the close match."""
    options = [*HYDRA_OPTIONS.split(), *own]
    if {"-m", "--multirun"} & {*arguments} and {"-c", "--cfg"} & {*arguments}:
        _write_error("--cfg prints one configuration and -m makes many: leave -m out")
        raise SystemExit(MISUSED)
    for previous, argument in zip(["", *arguments], arguments, strict=False):
        name = argument.partition("=")[0]
        if previous in VALUED_OPTIONS:
            continue
        if name == "--experimental-rerun":
            _write_error(
                f"{name} unpickles a file, which runs what it holds, and is refused; the configuration of a "
                "run is taken again by --config-dir=RUN/.hydra --config-name=config"
            )
            raise SystemExit(MISUSED)
        if argument.startswith("-"):
            if name not in options:
                from bf_index.errors import unknown

                _write_error(f"{unknown('option', name, options)}\n--help shows how to use the command")
                raise SystemExit(MISUSED)
        elif "=" not in argument and not argument.startswith("~"):
            _write_error(
                f"unknown command {argument!r}: settings are written name=value, "
                "for instance model=vgg7 n_epochs=1; --help lists them"
            )
            raise SystemExit(MISUSED)


def put_options_first(arguments: list[str]) -> list[str]:
    """Return the options with their values, then the overrides: Hydra takes overrides in one piece only.

    >>> put_options_first(['model=a,b', '-m', 'seed=1', '--config-name', 'other'])
    ['-m', '--config-name', 'other', 'model=a,b', 'seed=1']
    """
    options: list[str] = []
    overrides: list[str] = []
    for previous, argument in zip(["", *arguments], arguments, strict=False):
        is_option = argument.startswith("-") or previous in VALUED_OPTIONS
        (options if is_option else overrides).append(argument)
    return [*options, *overrides]


def _option(arguments: list[str], *names: str) -> str | None:
    """Return the value of an option, written ``--option value`` or ``--option=value``; None without it."""
    for argument, after in zip(arguments, [*arguments[1:], ""], strict=False):
        name, equals, value = argument.partition("=")
        if name in names:
            return value if equals else after
    return None


def explain(error: BaseException) -> str:
    """Return one message for an error: what, where and what next, without the frames of libraries."""
    from bf_command.explain import configuration_message  # late: start-up time

    message = configuration_message(error)
    lines = ["error: " + (message or _text(error))]
    lines += [f"  {note}" for note in getattr(error, "__notes__", ())]
    if message is None:
        lines += _frames(error)
    lines.append(f"{FULL_ERROR}=1 shows the whole traceback")
    return "\n".join(lines)


def _text(error: BaseException) -> str:
    kind, text = type(error).__name__, str(error)
    if isinstance(error, KeyError) and error.args:
        text = str(error.args[0])
    return f"{kind}: {text}" if text else kind


def _frames(error: BaseException) -> list[str]:
    """Return the deepest calls, for an error that BatchFlow did not raise on purpose."""
    frames = list(traceback.extract_tb(error.__traceback__))
    traceback_shown = any(note.startswith("in a worker:") for note in getattr(error, "__notes__", ()))
    if not frames or traceback_shown or _is_ours(frames[-1].filename):
        return []
    frames = [frame for frame in frames if "hydra" not in Path(frame.filename).parts] or frames
    return [f"  at {f.filename}:{f.lineno} in {f.name}: {f.line}" for f in frames[-SHOWN_FRAMES:]]


def _is_ours(filename: str) -> bool:
    return any(part.startswith("bf_") for part in Path(filename).parts[-6:-1])
