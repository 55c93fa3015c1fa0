"""Blocks -> HTML that stays readable everywhere: untrusted notebooks, dark mode, code hosts, converted pages.

Styles stand inline, tints are translucent, and there is no text colour: one look for a light page and a dark one.
"""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import TYPE_CHECKING, assert_never

from notebook_do.display import clean, one_line
from notebook_do.display.rich import Rich
from notebook_do.notebook.views.blocks import (
    ROWS,
    AskedLine,
    Block,
    Cell,
    Code,
    Diagram,
    Diff,
    Document,
    Folded,
    Group,
    Header,
    Item,
    Items,
    Line,
    Link,
    Picture,
    Row,
    Said,
    Table,
    Tone,
)
from notebook_do.notebook.views.markup import Markup, element, picture
from notebook_do.notebook.views.svg import drawing

if TYPE_CHECKING:
    from collections.abc import Iterator

_GREEN, _AMBER, _RED, _GREY = (
    "rgba(45,164,78,.22)",
    "rgba(191,135,0,.22)",
    "rgba(207,34,46,.22)",
    "rgba(128,128,128,.12)",
)
TINTS = {
    Tone.ADD: _GREEN,
    Tone.CHANGE: _AMBER,
    Tone.DROP: _RED,
    Tone.ALERT: _RED,
    Tone.SAME: _GREY,
    Tone.DONE: _GREEN,
    Tone.RUNNING: _AMBER,
    Tone.WAITING: "",
    Tone.UNKNOWN: _RED,
}
# Styles stand on each cell: JupyterLab's own table CSS wins over a row's (measured), and it aligns cells to the right.
_RULE = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL = "text-align:left;vertical-align:top;padding:2px 14px 2px 6px;"
_HEAD = f"{_CELL}{_RULE};font-weight:600"
# JupyterLab stripes every other row, under which one tint looks like two.
_ROW = "background-color:transparent"
_MONO = "font-family:monospace;font-size:.95em"
_LIST = "margin:2px 0 4px 0;padding-left:2.6em"
# Names and ids are shorter than this, sentences longer.
_SHORT = 40
# Only these begin a link: a name of a script may be javascript:...
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&*+,;=%\[\]-]+")
_BLANKS = re.compile(r"[ \t\r\n\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


def render(document: Document) -> str:
    """Draw the blocks below each other, in one frame. Its class keeps dollar signs from being read as formulas."""
    frame = {"class": "tex2jax_ignore mathjax_ignore", "style": "max-width:75em;line-height:1.45"}
    return str(element("div", *map(_block, document), **frame))


def _block(block: Block) -> Markup:  # noqa: C901 - one case a kind of block
    match block:
        case Header():
            return _header(block)
        case AskedLine():
            return _asked(block)
        case Line():
            return _line(block)
        case Table():
            return _table(block)
        case Items():
            return _items(block)
        case Diagram():
            return _diagram(block)
        case Code():
            return _code(block)
        case Diff():
            return _diff(block)
        case Picture():
            return _picture(block)
        case Folded():
            return _folded(block)
        case _:
            assert_never(block)


# --- texts


def inline(text: str) -> list[Markup | str]:
    """Return a text on one line as children of an element, its parts in their look."""
    if not isinstance(text, Rich):
        return [one_line(text)]
    return [_part(_BLANKS.sub(" ", piece), look) for piece, look in text.parts]


def _part(text: str, look: str) -> Markup | str:
    match look:
        case "code":
            # A name stays on one line; a command may be longer than the page is wide.
            return element("code", text, style=f"{_MONO};white-space:nowrap" if len(text) <= _SHORT else _MONO)
        case "strong":
            return element("b", text)
        case "link":
            return _link(text)
    return text


def _link(url: str) -> Markup | str:
    url = one_line(url)
    if not _URL.fullmatch(url):
        return url
    # In a page of its own, which cannot reach the notebook's: a deployed Worker may be anybody's code.
    return element("a", url, href=url, target="_blank", rel="noopener", style="text-decoration:underline")


def _symbol(tone: Tone | None) -> Iterator[Markup | str]:
    if tone:
        yield element("b", tone.value, style=_MONO)
        yield " "


# --- blocks


def _header(block: Header) -> Markup:
    """Draw the title; a live target makes a band of it, which no table below looks like."""
    facts = [
        element("span", f"{name} ", element("b", *inline(value)), style="margin-left:14px;white-space:nowrap")
        for name, value in block.facts
    ]
    title = element("b", *inline(block.title), style="font-size:1.15em")
    if not block.live:
        return element("div", title, *facts, style=f"padding:0 0 4px 0;{_RULE};margin:2px 0 6px 0")
    padding, width, tint = ("7px 10px", 8, _RED) if block.live == "production" else ("5px 10px", 6, _AMBER)
    border = f"border-left:{width}px solid {tint.replace('.22', '.75')}"
    band = element("b", block.band, style=f"{_MONO};margin-right:12px")
    style = f"padding:{padding};{border};background-color:{tint};margin:2px 0 6px 0"
    return element("div", band, title, *facts, style=style)


def _asked(block: AskedLine) -> Markup:
    word = element("b", block.word, style=f"background-color:{TINTS[block.tone]};padding:0 6px;margin-left:8px")
    facts = (element("span", fact, style="margin-left:14px;white-space:nowrap") for fact in block.facts)
    asked = element("code", one_line(block.text), style=_MONO)
    return element("div", asked, " ", word, *facts, style=f"padding:2px 0 4px 0;{_RULE};margin:2px 0 4px 0")


def _picture(block: Picture) -> Markup:
    image = picture(block.kind, block.content, f"{block.kind}, {block.pixels}")
    return element("div", image, style="margin:4px 0")


def _line(block: Line) -> Markup:
    tint = TINTS[block.tone] if block.tone else ""
    style = f"background-color:{tint};padding:3px 8px;" if tint else "padding:1px 0;"
    small = "font-size:.9em;opacity:.8;" if block.small else ""
    body = [element("b", *inline(block.text))] if block.strong else inline(block.text)
    return element("div", *_symbol(block.tone), *body, style=f"{style}{small}margin:3px 0", role=block.role)


def _table(table: Table) -> Markup:
    if not table.rows:
        return element("div", *inline(table.caption), style="margin:4px 0") if table.caption else Markup("")
    symbols = any(table.tones)
    width = symbols + (len(table.columns) or max(len(r) for r in table.rows if not isinstance(r, Group)))
    rows = [_row(row, tone, symbols=symbols, width=width) for row, tone in zip_longest(table.rows, table.tones)]
    if table.hidden:
        note = f"… {table.hidden:,} more rows. {table.rest}".rstrip()
        rows.append(element("tr", element("td", *inline(note), colspan=str(width), style=_CELL), style=_ROW))
    caption = [element("caption", *inline(table.caption), style="text-align:left;padding:2px 0 4px 0")]
    return element(
        "table",
        *(caption if table.caption else ()),
        *(_heads(table.columns, symbols=symbols)),
        element("tbody", *rows),
        style="border-collapse:collapse;margin:4px 0;text-align:left;font-size:.95em",
    )


def _heads(columns: tuple[str, ...], *, symbols: bool) -> Iterator[Markup]:
    if columns:
        heads = ("", *columns) if symbols else columns
        yield element("thead", element("tr", *(element("th", *inline(h), scope="col", style=_HEAD) for h in heads)))


def _row(row: Row, tone: Tone | None, *, symbols: bool, width: int) -> Markup:
    if isinstance(row, Group):
        style = f"{_CELL}padding-top:7px;{_RULE}"
        return element("tr", element("td", *inline(row.text), colspan=str(width), style=style), style=_ROW)
    tint = f"background-color:{TINTS[tone]};" if tone and TINTS[tone] else ""
    mark = [element("td", tone.value if tone else "", style=f"{_CELL}{tint}{_MONO};font-weight:600")] if symbols else []
    cells = (
        element("td", *_cell(cell), style=_CELL + (tint if at == 0 or tone is Tone.ALERT else "") + _nowrap(cell))
        for at, cell in enumerate(row)
    )
    return element("tr", *mark, *cells, style=_ROW)


def _nowrap(cell: Cell) -> str:
    """Keep names and ids on one line, so that sentences are what wraps; and a message as it was written."""
    if isinstance(cell, Said):
        return "white-space:pre-wrap;overflow-wrap:anywhere;"
    return "white-space:nowrap;" if isinstance(cell, str) and len(cell) <= _SHORT else ""


def _cell(cell: Cell) -> list[Markup | str]:
    if isinstance(cell, Said):
        return [clean(cell.text.strip())]
    return [_link(cell.url)] if isinstance(cell, Link) else inline(cell)


def _items(block: Items) -> Markup:
    title = [element("b", *inline(block.title))] if block.title else []
    if any(item.tone for item in block.items):
        return element("div", *title, *map(_toned, block.items), style="margin:5px 0")
    items = (element("li", *inline(i.text), *_choices(i), style="margin:1px 0") for i in block.items)
    return element("div", *title, element("ul", *items, style=_LIST), style="margin:5px 0")


def _toned(item: Item) -> Markup:
    tint = f"background-color:{TINTS[item.tone]};" if item.tone and TINTS[item.tone] else ""
    style = f"{tint}padding:3px 8px;margin:2px 0"
    return element("div", *_symbol(item.tone), *inline(item.text), *_choices(item), style=style)


def _choices(item: Item) -> Iterator[Markup]:
    if item.choices:
        yield element("ul", *(element("li", *inline(c), style="margin:1px 0") for c in item.choices), style=_LIST)


def _code(block: Code) -> Markup:
    text = clean(block.text)
    label = [*inline(block.label), " "] if block.label else []
    if "\n" not in text:
        return element("div", *label, element("code", text, style=_MONO), style="margin:3px 0")
    frame = "margin:2px 0;padding:6px 10px;border-left:3px solid rgba(128,128,128,.5);white-space:pre-wrap"
    return element("div", *label, element("pre", text, style=frame), style="margin:3px 0")


_DIFF_TINTS = {"-": _RED, "+": _GREEN, "@": _GREY}


def _diff(block: Diff) -> Markup:
    lines = [_diff_line(line) for line in block.lines[:ROWS]]
    if (more := len(block.lines) - ROWS) > 0:
        lines.append(_diff_line(f"… {more:,} more lines; {block.rest}".rstrip("; ")))
    frame = "margin:2px 0;padding:0;line-height:1.35;border-left:3px solid rgba(128,128,128,.5);white-space:pre-wrap"
    return element("pre", *lines, style=frame)


def _diff_line(line: str) -> Markup:
    tint = f";background-color:{_DIFF_TINTS[line[0]]}" if line[:1] in _DIFF_TINTS else ""
    return element("span", line or " ", style=f"display:block;padding:0 6px{tint}")


def _folded(block: Folded) -> Markup:
    summary = element("summary", *inline(block.summary), style="cursor:pointer")
    inside = element("div", *map(_block, block.blocks), style="margin:2px 0 4px 14px")
    return element("details", summary, inside, open="open" if block.opened else "", style="margin:4px 0")


def _diagram(block: Diagram) -> Markup:
    """Draw as SVG; where that is taken away, `pre` keeps the rows of what remains."""
    caption = [element("div", *inline(block.caption))] if block.caption else []
    frame = "margin:4px 0;padding:0;white-space:pre;overflow-x:auto;line-height:1.3"
    return element("div", *caption, element("pre", drawing(block), style=frame), style="margin:6px 0")
