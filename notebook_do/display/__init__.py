"""Values that a notebook can show, and what may be shown of a text.

The lower floors must not import IPython or pandas, yet a plan has to display itself and has DataFrames. So a value
inherits `Shown`, and only when it is really displayed is `notebook.views.documents` loaded, by name: the one upward
edge of the house, taken at run time only.

Names, values, log lines and error texts are other people's: a terminal must not be coloured, retitled or overwritten
by them, and no two of them may look alike. Whatever this package prints is cleaned here; data itself stays as it is.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import pandas as pd


def frame(name: str, rows: Any, *, said: str = "", **attrs: Any) -> pd.DataFrame:
    """Make the DataFrame called `name` (its columns and dtypes are fixed in frames.py) of `rows`.

    `said` is a line that it shows below its rows, where they are not all there is; `attrs` tell a program.
    """
    made: pd.DataFrame = import_module("notebook_do.frames").frame(name, rows, said)
    made.attrs |= attrs
    return made


def selected(columns: Sequence[str], rows: Sequence[Sequence[Any]], ours: bool = False) -> pd.DataFrame:  # noqa: FBT001, FBT002 - as `select` gives it
    """Make the DataFrame of what a statement selected, with the dtypes that the values have; see frames.py."""
    made: pd.DataFrame = import_module("notebook_do.frames").selected(columns, rows, ours)
    return made


def mapped(df: pd.DataFrame, *columns: list[Any]) -> Any:
    """Add the columns result, ms and error to a frame; see frames.py."""
    return import_module("notebook_do.frames").mapped(df, *columns)


class Shown:
    """Something a notebook can show as text and HTML."""

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return text/plain and text/html; IPython calls this."""
        del include, exclude
        bundle: dict[str, str] = import_module("notebook_do.notebook.views.documents").bundle(self)
        return bundle

    def __str__(self) -> str:
        text: str = import_module("notebook_do.notebook.views.documents").as_text(self)
        return text


class Passing:
    """A line that says how far something is, where a person looks, and is gone at its end. Used with `with`.

    It costs nothing until it is given an event: only then is what draws it loaded, by name.
    """

    def __init__(self) -> None:
        self._line: Any = None

    def __call__(self, event: Any) -> None:
        """Show one event in place of the one before."""
        if self._line is None:
            self._line = import_module("notebook_do.notebook.shells").ReadingLine()
        self._line(event)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._line is not None:
            self._line.end()


@dataclass(frozen=True, kw_only=True)
class TitledTable(Shown):
    """Rows under a title. `name` is the DataFrame's name in frames.py, which fixes its columns."""

    name: str
    title: str
    rows: tuple[Mapping[str, Any], ...] = ()

    @property
    def df(self) -> pd.DataFrame:
        """The rows as a DataFrame with fixed columns and dtypes."""
        return frame(self.name, self.rows)


def shortened(path: Path) -> Path:
    """Return a path as a person in this directory would write it."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


# Control characters, what reorders (bidirectional marks), and what is drawn as nothing at all: two names that differ in
# one of these look alike, and the first kind drives a terminal. Tab and line feed are left out: they are layout.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b-\u200f\u2028-\u202e"
    "\u2060-\u206f\u3164\ud800-\udfff\ufeff\uffa0\ufff0-\ufffb\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
_HALF = re.compile("[\ud800-\udfff]")
_COLOUR = re.compile("(\x1b\\[[0-9;]{0,20}m)")
_BLANKS = re.compile(r"[ \t\r\n\xa0\u1680\u2000-\u200a\u202f\u205f\u3000]+")


def has_half(value: str) -> bool:
    """Say whether a text has half of a character (a lone surrogate): no file, header or query can have that."""
    return not value.isascii() and _HALF.search(value) is not None


def clean(value: str) -> str:
    """Write out control, escape, bidirectional and invisible characters as Python does; lines and tabs stay."""
    # Nearly every text; the search through the class is what takes time in a plan of thousands of rows.
    if value.isascii() and value.isprintable():
        return value
    return _UNSEEN.sub(_written, value.replace("\r\n", "\n"))


def one_line(value: str) -> str:
    """Clean `value` and put it on one line."""
    return clean(_BLANKS.sub(" ", value)).strip()


def coloured(value: str) -> str:
    """Clean what another program printed for a terminal: its colours stay, a line that it overwrote is a line."""
    # A lone carriage return lets a program overwrite its line; on paper that is a line of its own.
    pieces = _COLOUR.split(value.replace("\r\n", "\n").replace("\r", "\n"))
    return "".join(piece if n % 2 else clean(piece) for n, piece in enumerate(pieces))


def uncoloured(value: str) -> str:
    """Clean what another program printed for a terminal, for a file: without its colours."""
    return coloured(_COLOUR.sub("", value))


def in_json(document: str) -> str:
    """Clean a JSON document without changing what it says: the same characters, written as JSON writes them."""
    # Inside of JSON strings only: elsewhere JSON has no such characters.
    return _UNSEEN.sub(lambda found: _units(found[0]), document)


def _written(found: re.Match[str]) -> str:
    code = ord(found[0])
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def _units(letter: str) -> str:
    raw = letter.encode("utf-16-be", "surrogatepass")
    return "".join(f"\\u{raw[n]:02x}{raw[n + 1]:02x}" for n in range(0, len(raw), 2))


# --- how wide a text is, and how it is broken into lines


def width_of(value: str) -> int:
    """Return how many columns of a terminal `value` takes: wide letters two, combining ones none."""
    if value.isascii():
        return len(value)
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in value)


HELD = "\0"
"""A blank where no line may be broken, until `wrap` makes it one: no cleaned text has this character."""


def wrap(value: str, width: int, *, words: bool = True) -> list[str]:
    """Break `value` into lines of at most `width` columns, between words where that is possible.

    Words with `HELD` between them stay whole, however long.
    """
    if width_of(value) <= width:
        return [value.replace(HELD, " ")]
    lines, line = [], ""
    for piece in _pieces(value, width, words=words):
        if width_of(line) + width_of(piece.rstrip()) > width and line:
            lines.append(line.rstrip())
            line = ""
        line += piece
    return [one.replace(HELD, " ") for one in (*lines, line.rstrip())]


def _pieces(value: str, width: int, *, words: bool) -> list[str]:
    """Cut into words with their blanks, and into single characters where a word alone is too long."""
    found = re.findall(r"\S+\s*|\s+", value) if words else list(value)
    return [p for piece in found for p in ([piece] if _whole(piece, width) else list(piece))]


def _whole(piece: str, width: int) -> bool:
    return width_of(piece.rstrip()) <= width or HELD in piece


def clipped(value: str, width: int) -> str:
    """Put `value` on one line of at most `width` columns; an ellipsis says that there is more."""
    return cut(one_line(value), width)


def cut(value: str, width: int) -> str:
    """Shorten a line to `width` columns, with an ellipsis, where it is longer."""
    if width_of(value) <= width:
        return value
    while width_of(value) > width - 1:
        value = value[: min(len(value) - 1, width)]
    return f"{value}…"
