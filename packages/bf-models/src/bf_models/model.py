"""The model class: a config, a network that is built when shapes are known, and what one does with it."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Self

import numpy as np

from bf_models._backend import keras, without_values
from bf_models.config.nested import amend, expand, merge
from bf_models.config.spec import PRECISIONS, read_spec
from bf_models.config.targets import refuse_serialized
from bf_models.convert import Report, load_file
from bf_models.errors import MissingShape, WeightsError
from bf_models.losses.terms import read_losses
from bf_models.network.build import Blueprint, build_network, choose_stem
from bf_models.network.catalog import CATALOG, PART_NAMES, choose_part
from bf_models.nn import Classifier, Common, Identity, Net, Part
from bf_models.optim import read_optimizer
from bf_models.saving import exported
from bf_models.saving import model_file as saving
from bf_models.saving.archive import is_model
from bf_models.saving.exported import Export
from bf_models.saving.model_file import Snapshot
from bf_models.training.averages import Averages, make_averages
from bf_models.training.feeds import Feeds
from bf_models.training.fetches import Fetches, as_labels, copy_to_host, list_names, pack
from bf_models.training.restoring import restore
from bf_models.training.setup import (
    make_deterministic,
    make_step_options,
    make_steps,
    make_strategy,
    read_class_weights,
)
from bf_models.training.steps import StepOptions, Steps
from bf_models.training.trainable import find_layers, list_frozen
from bf_models.training.verdict import Verdict, raise_not_finite

log = logging.getLogger(__name__)


class KerasModel:
    """A network of three parts, initial_block -> body -> head, and its training.

    Subclasses name the parts; the config changes or replaces each of them. The constructor checks the whole
    config and loads no TensorFlow; the network is built by the first batch, or by ``build`` where the config
    holds shapes.
    """

    defaults: ClassVar[Mapping[str, Any]] = {}
    common: ClassVar[Common] = Common()
    initial_block: ClassVar[Part] = Identity()
    body: ClassVar[Part] = Identity()
    head: ClassVar[Part] = Classifier()

    def __init__(self, config: Mapping[str, Any] | None = None) -> None:
        self.name = type(self).__name__
        self.config = merge(expand(self.defaults), expand(config) if isinstance(config, Mapping) else {})
        refuse_serialized(self.config, self.name)
        self.spec = read_spec(self.config if isinstance(config, Mapping | None) else config, self.name)
        self._common = amend(type(self).common, self.spec.common, f"{self.name}.common")
        self._parts = {
            part: choose_part(getattr(self, part), getattr(self.spec, part), part, self.spec.allow, self.name)
            for part in PART_NAMES
        }
        self._losses = read_losses(self.spec.loss, self.name, self.spec.target_names)
        self._optimizer = read_optimizer(self.spec, self.name)
        read_class_weights(self.spec, self._losses, self.name)
        self._feeds = Feeds(self.spec, self.name)
        # two prefetch threads may train one model: steps go one after another
        self._lock = threading.RLock()
        self._network: Any = None
        self._blueprint: Blueprint | None = None
        self._weights_from: Path | None = None if self.spec.pretrained is None else Path(self.spec.pretrained)
        self._strategy: Any = None
        self._boundaries: dict[str, Any] = {}
        self._steps: Steps | None = None
        self._predicting: Steps | None = None
        self._averages: Averages | None = None
        self._saved_training: dict[str, np.ndarray] = {}
        self._rate_factor, self._norm_asked = 1.0, False
        self.iterations, self.skipped = 0, 0

    def __repr__(self) -> str:
        state = "not built" if self._network is None else f"{self.count_parameters():,} parameters"
        return f"{self.name}({state})"

    @property
    def is_built(self) -> bool:
        """Whether the network is there."""
        return self._network is not None

    @property
    def network(self) -> Any:
        """The keras.Model, built from the config's shapes when there was no batch yet."""
        return self.build()._network

    def build(self, inputs: Any = None) -> Self:
        """Build the network from the config's shapes or from arrays; MissingShape when neither has them.

        ``inputs`` is a batch, a dict of batches, or nothing.
        """
        with self._lock:
            if self._network is None:
                fed = inputs is not None
                self._build(self._feeds.bind(inputs, None, None, {}, with_targets=False) if fed else {})
        return self

    def _build(self, batch: Mapping[str, Any]) -> None:
        """Build the network for a batch, whose targets tell the number of outputs where no classes do."""
        self._check_names()
        make_deterministic(self.spec)
        self._strategy = make_strategy(self.spec)
        blueprint, reason = self._make_blueprint(batch)
        self._blueprint = blueprint
        with self._scope():
            self._network = build_network(blueprint, self._boundaries)
        # what is saved is what was built
        if reason and "stem" in blueprint.net.asked:
            self.config = {**self.config, "stem": (stem := blueprint.net.stem)}
            log.info("%s: stem %r, since %s; 'stem' in the config chooses", self.name, stem, reason)
        if self.spec.classes is None and blueprint.net.classes is not None:
            self.config = {**self.config, "num_classes": blueprint.net.classes}
        try:
            for pattern in (*self.spec.freeze, *self.spec.learning_rates):
                self.list_layers(pattern)
            if self.spec.pretrained is not None:
                report = self.load_weights(self.spec.pretrained, new_head=self.spec.new_head)
                log.info("%s: pretrained by %s: %s", self.name, self.spec.pretrained, report)
        except BaseException:
            self._network = None  # no half-made one is trained
            raise

    def _check_names(self) -> None:
        """Raise ``TargetError`` for a loss, an optimizer or a schedule that is none."""
        keras()  # a name may be one of Keras's, which is to be loaded as we load it
        for term in self._losses:
            if term.named.made is None:
                term.named.find(self.spec.allow)
        self._optimizer.check_names()

    def _make_blueprint(self, batch: Mapping[str, Any]) -> tuple[Blueprint, str]:
        """Return what the network is built of, and the reason for its stem; "" where the config names it."""
        shapes = {}
        for name in self.spec.input_names:
            declared = self.spec.inputs[name].shape if name in self.spec.inputs else None
            if declared is None and name not in batch:
                raise MissingShape(
                    f"{self.name} is not built: its config holds no shape of {name!r} and no batch was seen; "
                    f"set 'inputs: {{{name}: {{shape: [28, 28, 1]}}}}', or train it first"
                )
            shapes[name] = tuple(declared if declared is not None else batch[name].shape[1:])
        stem, reason = self.spec.stem, ""
        if stem == "auto":
            stem, reason = self._choose_stem(shapes)
        blueprint = Blueprint(
            Net(self.name, self._count_outputs(batch, shapes), stem, self._common, self.spec.dims),
            **self._parts,
            shapes=shapes,
            precision=PRECISIONS[self.spec.precision],
            seed=self.spec.seed,
            device=self.spec.device,
        )
        return blueprint, reason

    def _choose_stem(self, shapes: Mapping[str, tuple[int | None, ...]]) -> tuple[Any, str]:
        if self._weights_from is not None and is_model(self._weights_from):
            return saving.read_stem(self._weights_from), f"the model in {self._weights_from} has it"
        return choose_stem(shapes, self._weights_from is not None, self.spec.dims)

    def _count_outputs(
        self, batch: Mapping[str, Any], shapes: Mapping[str, tuple[int | None, ...]]
    ) -> int | None:
        """Return the number of classes, or of the numbers in targets of a loss that has no classes."""
        if self.spec.classes is not None:
            return self.spec.classes
        term = next((item for item in self._losses if item.output is None), None)
        if term is None or not (term.of_numbers or term.meaning == "answers"):
            return None
        name = term.target or self.spec.target_names[0]
        shape = self.spec.inputs[name].shape if name in self.spec.inputs else None
        if shape is None and name in batch:
            shape = tuple(batch[name].shape[1:])
        if not shape:
            return 1
        maps = len(shape) > 1 and len(shape) != max(map(len, shapes.values()))
        return 1 if maps else shape[-1]

    def _prepare_training(self, batch: Mapping[str, Any]) -> Steps:
        if self._steps is None:
            if self._network is None:
                self._build(batch)
            options = self._step_options()
            with self._scope():
                self._steps = self._predicting = make_steps(
                    options, self.spec, self._network, self._boundaries, self._optimizer, self._saved_training
                )
            self._averages = self._steps.averages
            if self._rate_factor != 1.0:
                self.rate_factor = self._rate_factor
            if self._norm_asked:
                self.measure_gradient_norm()
        return self._steps

    def _step_options(self) -> StepOptions:
        return make_step_options(self.name, self.spec, self._losses, self._strategy, self.is_binary)

    def _scope(self) -> contextlib.AbstractContextManager[Any]:
        return contextlib.nullcontext() if self._strategy is None else self._strategy.scope()

    def train(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        fetches: Fetches = None,
        feed_dict: Mapping[str, Any] | None = None,
        **feeds: Any,
    ) -> Any:
        """Make one training step on a batch and return what is fetched; None copies nothing to the host.

        Arrays are those of ``inputs`` and ``targets``, or by name in ``feed_dict`` or as keywords; numbers
        of any dtype, cast to float32 on the device and not scaled. ``loss`` is a float, all else arrays.
        NonFiniteLoss, and ValueError for targets that the loss cannot have, leave the model as it was;
        ValueError names an unknown output; TypeError an unknown argument.
        """
        with self._lock:
            batch = self._feeds.bind(inputs, targets, feed_dict, feeds, with_targets=True)
            names = list_names(fetches)
            values = self._prepare_training(batch).run(batch, names, training=True)
            if values["verdict"] != Verdict.GOOD:
                if values["verdict"] == Verdict.NOT_FINITE:
                    raise_not_finite(float(values["loss"]), self.name, self.iterations, self.spec.non_finite)
                self.skipped += 1
            self.iterations += 1
            return None if fetches is None else pack(fetches, copy_to_host(values, names))

    def predict(
        self,
        inputs: Any = None,
        targets: Any = None,
        *,
        fetches: Fetches = "predictions",
        feed_dict: Mapping[str, Any] | None = None,
        **feeds: Any,
    ) -> Any:
        """Return ``predictions`` (logits) of a batch, or what ``fetches`` name.

        Names are ``predictions``, ``proba``, ``labels``, ``loss`` and those of layers.
        """
        with self._lock:
            names = list_names("predictions" if fetches is None else fetches)
            batch = self._feeds.bind(inputs, targets, feed_dict, feeds, with_targets="loss" in names)
            if self._network is None:
                self._build(batch)
            if self._predicting is None:
                self._predicting = Steps(self._network, self._step_options(), None, self._averages)
            values = self._predicting.run(batch, names, training=False)
            return pack("predictions" if fetches is None else fetches, copy_to_host(values, names))

    def evaluate(self, inputs: Any, targets: Any, *, batch_size: int = 256) -> dict[str, float]:
        """Return the mean ``loss`` over arrays of any length, and ``accuracy`` where targets are classes.

        Accuracy is the share of right labels. Targets are labels or shares of classes; a map counts by its
        places, those of a label that the loss ignores left out. ValueError when targets are empty.
        """
        targets = np.asarray(targets)
        if not len(targets):
            raise ValueError(f"{self.name}: there is nothing to evaluate, targets are empty")
        classes = any(term.classes for term in self._losses)
        fetches = {"loss": "loss", **({"labels": "labels", "predictions": "predictions"} if classes else {})}
        ignored = [term.ignore for term in self._losses if term.ignore is not None]
        loss, right, known = 0.0, 0, 0
        for start in range(0, len(targets), batch_size):
            part = slice(start, start + batch_size)
            values = self.predict(inputs[part], targets[part], fetches=fetches)
            loss += values["loss"] * len(targets[part])
            if classes:
                labels = values["labels"]
                if labels.ndim == targets.ndim + 1 and labels.shape[-1] > 1:
                    labels = values["predictions"].argmax(-1)  # a yes or no of each class, and one label
                wanted = as_labels(targets[part], labels)
                counted = ~np.isin(wanted, ignored)
                right += int(np.count_nonzero((labels == wanted) & counted))
                known += int(np.count_nonzero(counted))
        return {
            "loss": loss / len(targets),
            **({"accuracy": right / max(known, 1)} if classes else {}),
        }

    def count_parameters(self, trainable: bool = True) -> int:
        """Count the trainable parameters, the published number of a network; all of them with False."""
        variables = self.sketch().trainable_variables if trainable else self.sketch().weights
        return sum(int(np.prod(item.shape)) for item in variables)

    def sketch(self) -> Any:
        """Return the network, or before it is built one for its shapes alone; MissingShape without shapes."""
        with without_values():
            return build_network(self._make_blueprint({})[0]) if self._network is None else self._network

    @property
    def layer_names(self) -> list[str]:
        """Names of the layers, each of which may be fetched."""
        return [layer.name for layer in self.network.layers]

    @property
    def borrowed(self) -> Mapping[str, Mapping[str, str]]:
        """By the network of an encoder: names of its layers here, and those that they have there."""
        return {} if self._blueprint is None else self._blueprint.net.borrowed

    def head_layers(self) -> list[str]:
        """Return the names of the layers of the head."""
        return self.list_layers("head")

    def list_layers(self, pattern: str) -> list[str]:
        """Return the names of the layers of a part or a pattern like ``layer1.*``; ValueError for none."""
        return [layer.name for layer in find_layers(pattern, self.network, self._boundaries, self.name)]

    @property
    def frozen_layers(self) -> list[str]:
        """Names of the layers with weights that do not learn."""
        return list_frozen(self.spec.freeze, self.network, self._boundaries, self.name)

    def unfreeze(self, *patterns: str) -> list[str]:
        """Let parts, layers or patterns learn from the next step on; return the names of those that begin.

        All else goes on. The config names the layers that are frozen still, as a saved model has them.
        """
        with self._lock:
            chosen = {name for pattern in patterns for name in self.list_layers(pattern)}
            frozen = self.frozen_layers
            begun = [name for name in frozen if name in chosen]
            if begun:
                left = tuple(name for name in frozen if name not in chosen)
                for name in begun:
                    self.network.get_layer(name).trainable = True
                self.config["freeze"], self.spec = list(left), replace(self.spec, freeze=left)
                self.restore_state(self.optimizer_state(), self.iterations, self.skipped)
            return begun

    @property
    def traces(self) -> int:
        """Number of traced functions: one a signature and set of fetched names."""
        return sum(item.traces for item in {self._steps, self._predicting} if item is not None)

    def summary(self) -> str:
        """Return a table of layers, shapes and parameter counts."""
        lines: list[str] = []
        self.network.summary(print_fn=lambda text, line_break=False: lines.append(text))
        return "\n".join(lines)

    def save(self, path: str | Path) -> None:
        """Save config, weights and optimizer into one file, whole or not at all; OSError names the path."""
        with self._lock:
            saving.save(self, Path(path))

    def snapshot(self, optimizer: bool = True) -> Snapshot:
        """Return the model as it is now: ``snapshot.save(path)`` may run in a thread while it learns on.

        Without ``optimizer`` it is what predicts: weights and their averages, a third of the size with Adam.
        """
        with self._lock:
            if optimizer:
                return saving.snapshot(self)
            averages = {} if self._averages is None else saving.read_values(self._averages.state())
            return saving.snapshot(self, averages)

    @property
    def learning_rate(self) -> float | None:
        """The rate of the next training step, the highest where layers have their own."""
        if self._steps is None or self._steps.gradients is None:
            return None
        return max(float(group.optimizer.learning_rate) for group in self._steps.gradients.updater.groups)

    @property
    def rate_factor(self) -> float:
        """What multiplies the learning rates beside schedule and ``learning_rates``: 1 until it is set."""
        return self._rate_factor

    @rate_factor.setter
    def rate_factor(self, factor: float) -> None:
        if not factor > 0:
            raise ValueError(f"{self.name}: rate_factor is a number above 0, got {factor!r}")
        with self._lock:
            self._rate_factor = float(factor)
            if self._steps is not None and self._steps.gradients is not None:
                self._steps.gradients.updater.scale_rates(self._rate_factor)

    def measure_gradient_norm(self) -> None:
        """Have the next training step measure the norm of its gradient, for ``gradient_norm``."""
        with self._lock:
            self._norm_asked = self._steps is None or self._steps.gradients is None
            if self._steps is not None and self._steps.meter is not None:
                self._steps.meter.ask()

    @property
    def gradient_norm(self) -> float:
        """Norm of all gradients together before clipping, as last measured; NaN before, and for replicas."""
        meter = None if self._steps is None else self._steps.meter
        return float("nan") if meter is None else meter.read()

    @property
    def gradient_norms(self) -> dict[str, float]:
        """Norms of gradients before clipping by layer, as last measured; {} before, and for replicas."""
        return {} if self._steps is None or self._steps.meter is None else self._steps.meter.read_layers()

    @classmethod
    def load(
        cls, path: str | Path, *, allow: Sequence[str] = (), config: Mapping[str, Any] | None = None
    ) -> KerasModel:
        """Make the model that a file holds, ready to predict and to go on training.

        Called on KerasModel it makes any zoo model. ``config`` changes what belongs to a machine, such as
        ``device`` and ``strategy``, and what is learnt from here on: ``freeze``, ``optimizer`` (slots go on
        where they fit), ``schedule`` (another one begins at 0), ``num_classes`` (the head begins anew).
        CorruptModel, UnsafeCheckpoint and ModelStateError name what is wrong with the file, PermissionError
        code of a package that is not in ``allow``.
        """
        others: Mapping[str, type[KerasModel]] | None = CATALOG if cls is KerasModel else None
        return saving.load(cls, Path(path), allow, config or {}, others)

    def load_weights(
        self, path: str | Path, *, strict: bool = True, replace_head: bool = True, new_head: bool = False
    ) -> Report:
        """Copy weights of a saved model, of torch or of keras.applications from a file into the network.

        See bf_models.convert. Averages of weights begin anew. With ``new_head`` the last layer of the head
        keeps its own weights though those of the file fit: it is for other classes.
        """
        with self._lock:
            self._weights_from = Path(path)  # a network that is not built yet gets the stem they are for
            try:
                head = [item for item in map(self.network.get_layer, self.head_layers()) if item.weights]
                kept = [(item, item.numpy()) for item in (head[-1].weights if new_head and head else ())]
                report = load_file(self.build(), path, strict=strict, replace_head=replace_head)
                for item, array in kept:
                    item.assign(array)
                self.restart_averages()
                return report.renew(head[-1].name) if kept else report
            except WeightsError as error:
                if self.spec.stem == "auto" and "stem" in self.config:
                    error.add_note(f"built with stem {self.config['stem']!r}; 'stem' in the config chooses")
                raise

    def export(self, path: str | Path, **told: Any) -> None:
        """Write what predicts as ``predict`` does without this package: ``NAME.onnx``, else a SavedModel.

        ``told`` are the fields of saving.exported.Export: ``classes``, ``scale``, ``shift``, ``notes``.
        """
        with self._lock:
            numbers = bool(self._losses) and self._losses[0].of_numbers
            kind = "numbers" if numbers else "answers" if self.is_binary else "classes"
            exported.export(self.averaged_network, self.spec.input_names, Export(**told), kind, Path(path))

    @property
    def averaged_network(self) -> Any:
        """The keras.Model that predicts: ``network``, or with ``ema`` a copy with the averages as weights."""
        with self._lock:
            network = self.network
            if self._averages is None:
                return network
            assert self._blueprint is not None, "a network was built of it"
            copy = build_network(self._blueprint)
            values = {**saving.read_values(saving.network_variables(network)), **self._averages.values()}
            saving.assign(saving.network_variables(copy), values, self.name)
            return copy

    def restart_averages(self) -> None:
        """Begin averages of weights anew with the weights as they are, after these were set."""
        with self._lock:
            if self._averages is not None:
                self._averages.restart()

    def optimizer_state(self) -> dict[str, np.ndarray]:
        """Return arrays of optimizers and averages by name; before a training step what was loaded."""
        if self._steps is None or self._steps.gradients is None:
            return dict(self._saved_training)
        return saving.read_values(self._steps.gradients.state())

    def restore_state(self, optimizer: Mapping[str, np.ndarray], iterations: int, skipped: int) -> None:
        """Go on from a saved state; predictions use its averages, the optimizer takes it at the next step."""
        self._saved_training = dict(optimizer)
        self._averages = make_averages(self._optimizer.update.ema, self.network, self._saved_training)
        if self._averages is not None:
            restore(self._averages.state(), self._saved_training, (), self.name)
        self._steps = self._predicting = None
        self.iterations, self.skipped = iterations, skipped

    @property
    def is_binary(self) -> bool:
        """Whether each output is a yes or no of its own."""
        binary = bool(self._losses) and self._losses[0].binary
        return binary or self.network.outputs[0].shape[-1] == 1
