"""Edges -> a drawing: Workers on the left, what they reach on the right, one labelled arrow for each binding.

`arrange` decides once what stands where, in rows; `lines` draws that with box characters, `html.py` as SVG.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from notebook_do.notebook.views.width import clipped, cut, width_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from notebook_do.notebook.views.blocks import Diagram, Edge, Tone

NAME = 26
"""How many columns the name of a Worker or of a binding may take."""
ABOUT = 60
"""How many columns the words about a target may take."""
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
class Source:
    """The box of a Worker, with its arrows from top to bottom."""

    name: str
    about: str
    arrows: tuple[Arrow, ...]

    @property
    def rows(self) -> int:
        """Count the rows that the box takes: one for each arrow, and one for each line of its words."""
        return max(len(self.arrows), 2 if self.about else 1)


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """The box of what is reached."""

    name: str
    about: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Arranged:
    """Boxes in the order in which they stand, so that few arrows cross."""

    sources: tuple[Source, ...]
    ends: tuple[End, ...]

    @property
    def name_width(self) -> int:
        """Count the columns of the widest words in a Worker's box."""
        return max((width_of(words) for s in self.sources for words in (s.name, s.about)), default=0)

    @property
    def label_width(self) -> int:
        """Count the columns of the widest label of an arrow."""
        return max((width_of(label(a)) for s in self.sources for a in s.arrows), default=0)


def label(arrow: Arrow) -> str:
    """Give the words on an arrow: what is planned for the binding, and its name."""
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
        role = " and ".join(dict.fromkeys(sorted((e.role for e in edges if e.role), reverse=True)))
        sources.append(Source(name=clipped(worker, NAME), about=clipped(role, NAME), arrows=tuple(arrows)))
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
        Piece(text="├─ "),
        Piece(text=words, part="label", at=at, row=row),
        Piece(text=f" {'─' * (found.label_width - width_of(words))}──▶ "),
        *named,
    ]


def lines(diagram: Diagram) -> list[str]:
    """Draw as plain text of at most 98 columns."""
    return [cut("".join(piece.text for piece in row), _LINE) for row in pieces(arrange(diagram))]
