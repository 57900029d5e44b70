"""What the command line shows without training: the steps that data know, and what is found out from data."""

from __future__ import annotations

import inspect
import logging
import textwrap
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from bf_index.errors import escape
from bf_research import targets
from bf_research.launcher.hydra_private import to_yaml
from bf_research.recipe.data import make_dataset, refuse_inputs, split_validation
from bf_research.recipe.found import find_out, log
from bf_research.recipe.pipelines import SECTIONS, as_plain
from bf_research.recipe.source import find_source

if TYPE_CHECKING:
    from omegaconf import DictConfig

_COLUMNS = 110
#: Where the data sets are that a printed configuration is completed from.
_OPENSETS = "bf_batch.opensets."


def describe_steps(config: DictConfig) -> str:
    """Return the actions of the data set's batches: name, arguments and one sentence each.

    ``targets`` of the configuration are not looked at: data sets of BatchFlow are described.
    """
    from bf_pipeline import Pipeline

    path, _ = targets.split(_plain_dataset(config), "dataset")
    batch_class = _batch_class(config, targets.resolve(path, "dataset"))
    lines = [f"Steps of {batch_class.__name__}, for the lists {', '.join(SECTIONS)} of the pipeline:", ""]
    for name in sorted(_list_actions(batch_class)):
        lines += _describe(name, getattr(batch_class, name))
    own = ("init_variable", "update", "train_model", "predict_model", "gather_metrics", "call")
    lines += ["", "Steps of every pipeline:", ""]
    for name in own:
        lines += _describe(name, getattr(Pipeline, name))
    return "\n".join(lines) + "\n"


def _plain_dataset(config: DictConfig) -> dict[str, Any]:
    """Return the section of the data set; values that are still missing do not matter here."""
    from omegaconf import OmegaConf

    plain: Any = OmegaConf.to_container(config.dataset, resolve=False)
    return dict(plain)


def _batch_class(config: DictConfig, dataset_class: Any) -> Any:
    """Return the class of batches that a class of data sets makes, by the inputs where it may be either."""
    from omegaconf import OmegaConf

    from bf_batch import ImagesBatch
    from bf_batch.opensets import RowsBatch, SignalsBatch

    inputs = str(OmegaConf.to_container(config.pipeline, resolve=False).get("inputs"))  # type: ignore[union-attr]
    told = {"features": RowsBatch, "signals": SignalsBatch}
    found = next((batches for name, batches in told.items() if name in inputs), ImagesBatch)
    return getattr(dataset_class, "batches", found)


def _list_actions(batch_class: Any) -> list[str]:
    return [
        name
        for name in dir(batch_class)
        if not name.startswith("_") and hasattr(getattr(batch_class, name), "__bf_action__")
    ]


def _describe(name: str, method: Any) -> list[str]:
    """Return the lines of a step: how it is called, and its first sentence."""
    shown = []
    for parameter in list(inspect.signature(method).parameters.values())[1:]:
        if parameter.kind is parameter.VAR_KEYWORD:
            shown.append("...")
        elif parameter.kind is not parameter.VAR_POSITIONAL:
            has = parameter.default is not parameter.empty
            default = repr(parameter.default).replace("<not given>", "...")
            shown.append(f"{parameter.name}={default}" if has else parameter.name)
    lines = textwrap.wrap(
        f"{name}({', '.join(shown)})", _COLUMNS, initial_indent="  ", subsequent_indent="      "
    )
    sentence = " ".join((inspect.getdoc(method) or "").partition("\n\n")[0].split())
    return [*lines, *textwrap.wrap(sentence, _COLUMNS, initial_indent="    ", subsequent_indent="    ")]


def complete_text(text: str) -> str:
    """Return a printed configuration with what is found out from its data; nothing is downloaded for it.

    A comment at its end says why something could not be found out.
    """
    from omegaconf import OmegaConf

    from bf_batch.opensets import DownloadError

    config: Any = OmegaConf.create(text)
    target = str((config.get("dataset") or {}).get("_target_"))
    if not target.startswith(_OPENSETS):
        return text
    level = log.level
    log.setLevel(logging.WARNING)
    try:
        dataset, fold = make_dataset(_want_no_download(as_plain(config.dataset)))
        training_data = split_validation(config, dataset, fold)[0]
        refuse_inputs(config, training_data)
        return to_yaml(find_out(config, dataset, training_data, find_source(config)))
    except DownloadError as error:
        return f"{text.rstrip()}\n# not found out: {escape(error)}; a training downloads it\n"
    except Exception as error:  # noqa: BLE001 - what is printed is told why it is not complete
        return f"{text.rstrip()}\n# not found out: {escape(error).partition(chr(10))[0]}\n"
    finally:
        log.setLevel(level)


def _want_no_download(section: Mapping[str, Any]) -> dict[str, Any]:
    """Return the section of a data set, one that raises ``DownloadError`` if it would have to download."""
    from bf_batch.opensets import Patience

    path, _ = targets.split(section, "dataset")
    takes = inspect.signature(targets.resolve(path, "dataset")).parameters
    return {**section, **({"patience": Patience(tries=0)} if "patience" in takes else {})}
