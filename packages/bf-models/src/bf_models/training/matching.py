"""Targets, outputs and weights of one loss: which shapes go together, and which values targets have.

Shapes are looked at when a step is traced, values inside the step: a target that is wrong is counted there,
and takes part as 0, so that the step can be left out as a whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal, TypeAlias

import numpy as np

from bf_models._backend import add_replicas, tensorflow
from bf_models.losses.terms import LossTerm

Shape: TypeAlias = tuple[int | None, ...]
#: labels (N, ...), shares or answers or numbers (N, ..., C), or what is left to a function of the user.
Form: TypeAlias = Literal["labels", "full", "free"]


def choose_form(term: LossTerm, targets: Shape, outputs: Shape) -> Form | None:
    """Return what targets of a shape are to outputs (N, ..., C); None when they do not go together.

    (N, ...) and (N, ..., 1) mean the same. Sizes that are not known yet go with any.
    """
    one, places = outputs[-1] == 1, outputs[:-1]
    of_places = _agree(targets, places) or _agree(targets, (*places, 1))
    if term.meaning == "own":
        return "full" if one and _agree(targets, places) else "free"
    if one and (term.one_output or term.of_numbers or term.meaning == "answers"):
        return "full" if of_places else None
    if one:
        return None  # one output has no classes to tell apart
    if of_places and not term.of_numbers:
        return "labels"
    return "full" if _agree(targets, outputs) and term.meaning != "labels" else None


def _agree(one: Shape, other: Shape) -> bool:
    return len(one) == len(other) and all(a is None or b is None or a == b for a, b in zip(one, other))


def check_shapes(
    term: LossTerm, arrays: Mapping[str, Any], target: str, weights: str, output: Shape, owner: str
) -> None:
    """Raise ValueError, naming both shapes, when targets or weights do not go with an output.

    ``output`` is the shape of its items; ``target`` and ``weights`` name arrays, of which weights may lack.
    """
    given, length = tuple(arrays[target].shape), arrays[target].shape[0]
    outputs = (length, *output)
    if choose_form(term, given, outputs) is None:
        raise ValueError(
            f"{owner}: loss {term.name}: {target!r} of shape {given} do not go with outputs of shape "
            f"{outputs}; {_advise(term, outputs)}"
        )
    if weights in arrays:
        shape = tuple(arrays[weights].shape)
        places = outputs[:-1]
        if not any(_agree(shape, fit) for fit in ((length,), (length, 1), places, (*places, 1))):
            where = f" or {places}" if len(places) > 1 else ""
            raise ValueError(
                f"{owner}: {weights!r} of shape {shape} do not go with outputs of shape {outputs}; "
                f"weights are of shape {(length,)}{where}"
            )


def _advise(term: LossTerm, outputs: Shape) -> str:
    if outputs[-1] == 1 and term.meaning in ("labels", "classes"):
        return "one output has no classes to tell apart: set 'num_classes', or 'loss: bce' for a yes or no"
    if term.meaning == "labels":
        return f"labels have the shape {outputs[:-1]}"
    if term.meaning in ("classes", "answers") and outputs[-1] != 1:
        return f"labels have the shape {outputs[:-1]}, shares of classes {outputs}"
    return f"give them the shape {outputs}" + (f" or {outputs[:-1]}" if outputs[-1] == 1 else "")


@dataclass(frozen=True, slots=True)
class Matched:
    """Targets as the loss takes them, the labels that they were, and how many values were wrong.

    ``kept`` (N, ...) is 1.0 at places that take part and 0.0 at those of the ignored label, None without one.
    """

    targets: Any
    labels: Any
    wrong: Any
    kept: Any = None


def match(term: LossTerm, targets: Any, outputs: Any, weighted: bool) -> Matched:
    """Bring targets into the form that a loss takes; values that no target can have count as 0.

    ``weighted`` asks for the labels that a function of the user gets.
    """
    if term.ignore is not None:
        targets, kept = _leave_out(term, targets, outputs)
        return replace(match(replace(term, ignore=None), targets, outputs, weighted), kept=kept)
    tf = tensorflow()
    form, none = choose_form(term, tuple(targets.shape), tuple(outputs.shape)), tf.constant(0.0)
    classes = outputs.shape[-1]
    if form == "labels":
        if targets.shape.rank == outputs.shape.rank:
            targets = targets[..., 0]
        labels, wrong = _read_labels(targets, classes)
        if term.meaning == "labels" or term.name == "CrossEntropy":
            return Matched(labels, labels, wrong)
        return Matched(tf.one_hot(labels, classes, dtype=outputs.dtype), labels, wrong)
    if form == "free" and weighted and targets.shape.rank == outputs.shape.rank - 1:
        return Matched(targets, *_read_labels(targets, classes))
    if form == "free":
        return Matched(targets, None, none)
    if targets.shape.rank < outputs.shape.rank:
        targets = targets[..., None]
    if term.meaning in ("own", "numbers"):
        return Matched(targets, None, none)
    shares = tf.cast(targets, outputs.dtype)
    good = tf.logical_and(shares >= 0, shares <= 1)
    return Matched(tf.where(good, shares, 0), None, _count_false(good))


def _leave_out(term: LossTerm, targets: Any, outputs: Any) -> tuple[Any, Any]:
    """Return targets with 0 in place of the ignored label, and 1.0 at each place (N, ...) that is kept."""
    tf = tensorflow()
    form, one = choose_form(term, tuple(targets.shape), tuple(outputs.shape)), outputs.shape[-1] == 1
    if form == "full" and not one:
        return targets, tf.ones(tf.shape(outputs)[:-1])
    if targets.shape.rank == outputs.shape.rank:
        targets = targets[..., 0]
    wide = targets if targets.dtype.is_floating else tf.cast(targets, tf.int64)
    ignored = tf.equal(wide, tf.cast(term.ignore, wide.dtype))
    return tf.where(ignored, tf.zeros_like(wide), wide), tf.cast(tf.logical_not(ignored), tf.float32)


def weigh_kept(kept: Any) -> Any:
    """Return weights of places, 0 for those that take no part, so that the mean is that of the others.

    The others are those of the whole batch, whatever replica has them.
    """
    tf = tensorflow()
    sums = tf.stack([tf.cast(tf.size(kept), tf.float32), tf.reduce_sum(kept)])
    size, count = tf.unstack(add_replicas(sums))
    return kept * (size / tf.maximum(count, 1.0))


def _read_labels(targets: Any, classes: int) -> tuple[Any, Any]:
    """Return labels as int32, those that are no whole number from 0 on below ``classes`` as 0, counted."""
    tf = tensorflow()
    if targets.dtype.is_floating:
        good = tf.logical_and(tf.equal(tf.floor(targets), targets), _in_range(targets, classes))
    elif targets.dtype == tf.bool:
        return tf.cast(targets, tf.int32), tf.constant(0.0)
    else:
        targets = tf.cast(targets, tf.int64)
        good = _in_range(targets, classes)
    return tf.cast(tf.where(good, targets, tf.zeros_like(targets)), tf.int32), _count_false(good)


def _in_range(targets: Any, classes: int) -> Any:
    tf = tensorflow()
    return tf.logical_and(targets >= 0, targets < tf.cast(classes, targets.dtype))


def _count_false(good: Any) -> Any:
    tf = tensorflow()
    return tf.reduce_sum(tf.cast(tf.logical_not(good), tf.float32))


def match_weights(weights: Any, outputs: Any) -> Any:
    """Return weights of items (N,), or of places (N, ...), without an axis of 1 at the end."""
    rank = weights.shape.rank
    if rank > 1 and weights.shape[-1] == 1 and (rank == outputs.shape.rank or outputs.shape[rank - 1] != 1):
        weights = weights[..., 0]
    return weights


def find_class_weights(term: LossTerm, matched: Matched, outputs: Any, factors: Any, owner: str) -> Any:
    """Return the weight of each item or place by its class; None for a loss of numbers or of areas."""
    tf = tensorflow()
    if term.of_numbers or term.areas:
        return None
    classes, given = outputs.shape[-1], factors.shape[0]
    if (2 if classes == 1 else classes) != given:
        raise ValueError(f"{owner}: {given} class_weights for {classes} outputs of loss {term.name}")
    if matched.labels is not None:
        return tf.gather(factors, matched.labels)
    targets = matched.targets
    if classes == 1 and targets.shape.rank == outputs.shape.rank:
        yes = tf.cast(targets[..., 0], tf.float32)
        return factors[0] * (1.0 - yes) + factors[1] * yes
    if tuple(targets.shape[1:]) == tuple(outputs.shape[1:]) and term.meaning != "answers":
        return tf.reduce_sum(tf.cast(targets, tf.float32) * factors, -1)
    raise ValueError(
        f"{owner}: class_weights of loss {term.name} need labels, got targets of shape "
        f"{tuple(targets.shape)}: an item may be of several classes or of none; give labels, or weigh items "
        "by 'sample_weight'"
    )


def explain_wrong(term: LossTerm, targets: Any, name: str, output: Shape, owner: str) -> str | None:
    """Return what is wrong with the values of targets, for the first one; None when nothing is.

    A function of the user is asked about only where class_weights read its targets as labels.
    """
    values, classes = np.asarray(targets), output[-1]
    form = choose_form(term, values.shape, (len(values), *output))
    if form == "labels" or (form == "free" and values.ndim == len(output)):
        assert classes is not None, "the number of outputs is known"
        good = (values == np.floor(values)) & (values >= 0) & (values < classes)
        what = f"labels of {classes} classes are 0 to {classes - 1}, whole numbers"
    elif form == "full" and term.meaning == "intensities":
        good = (values >= 0) & (values <= 1)
        what = f"targets of loss {term.name} are 0 to 1"
    elif form == "full" and term.meaning in ("classes", "answers"):
        good = (values >= 0) & (values <= 1)
        yes_or_no = term.meaning == "answers" or classes == 1
        what = "a yes or no is 0 to 1" if yes_or_no else "shares of classes are 0 to 1"
    else:
        return None
    if term.ignore is not None:
        good |= values == term.ignore
        what += f", or {term.ignore}, which loss {term.name} ignores"
    if good.all():
        return None
    place = tuple(int(axis) for axis in np.argwhere(~good)[0])
    item = f"item {place[0]}" + (f", place {place[1:]}" if len(place) > 1 else "")
    found = (
        f"{owner}: {what}: got a value of {values[place]} at {item} of {name!r}, {(~good).sum()} of "
        f"{good.size} values are wrong; "
    )
    if term.meaning == "intensities":
        return found + "scale them, or take a loss of any numbers: 'mse', or of elbo 'likelihood: gaussian'"
    ignored = "" if term.ignore is not None else ", or 'ignore' of the loss, the label of what does not count"
    return f"{found}look at the targets, or set 'num_classes'{ignored}"
