"""Edges -> a drawing: Workers on the left, what they reach on the right, one labelled arrow for each binding.

`arrange` decides once which boxes there are and in which order; `lines` draws them with box characters, and `placed`
puts them on a page in pixels, where `html.py` draws them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.display import clipped, cut, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from notebook_do.notebook.views.blocks import Diagram, Edge, Tone

NAME = 26
"""How many columns the name of a Worker or of a binding may take."""
ABOUT = 60
"""How many columns the words about a target may take."""
# A text view has 100 columns, of which `text.py` takes two to indent a drawing.
_LINE = 98


@dataclass(frozen=True, slots=True, kw_only=True)
class Arrow:
    """One binding: from its row of the Worker's box to the box of its target, given by number."""

    name: str
    target: int
    tone: Tone | None
    first: bool
    host: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerBox:
    """The box of a Worker, with its arrows from top to bottom."""

    name: str
    about: str
    arrows: tuple[Arrow, ...]

    @property
    def rows(self) -> int:
        """Return how many rows the box takes: one for each arrow, and one for each line of its words."""
        return max(len(self.arrows), 2 if self.about else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The box of what is reached."""

    name: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranged:
    """Boxes in the order in which they stand, so that few arrows cross."""

    sources: tuple[WorkerBox, ...]
    ends: tuple[End, ...]

    @property
    def name_width(self) -> int:
        """Return the columns of the widest words in a Worker's box."""
        return max((width_of(words) for s in self.sources for words in (s.name, s.about)), default=0)

    @property
    def label_width(self) -> int:
        """Return the columns of the widest label of an arrow."""
        return max((width_of(label(a)) for s in self.sources for a in s.arrows), default=0)


def label(arrow: Arrow) -> str:
    """Return the words on an arrow: what is planned for the binding, and its name."""
    return f"{arrow.tone.value} {arrow.name}" if arrow.tone else arrow.name


def arrange(diagram: Diagram) -> Arranged:
    """Decide which boxes there are, and in which order they and their arrows stand."""
    ends = _ordered(diagram.edges)
    place = {end: at for at, end in enumerate(ends)}
    seen: set[int] = set()
    sources = []
    for worker, edges in _by_worker(diagram.edges).items():
        arrows = []
        for edge in sorted(edges, key=lambda e: place[e.target, e.about]):
            at = place[edge.target, edge.about]
            name, first = clipped(edge.binding, NAME), at not in seen
            arrows.append(Arrow(name=name, target=at, tone=edge.tone, first=first, host=edge.role == "host"))
            seen.add(at)
        hosted = ", ".join(dict.fromkeys(e.target for e in edges if e.role == "host"))
        about = clipped(f"hosts {hosted}", NAME) if hosted else ""
        sources.append(WorkerBox(name=clipped(worker, NAME), about=about, arrows=tuple(arrows)))
    boxes = tuple(End(name=clipped(name, ABOUT), about=clipped(about, ABOUT)) for name, about in ends)
    return Arranged(sources=tuple(sources), ends=boxes)


def _by_worker(edges: Iterable[Edge]) -> dict[str, list[Edge]]:
    found: dict[str, list[Edge]] = {}
    for edge in edges:
        found.setdefault(edge.worker, []).append(edge)
    return found


def _ordered(edges: Sequence[Edge]) -> list[tuple[str, str]]:
    """Put each target beside the Worker that hosts it, else at the middle of those that reach it."""
    heights: dict[tuple[str, str], list[int]] = {}
    hosts: dict[tuple[str, str], int] = {}
    for height, group in enumerate(_by_worker(edges).values()):
        for edge in group:
            end = (edge.target, edge.about)
            heights.setdefault(end, []).append(height)
            if edge.role == "host":
                hosts[end] = height
    # The middle of those that reach it (barycenter) keeps most arrows from crossing; sorted is stable for equal
    # heights.
    return sorted(heights, key=lambda end: hosts.get(end, sum(heights[end]) / len(heights[end])))


@dataclass(frozen=True, slots=True, kw_only=True)
class Piece:
    """A part of a row of the drawing. Words know which box or arrow they name; box characters do not."""

    text: str
    part: str = ""
    at: int = 0
    row: int = 0


def pieces(found: Arranged) -> list[list[Piece]]:
    """Draw with box characters, row by row; an arrow to a box that stands above only names it."""
    width, drawn = found.name_width, []
    for at, source in enumerate(found.sources):
        drawn.append([Piece(text=f"┌{'─' * (width + 2)}┐")])
        words = (source.name, source.about)
        for row in range(source.rows):
            left = words[row] if row < len(words) else ""
            drawn.append(
                [
                    Piece(text="│ "),
                    Piece(text=left, part="source", at=at, row=row),
                    Piece(text=" " * (width - width_of(left) + 1)),
                    *(_stroke(found, at, row) if row < len(source.arrows) else [Piece(text="│")]),
                ]
            )
        drawn.append([Piece(text=f"└{'─' * (width + 2)}┘")])
    return drawn


def _stroke(found: Arranged, at: int, row: int) -> list[Piece]:
    arrow = found.sources[at].arrows[row]
    end, words = found.ends[arrow.target], label(arrow)
    named = [Piece(text=end.name, part="end" if arrow.first else "", at=arrow.target)]
    if arrow.first and end.about:
        named += [Piece(text=" · "), Piece(text=end.about, part="end", at=arrow.target, row=1)]
    return [
        Piece(text="├═ " if arrow.host else "├─ "),
        Piece(text=words, part="label", at=at, row=row),
        Piece(text=f"{' ' * (found.label_width - width_of(words))} {'══' if arrow.host else '──'}▶ "),
        *named,
    ]


def lines(diagram: Diagram) -> list[str]:
    """Draw as plain text of at most 98 columns."""
    return [cut("".join(piece.text for piece in row), _LINE) for row in pieces(arrange(diagram))]


# --- on a page, in pixels

# A character of the SVG's 13 px font is 7.8 px wide.
COLUMN = 8
_ROW = 24
_PAD = 8
_GAP = 16
_BEND = (110, 260)


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A box on the page, in pixels."""

    x: float
    y: float
    width: float
    height: float

    @property
    def below(self) -> float:
        """Return the height at which the box ends."""
        return self.y + self.height


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """The boxes of a diagram where they stand. `arrivals`: the height at which the arrow of (Worker, row) ends."""

    found: Arranged
    sources: tuple[Box, ...]
    ends: tuple[Box, ...]
    arrivals: dict[tuple[int, int], float]

    def leaves(self, at: int, row: int) -> float:
        """Return the height at which an arrow leaves its Worker."""
        count, box = len(self.found.sources[at].arrows), self.sources[at]
        return box.y + (box.height - count * _ROW) / 2 + (row + 0.5) * _ROW


def placed(found: Arranged) -> Page:
    """Return where the boxes stand on a page."""
    sources, top = [], 1.0
    width = (found.name_width + 3) * COLUMN
    for source in found.sources:
        sources.append(Box(x=1, y=top, width=width, height=source.rows * _ROW + _PAD))
        top = sources[-1].below + _GAP
    page = Page(found=found, sources=tuple(sources), ends=(), arrivals={})
    bend = min(max(_BEND[0], top / 10), _BEND[1])  # the higher the page, the more room its arrows need to turn
    left = width + (found.label_width + 4) * COLUMN + bend
    coming: dict[int, list[tuple[float, int, int]]] = {at: [] for at in range(len(found.ends))}
    for at, source in enumerate(found.sources):
        for row, arrow in enumerate(source.arrows):
            coming[arrow.target].append((page.leaves(at, row), at, row))
    ends, arrivals = _ends(found, coming, left)
    return Page(found=found, sources=tuple(sources), ends=ends, arrivals=arrivals)


def _ends(
    found: Arranged, coming: dict[int, list[tuple[float, int, int]]], left: float
) -> tuple[tuple[Box, ...], dict[tuple[int, int], float]]:
    """Put each target beside its host, else at the middle of the arrows that come to it, or below the one before."""
    boxes: list[Box] = []
    arrivals: dict[tuple[int, int], float] = {}
    width = (max(width_of(w) for end in found.ends for w in (end.name, end.about)) + 3) * COLUMN
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
        # From top to bottom as they left, so that two arrows do not cross right before the box.
        for number, (_, source, row) in enumerate(sorted(arrows), 1):
            arrivals[source, row] = boxes[-1].y + number * step
    return tuple(boxes), arrivals
