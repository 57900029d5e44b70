"""Losses by name: checked when a model is configured, made when it is built."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from bf_models._backend import keras, tensorflow
from bf_models.errors import unknown
from bf_models.losses.evidence import split_evidence
from bf_models.losses.weighing import multiply
from bf_models.optim import Named, is_pair, read_named

#: What targets of a loss are: labels, shares of classes (or their labels), yes or no for each output, numbers
#: of the outputs' shape, such numbers from 0 to 1, or what a function of the user makes of them.
Meaning: TypeAlias = Literal["labels", "classes", "answers", "numbers", "intensities", "own"]
_KERAS = "keras.losses."
_OF_KERAS: Mapping[str, Meaning] = {
    "SparseCategoricalCrossentropy": "labels",
    "BinaryCrossentropy": "answers",
    "BinaryFocalCrossentropy": "answers",
    "CategoricalCrossentropy": "classes",
    "CategoricalFocalCrossentropy": "classes",
    "CategoricalHinge": "classes",
    "MeanSquaredError": "numbers",
    "MeanAbsoluteError": "numbers",
    "MeanAbsolutePercentageError": "numbers",
    "MeanSquaredLogarithmicError": "numbers",
    "CosineSimilarity": "numbers",
    "KLDivergence": "numbers",
    "Poisson": "numbers",
    "Huber": "numbers",
    "LogCosh": "numbers",
    "Hinge": "numbers",
    "SquaredHinge": "numbers",
}
_OURS = "bf_models.losses."
_PLACES, _AREAS = ("CrossEntropy", "Focal"), ("SoftDice", "SoftIoU", "SoftTversky", "Lovasz", "Boundary")
_MEANINGS: Mapping[str, Meaning] = {
    **_OF_KERAS,
    "Tversky": "numbers",
    "Gaussian": "numbers",
    "Bernoulli": "intensities",
    **dict.fromkeys((*_PLACES, *_AREAS), "classes"),
}
#: Short names, those of the older BatchFlow among them; ``ce`` takes labels or shares of classes.
LOSSES: Mapping[str, str] = {
    "ce": _OURS + "CrossEntropy",
    "crossentropy": _OURS + "CrossEntropy",
    "bce": _KERAS + "BinaryCrossentropy",
    "mse": _KERAS + "MeanSquaredError",
    "l2": _KERAS + "MeanSquaredError",
    "mae": _KERAS + "MeanAbsoluteError",
    "l1": _KERAS + "MeanAbsoluteError",
    "absolutedifference": _KERAS + "MeanAbsoluteError",
    "cos": _KERAS + "CosineSimilarity",
    "cosine": _KERAS + "CosineSimilarity",
    "focal": _OURS + "Focal",
    "iou": _OURS + "SoftIoU",
    "jaccard": _OURS + "SoftIoU",
    "dice": _OURS + "SoftDice",
    "tversky": _OURS + "SoftTversky",
    "lovasz": _OURS + "Lovasz",
    "boundary": _OURS + "Boundary",
    "bernoulli": _OURS + "Bernoulli",
    "gaussian": _OURS + "Gaussian",
    "kl": _OURS + "GaussianKL",
    **{name.lower(): _KERAS + name for name in _OF_KERAS},
}


@dataclass(frozen=True, slots=True)
class LossTerm:
    """One term of the loss: what to make, its weight, the output and the target that it compares."""

    named: Named
    weight: float = 1.0
    output: str | None = None
    target: str | None = None
    #: The label of what takes no part, such as 255 at the edges of objects.
    ignore: int | None = None

    @property
    def name(self) -> str:
        """Name of the class or the function, for messages."""
        return self.named.target.rpartition(".")[2]

    @property
    def meaning(self) -> Meaning:
        """What its targets are."""
        made = self.named.made
        if made is not None:
            return _MEANINGS.get(self.name, "own") if _is_known(made) else "own"
        ours = self.named.target.partition(".")[0] in ("bf_models", "keras", self.named.target)
        return _MEANINGS.get(self.name, "own") if ours else "own"

    @property
    def of_numbers(self) -> bool:
        """Whether its targets are numbers of the outputs' shape, which have no classes."""
        return self.meaning in ("numbers", "intensities")

    @property
    def areas(self) -> bool:
        """Whether it compares areas of classes, one value an item."""
        return self.meaning == "classes" and self.name in _AREAS

    @property
    def one_output(self) -> bool:
        """Whether one output is a yes or no to it, though its targets are classes."""
        return self.areas or (self.meaning == "classes" and self.name == "Focal")

    @property
    def binary(self) -> bool:
        """Whether each output is a yes or no of its own."""
        return "Binary" in self.named.target

    @property
    def classes(self) -> bool:
        """Whether targets are classes, so that predicted labels may be right or wrong."""
        words = ("Entropy", "entropy", "Soft")
        known = self.meaning == "classes" and self.name in (*_PLACES, *_AREAS)
        return known or any(word in self.named.target for word in words)

    def make(self, allow: Sequence[str]) -> Any:
        """Make the function (targets, outputs, sample_weight) -> scalar."""
        if self.named.made is not None and _is_of(self.named.made, "bf_models"):
            return self.named.made
        if self.named.made is not None and not _is_keras_loss(self.named.made):
            return _weigh(self.named.made)
        logits = {}
        if self.named.made is None and _takes_logits(self.named.find(allow)):
            logits["from_logits"] = True
        made = self.named.make(allow, logits)
        return _weigh_places(made) if _is_keras_loss(made) else made


def _takes_logits(cls: Any) -> bool:
    return "from_logits" in inspect.signature(cls).parameters


def _is_keras_loss(loss: Any) -> bool:
    return isinstance(loss, keras().losses.Loss)


def _is_of(loss: Any, package: str) -> bool:
    """Whether an object is a loss that a package itself has, and no subclass; TensorFlow is not loaded."""
    return type(loss).__module__.partition(".")[0] == package


def _is_known(loss: Any) -> bool:
    return _is_of(loss, "keras") or _is_of(loss, "bf_models")


def _weigh(function: Any) -> Any:
    """Return a loss of a user's function of (targets, outputs): its values weighted and averaged."""

    def loss(targets: Any, outputs: Any, sample_weight: Any = None) -> Any:
        tf = tensorflow()
        values = tf.convert_to_tensor(function(targets, outputs))
        return tf.reduce_mean(multiply(values, sample_weight))

    return loss


def _weigh_places(loss: Any) -> Any:
    """Return a loss of Keras that takes weights of items too where its values have places."""

    def weighed(targets: Any, outputs: Any, sample_weight: Any = None) -> Any:
        tf = tensorflow()
        if sample_weight is not None:
            more = [1] * (outputs.shape.rank - 1 - sample_weight.shape.rank)
            sample_weight = tf.reshape(sample_weight, tf.concat([tf.shape(sample_weight), more], 0))
        return loss(targets, outputs, sample_weight=sample_weight)

    return weighed


def read_losses(option: Any, owner: str, targets: Sequence[str]) -> tuple[LossTerm, ...]:
    """Check the config key ``loss``: a name, a mapping, a callable, or a list of these that is summed.

    A mapping may hold, beside the loss's own arguments, ``weight``, ``output`` (name of a layer),
    ``target``, one of ``targets``, and ``ignore``, a label of places that take no part. The loss ``elbo`` is
    two terms, see ``split_evidence``. ValueError names what is unknown, with close matches.
    """
    if option is None:
        return ()
    several = isinstance(option, Sequence) and not isinstance(option, str) and not is_pair(option)
    parts = (part for item in (option if several else (option,)) for part in _split(item, owner))
    terms = tuple(_read_term(part, owner) for part in parts)
    for term in terms:
        if term.target is not None and term.target not in targets:
            raise ValueError(unknown("target of a loss", term.target, targets, owner))
    return terms


def _split(option: Any, owner: str) -> Sequence[Any]:
    """Return the options of the terms that a loss is made of: mostly the loss itself."""
    made = {"name": option} if isinstance(option, str) else option
    made = {"name": option[0], **option[1]} if is_pair(option) else made
    if isinstance(made, Mapping) and str(made.get("name")).lower() == "elbo":
        return split_evidence(made, owner)
    return (option,)


def _read_term(option: Any, owner: str) -> LossTerm:
    extra: dict[str, Any] = {}
    if isinstance(option, Mapping):
        extra = {name: option[name] for name in ("weight", "output", "target", "ignore") if name in option}
        option = {name: value for name, value in option.items() if name not in extra}
    term = LossTerm(read_named("loss", option, LOSSES, owner), **extra)
    _check_ignore(term, owner)
    return term


def _check_ignore(term: LossTerm, owner: str) -> None:
    """Refuse an ignored label that is none, or of a loss whose targets are no labels."""
    if term.ignore is None:
        return
    if isinstance(term.ignore, bool) or not isinstance(term.ignore, int):
        raise ValueError(f"{owner}: loss: ignore is a label such as 255, got {term.ignore!r}")
    if term.of_numbers or term.meaning == "own":
        raise ValueError(
            f"{owner}: loss {term.name} knows no labels, so none can be ignored; 'ce', 'bce', 'dice' and the "
            "like do, and 'sample_weight' weighs items of any loss"
        )
