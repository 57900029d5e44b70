"""The config of a model as frozen dataclasses; all that a user may set, checked without TensorFlow."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from bf_models.config.nested import expand, make
from bf_models.errors import unknown

Stem = Literal["auto", "imagenet", "small"]
NonFinite = Literal["raise", "stop", "skip"]
PRECISIONS = {
    "float32": "float32",
    "float16": "mixed_float16",
    "mixed_float16": "mixed_float16",
    "bfloat16": "mixed_bfloat16",
    "mixed_bfloat16": "mixed_bfloat16",
}
INPUT_ALIASES = ("images", "inputs", "x")
_DTYPES = (
    *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
    *("float16", "float32", "float64"),
)
TARGET_ALIASES = ("labels", "targets", "masks", "y")


@dataclass(frozen=True, slots=True)
class InputSpec:
    """One array that is fed: shape without the batch axis, dtype, number of classes of a target."""

    shape: tuple[int | None, ...] | None = None
    dtype: str | None = None
    classes: int | None = None
    target: bool = False

    def __post_init__(self) -> None:
        if self.dtype is not None and self.dtype not in _DTYPES:
            raise ValueError(unknown("dtype", self.dtype, _DTYPES, "inputs"))
        if self.classes is not None and (not isinstance(self.classes, int) or self.classes < 1):
            raise ValueError(f"inputs: classes is a number from 1 on, got {self.classes!r}")
        sizes = self.shape or ()
        if any(size is not None and (not isinstance(size, int) or size < 1) for size in sizes):
            raise ValueError(f"inputs: sizes of a shape are numbers from 1 on or None, got {self.shape!r}")


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelSpec:
    """Checked config of a model; the docs explain each key."""

    inputs: Mapping[str, InputSpec] = field(default_factory=dict)
    num_classes: int | None = None
    dims: Literal[1] | None = None
    stem: Stem = "auto"
    common: Mapping[str, Any] = field(default_factory=dict)
    initial_block: Any = None
    body: Any = None
    head: Any = None
    loss: Any = "ce"
    optimizer: Any = "adam"
    schedule: Any = None
    precision: str = "float32"
    microbatch: int | None = None
    accumulate: int | None = None
    device: str | None = None
    strategy: str | None = None
    jit: bool | Literal["auto"] = "auto"
    seed: int | None = None
    deterministic: bool = False
    non_finite: NonFinite = "raise"
    ema: float | None = None
    freeze: tuple[str, ...] = ()
    learning_rates: Mapping[str, float] = field(default_factory=dict)
    layer_decay: float | None = None
    class_weights: Any = None
    pretrained: str | None = None
    new_head: bool = False
    allow: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.dims is not None and (self.dims != 1 or isinstance(self.dims, bool)):
            raise ValueError(
                f"config key 'dims' is 1 for signals (length, channels), null for images and volumes, got "
                f"{self.dims!r}"
            )
        _check_one_of("stem", self.stem, get_args(Stem))
        _check_one_of("non_finite", self.non_finite, get_args(NonFinite))
        _check_one_of("precision", self.precision, PRECISIONS)
        if self.strategy is not None:
            _check_one_of("strategy", self.strategy, ("mirrored", "multiworker"))
        if self.jit not in (True, False, "auto"):
            raise ValueError(f"config key 'jit' is true, false or 'auto', got {self.jit!r}")
        if self.jit is True and (self.microbatch or self.strategy):
            raise ValueError(
                "config key 'jit': true does not go with 'microbatch' or 'strategy'; leave it at 'auto'"
            )
        if self.strategy and (self.device or self.microbatch or self.accumulate):
            raise ValueError(
                "config key 'strategy' does not go with 'device', 'microbatch' or 'accumulate'; leave "
                "these out"
            )
        for name in ("microbatch", "accumulate", "num_classes"):
            value = getattr(self, name)
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ValueError(f"config key {name!r} is a number from 1 on or null, got {value!r}")
        if self.ema is not None and not 0 < self.ema < 1:
            raise ValueError(f"config key 'ema' is a number between 0 and 1, got {self.ema!r}")
        decay = self.layer_decay
        if decay is not None and (isinstance(decay, bool) or not 0 < decay <= 1):
            raise ValueError(f"config key 'layer_decay' is a number above 0, at most 1, got {decay!r}")
        if self.new_head and self.pretrained is None:
            raise ValueError("config key 'new_head' is of weights that are loaded; name them by 'pretrained'")
        if not all(isinstance(item, str) for item in self.freeze):
            raise TypeError(f"config key 'freeze' is a list of parts and layers, got {self.freeze!r}")
        if not isinstance(self.allow, list | tuple) or not all(isinstance(item, str) for item in self.allow):
            raise TypeError(
                f"config key 'allow' is a list of packages such as ['my_nets'], got {self.allow!r}"
            )
        if self.seed is not None and (not isinstance(self.seed, int) or self.seed < 0):
            raise ValueError(f"config key 'seed' is a number from 0 on or null, got {self.seed!r}")

    @property
    def classes(self) -> int | None:
        """Number of classes: ``num_classes``, or that of a target; ValueError when the two differ."""
        named = {item.classes for item in self.inputs.values() if item.classes is not None}
        if self.num_classes is not None:
            named.add(self.num_classes)
        if len(named) > 1:
            raise ValueError(f"the config names different numbers of classes: {sorted(named)}")
        return named.pop() if named else None

    @property
    def input_names(self) -> tuple[str, ...]:
        """Names of the arrays that the network reads."""
        return tuple(name for name in self.inputs if not self.is_target(name)) or INPUT_ALIASES[:1]

    @property
    def target_names(self) -> tuple[str, ...]:
        """Names of the arrays that the loss compares with."""
        return tuple(name for name in self.inputs if self.is_target(name)) or TARGET_ALIASES[:1]

    def is_target(self, name: str) -> bool:
        """Whether a declared array is a target: by its name, its classes or the key ``target``."""
        item = self.inputs[name]
        return item.target or item.classes is not None or name in TARGET_ALIASES


def _check_one_of(key: str, value: Any, known: Any) -> None:
    if value not in known:
        raise ValueError(unknown(key, str(value), known, "the config"))


def read_spec(config: Mapping[str, Any] | None, owner: str) -> ModelSpec:
    """Check a nested config and make a spec of it; TypeError names an unknown key with close matches."""
    if config is not None and not isinstance(config, Mapping):
        raise TypeError(f"{owner}: the config is a mapping, got {type(config).__name__}")
    options = expand(config)
    declared = options.pop("inputs", None) or {}
    if not isinstance(declared, Mapping):
        raise TypeError(f"{owner}.inputs: a mapping of names to shapes, got {type(declared).__name__}")
    inputs = {name: _read_input(item, f"{owner}.inputs.{name}") for name, item in declared.items()}
    if isinstance(options.get("freeze"), str):
        options["freeze"] = (options["freeze"],)
    spec = make(ModelSpec, {**options, "inputs": inputs}, owner)
    _ = spec.classes  # two numbers of classes that differ are refused here, not at the first batch
    return spec


def _read_input(item: Any, owner: str) -> InputSpec:
    if isinstance(item, InputSpec):
        return item
    if item is None or isinstance(item, Mapping):
        return make(InputSpec, item or {}, owner)
    if isinstance(item, Sequence) and not isinstance(item, str):
        return InputSpec(shape=tuple(item))
    raise TypeError(f"{owner}: a mapping like {{shape: [28, 28, 1]}} or a shape, got {item!r}")
