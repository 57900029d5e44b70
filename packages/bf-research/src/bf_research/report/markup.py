"""HTML and SVG whose texts can't become tags: they are written by ``element``, which escapes all others."""

from __future__ import annotations

import html
from collections.abc import Iterable
from typing import Final
from urllib.parse import urlsplit

from bf_index.errors import escape
from bf_pipeline.redaction.texts import redact_text

_VOID: Final = frozenset({"meta", "br"})
#: Letters of one text that a page shows, unless it says otherwise.
LONGEST_TEXT = 200


class Markup(str):
    """A text that is HTML already; only this module makes it of what it has escaped."""

    __slots__ = ()


def quote(text: object) -> str:
    """Return a text of somebody else as HTML shows it, its control signs visible."""
    return html.escape(escape(text, keep="\n\t"))


def cut(text: object, most: int = LONGEST_TEXT) -> str:
    """Return a text without secrets, cut where it is too long."""
    told = redact_text(str(text))
    return told if len(told) <= most else f"{told[: most - 1]}…"


def element(_tag: str, *children: object, **attributes: object) -> Markup:
    """Return an element; children that are no ``Markup`` are texts, attributes without a value are left out.

    ``stroke_width`` is written ``stroke-width``, ``class_`` is ``class``.

    >>> element('p', 'a < b', element('br'), class_='note', title=None)
    '<p class="note">a &lt; b<br></p>'
    """
    written = "".join(
        f' {name.rstrip("_").replace("_", "-")}="{quote(value)}"'
        for name, value in attributes.items()
        if value is not None
    )
    if _tag in _VOID:
        return Markup(f"<{_tag}{written}>")
    return Markup(f"<{_tag}{written}>{join(children)}</{_tag}>")


def join(children: Iterable[object]) -> Markup:
    """Return pieces one after another; those that are no ``Markup`` are texts."""
    return Markup("".join(child if isinstance(child, Markup) else quote(child) for child in children))


def link(text: object, address: str) -> Markup:
    """Return a link to a page of the web; only a text for any other address, which could be a program."""
    if urlsplit(address).scheme not in ("http", "https"):
        return Markup(quote(text))
    return element("a", text, href=address, rel="noreferrer noopener")


def table(head: Iterable[object], rows: Iterable[Iterable[object]], class_: str | None = None) -> Markup:
    """Return a table that scrolls by itself where it is too wide."""
    names = element("tr", *(element("th", cell, scope="col") for cell in head))
    body = [element("tr", *(_cell(cell) for cell in row)) for row in rows]
    inner = element("table", element("thead", names), element("tbody", *body), class_=class_)
    return element("div", inner, class_="wide")


def _cell(cell: object) -> Markup:
    if isinstance(cell, int | float):
        return element("td", number(cell), class_="number")
    return cell if isinstance(cell, Markup) and cell.startswith("<td") else element("td", cell)


def number(value: float, digits: int = 4) -> str:
    """Return a number in a few digits, a dash for NaN.

    >>> number(0.123456), number(12), number(float('nan'))
    ('0.1235', '12', '–')
    """
    if isinstance(value, int):
        return str(value)
    return "–" if value != value else f"{value:.{digits}g}"  # noqa: PLR0124 - only NaN is not itself
