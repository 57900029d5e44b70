"""Pairs of files: each picture and what belongs to it, found by folders, patterns, or a table of paths."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from bf_batch.opensets.own.parts import PARTS
from bf_batch.opensets.own.pictures import is_picture, list_endings
from bf_index import FilesIndex
from bf_index.errors import escape

Unmatched = Literal["raise", "leave_out"]
_WILD = re.compile(r"\*\*/|\*\*|\*|\?|\[[^\]]+\]")
_SHOWN = 3


@dataclass(frozen=True, slots=True)
class Pairs:
    """Files by the ids of pictures, in one order; ``parts`` are positions where the folders say them."""

    pictures: Mapping[str, str]
    masks: Mapping[str, str]
    parts: Mapping[str, NDArray[np.int64]]


def find_pairs(pictures: str, masks: str, unmatched: Unmatched, owner: str) -> Pairs:
    """Return the pairs of two folders or patterns: names are equal up to the ending, or what the stars match.

    Ids are paths of pictures below the folder in which the pattern begins. Where all of these begin with
    train, test or val, they are parts. Raises FileNotFoundError where there are no pictures or no masks,
    ValueError for those of one side that have none on the other.
    """
    if unmatched not in ("raise", "leave_out"):
        raise ValueError(f"{owner}: unmatched must be 'raise' or 'leave_out', got {unmatched!r}")
    theirs = _list_files(masks, "masks")
    ours = _list_files(pictures, "pictures", set(theirs.values()))
    both = [key for key in ours if key in theirs]
    if len(both) < len(ours) or len(both) < len(theirs):
        _explain_unmatched(ours, theirs, (pictures, masks), unmatched, owner)
    root = split_pattern(pictures)[0]
    names = [os.path.relpath(ours[key], root).replace(os.sep, "/") for key in both]
    tops = np.array([PARTS.get(key.split("/")[0].lower(), "") if "/" in key else "" for key in both])
    parts = {part: np.flatnonzero(tops == part) for part in ("train", "test", "validation") if part in tops}
    return Pairs(
        dict(zip(names, (ours[key] for key in both))),
        dict(zip(names, (theirs[key] for key in both))),
        parts if "" not in tops else {},
    )


def split_pattern(path: str) -> tuple[str, str]:
    """Return the absolute folder in which a pattern begins, and the rest; all below it for a folder."""
    if os.path.isdir(path):
        return os.path.abspath(path), "**/*"
    parts = path.split("/")
    wild = [number for number, part in enumerate(parts) if _WILD.search(part)]
    first = wild[0] if wild else len(parts) - 1
    root = "/".join(parts[:first]) or ("/" if path.startswith("/") else ".")
    return os.path.abspath(root), "/".join(parts[first:])


def _list_files(path: str, what: str, without: set[str] | None = None) -> dict[str, str]:
    """Return picture files by what the wildcards of a pattern match, in the order of the names."""
    if not os.path.isdir(path) and not _WILD.search(path):
        raise FileNotFoundError(
            f"{what}: no folder {escape(path)} (working folder {escape(os.getcwd())}); give a folder, or a "
            "pattern such as photos/*.jpg"
        )
    root, rest = split_pattern(path)
    try:
        files = FilesIndex(f"{root}/{rest}", relative=True).paths.values()
    except FileNotFoundError:
        files = {}.values()
    found: dict[str, str] = {}
    form = _make_form(rest)
    for file in files:
        if not is_picture(file) or (without and file in without):
            continue
        key = _find_key(form, os.path.relpath(file, root).replace(os.sep, "/"))
        if key in found:
            raise ValueError(
                f"{what}: {escape(found[key])} and {escape(file)} have one name up to the ending; a pattern "
                "such as photos/*.jpg takes one of them"
            )
        found[key] = file
    if not found:
        raise FileNotFoundError(f"no {what} match {escape(path)}; known endings: {list_endings()}")
    return found


def _make_form(rest: str) -> re.Pattern[str]:
    """Return the expression whose groups are what the wildcards of a pattern match, but for an ending."""
    head, dot, ending = rest.rpartition(".")
    if not dot or "/" in ending:
        head, ending = rest, ""
    return re.compile(_translate(head, True) + (r"\." + _translate(ending, False) if dot and ending else ""))


def _translate(pattern: str, groups: bool) -> str:
    forms = {"**/": "(?:[^/]+/)*", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    made, place = "", 0
    for wild in _WILD.finditer(pattern):
        made += re.escape(pattern[place : wild.start()])
        form = forms.get(wild[0]) or re.sub(r"^\[!", "[^", wild[0].replace("\\", "\\\\"))
        made += f"({form})" if groups else form
        place = wild.end()
    return made + re.escape(pattern[place:])


def _find_key(form: re.Pattern[str], name: str) -> str:
    found = form.fullmatch(name)
    if found is None:  # no wildcard in its last part, or a form of names that only the listing knows
        return os.path.splitext(name)[0]
    groups = [part.strip("/") for part in found.groups() if part and part.strip("/")]
    if groups and is_picture(groups[-1]):
        groups[-1] = os.path.splitext(groups[-1])[0]
    return "/".join(groups) or os.path.splitext(name)[0]


def _explain_unmatched(
    ours: Mapping[str, str],
    theirs: Mapping[str, str],
    paths: tuple[str, str],
    unmatched: Unmatched,
    owner: str,
) -> None:
    """Raise ValueError for pictures without masks and masks without pictures, unless they are left out."""
    both = len(ours.keys() & theirs.keys())
    if both and unmatched == "leave_out":
        return
    sides = (ours, theirs, "pictures", "mask"), (theirs, ours, "masks", "picture")
    alone = [
        f"{len(lonely)} of {len(mine)} {what} have no {other}, such as {', '.join(lonely[:_SHOWN])}"
        for mine, yours, what, other in sides
        if (lonely := [escape(file) for key, file in mine.items() if key not in yours])
    ]
    way = "add what lacks, or leave such out with unmatched=leave_out; " if both else ""
    raise ValueError(
        f"{owner}: {'; '.join(alone)}. Names are equal up to the ending, or what the stars of two patterns "
        f"match: {way}path='photos/*.jpg' masks='masks/*_mask.png' (given: {paths[0]!r} and {paths[1]!r})"
    )


def locate_files(root: str, listed: Sequence[str], where: str, advice: str) -> dict[str, str]:
    """Return the paths of listed files below a folder; FileNotFoundError names those that are not there."""
    paths = {name: os.path.join(root, name) for name in listed}
    gone = [name for name in listed if not os.path.isfile(paths[name])]
    if gone:
        shown = ", ".join(escape(paths[name]) for name in gone[:_SHOWN])
        raise FileNotFoundError(
            f"{where}: {len(gone)} of {len(listed)} files are not there, such as {shown}; {advice}"
        )
    return paths
