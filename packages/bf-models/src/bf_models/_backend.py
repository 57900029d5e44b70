"""The only door to TensorFlow and Keras: opened at first use, without noise on the console."""

from __future__ import annotations

import contextlib
import functools
import importlib
import os
import platform
import sys
import tempfile
import warnings
from collections.abc import Container, Iterator
from typing import Any

_MISSING = (
    "TensorFlow is not installed, and a model needs it; install it with: pip install 'bf-models[cpu]' "
    "(or 'bf-models[gpu]', 'bf-models[cuda]' for a GPU)"
)
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# On CPUs without AVX512_VNNI, AVX512_BF16, AVX_VNNI or AMX TensorFlow leaves oneDNN off, and its own input
# gradients of small maps are many times slower. It reads this when it is imported, by us or by the user.
os.environ.setdefault(ONEDNN, "1")
_SLOW = (
    "TensorFlow was imported without oneDNN, and training on this CPU is several times slower by that; set "
    f"{ONEDNN}=1 in the environment before TensorFlow is imported, or import bf_models before it "
    f"({ONEDNN}=0 keeps it off without this warning)"
)
# TensorFlow 2.20 and newer print these while they are imported, whatever the level of the log is
_NOISE = (
    b"All log messages before absl::InitializeLog()",
    b"oneDNN custom operations are on",
    b"cpu_feature_guard",
    b"To enable the following instructions",
)


@contextlib.contextmanager
def _without_noise() -> Iterator[None]:
    """Hold back what C++ writes to standard error, and pass on all of it but the known noise."""
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as held:
        os.dup2(held.fileno(), 2)
        try:
            yield
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
            held.seek(0)
            for line in held:
                if not any(noise in line for noise in _NOISE):
                    os.write(2, line)


def _wants_onednn() -> bool:
    """Whether this is a machine that TensorFlow has oneDNN for, and the user has not said no."""
    said_no = os.environ.get(ONEDNN, "1").lower() in ("0", "false")
    return not said_no and sys.platform != "darwin" and platform.machine().lower() in ("x86_64", "amd64")


@functools.cache
def tensorflow() -> Any:
    """Import and return the module tensorflow; ImportError with the command to install it."""
    if sys.modules.get("tensorflow") is not None:
        if _wants_onednn() and onednn_is_on() is False:
            warnings.warn(_SLOW, RuntimeWarning, stacklevel=3)
        return sys.modules["tensorflow"]
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")
    if "keras" not in sys.modules:
        # ~/.keras/keras.json may name another backend: the environment wins over the file
        os.environ["KERAS_BACKEND"] = "tensorflow"
    try:
        with _without_noise():
            return importlib.import_module("tensorflow")
    except ModuleNotFoundError as error:
        if error.name != "tensorflow":
            raise
        raise ImportError(_MISSING) from error


@functools.cache
def keras() -> Any:
    """Import and return Keras 3 on TensorFlow; ImportError when Keras already runs on another backend."""
    tensorflow()
    module = importlib.import_module("keras")
    if module.config.backend() != "tensorflow":
        raise ImportError(
            f"bf_models needs Keras on TensorFlow, got the backend {module.config.backend()!r}; "
            "set KERAS_BACKEND=tensorflow before keras is imported"
        )
    return module


def count_replicas() -> int:
    """Count the replicas of a strategy that the code at hand is traced for; 1 outside of them."""
    distribute = tensorflow().distribute
    context = distribute.get_replica_context() if distribute.has_strategy() else None
    return 1 if context is None else int(context.num_replicas_in_sync)


def add_replicas(value: Any) -> Any:
    """Return the sum of what all replicas have, with its gradient; the value itself outside of replicas."""
    if count_replicas() == 1:
        return value
    return tensorflow().distribute.get_replica_context().all_reduce("sum", value)


# Private names of TensorFlow and Keras stand below and nowhere else; a test holds them against the versions
# that are pinned.


def onednn_is_on() -> bool | None:
    """Whether the TensorFlow that is loaded runs oneDNN's kernels; None when this version does not tell."""
    try:
        port = importlib.import_module("tensorflow.python.util._pywrap_util_port")
        return bool(port.IsMklEnabled())
    except (ImportError, AttributeError):
        return None


def variable_index(optimizer: Any, variable: Any) -> int:
    """Return the place of a variable among those that a built optimizer changes."""
    number: int = optimizer._get_variable_index(variable)
    return number


def adam_moments(optimizer: Any, variable: Any) -> tuple[Any, Any]:
    """Return the first and the second moment that a Keras Adam keeps of a variable."""
    number = variable_index(optimizer, variable)
    return optimizer._momentums[number], optimizer._velocities[number]


def producing_layer(tensor: Any) -> Any:
    """Return the layer that a symbolic tensor comes from; None for other tensors."""
    history = getattr(tensor, "_keras_history", None)
    return None if history is None else history.operation


def given_tensors(tensor: Any) -> list[Any]:
    """Return the symbolic tensors that the layer of a symbolic tensor made it of; none for an input."""
    history = getattr(tensor, "_keras_history", None)
    if history is None:
        return []
    return list(history.operation._inbound_nodes[history.node_index].input_tensors)


def made_tensors(tensor: Any) -> list[Any]:
    """Return the symbolic tensors that layers have made of a symbolic tensor so far."""
    history = getattr(tensor, "_keras_history", None)
    nodes = [] if history is None else history.operation._outbound_nodes
    taking = [node for node in nodes if any(item is tensor for item in node.input_tensors)]
    return [item for node in taking for item in node.output_tensors]


class _Enough(BaseException):  # no part of a network catches it
    """A layer that is not wanted was about to get weights."""


@contextlib.contextmanager
def only_layers(names: Container[str]) -> Iterator[None]:
    """End what is done inside at the first variable of a layer with another name, before it is made."""
    scopes = importlib.import_module("keras.src.backend.common.name_scope")

    def create(make: Any, **options: Any) -> Any:
        owner = str(scopes.current_path() or "").partition("/")[0]
        if owner and owner not in names:
            raise _Enough(owner)
        return make(**options)

    with contextlib.suppress(_Enough), tensorflow().variable_creator_scope(create):
        yield


def rename_layer(layer: Any, name: str) -> None:
    """Give a layer another name, and its variables the paths that they would have had by it."""
    for variable in layer.variables:
        if variable.path.startswith(f"{layer.name}/"):
            variable._path = name + variable.path.removeprefix(layer.name)
    layer.name = name


def find_consumers(network: Any) -> dict[int, list[Any]]:
    """Return the layers that take the outputs of each layer of a network, by its id; one for each time."""
    found: dict[int, list[Any]] = {}
    for node in (one for depth in network._nodes_by_depth.values() for one in depth):
        for tensor in node.input_tensors:
            found.setdefault(id(producing_layer(tensor)), []).append(node.operation)
    return found


def as_functional(network: Any) -> Any:
    """Return a network whose calls are known, functional or built and sequential; None for others."""
    network = getattr(network, "_functional", None) or network
    return network if hasattr(network, "_nodes_by_depth") else None


def list_calls(network: Any) -> list[tuple[Any, list[Any], list[Any]]]:
    """Return the calls of the layers of a network in their order: layer, tensors given, tensors returned.

    A layer that is called twice is there twice; inputs are layers that are given nothing.
    """
    depths = sorted(network._nodes_by_depth, reverse=True)
    nodes = [node for depth in depths for node in network._nodes_by_depth[depth]]
    return [(node.operation, list(node.input_tensors), list(node.output_tensors)) for node in nodes]


def initial_shape(value: Any) -> tuple[int, ...] | None:
    """Return the shape of the variable that a function makes the first value of, or None.

    It is Keras's variable, or that of the first replica, whose value the others take.
    """
    cells = [cell.cell_contents for cell in getattr(value, "__closure__", None) or ()]
    made = next((item for item in cells if isinstance(item, keras().Variable | tensorflow().Variable)), None)
    return None if made is None else tuple(made.shape)


@contextlib.contextmanager
def without_values() -> Iterator[None]:
    """Let variables that are made have a shape alone: no numbers are drawn and no memory is taken.

    Keras would draw them at the end of the next scope without state, for which it keeps a list.
    """
    state = importlib.import_module("keras.src.backend.common.global_state")
    waiting = list(state.get_global_attribute("uninitialized_variables") or ())
    with keras().StatelessScope(initialize_variables=False):
        try:
            yield
        finally:
            state.set_global_attribute("uninitialized_variables", waiting)
