"""A diagram as SVG: boxes, arrows, and the words on them.

It has no styles, ids or references, and takes its text colour from the page. Where a sanitizer takes it away, the words
and the box characters between them stay: outside a `text` element SVG draws no character, and without SVG they are the
drawing of `diagram.pieces`, line by line.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.display import width_of
from notebook_do.notebook.views.blocks import Tone
from notebook_do.notebook.views.diagram import COLUMN, Box, Page, Piece, arrange, label, pieces, placed
from notebook_do.notebook.views.markup import Markup, element

if TYPE_CHECKING:
    from notebook_do.notebook.views.blocks import Diagram

_INKS = {
    Tone.ADD: "rgb(45,164,78)",
    Tone.CHANGE: "rgb(191,135,0)",
    Tone.DROP: "rgb(207,34,46)",
    Tone.ALERT: "rgb(207,34,46)",
}
_PLAIN = {"stroke": "currentColor", "stroke-opacity": ".55"}


def drawing(block: Diagram) -> Markup:
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
        look = {"fill": "none", "stroke-width": "2.4" if arrow.host else "1.2", **ink}
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
