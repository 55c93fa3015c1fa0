"""A diagram -> inline SVG, without styles, ids or references, that takes its text colour from the page.

Where a sanitizer takes SVG away, the words and the box characters between them stay: outside a `text` element SVG
draws no character, and without SVG they are the drawing of `diagram.pieces`, line by line.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.notebook.views.blocks import Tone
from notebook_do.notebook.views.diagram import Arranged, Piece, arrange, label, pieces
from notebook_do.notebook.views.width import width_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.notebook.views.blocks import Diagram
    from notebook_do.notebook.views.html import Markup

    Element = Callable[..., Markup]

_COLUMN = 8
_ROW = 24
_PAD = 8
_GAP = 16
_BEND = (110, 260)
_INKS = {
    Tone.ADD: "rgb(45,164,78)",
    Tone.CHANGE: "rgb(191,135,0)",
    Tone.DROP: "rgb(207,34,46)",
    Tone.ALERT: "rgb(207,34,46)",
}
_PLAIN = {"stroke": "currentColor", "stroke-opacity": ".55"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box on the page, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def below(self) -> float:
        """Give where the box ends."""
        return self.y + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class _Page:
    found: Arranged
    sources: tuple[Box, ...]
    ends: tuple[Box, ...]
    arrivals: dict[tuple[int, int], float]

    def leaves(self, at: int, row: int) -> float:
        """Give the height at which an arrow leaves its Worker."""
        count, box = len(self.found.sources[at].arrows), self.sources[at]
        return box.y + (box.height - count * _ROW) / 2 + (row + 0.5) * _ROW


def drawing(block: Diagram, element: Element) -> Markup:
    """Draw the boxes, the arrows and their words."""
    page = _page(arrange(block))
    size = (max(b.x + b.width for b in page.ends) + 1, max(b.below for b in (*page.sources, *page.ends)) + 1)
    shapes = [
        *(_frame(element, box, "4") for box in page.sources),
        *(_frame(element, box, "14") for box in page.ends),
        *(part for at, source in enumerate(page.found.sources) for part in _arrows(element, page, at, source.rows)),
    ]
    words: list[Markup | str] = []
    for row in pieces(page.found):
        words += [_words(element, page, piece) if piece.part and piece.text else piece.text for piece in row]
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


def _page(found: Arranged) -> _Page:
    sources, top = [], 1.0
    width = (found.name_width + 3) * _COLUMN
    for source in found.sources:
        sources.append(Box(x=1, y=top, width=width, height=source.rows * _ROW + _PAD))
        top = sources[-1].below + _GAP
    page = _Page(found=found, sources=tuple(sources), ends=(), arrivals={})
    bend = min(max(_BEND[0], top / 10), _BEND[1])
    left = width + (found.label_width + 4) * _COLUMN + bend
    coming: dict[int, list[tuple[float, int, int]]] = {at: [] for at in range(len(found.ends))}
    for at, source in enumerate(found.sources):
        for row, arrow in enumerate(source.arrows):
            coming[arrow.target].append((page.leaves(at, row), at, row))
    ends, arrivals = _ends(found, coming, left)
    return _Page(found=found, sources=tuple(sources), ends=ends, arrivals=arrivals)


def _ends(
    found: Arranged, coming: dict[int, list[tuple[float, int, int]]], left: float
) -> tuple[tuple[Box, ...], dict[tuple[int, int], float]]:
    """Put each target beside its host, else at the middle of the arrows that come to it, or below the one before."""
    boxes: list[Box] = []
    arrivals: dict[tuple[int, int], float] = {}
    width = (max(width_of(w) for end in found.ends for w in (end.name, end.about)) + 3) * _COLUMN
    top = 1.0
    for at, end in enumerate(found.ends):
        arrows = coming[at]
        height = max(len(arrows) * 14, _ROW * (2 if end.about else 1)) + _PAD
        hosts = [y for y, source, row in arrows if found.sources[source].arrows[row].host]
        beside = hosts or [y for y, _, _ in arrows]
        middle = sum(beside) / len(beside)
        boxes.append(Box(x=left, y=max(top, middle - height / 2), width=width, height=height))
        top = boxes[-1].below + _GAP
        step = height / (len(arrows) + 1)
        for number, (_, source, row) in enumerate(sorted(arrows), 1):
            arrivals[source, row] = boxes[-1].y + number * step
    return tuple(boxes), arrivals


def _frame(element: Element, box: Box, corner: str) -> Markup:
    place = {"x": f"{box.x:g}", "y": f"{box.y:g}", "width": f"{box.width:g}", "height": f"{box.height:g}"}
    return element("rect", **place, rx=corner, **_PLAIN, **{"fill": "rgb(128,128,128)", "fill-opacity": ".10"})


def _arrows(element: Element, page: _Page, at: int, rows: int) -> list[Markup]:
    """Draw the lines of one Worker: a piece before each label, and the way from the label to the target."""
    made: list[Markup] = []
    box = page.sources[at]
    for row, arrow in enumerate(page.found.sources[at].arrows[:rows]):
        ink = {"stroke": _INKS[arrow.tone]} if arrow.tone in _INKS else _PLAIN
        look = {"fill": "none", "stroke-width": "2" if arrow.host else "1.2", **ink}
        if arrow.tone is Tone.DROP:
            look["stroke-dasharray"] = "5 4"
        start, y = box.x + box.width, page.leaves(at, row)
        after = start + (width_of(label(arrow)) + 3) * _COLUMN
        turn = start + (page.found.label_width + 3) * _COLUMN
        to, end = page.ends[arrow.target].x - 2, page.arrivals[at, row]
        half = (to - turn) / 2
        way = f"M{after:g} {y:g}H{turn:g}C{turn + half:g} {y:g} {to - half:g} {end:g} {to - 6:g} {end:g}H{to:g}"
        made += [
            element("path", d=f"M{start:g} {y:g}h{_COLUMN}", **look),
            element("path", d=way, **look),
            element("path", d=f"M{to - 7:g} {end - 4:g}L{to:g} {end:g}L{to - 7:g} {end + 4:g}", **look),
        ]
    return made


def _words(element: Element, page: _Page, piece: Piece) -> Markup:
    """Put words into their box, or onto their arrow."""
    bold = {"font-weight": "bold"} if piece.part != "label" and piece.row == 0 else {}
    faint = {} if bold or piece.part == "label" else {"fill-opacity": ".75"}
    if piece.part == "label":
        box = page.sources[piece.at]
        x, y = box.x + box.width + 1.5 * _COLUMN, page.leaves(piece.at, piece.row)
    else:
        ends = piece.part == "end"
        box = (page.ends if ends else page.sources)[piece.at]
        about = (page.found.ends if ends else page.found.sources)[piece.at].about
        count = 2 if about else 1
        x, y = box.x + 1.5 * _COLUMN, box.y + box.height / 2 + (piece.row - (count - 1) / 2) * 18
    return element("text", piece.text, x=f"{x:g}", y=f"{y + 4:g}", **bold, **faint)
