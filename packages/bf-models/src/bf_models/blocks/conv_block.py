"""Blocks of layers written as letters: ``ConvBlock('cna cna p', filters=[32, 64])``."""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bf_models._backend import keras
from bf_models.blocks.letters import LETTERS, RESIDUAL
from bf_models.blocks.upsample import Upsample
from bf_models.config.nested import make
from bf_models.errors import unknown
from bf_models.nn import Net, Part, Tensor


@dataclass(frozen=True, slots=True)
class ConvBlock:
    """Layers by letters; docs/models.md has the table.

    An argument that is a list has one value for each letter of its group, in order; a tuple is one value.
    Spaces are for the eye. ``use_bias`` None means: where no norm follows. A residual branch whose shape
    differs is projected by a 1x1 convolution. ValueError names an unknown letter, a branch left open, or a
    list of another length.

    >>> ConvBlock("cna", filters=8).layout
    'cna'
    """

    layout: str
    filters: Any = None
    kernel_size: Any = 3
    strides: Any = 1
    dilation_rate: Any = 1
    depth_multiplier: Any = 1
    activation: Any = None
    pool_size: Any = 2
    pool_strides: Any = 2
    dropout_rate: Any = 0.0
    padding: Any = "same"
    units: Any = None
    factor: Any = 2
    attention: Any = "se"
    ratio: Any = 16
    shape: Any = None
    use_bias: Any = None
    name: str = "block"

    def __post_init__(self) -> None:
        known = {**LETTERS, **RESIDUAL}
        opened = 0
        counts: Counter[str] = Counter()
        for letter in self._letters():
            if letter not in known:
                raise ValueError(unknown("letter", letter, known, f"the layout {self.layout!r}"))
            if letter in LETTERS:
                counts[LETTERS[letter].group] += 1
            else:
                opened += 1 if letter in "RA" else -1
                if opened < 0:
                    raise ValueError(
                        f"layout {self.layout!r}: {letter!r} closes a branch that no R or A opened"
                    )
        if opened:
            raise ValueError(
                f"layout {self.layout!r}: {opened} residual branches are not closed by one of + * | . &"
            )
        self._check_lists(counts)

    def _letters(self) -> str:
        return "".join(self.layout.split())

    def _check_lists(self, counts: Mapping[str, int]) -> None:
        for field, group in _GROUPS.items():
            value = getattr(self, field)
            if isinstance(value, list) and len(value) != counts.get(group, 0):
                raise ValueError(
                    f"layout {self.layout!r}: {field} has {len(value)} values for {counts.get(group, 0)} "
                    "letters; a list has one value a letter, a tuple is one value"
                )

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Add the layers to x, named by the block's name and their place."""
        seen: Counter[str] = Counter()
        branches: list[Tensor] = []
        block = net.claim(self.name)
        for place, letter in enumerate(self._letters()):
            name = f"{block}.{place}"
            if letter in ("R", "A"):
                branches.append(x if letter == "R" else Upsample(self.factor, "additive", name=name)(x, net))
            elif letter in RESIDUAL:
                x = _join(letter, branches.pop(), x, net, name)
            else:
                item = LETTERS[letter]
                x = item.make(x, net, self._options(item.group, seen[item.group], place), name)
                seen[item.group] += 1
        return x

    def _options(self, group: str, number: int, place: int) -> dict[str, Any]:
        """Return the arguments of a letter: it is the ``number``-th of its group."""
        options = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            if isinstance(value, list) and _GROUPS.get(field.name) == group:
                value = value[number]
            options[field.name] = value
        if options["use_bias"] is None:
            following = self._letters()[place + 1 : place + 2]
            options["use_bias"] = following != "n"
        return options


#: The group of letters that counts through a list of each argument.
_GROUPS = {
    **dict.fromkeys(
        ("filters", "kernel_size", "strides", "dilation_rate", "depth_multiplier", "use_bias"), "c"
    ),
    **dict.fromkeys(("pool_size", "pool_strides"), "p"),
    **dict.fromkeys(("attention", "ratio"), "S"),
    "activation": "a",
    "dropout_rate": "d",
    "units": "f",
    "factor": "b",
}


def _join(letter: str, branch: Tensor, x: Tensor, net: Net, name: str) -> Tensor:
    from bf_models.layers import SoftSum  # late: loads TensorFlow

    layers = keras().layers
    if letter in "|.":
        return net.concat([branch, x], name)
    if tuple(branch.shape[1:]) != tuple(x.shape[1:]):
        strides = max(1, round(branch.shape[1] / x.shape[1])) if branch.shape[1] and x.shape[1] else 1
        branch = net.conv(branch, x.shape[-1], 1, strides, name=f"{name}.project")
    cls = {"+": layers.Add, "*": layers.Multiply, "&": SoftSum}[letter]
    return cls(name=name)([branch, x])


@dataclass(frozen=True, slots=True)
class Chain:
    """Blocks one after another, ``repeats`` times.

    A mapping is a ConvBlock; what it leaves out is in ``base``.

    >>> Chain([{"layout": "cna", "filters": 8}, {"layout": "p"}]).repeats
    1
    """

    blocks: Sequence[Any]
    base: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    repeats: int = 1
    name: str = "chain"

    def parts(self) -> list[Part]:
        """Return the blocks, numbered by name."""
        made: list[Part] = []
        for number, block in enumerate([item for _ in range(self.repeats) for item in self.blocks]):
            if isinstance(block, Mapping):
                options = {**self.base, **block, "name": f"{self.name}.{number}"}
                layout = options.pop("layout", "cna")
                made.append(dataclasses.replace(make(ConvBlock, {"layout": layout}, self.name), **options))
            else:
                made.append(block)
        return made

    def __call__(self, x: Tensor, net: Net) -> Tensor:
        """Add all blocks to x."""
        for part in self.parts():
            x = part(x, net)
        return x
