"""What a view consists of, before it becomes text or HTML.

A view says everything once, as blocks; `text.py` and `html.py` draw the same blocks. So text and HTML can not tell
different things. Every text of a block may be a `Rich` one, of which HTML draws names, values and commands as code.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Literal, Protocol, runtime_checkable

from notebook_do.display.formats import size


class Tone(Enum):
    """What a row is about. The value is the symbol that stands beside the colour, never instead of words."""

    ADD = "+"
    CHANGE = "~"
    DROP = "-"
    ALERT = "!"
    SAME = "="
    DONE = "✓"
    RUNNING = "▸"
    WAITING = "·"
    UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Link:
    """An address that may be followed; drawn as plain text unless it is http or https."""

    url: str


@dataclass(frozen=True, slots=True)
class Said:
    """What a program said: its line breaks are kept, and a word that is too long for the page is broken."""

    text: str


Cell = str | Link | Said


@dataclass(frozen=True, slots=True)
class Header:
    """The first line of a view: what it is, and where it applies. `live` makes it a band: what is live may change."""

    title: str
    facts: tuple[tuple[str, str], ...] = ()
    live: Literal["", "live", "production"] = ""

    @property
    def band(self) -> str:
        """The words of the band; none on this machine."""
        return {"": "", "live": "! LIVE", "production": "! LIVE PRODUCTION"}[self.live]


@dataclass(frozen=True, slots=True)
class AskedLine:
    """The first line of an answer: what was asked, what became of it in a word, and facts of the answer."""

    text: str
    word: str
    tone: Tone
    facts: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Line:
    """One sentence. `role` is `status` or `alert` for what a screen reader should announce.

    `small` is for the last line: counts, the digest, the next command.
    """

    text: str
    tone: Tone | None = None
    strong: bool = False
    role: str = ""
    small: bool = False


@dataclass(frozen=True, slots=True)
class Group:
    """A row over all columns, which says what the rows below it are about."""

    text: str


Row = tuple[Cell, ...] | Group


@dataclass(frozen=True, slots=True)
class Table:
    """Rows under named columns, or under none. `hidden` rows are not drawn; `rest` says where all of them are.

    A tone tints the symbol and the first cell; ALERT, which is loss or failure, the whole row.
    """

    caption: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    tones: tuple[Tone | None, ...] = ()
    hidden: int = 0
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Item:
    """One entry of a list, with what can be chosen below it."""

    text: str
    tone: Tone | None = None
    choices: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Items:
    """A titled list."""

    title: str
    items: tuple[Item, ...]


@dataclass(frozen=True, slots=True)
class Edge:
    """An arrow of the diagram: a Worker, `host` or `client` of it, reaches `target` through `binding`."""

    worker: str
    binding: str
    target: str
    tone: Tone | None = None
    about: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class Diagram:
    """Workers on the left, what they reach on the right, arrows between them."""

    caption: str
    edges: tuple[Edge, ...]


@dataclass(frozen=True, slots=True)
class Code:
    """Something to type or to read letter by letter, after a label. `paste`: lines keep their length, to be copied.

    `apart`: text has an empty line around it, as one of several.
    """

    label: str
    text: str
    paste: bool = False
    apart: bool = False


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of a Worker's answer: its type, its bytes, how wide and high it is."""

    kind: str
    content: bytes
    width: int
    height: int

    @property
    def pixels(self) -> str:
        """How wide and high it is."""
        return f"{self.width:,} \N{MULTIPLICATION SIGN} {self.height:,}"

    @property
    def words(self) -> str:
        """What plain text says of it."""
        return f"({self.kind}, {self.pixels} pixels, {size(len(self.content))})"


@dataclass(frozen=True, slots=True)
class Diff:
    """A unified diff, line by line; `rest` says where all of it is when only its first lines are drawn."""

    lines: tuple[str, ...]
    rest: str = ""


@dataclass(frozen=True, slots=True)
class Folded:
    """Blocks behind a summary that opens them; plain text shows them open, further in."""

    summary: str
    blocks: tuple[Block, ...]
    opened: bool = False


Block = Header | AskedLine | Line | Table | Items | Diagram | Code | Diff | Picture | Folded
Document = tuple[Block, ...]


@runtime_checkable
class Drawn(Protocol):
    """A value that knows its own blocks; those of the rooms below know none, and are drawn by `documents`."""

    @property
    def document(self) -> Document:
        """The value as blocks."""


# A notebook with thousands of rows of HTML takes seconds to open, and grows the file.
ROWS = 200
"""How many rows of a table, and lines of a diff, a view draws."""
DIFF_IN_TEXT = 40
"""How many lines of a diff plain text draws; of a longer one its summary has the counts."""


def capped(  # noqa: PLR0913 - a table has that many parts
    caption: str,
    columns: tuple[str, ...],
    rows: tuple[Row, ...],
    *,
    total: int | None = None,
    tones: tuple[Tone | None, ...] = (),
    rest: str = "",
) -> Table:
    """Make a table of the first 200 rows and keep the count of the others; `total` counts rows never built."""
    hidden = max((len(rows) if total is None else total) - ROWS, 0)
    return Table(caption, columns, rows[:ROWS], tones[:ROWS], hidden, rest)
