"""The steps by which a training made what its network saw, taken from its configuration."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from bf_index.names import TargetError
from bf_pipeline import Pipeline, build
from bf_pipeline.yaml import read_expressions
from bf_research.trained import CONFIG, NoModel, Trained

#: Sections whose steps all data go through, in training and in prediction.
SECTIONS = ("load", "prepare")
#: Steps that write files; a folder of somebody else could say where.
_WRITERS = ("dump", "save_model", "print")
#: Steps that read the files of the items.
_READERS = ("load", "load_images")
_SHOWN = 60
_GONE = object()


def read_steps(trained: Trained, section: str) -> list[Any]:
    """Return the steps of a section; none where the configuration has none."""
    steps = (trained.config.get("pipeline") or {}).get(section) or []
    if not isinstance(steps, list):
        raise ValueError(f"{trained.shown}, {CONFIG}: pipeline.{section} is no list of steps: {steps!r:.80}")
    return steps


def reads_files(trained: Trained) -> bool:
    """Whether the steps read the files of the items: these are what is given to predict."""
    listed = [step for section in SECTIONS for step in read_steps(trained, section)]
    return any(name in _READERS for name, _ in list_steps(listed))


def make_steps(trained: Trained, section: str, without: str | None = None) -> Pipeline:
    """Return a pipeline of the steps of a section; those that write are a ``TargetError``.

    ``without`` names a component that new data have not, the right answers: steps leave it alone.
    """
    listed = read_steps(trained, section)
    for name, given in list_steps(listed):
        if name in _WRITERS:
            raise TargetError(
                f"{trained.shown}, {CONFIG}: the step {name} ({given!r:.{_SHOWN}}) is refused: "
                "a prediction writes nothing but its own file; if it is yours, take the step out"
            )
    return build({"steps": listed if without is None else _leave_alone(listed, without)})


def _leave_alone(steps: Sequence[Any], component: str) -> list[Any]:
    """Return steps without a component: it goes from lists of several, and steps for it alone go."""
    kept: list[Any] = []
    for step in steps:
        if not isinstance(step, Mapping):
            kept.append(step)
            continue
        changed = {name: _drop(name, given, component) for name, given in step.items()}
        if _GONE not in changed.values():
            kept.append(changed)
    return kept


def _drop(name: str, given: Any, component: str) -> Any:
    """Return the arguments of a step without a component; ``_GONE`` for a step that is for it alone."""
    if not isinstance(given, Mapping):
        return given
    places = ("dst",) if name in _READERS else ("src", "dst")  # the source of a reader is a folder
    if component in [given.get(key) for key in places]:
        return _GONE
    changed = dict(given)
    for key, value in given.items():
        if key == "steps" and isinstance(value, list):
            changed[key] = _leave_alone(value, component)
        elif key in places and isinstance(value, list) and component in value:
            changed[key] = [one for one in value if one != component]
            if not changed[key]:
                return _GONE
        elif isinstance(value, Mapping) and component in value:  # such as the fill of each component
            changed[key] = {key: one for key, one in value.items() if key != component}
    return changed


def find_inputs(trained: Trained) -> tuple[Any, Any]:
    """Return the expressions of what the network predicts from and of the right answers, or None.

    They are ``pipeline.inputs`` and ``targets``, else those of ``predict_model`` in ``pipeline.test``, else
    of ``train_model`` in ``pipeline.train``.
    """
    told = trained.config.get("pipeline") or {}
    if told.get("inputs") is not None:
        return read_expressions(told["inputs"]), read_expressions(told.get("targets"))
    for section, verb in (("test", "predict_model"), ("train", "train_model")):
        for name, given in list_steps(read_steps(trained, section)):
            if name != verb:
                continue
            named = dict(zip(("name", "inputs", "targets"), given)) if isinstance(given, list) else given
            if isinstance(named, Mapping) and named.get("inputs") is not None:
                return read_expressions(named["inputs"]), read_expressions(named.get("targets"))
    raise NoModel(
        f"{trained.shown}, {CONFIG}: no step of pipeline.test or pipeline.train says what the network "
        "predicts from (predict_model: {name: net, inputs: ...})"
    )


def list_steps(steps: Sequence[Any]) -> Iterator[tuple[str, Any]]:
    """Yield the name of each step and what is given to it, those inside blocks too."""
    for step in steps:
        if isinstance(step, str):
            yield step, None
        elif isinstance(step, Mapping):
            for name, given in step.items():
                yield str(name), given
                if isinstance(given, Mapping) and isinstance(given.get("steps"), list):
                    yield from list_steps(given["steps"])
