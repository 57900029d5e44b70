"""What the numbers or colours in mask files mean: classes, and what is left out."""

from __future__ import annotations

import colorsys
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bf_index.errors import escape

#: The label of pixels that take no part, in batches.
IGNORED = 255
#: So many classes have labels of a byte.
MOST = 255
AUTO = "auto"
Others = Literal["raise", "ignore"]
_COLOUR = re.compile(r"#[0-9a-fA-F]{6}")
_UNKNOWN = 256
_SHOWN = 8
_GOLDEN = 0.61803398875


@dataclass(frozen=True, slots=True)
class MaskLabels:
    """Classes in order: their names, the number or colour (as 0xRRGGBB) that files have for each.

    ``ignored`` is what stands for pixels that take no part, None for none; ``others`` says whether all that
    is no class is such too.
    """

    names: tuple[str, ...]
    values: tuple[int, ...]
    ignored: int | None = None
    colours: bool = False
    others: Others = "raise"

    def read(self, stored: NDArray[Any]) -> NDArray[np.uint8]:
        """Return labels (height, width) of what a mask file holds: 0 on, and 255 for what takes no part.

        ValueError names a number or a colour that means nothing.
        """
        packed = pack(stored, self.colours)
        plain = packed.dtype == np.uint8 and self.values == tuple(range(len(self.values)))
        if plain and self.ignored in (None, IGNORED):
            bad = packed >= len(self.values)
            if self.ignored == IGNORED:
                bad &= packed != IGNORED
            labels = packed
            if bad.any():
                self._check(packed[bad])
                labels = np.where(bad, np.uint8(IGNORED), packed)
            return labels
        is_byte = packed.dtype == np.uint8
        found = self._look_up(np.arange(256))[packed] if is_byte else self._look_up(packed)
        if (unknown := found == _UNKNOWN).any():
            self._check(packed[unknown])
            found = np.where(unknown, IGNORED, found)
        return np.asarray(found, np.uint8)

    def _look_up(self, numbers: NDArray[Any]) -> NDArray[np.int16]:
        """Return labels of numbers, 256 for those that are none."""
        known = [*self.values, *([self.ignored] if self.ignored is not None else [])]
        labels = np.array([*range(len(self.values)), IGNORED][: len(known)], np.int16)
        order = np.argsort(known)
        ranked = np.array(known, np.int64)[order]
        place = np.minimum(np.searchsorted(ranked, numbers), len(ranked) - 1)
        return np.where(ranked[place] == numbers, labels[order][place], np.int16(_UNKNOWN))

    def _check(self, strange: NDArray[Any]) -> None:
        if self.others == "raise":
            shown = self.show(int(strange.flat[0]))
            raise ValueError(f"it has {shown} ({strange.size} pixels), which is no class; {self.describe()}")

    def show(self, value: int) -> str:
        """Return a number or a colour for people."""
        return f"the colour {show_colour(value)}" if self.colours else f"the number {value}"

    def describe(self) -> str:
        """Return what there is, for messages."""
        form = show_colour if self.colours else str
        known = [f"{name}: {form(value)}" for name, value in zip(self.names, self.values)]
        more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
        left_out = "" if self.ignored is None else f"; {form(self.ignored)} takes no part"
        return f"classes are {escape(', '.join(known[:_SHOWN]))}{more}{left_out}"

    @property
    def legend(self) -> dict[str, int | str]:
        """What stands for each class in files, as a setting."""
        return {name: show_colour(v) if self.colours else v for name, v in zip(self.names, self.values)}

    @property
    def ignore(self) -> int | str | None:
        """What stands for pixels that take no part, as a setting."""
        if self.ignored is None:
            return None
        return show_colour(self.ignored) if self.colours else self.ignored


def pack(stored: NDArray[Any], colours: bool) -> NDArray[Any]:
    """Return one number for each pixel of a mask: what is stored, or 0xRRGGBB."""
    if stored.ndim == 3 and stored.shape[2] == 1:
        stored = stored[:, :, 0]
    if colours:
        if stored.ndim == 2:
            stored = np.repeat(stored[:, :, None], 3, axis=2)
        red, green, blue = (stored[:, :, number].astype(np.uint32) for number in range(3))
        return (red << 16) | (green << 8) | blue
    if stored.ndim == 3:
        if not has_colours(stored):
            return stored[:, :, 0]
        raise ValueError(
            "it is a mask of colours, and the classes are numbers; say what each colour is: "
            "classes={road: '#804080', ...}"
        )
    return stored.astype(np.uint8) if stored.dtype == bool else stored


def has_colours(stored: NDArray[Any]) -> bool:
    """Whether there are colours, not only greys; transparency does not count."""
    if stored.ndim < 3 or stored.shape[2] < 3:
        return False
    first = stored[:, :, 0]
    return not all(np.array_equal(first, stored[:, :, number]) for number in (1, 2))


def show_colour(value: int) -> str:
    """Return a colour as #rrggbb."""
    return f"#{value:06x}"


def read_value(value: Any, owner: str) -> tuple[int, bool]:
    """Return a number, or a colour as 0xRRGGBB, and whether it is a colour; ValueError for neither."""
    if isinstance(value, str) and _COLOUR.fullmatch(value):
        return int(value[1:], 16), True
    if isinstance(value, Sequence) and not isinstance(value, str) and len(value) == 3:
        if all(isinstance(part, int) and 0 <= part <= 255 for part in value):
            red, green, blue = value
            return (red << 16) | (green << 8) | blue, True
    elif isinstance(value, int) and not isinstance(value, bool) and value >= 0:
        return value, False
    raise ValueError(
        f"{owner}: {value!r} stands for nothing in a mask; give a number from 0 on, or a colour as '#804080' "
        "or [128, 64, 128]"
    )


def name_classes(
    classes: Any, ignore: Any, others: Others, seen: Mapping[int, int] | None, colours: bool, owner: str
) -> MaskLabels:
    """Return the classes of masks from what was said and what was ``seen`` (pixels by number or colour).

    ``classes`` is None (all that was seen), how many there are, their names, or a mapping of names to numbers
    or colours. ``ignore`` 'auto' is 255, but not where masks have only 0 and 255, which are two classes then.
    ValueError says what does not go together.
    """
    if others not in ("raise", "ignore"):
        raise ValueError(f"{owner}: others must be 'raise' or 'ignore', got {others!r}")
    told: Mapping[str, int] | None = None
    if isinstance(classes, Mapping):
        pairs = {str(name): read_value(value, f"{owner}: classes: {name}") for name, value in classes.items()}
        if len({kind for _, kind in pairs.values()}) > 1:
            raise ValueError(f"{owner}: classes are numbers or colours, not both: {classes!r}")
        told = {name: value for name, (value, _) in pairs.items()}
        colours = any(kind for _, kind in pairs.values())
    binary = seen is not None and set(seen) == {0, 255} and not colours
    names = None if classes is None or told is not None else _read_names(classes, owner)
    is_binary = binary and told is None and ignore in (AUTO, None) and (names is None or len(names) == 2)
    ignored = _choose_ignored(ignore, is_binary, colours, told, owner)
    if told is None:
        values = [0, 255] if is_binary else _choose_values(names, seen, ignored, colours, owner)
        shown = [show_colour(value) if colours else str(value) for value in values]
        told = dict(zip(names if names is not None else shown, values, strict=True))
    labels = MaskLabels(tuple(told), tuple(told.values()), ignored, colours, others)
    _check_labels(labels, owner)
    if seen is not None:
        _check_seen(labels, seen, owner)
    return labels


def _read_names(classes: Any, owner: str) -> list[str]:
    """Return names of classes that are numbered from 0 on; their numbers where only their count is said."""
    if isinstance(classes, int) and not isinstance(classes, bool):
        return [str(number) for number in range(classes)]
    if isinstance(classes, str) or not isinstance(classes, Sequence):
        raise ValueError(
            f"{owner}: classes are how many, a list of names, or names with numbers or colours, such as "
            f"{{road: 7, sky: 11}}; got {classes!r}"
        )
    names = [str(name) for name in classes]
    if len(set(names)) != len(names):
        raise ValueError(f"{owner}: classes: two have one name: {', '.join(names)}")
    return names


def _choose_ignored(
    ignore: Any, is_binary: bool, colours: bool, told: Mapping[str, int] | None, owner: str
) -> int | None:
    if ignore == AUTO:
        taken = told is not None and IGNORED in told.values()
        return None if is_binary or colours or taken else IGNORED
    if ignore is None:
        return None
    value, is_colour = read_value(ignore, f"{owner}: ignore")
    if is_colour != colours:
        kind = "colours" if colours else "numbers"
        raise ValueError(f"{owner}: ignore={ignore!r}: the masks have {kind}, so give it as one of these")
    return value


def _choose_values(
    names: list[str] | None, seen: Mapping[int, int] | None, ignored: int | None, colours: bool, owner: str
) -> list[int]:
    if names is not None and not colours:
        return list(range(len(names)))
    if seen is None:
        raise ValueError(f"{owner}: masks are not looked at (scan=false): say which classes there are")
    found = sorted(value for value in seen if value != ignored)
    form = show_colour if colours else str
    shown = ", ".join(form(value) for value in found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
    if names is not None:
        raise ValueError(
            f"{owner}: masks are colours; say which colour each class has: classes={{NAME: '#rrggbb', ...}}; "
            f"they have {shown}"
        )
    if len(found) > MOST:
        raise ValueError(
            f"{owner}: masks have {len(found)} different {'colours' if colours else 'numbers'} ({shown}), "
            f"more than {MOST}: they are photos, numbers of objects, or were saved with a loss; say which "
            "are classes: classes={NAME: VALUE, ...} others=ignore"
        )
    if len(found) < 2:
        raise ValueError(f"{owner}: all pixels of all masks are {shown or 'left out'}; nothing to tell apart")
    return found


def _check_labels(labels: MaskLabels, owner: str) -> None:
    if len(set(labels.values)) != len(labels.values):
        raise ValueError(f"{owner}: two classes have one value; {labels.describe()}")
    if not 2 <= len(labels.names) <= MOST:
        raise ValueError(f"{owner}: there are {len(labels.names)} classes; 2 to {MOST} can be told apart")
    if labels.ignored in labels.values:
        name = labels.names[labels.values.index(labels.ignored)]
        raise ValueError(
            f"{owner}: {labels.show(labels.ignored)} is the class {name!r} and takes no part, by "
            f"ignore={labels.ignore}; give another ignore, or null for none"
        )


def _check_seen(labels: MaskLabels, seen: Mapping[int, int], owner: str) -> None:
    """Refuse classes of which masks have one or none: they are those of other masks."""
    present = [name for name, value in zip(labels.names, labels.values) if seen.get(value)]
    if len(present) < 2:
        form = show_colour if labels.colours else str
        has = ", ".join(form(value) for value in sorted(seen)[:_SHOWN])
        which = (
            f"all pixels that take part are of {present[0]!r}"
            if present
            else "no mask has any of the classes"
        )
        raise ValueError(f"{owner}: {which}; {labels.describe()}; masks have {has}")


def choose_palette(count: int) -> list[str]:
    """Return colours for classes: black for the first, then hues that are far from those before.

    >>> choose_palette(3)
    ['#000000', '#f23d3d', '#3d72f2']
    """
    made = ["#000000"]
    for number in range(count - 1):
        hue, lightness = number * _GOLDEN % 1, (0.95, 0.75, 0.55)[number // 12 % 3]
        parts = [round(255 * part) for part in colorsys.hsv_to_rgb(hue, 0.75, lightness)]
        made.append(f"#{parts[0]:02x}{parts[1]:02x}{parts[2]:02x}")
    return made[:count]
