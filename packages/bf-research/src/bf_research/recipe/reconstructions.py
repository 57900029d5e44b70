"""Pictures at the end of a training that tells items again: pairs, new items, the plane of two numbers."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bf_research.recipe.pictures import PICTURES, make_figure, read_options
from bf_research.recipe.pipelines import MODEL, as_plain
from bf_research.tracking.tracker import Tracker
from bf_research.trained import RECONSTRUCTION
from bf_research.training.state import check_count

if TYPE_CHECKING:
    from omegaconf import DictConfig

_KEYS = ("samples", "worst", "generated", "plane")
_TOLD, _KNOWN, _LABELS = "pictures_told", "pictures_known", "pictures_labels"
_LATENT = "latent"
_ONE, _COLUMNS, _STEPS = 0.8, 16, 15
_MOST_COLOURS = 20


@dataclass(frozen=True)
class ReconstructionOptions:
    """Which pictures there are: so many first items, worst and new ones, and the plane of codes."""

    samples: int = 16
    worst: int = 16
    generated: int = 48
    plane: bool = True

    def __post_init__(self) -> None:
        for name in ("samples", "worst", "generated"):
            check_count(getattr(self, name), 0, f"pictures.{name}")
        if not isinstance(self.plane, bool):
            raise ValueError(f"pictures.plane must be true or false, got {self.plane!r}")


@dataclass
class Pairs:
    """Items of the test data and what they were told again as, with the mean squared error of each."""

    ids: list[Any] = field(default_factory=list)
    known: list[np.ndarray] = field(default_factory=list)
    told: list[np.ndarray] = field(default_factory=list)

    @property
    def errors(self) -> np.ndarray:
        """The mean squared error of each item, float64."""
        both = zip(self.known, self.told)
        return np.array([np.square(np.subtract(one, other, dtype=np.float64)).mean() for one, other in both])

    def add(self, ids: Sequence[Any], known: Any, told: Any) -> None:
        """Add the items of a batch; what is told again takes the shape of what is known."""
        known = np.asarray(known)
        self.ids += list(ids)
        self.known += list(known)
        self.told += list(np.asarray(told).reshape(known.shape))

    def take(self, places: Sequence[int]) -> Pairs:
        """Return some of the items."""
        return Pairs(*([values[place] for place in places] for values in (self.ids, self.known, self.told)))


def read_reconstructions(config: DictConfig) -> ReconstructionOptions | None:
    """Return what ``pictures`` asks of a training that tells items again; None for null, and other tasks."""
    options = read_options(config, _KEYS) if config.task.get("name") == RECONSTRUCTION else None
    if options is None:
        return None
    if config.pipeline.get("inputs") is None or config.task.get("targets") is None:
        raise ValueError(
            "pictures are of pipeline.inputs beside task.targets, and one is null: say pictures=null"
        )
    return ReconstructionOptions(**options)


def keep_reconstructions(
    options: ReconstructionOptions | None,
    config: DictConfig,
    testing: Any,
    model: Any,
    folder: Path | None,
    tracker: Tracker,
) -> None:
    """Write the pictures of the test data below the folder of a run, and give them to its tracker.

    ``samples.png`` has the first items above what they were told again as, ``worst.png`` those of the largest
    error, with ids in ``worst.csv``; ``generated.png`` new ones of a model that samples; ``plane.png`` codes
    of two numbers by class, and what they stand for. Rows of numbers have the table and the plane alone.
    """
    if options is None or folder is None:
        return
    first, worst, codes, labels = _look(options, config, testing, model)
    place = folder / PICTURES
    place.mkdir(exist_ok=True)
    for name, pairs in (("samples", first), ("worst", worst)):
        if pairs.ids and _is_picture(pairs.known[0]):
            draw_pairs(pairs).savefig(place / f"{name}.png")
    if worst.ids:
        with open(place / "worst.csv", "w", newline="", encoding="utf-8", errors="surrogateescape") as file:
            table = csv.writer(file)
            table.writerow(["id", "mse"])
            table.writerows([id, f"{error:.6g}"] for id, error in zip(worst.ids, worst.errors))
    if options.generated and hasattr(model, "sample"):
        made = model.sample(options.generated, seed=int(config.seed))
        if _is_picture(made[0]):
            draw_grid(made).savefig(place / "generated.png")
    if codes is not None:
        names = getattr(testing.dataset, "classes", None)
        draw_plane(codes, labels, names, model.decode).savefig(place / "plane.png")
    tracker.log_artifact(str(place), PICTURES)


def _look(
    options: ReconstructionOptions, config: DictConfig, testing: Any, model: Any
) -> tuple[Pairs, Pairs, np.ndarray | None, np.ndarray | None]:
    """Go once through the test data; return the first items, the worst, codes of two numbers, labels."""
    from bf_pipeline import B, V
    from bf_pipeline.yaml import read_expressions

    inputs = read_expressions(as_plain(config.pipeline)["inputs"])
    targets = read_expressions(as_plain(config.task)["targets"])
    planar = options.plane and _count_latent(model) == 2
    labelled = planar and _has_classes(testing.dataset)
    pipeline = testing
    for name in (_TOLD, _KNOWN, _LABELS):
        pipeline = pipeline.init_variable(name)
    fetches = {"told": "predictions", **({"codes": _LATENT} if planar else {})}
    pipeline = pipeline.predict_model(MODEL, inputs, fetches=fetches, save_to=V(_TOLD)).update(
        V(_KNOWN), targets
    )
    pipeline = pipeline.update(V(_LABELS), B("labels")) if labelled else pipeline
    first, worst, codes, labels = Pairs(), Pairs(), [], []
    size = min(config.test_batch_size, len(testing))
    with closing(pipeline.gen_batch(size, n_epochs=1)) as batches:
        for batch in batches:
            found, known = batches.v(_TOLD), batches.v(_KNOWN)
            now: tuple[Any, ...] = (batch.indices.tolist(), known, found["told"])
            if len(first.ids) < options.samples:
                first.add(*(items[: options.samples - len(first.ids)] for items in now))
            worst.add(*now)
            worst = worst.take(np.argsort(-worst.errors, kind="stable")[: options.worst].tolist())
            codes += [found["codes"]] if planar else []
            labels += [np.asarray(batches.v(_LABELS))] if labelled else []
    joined = (np.concatenate(items) if items else None for items in (codes, labels))
    return first, worst, *joined  # type: ignore[return-value]


def _count_latent(model: Any) -> int | None:
    """Return how many numbers a code has; None for a model without codes."""
    if not hasattr(model, "decode") or _LATENT not in getattr(model, "layer_names", ()):
        return None
    return int(model.network.get_layer(_LATENT).output.shape[-1])


def _has_classes(dataset: Any) -> bool:
    return (
        "labels" in dataset.preloaded and np.asarray(dataset.rows("labels", slice(0, 1))).dtype.kind in "iu"
    )


def _is_picture(item: Any) -> bool:
    return item.ndim == 2 or (item.ndim == 3 and item.shape[-1] in (1, 3, 4))


def _show(axes: Any, image: Any, least: float, most: float, **options: Any) -> None:
    """Draw a picture whose numbers between two are from black to white."""
    image = np.asarray(image, np.float32)
    if image.ndim == 3:
        image = image[..., 0] if image.shape[-1] == 1 else image[..., :3]
    share = (image - least) / (most - least if most > least else 1.0)
    axes.imshow(np.clip(share, 0, 1), cmap="gray", vmin=0, vmax=1, **options)


def draw_pairs(pairs: Pairs) -> Any:
    """Return a ``matplotlib.figure.Figure`` of items, each above what it was told again as, and its error."""
    columns = min(len(pairs.ids), _COLUMNS)
    rows = -(-len(pairs.ids) // columns)
    figure = make_figure(columns * _ONE, rows * (2 * _ONE + 0.2))
    grid = figure.subplots(2 * rows, columns, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for number, (known, told, error) in enumerate(zip(pairs.known, pairs.told, pairs.errors)):
        row, column = divmod(number, columns)
        limits = float(np.min(known)), float(np.max(known))
        _show(grid[2 * row, column], known, *limits)
        _show(grid[2 * row + 1, column], told, *limits)
        grid[2 * row, column].set_title(f"{error:.3g}", fontsize=6)
    return figure


def draw_grid(items: np.ndarray) -> Any:
    """Return a ``matplotlib.figure.Figure`` of pictures side by side, all with one scale."""
    columns = min(len(items), _COLUMNS)
    rows = -(-len(items) // columns)
    figure = make_figure(columns * _ONE, rows * _ONE)
    limits = float(items.min()), float(items.max())
    for number, axes in enumerate(figure.subplots(rows, columns, squeeze=False).flat):
        axes.set_axis_off()
        if number < len(items):
            _show(axes, items[number], *limits)
    return figure


def draw_plane(codes: np.ndarray, labels: np.ndarray | None, names: Sequence[str] | None, decode: Any) -> Any:
    """Return a ``matplotlib.figure.Figure`` of codes (N, 2), coloured by class, and of what they stand for.

    Beside the points are pictures that ``decode`` makes of a grid over the middle 96 % of them.
    """
    lows, highs = np.quantile(codes, 0.02, axis=0), np.quantile(codes, 0.98, axis=0)
    across, up = (np.linspace(low, high, _STEPS) for low, high in zip(lows, highs))
    made = decode(np.stack(np.meshgrid(across, up[::-1]), -1).reshape(-1, 2))
    shown = _is_picture(made[0])
    figure = make_figure(10 if shown else 5.4, 4.6)
    found = figure.subplots(1, 2 if shown else 1, squeeze=False)[0]
    _draw_points(found[0], codes, labels, names)
    if shown:
        least, most = float(made.min()), float(made.max())
        # a pixel of white between pictures
        framed = np.pad(
            made.reshape(*made.shape[:3], -1), [(0, 0), (0, 1), (0, 1), (0, 0)], constant_values=most
        )
        height, width, channels = framed.shape[1:]
        tiles = framed.reshape(_STEPS, _STEPS, height, width, channels).transpose(0, 2, 1, 3, 4)
        whole = tiles.reshape(_STEPS * height, _STEPS * width, channels)
        extent = (float(across[0]), float(across[-1]), float(up[0]), float(up[-1]))
        _show(found[1], whole, least, most, extent=extent, aspect="auto")
        found[1].set_xlabel("first number")
    return figure


def _draw_points(
    axes: Any, codes: np.ndarray, labels: np.ndarray | None, names: Sequence[str] | None
) -> None:
    from matplotlib import colormaps

    axes.set_xlabel("first number")
    axes.set_ylabel("second number")
    if labels is None or names is None or len(names) > _MOST_COLOURS:
        axes.scatter(*codes.T, s=8)
        return
    colours = colormaps["tab10" if len(names) <= _MOST_COLOURS // 2 else "tab20"]
    for number, name in enumerate(names):
        one = codes[labels.reshape(-1) == number]
        axes.scatter(*one.T, s=8, color=colours(number), label=name.replace("$", r"\$")[:24])
    axes.legend(fontsize=7, markerscale=2, bbox_to_anchor=(1, 1), loc="upper left")
