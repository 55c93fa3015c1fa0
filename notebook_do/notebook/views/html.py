"""Blocks -> HTML that stays readable everywhere: untrusted notebooks, dark mode, code hosts, converted pages.

Only tags and attributes that survive a notebook's sanitizer, the SVG of a diagram aside; styles inline, on each cell;
translucent tints and no text colour. Every text goes through `element`, which cleans and escapes it: there is no other
way to make `Markup`.

The SVG has no styles, ids or references, and takes its text colour from the page. Where a sanitizer takes it away, the
words and the box characters between them stay: outside a `text` element SVG draws no character, and without SVG they
are the drawing of `diagram.pieces`, line by line.
"""

from __future__ import annotations

import re
from functools import lru_cache
from html import escape
from itertools import zip_longest
from typing import assert_never

from notebook_do.display import clean, one_line, width_of
from notebook_do.notebook.views.blocks import (
    Block,
    Cell,
    Code,
    Diagram,
    Document,
    Folded,
    Header,
    Item,
    Items,
    Line,
    Link,
    Table,
    Tone,
)
from notebook_do.notebook.views.diagram import COLUMN, Box, Page, Piece, arrange, label, pieces, placed

# Measured: JupyterLab 4.6 takes `style`, `id`, `aria-label` and `color` out of an untrusted output, and keeps these.
TAGS = frozenset(
    "a b br caption code details div li pre span summary table tbody td th thead tr ul".split()  # noqa: SIM905 - reads well
)
ATTRIBUTES = frozenset(("class", "colspan", "href", "rel", "role", "scope", "style", "target"))
SHAPES = frozenset(("path", "rect", "svg", "text"))
SHAPE_ATTRIBUTES = frozenset(
    (
        *("d", "fill", "fill-opacity", "font-family", "font-size", "font-weight", "height", "rx", "stroke", "style"),
        *("stroke-dasharray", "stroke-opacity", "stroke-width", "viewBox", "width", "x", "y"),
    )
)

# Translucent, and without a colour of the text: one tint is read on a light page and on a dark one.
TINTS = {
    Tone.ADD: "rgba(45,164,78,.20)",
    Tone.CHANGE: "rgba(191,135,0,.20)",
    Tone.DROP: "rgba(207,34,46,.20)",
    Tone.ALERT: "rgba(207,34,46,.20)",
    Tone.SAME: "rgba(128,128,128,.12)",
}
# Styles stand on each cell: JupyterLab's own table CSS wins over a row's (measured), and it aligns cells to the right.
_RULE = "border-bottom:1px solid rgba(128,128,128,.35)"
_CELL = "text-align:left;vertical-align:top;padding:3px 12px 3px 6px;"
_HEAD = f"{_CELL}{_RULE};font-weight:600"
_MONO = "font-family:monospace;font-size:.95em"
# Names and ids are shorter than this, sentences longer.
_SHORT = 40
# Only these begin a link: a name of a script may be javascript:...
_URL = re.compile(r"https?://[A-Za-z0-9._~:/?#@!$&*+,;=%\[\]-]+")


class Markup(str):
    """HTML made by `element`."""

    __slots__ = ()


def element(tag: str, *children: Markup | str, **attributes: str) -> Markup:
    """Make one element; a child that is not `Markup` is text, and is cleaned and escaped."""
    inside = "".join([c if isinstance(c, Markup) else escape(clean(c)) for c in children])
    return Markup(f"{_start(tag, tuple(attributes.items()))}{inside}</{tag}>")


@lru_cache(maxsize=256)
def _start(tag: str, attributes: tuple[tuple[str, str], ...]) -> str:
    """Make a start tag; the cells of a table share a few."""
    allowed = ATTRIBUTES if tag in TAGS else SHAPE_ATTRIBUTES if tag in SHAPES else frozenset()
    if not allowed or not allowed.issuperset(name for name, _ in attributes):
        raise ValueError(f"a view may not hold <{tag} {' '.join(name for name, _ in attributes)}>")
    named = "".join(f' {name}="{escape(clean(value))}"' for name, value in attributes if value)
    return f"<{tag}{named}>"


def render(document: Document) -> str:
    """Draw the blocks below each other, in one frame. Its class keeps dollar signs from being read as formulas."""
    frame = {"class": "tex2jax_ignore mathjax_ignore", "style": "max-width:75em;line-height:1.45"}
    return str(element("div", *map(_block, document), **frame))


def _block(block: Block) -> Markup:
    match block:
        case Header():
            return _header(block)
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
        case Folded():
            summary = element("summary", one_line(block.summary), style="cursor:pointer")
            return element("details", summary, *map(_block, block.blocks), style="margin:6px 0")
        case _:
            assert_never(block)


def _header(block: Header) -> Markup:
    facts = [
        element("span", f"{name} ", element("b", one_line(value)), style="margin-left:14px;white-space:nowrap")
        for name, value in block.facts
    ]
    title = element("b", one_line(block.title), style="font-size:1.1em")
    return element("div", title, *facts, style=f"padding:2px 0 5px 0;margin-bottom:6px;{_RULE}")


def _line(block: Line) -> Markup:
    tint = f"background-color:{TINTS[block.tone]};padding:4px 8px;" if block.tone else "padding:2px 0;"
    text = one_line(block.text)
    body: Markup | str = element("b", text) if block.strong else text
    mark = [element("b", f"{block.tone.value} ")] if block.tone else []
    return element("div", *mark, body, style=f"{tint}margin:4px 0", role=block.role)


def _table(table: Table) -> Markup:
    caption = [_caption(table.caption)] if table.caption else []
    if not table.rows:
        return element("div", one_line(table.caption), style="margin:4px 0") if table.caption else Markup("")
    symbols = any(table.tones)
    columns = ("", *table.columns) if symbols else table.columns
    head = element("tr", *(element("th", name, scope="col", style=_HEAD) for name in columns))
    rows = [_row(row, tone, symbols=symbols) for row, tone in zip_longest(table.rows, table.tones)]
    if table.hidden:
        note = f"… {table.hidden} more rows. {table.rest}".rstrip()
        rows.append(element("tr", element("td", note, colspan=str(len(columns)), style=_CELL)))
    return element(
        "table",
        *caption,
        element("thead", head),
        element("tbody", *rows),
        style="border-collapse:collapse;margin:6px 0;text-align:left",
    )


def _caption(text: str) -> Markup:
    return element("caption", one_line(text), style="caption-side:top;text-align:left;padding:2px 0 4px 0")


def _row(cells: tuple[Cell, ...], tone: Tone | None, *, symbols: bool) -> Markup:
    style = _CELL + (f"background-color:{TINTS[tone]};" if tone else "")
    mark = [element("td", tone.value if tone else "", style=f"{style}{_MONO};font-weight:600")] if symbols else []
    return element("tr", *mark, *(element("td", _cell(cell), style=style + _nowrap(cell)) for cell in cells))


def _nowrap(cell: Cell) -> str:
    """Keep names and ids on one line, so that sentences are what wraps."""
    short = isinstance(cell, str) and len(cell) <= _SHORT
    return f"white-space:{'nowrap' if short else 'normal'}"


def _cell(cell: Cell) -> Markup | str:
    if isinstance(cell, Link):
        url = one_line(cell.url)
        return (
            # In a page of its own, which cannot reach the notebook's: a deployed Worker may be anybody's code.
            element("a", url, href=url, target="_blank", rel="noopener", style="text-decoration:underline")
            if _URL.fullmatch(url)
            else url
        )
    return one_line(cell)


def _items(block: Items) -> Markup:
    title = [element("b", one_line(block.title))] if block.title else []
    items = element("ul", *map(_item, block.items), style="margin:2px 0 6px 0;padding-left:1.6em")
    return element("div", *title, items, style="margin:8px 0 2px 0")


def _item(item: Item) -> Markup:
    mark = [element("b", f"{item.tone.value} ")] if item.tone else []
    tint = f"background-color:{TINTS[item.tone]};padding:1px 6px" if item.tone else ""
    text = element("span", *mark, one_line(item.text), style=tint)
    choices = [element("li", one_line(choice)) for choice in item.choices]
    inner = [element("ul", *choices, style="margin:0;padding-left:1.6em")] if choices else []
    return element("li", text, *inner, style="margin:2px 0")


def _code(block: Code) -> Markup:
    text = clean(block.text)
    label = [one_line(block.label), " "] if block.label else []
    if "\n" not in text:
        return element("div", *label, element("code", text, style=_MONO), style="margin:4px 0")
    frame = "margin:2px 0;padding:6px 10px;border-left:3px solid rgba(128,128,128,.5);white-space:pre-wrap"
    return element("div", *label, element("pre", text, style=frame), style="margin:4px 0")


def _diagram(block: Diagram) -> Markup:
    """Draw as SVG; where that is taken away, `pre` keeps the rows of what remains."""
    caption = [element("div", one_line(block.caption))] if block.caption else []
    frame = "margin:4px 0;padding:0;white-space:pre;overflow-x:auto;line-height:1.3"
    return element("div", *caption, element("pre", _drawing(block), style=frame), style="margin:6px 0")


# --- a diagram as SVG

_INKS = {
    Tone.ADD: "rgb(45,164,78)",
    Tone.CHANGE: "rgb(191,135,0)",
    Tone.DROP: "rgb(207,34,46)",
    Tone.ALERT: "rgb(207,34,46)",
}
_PLAIN = {"stroke": "currentColor", "stroke-opacity": ".55"}


def _drawing(block: Diagram) -> Markup:
    """Draw the boxes, the arrows and their words."""
    page = placed(arrange(block))
    size = (max(b.x + b.width for b in page.ends) + 1, max(b.below for b in (*page.sources, *page.ends)) + 1)
    shapes = [
        *(_frame(box, "4") for box in page.sources),
        *(_frame(box, "14") for box in page.ends),
        *(part for at, source in enumerate(page.found.sources) for part in _arrows(page, at, source.rows)),
    ]
    words: list[Markup | str] = []
    for row in pieces(page.found):
        words += [_words(page, piece) if piece.part and piece.text else piece.text for piece in row]
        words.append("\n")
    return element(
        "svg",
        *shapes,
        *words,
        viewBox=f"0 0 {size[0]:g} {size[1]:g}",
        width=f"{size[0]:g}",
        height=f"{size[1]:g}",
        **{"font-family": "monospace", "font-size": "13", "fill": "currentColor"},
        style="display:block;max-width:100%;height:auto",
    )


def _frame(box: Box, corner: str) -> Markup:
    place = {"x": f"{box.x:g}", "y": f"{box.y:g}", "width": f"{box.width:g}", "height": f"{box.height:g}"}
    return element("rect", **place, rx=corner, **_PLAIN, **{"fill": "rgb(128,128,128)", "fill-opacity": ".10"})


def _arrows(page: Page, at: int, rows: int) -> list[Markup]:
    """Draw the lines of one Worker: a piece before each label, and the way from the label to the target."""
    made: list[Markup] = []
    box = page.sources[at]
    for row, arrow in enumerate(page.found.sources[at].arrows[:rows]):
        ink = {"stroke": _INKS[arrow.tone]} if arrow.tone in _INKS else _PLAIN
        look = {"fill": "none", "stroke-width": "2" if arrow.host else "1.2", **ink}
        if arrow.tone is Tone.DROP:
            look["stroke-dasharray"] = "5 4"
        start, y = box.x + box.width, page.leaves(at, row)
        after = start + (width_of(label(arrow)) + 3) * COLUMN
        turn = start + (page.found.label_width + 3) * COLUMN
        to, end = page.ends[arrow.target].x - 2, page.arrivals[at, row]
        half = (to - turn) / 2
        way = f"M{after:g} {y:g}H{turn:g}C{turn + half:g} {y:g} {to - half:g} {end:g} {to - 6:g} {end:g}H{to:g}"
        made += [
            element("path", d=f"M{start:g} {y:g}h{COLUMN}", **look),
            element("path", d=way, **look),
            element("path", d=f"M{to - 7:g} {end - 4:g}L{to:g} {end:g}L{to - 7:g} {end + 4:g}", **look),
        ]
    return made


def _words(page: Page, piece: Piece) -> Markup:
    """Put words into their box, or onto their arrow."""
    bold = {"font-weight": "bold"} if piece.part != "label" and piece.row == 0 else {}
    faint = {} if bold or piece.part == "label" else {"fill-opacity": ".75"}
    if piece.part == "label":
        box = page.sources[piece.at]
        x, y = box.x + box.width + 1.5 * COLUMN, page.leaves(piece.at, piece.row)
    else:
        ends = piece.part == "end"
        box = (page.ends if ends else page.sources)[piece.at]
        about = (page.found.ends if ends else page.found.sources)[piece.at].about
        count = 2 if about else 1
        x, y = box.x + 1.5 * COLUMN, box.y + box.height / 2 + (piece.row - (count - 1) / 2) * 18
    return element("text", piece.text, x=f"{x:g}", y=f"{y + 4:g}", **bold, **faint)
