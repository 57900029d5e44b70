"""Pictures at the end of a training: the confusion matrix, the worst items, and the first ones."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bf_index.errors import unknown
from bf_research.recipe.pipelines import MODEL, as_plain
from bf_research.tracking.tracker import Tracker
from bf_research.trained import RECONSTRUCTION
from bf_research.training.state import check_count

if TYPE_CHECKING:
    from omegaconf import DictConfig

#: The folder of the pictures below that of the run.
PICTURES = "pictures"
_KEYS = ("confusion", "worst", "samples")
_SHARES, _KNOWN, _INPUTS = "pictures_shares", "pictures_known", "pictures_inputs"
_ONE = 1.6


@dataclass(frozen=True)
class PictureOptions:
    """Which pictures there are: of the confusion matrix, of so many worst items, of so many first ones."""

    confusion: bool = True
    worst: int = 16
    samples: int = 16

    def __post_init__(self) -> None:
        if not isinstance(self.confusion, bool):
            raise ValueError(f"pictures.confusion must be true or false, got {self.confusion!r}")
        check_count(self.worst, 0, "pictures.worst")
        check_count(self.samples, 0, "pictures.samples")


@dataclass
class Shown:
    """Items of the test data: ids, inputs, right classes, and the shares of classes that they were given."""

    ids: list[Any] = field(default_factory=list)
    inputs: list[np.ndarray] = field(default_factory=list)
    known: list[int] = field(default_factory=list)
    shares: list[np.ndarray] = field(default_factory=list)

    @property
    def losses(self) -> np.ndarray:
        """The cross-entropy of each item: minus the logarithm of the share of its right class."""
        right = [share[label] for share, label in zip(self.shares, self.known)]
        return -np.log(np.maximum(np.array(right, np.float64), 1e-12))

    def add(self, ids: Sequence[Any], inputs: Any, known: Any, shares: Any) -> None:
        """Add the items of a batch."""
        self.ids += list(ids)
        self.inputs += list(np.asarray(inputs))
        self.known += [int(label) for label in known]
        self.shares += list(np.asarray(shares))

    def take(self, places: Sequence[int]) -> Shown:
        """Return some of the items."""
        return Shown(
            [self.ids[place] for place in places],
            [self.inputs[place] for place in places],
            [self.known[place] for place in places],
            [self.shares[place] for place in places],
        )


def read_options(config: DictConfig, known: Sequence[str]) -> dict[str, Any] | None:
    """Return what is said below ``pictures``, None for null; ``ValueError`` for unknown settings."""
    given = as_plain(config.get("pictures"))
    if given is None or given is False:
        return None
    if given is not True and not isinstance(given, Mapping):
        raise ValueError(f"pictures must be null, true or a mapping such as {{worst: 16}}, got {given!r}")
    options = {} if given is True else dict(given)
    for name in options:
        if name not in known:
            raise ValueError(unknown("setting", str(name), known, "pictures"))
    return options


def read_pictures(config: DictConfig) -> PictureOptions | None:
    """Return what ``pictures`` of a configuration asks for, None for null; ``ValueError`` for what can't be.

    ``true`` is all of them. A training of one of several classes has them; one that tells items again has
    others, see ``train_reconstructions``.
    """
    options = None if config.task.get("name") == RECONSTRUCTION else read_options(config, _KEYS)
    if options is None:
        return None
    task, steps = config.task.get("name"), config.pipeline
    if task != "classification" or steps.get("inputs") is None or steps.get("targets") is None:
        raise ValueError(
            "pictures are of task=classification, with pipeline.inputs and targets, or reconstruction, got "
            f"task={task}; say pictures=null"
        )
    return PictureOptions(**options)


def keep_pictures(
    options: PictureOptions | None,
    config: DictConfig,
    testing: Any,
    classes: Sequence[str] | None,
    folder: Path | None,
    tracker: Tracker,
) -> None:
    """Write the pictures of the test data below the folder of a run, and give them to its tracker.

    ``confusion.png``, ``worst.png`` with the items of the largest loss, ``samples.png`` with the first ones,
    and ``worst.csv`` with ids, right and predicted classes, and losses. Items that are no pictures are in the
    table alone. Without options, or a folder, there are none. ``ValueError`` where a model gives no share for
    each class.
    """
    if options is None or folder is None or classes is None:
        return
    metrics, first, worst = _look(options, config, testing, len(classes))
    place = folder / PICTURES
    place.mkdir(exist_ok=True)
    if options.confusion:
        if not hasattr(metrics, "plot_confusion_matrix"):
            raise ValueError(
                f"pictures: {type(metrics).__name__} draws no confusion matrix; say "
                "pictures={confusion: false}"
            )
        metrics.plot_confusion_matrix(classes).savefig(place / "confusion.png")
    if options.worst:
        _write_table(worst, classes, place / "worst.csv")
    for name, shown in (("worst", worst), ("samples", first)):
        if shown.ids and shown.inputs[0].ndim in (2, 3):
            draw_items(shown, classes).savefig(place / f"{name}.png")
    tracker.log_artifact(str(place), PICTURES)


def _look(options: PictureOptions, config: DictConfig, testing: Any, count: int) -> tuple[Any, Shown, Shown]:
    """Go once through the test data; return the metrics, the first items, and the worst ones."""
    from bf_pipeline import V
    from bf_pipeline.yaml import read_expressions

    told = as_plain(config.pipeline)
    inputs, targets = read_expressions(told["inputs"]), read_expressions(told["targets"])
    pipeline = testing
    for name in (_SHARES, _KNOWN, _INPUTS):
        pipeline = pipeline.init_variable(name)
    pipeline = (
        pipeline.predict_model(MODEL, inputs, fetches="proba", save_to=V(_SHARES))
        .update(V(_KNOWN), targets)
        .update(V(_INPUTS), inputs)
    )
    first, worst = Shown(), Shown()
    size = min(config.test_batch_size, len(testing))
    with closing(pipeline.gen_batch(size, n_epochs=1)) as batches:
        for batch in batches:
            shares, known = np.asarray(batches.v(_SHARES)), np.asarray(batches.v(_KNOWN)).reshape(-1)
            if shares.shape != (len(known), count):
                raise ValueError(
                    f"pictures: the model gives {shares.shape} for {len(known)} labels of {count} classes; "
                    "pictures are of one class for each item: say pictures=null"
                )
            now: tuple[Any, ...] = (batch.indices.tolist(), batches.v(_INPUTS), known, shares)
            if len(first.ids) < options.samples:
                first.add(*(items[: options.samples - len(first.ids)] for items in now))
            worst.add(*now)
            worst = worst.take(np.argsort(-worst.losses, kind="stable")[: options.worst].tolist())
        return batches.v("metrics"), first, worst


def _write_table(worst: Shown, classes: Sequence[str], path: Path) -> None:
    with open(path, "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
        table = csv.writer(file)
        table.writerow(["id", "target", "predicted", "share", "loss"])
        for id, label, share, loss in zip(worst.ids, worst.known, worst.shares, worst.losses):
            told = int(share.argmax())
            table.writerow([id, classes[label], classes[told], f"{share[told]:.4f}", f"{loss:.4f}"])


def make_figure(width: float, height: float) -> Any:
    """Return a ``matplotlib.figure.Figure`` of so many inches, without a window."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _literal(text: str) -> str:
    """Return a text as matplotlib draws it letter by letter: a dollar begins a formula."""
    return text.replace("$", r"\$")[:24]


def draw_items(shown: Shown, classes: Sequence[str]) -> Any:
    """Return a ``matplotlib.figure.Figure`` of items, each below its class and what it was taken for."""
    columns = min(len(shown.ids), 8)
    rows = -(-len(shown.ids) // columns)
    figure = make_figure(columns * _ONE, rows * (_ONE + 0.35))
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number >= len(shown.ids):
            continue
        image, label, share = (
            shown.inputs[number].astype(np.float32),
            shown.known[number],
            shown.shares[number],
        )
        image = image if image.ndim == 2 or image.shape[-1] == 3 else image.mean(-1)
        least, most = float(image.min()), float(image.max())
        axes.imshow((image - least) / (most - least if most > least else 1.0), cmap="gray", vmin=0, vmax=1)
        told = int(share.argmax())
        colour = "tab:green" if told == label else "tab:red"
        text = (
            _literal(classes[label])
            if told == label
            else f"{_literal(classes[label])}\nas {_literal(classes[told])}"
        )
        axes.set_title(f"{text} {share[told]:.2f}", fontsize=7, color=colour)
    return figure
