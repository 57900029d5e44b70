"""A worker: takes jobs from its connection one after another, and outlives what they raise."""

from __future__ import annotations

import gc
import os
import sys
import traceback
from collections.abc import Callable
from multiprocessing.connection import Connection
from typing import Any

import cloudpickle

from bf_batch.engines.pickling import dumps_quickly
from bf_research.launcher.channel import WorkerChannel, connect
from bf_research.launcher.errors import JobStopped

#: Classes by whose name an error is known to be the lack of a device's memory.
_OUT_OF_MEMORY = frozenset({"ResourceExhaustedError", "OutOfMemoryError"})

Function = Callable[[Any], Any]


def work(connection: Connection, request: dict[str, Any]) -> None:
    """Take jobs until the launcher closes the connection; ``request`` says what the worker's place is."""
    _settle(request)
    channel = WorkerChannel(connection)
    connect(channel)
    function: Function | None = None
    first = True
    while True:
        try:
            message = connection.recv()
        except (EOFError, ConnectionError):
            return
        if message[0] == "function":
            function, first = _receive(message[1], request["environment"]), True
        elif message[0] == "job" and function is not None:
            channel.begin()
            connection.send(("began",))
            connection.send(("done", *_run(function, message[1])))
            _tidy(first)
            first = False


def _settle(request: dict[str, Any]) -> None:
    """Take the worker's place: its devices before a library looks for any, its cores."""
    os.environ.update(request["environment"])
    if "numpy" in sys.modules:  # forked workers would all draw the same numbers
        sys.modules["numpy"].random.seed()
    if request["cores"] and hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, request["cores"])
    if request["memory_limit"] and "tensorflow" in sys.modules:
        config = sys.modules["tensorflow"].config
        limit = config.LogicalDeviceConfiguration(memory_limit=request["memory_limit"])
        for gpu in config.list_physical_devices("GPU"):
            config.set_logical_device_configuration(gpu, [limit])


def _receive(payload: bytes, environment: dict[str, str]) -> Function:
    """Take over the driver's folder, module path and environment, then load the function of all jobs.

    What can't be loaded fails every job with that error, and costs the worker nothing.
    """
    state, function = cloudpickle.loads(payload)
    os.chdir(state["folder"])
    sys.path[:] = state["path"]
    sys.argv[:] = state["arguments"]
    os.environ.clear()
    os.environ.update({**state["environment"], **environment})
    try:
        return cloudpickle.loads(function)  # type: ignore[no-any-return]
    except Exception as error:  # noqa: BLE001 - the user's modules are imported here
        reason = error

        def fail(job: Any) -> Any:
            raise reason

        return fail


def _run(function: Function, job: bytes) -> tuple[str, bytes]:
    """Run one job; return what became of it and its pickled result or error.

    A function may know best what its results mean (``verdict``) and how to pickle them (``dumps``).
    """
    dumps = getattr(function, "dumps", dumps_quickly)
    try:
        result = function(cloudpickle.loads(job))
        verdict = getattr(function, "verdict", _good)
        return verdict(result), _pickled(result, dumps)
    except KeyboardInterrupt:
        stopped = JobStopped("the job stopped at an iteration, as the sweep asked")
        return "stopped", _pickled(stopped, dumps)
    except BaseException as error:  # noqa: BLE001 - SystemExit of a job must not end the worker
        return judge(error), _pickled(portable(error), dumps)


def _good(result: Any) -> str:
    return "ok"


def judge(error: BaseException) -> str:
    """Tell a lack of the device's memory, which a later try may not meet, from other errors."""
    return "out of memory" if type(error).__name__ in _OUT_OF_MEMORY else "failed"


def portable(error: BaseException) -> BaseException:
    """Give the error its traceback as a note, as a text survives the way to the driver; replace an exit."""
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


def _tidy(first: bool) -> None:
    """Leave no model of this job to the next one."""
    if "keras" in sys.modules:
        sys.modules["keras"].utils.clear_session(free_memory=False)
    gc.collect()
    if first:
        # Modules that the first job has imported stay for ever: later collections need not walk through them.
        gc.freeze()
