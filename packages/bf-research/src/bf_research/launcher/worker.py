"""A worker: takes jobs from its connection one after another, and outlives what they raise."""

from __future__ import annotations

import gc
import os
import pickle
import socket
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import cloudpickle

from bf_batch.engines.channel import Channel, pack, receive_payload
from bf_batch.engines.pickling import dumps_quickly
from bf_research.launcher.channel import WorkerLink, connect
from bf_research.launcher.errors import JobStopped, TrialPruned
from bf_research.own_files import open_plain

#: Classes by whose name an error is known to be the lack of a device's memory.
_OUT_OF_MEMORY = frozenset({"ResourceExhaustedError", "OutOfMemoryError"})
#: JAX has one class for all of them, and begins with what went wrong.
_FULL = "RESOURCE_EXHAUSTED:"

#: Libraries whose objects hold a device's memory, in cycles.
_HEAVY = frozenset({"keras", "tensorflow", "torch", "jax"})
#: What jobs without them leave is collected so often.
TIDY_SECONDS = 1.0

_BEGAN = pack(("began",), pickle.dumps)

Function = Callable[[Any], Any]


class _Tidied:
    """The time at which this worker last collected what jobs had left."""

    at = 0.0


def work(file: int, driver: int, place: dict[str, Any]) -> None:
    """Take jobs until the driver closes the connection; ``place``: environment, cores, memory limit.

    The program of a worker, which the fork server calls.
    """
    _settle(place)
    channel = Channel(socket.socket(fileno=file))
    link = WorkerLink(channel)
    connect(link)
    with suppress(EOFError, ConnectionError):
        _serve(channel, link, place["environment"])
    _flush()
    os._exit(0)  # what libraries do at the end of a process would keep the next worker waiting


def _serve(channel: Channel, link: WorkerLink, environment: dict[str, str]) -> None:
    function: Function | None = None
    first = True
    while True:
        message = channel.receive()()
        if message[0] == "function":
            function, first = _receive_function(channel, message[1], environment), True
        elif message[0] == "job" and function is not None:
            link.begin()
            channel.send(_BEGAN)
            verdict, data = run_job(function, message[1])
            channel.send(pack(("done", verdict, data), pickle.dumps))
            if message[2]:  # the last one: the next worker waits for this place
                return
            del message, data
            _tidy(first)
            first = False


def _settle(place: dict[str, Any]) -> None:
    """Take the worker's place: its cores, its part of a device's memory."""
    if place["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, place["cores"])
    if place["memory_limit"] and "tensorflow" in sys.modules:
        config = sys.modules["tensorflow"].config
        limit = config.LogicalDeviceConfiguration(memory_limit=place["memory_limit"])
        for gpu in config.list_physical_devices("GPU"):
            config.set_logical_device_configuration(gpu, [limit])


def _receive_function(channel: Channel, state: dict[str, Any], environment: dict[str, str]) -> Function:
    """Take over the driver's folder, module path and environment, then load the function of all jobs.

    What can't be loaded fails every job with that error, and costs the worker nothing.
    """
    os.chdir(state["folder"])
    sys.path[:] = state["path"]
    sys.argv[:] = state["arguments"]
    os.environ.clear()
    os.environ.update({**state["environment"], **environment})
    load = receive_payload(channel)
    try:
        return load()  # type: ignore[no-any-return]
    except Exception as error:  # noqa: BLE001 - the user's modules are imported here
        reason = error

        def fail(job: Any) -> Any:
            raise reason

        return fail


def run_job(function: Function, job: Any, passing: tuple[type[BaseException], ...] = ()) -> tuple[str, bytes]:
    """Run one job; return what became of it and its pickled result or error.

    A function may know best what its results mean (``verdict``) and how to pickle them (``dumps``). Errors
    of the kinds ``passing`` are raised.
    """
    dumps = getattr(function, "dumps", dumps_quickly)
    try:
        result = function(cloudpickle.loads(job))
        verdict = getattr(function, "verdict", _good)
        return verdict(result), _pickled(result, dumps)
    except KeyboardInterrupt:
        stopped = JobStopped("the job stopped at an iteration, as the sweep asked")
        return "stopped", _pickled(stopped, dumps)
    except passing:
        raise
    except BaseException as error:  # noqa: BLE001 - SystemExit of a job must not end the worker
        return judge(error), _pickled(make_portable(error), dumps)


def _good(result: Any) -> str:
    return "ok"


def judge(error: BaseException) -> str:
    """Return the kind of an error: a later try may have the device's memory that was lacking."""
    if isinstance(error, TrialPruned):
        return "pruned"
    full = type(error).__name__ in _OUT_OF_MEMORY or str(error).startswith(_FULL)
    return "out of memory" if full else "failed"


def make_portable(error: BaseException) -> BaseException:
    """Return the error with its traceback as a note, which survives the way to the driver."""
    text = "".join(traceback.format_exception(error))
    if isinstance(error, SystemExit):
        error = RuntimeError(f"the job called sys.exit({error.code!r})")
    error.add_note(f"in a worker:\n{text}")
    return error


def _pickled(value: Any, dumps: Callable[[Any], bytes]) -> bytes:
    """Pickle what a job gave; what can't be pickled becomes an error that says so."""
    try:
        data = dumps(value)
        if isinstance(value, BaseException):
            cloudpickle.loads(data)  # many an exception pickles and can't be read again
    except Exception as error:  # noqa: BLE001 - the user's own pickling may raise anything
        if isinstance(value, BaseException):
            replaced = RuntimeError(f"{type(value).__name__}: {value}")
            for note in getattr(value, "__notes__", ()):
                replaced.add_note(note)
        else:
            replaced = RuntimeError(
                f"the result of the job, {type(value).__name__}, can't be sent back: {error}; "
                "return numbers, texts, arrays, or lists and dicts of them"
            )
        data = cloudpickle.dumps(replaced)
    return data


@contextmanager
def redirect_output(path: Path) -> Iterator[None]:
    """Send everything this process prints, C libraries included, to the end of a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = [os.dup(1), os.dup(2)]
    file = open_plain(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    try:
        _flush()
        os.dup2(file, 1)
        os.dup2(file, 2)
        yield
    finally:
        _flush()
        os.dup2(kept[0], 1)
        os.dup2(kept[1], 2)
        for descriptor in (*kept, file):
            os.close(descriptor)


def _flush() -> None:
    sys.stdout.flush()
    sys.stderr.flush()


def _tidy(first: bool) -> None:
    """Clear away the models of this job before the next one.

    Short jobs that use no library of networks are tidied up after now and then: it costs more than they do.
    """
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=False)
    now = time.monotonic()
    if first or now - _Tidied.at > TIDY_SECONDS or not _HEAVY.isdisjoint(sys.modules):
        gc.collect()
        _Tidied.at = now
    if first:
        # Modules that the first job has imported stay for ever: later collections need not walk through them.
        gc.freeze()
