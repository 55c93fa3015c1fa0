"""A page of help: Markdown where a notebook draws it, and the same words without its marks for a terminal."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from notebook_do.display import HELD, Shown, clean, wrap
from notebook_do.notebook.views.text import WIDTH, grid

if TYPE_CHECKING:
    from collections.abc import Iterator

_MARKS = re.compile(r"`([^`]+)`|\*\*([^*]+)\*\*|(?<![\w*])\*([^*`\n]+)\*(?![\w*])")
_CODE = re.compile(r"`[^`]+`")
_FENCE = "```"
_SHORT = 60


@dataclass(frozen=True, slots=True, kw_only=True)
class HelpPage(Shown):
    """The page of a topic; `text` is Markdown, `str(page)` what a terminal shows."""

    topic: str
    text: str

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> dict[str, str]:
        """Return text/plain and text/markdown: with HTML beside it JupyterLab would draw that."""
        del include, exclude
        return {"text/plain": str(self), "text/markdown": clean(self.text)}

    def __str__(self) -> str:
        return plain_text(self.text)


def plain_text(markdown: str) -> str:
    """Return the Markdown of our pages as plain text, within 100 columns; blocks of code keep their lines."""
    return "\n\n".join("\n".join(_drawn(lines)) for lines in _parts(clean(markdown).split("\n")))


def _parts(lines: list[str]) -> Iterator[list[str]]:
    """Yield the lines of each part: a heading, a paragraph, a list, a table, or all of a block of code."""
    part: list[str] = []
    fenced = False
    for line in lines:
        if line.startswith(_FENCE):
            fenced = not fenced
        if line.strip() or fenced:
            part.append(line)
        elif part:
            yield part
            part = []
    if part:
        yield part


def _drawn(lines: list[str]) -> Iterator[str]:
    first = lines[0]
    if first.startswith(_FENCE):
        # Lines of help are as they are; what can be run is set off from the sentences around it.
        indent = "" if first == f"{_FENCE}text" else "    "
        yield from (f"{indent}{line}".rstrip() for line in lines[1:] if not line.startswith(_FENCE))
    elif first.startswith("    "):
        yield from lines
    elif first.startswith("#"):
        title = _unmarked(first.lstrip("# "))
        yield from (title, ("=" if first.startswith("# ") else "-") * len(title))
    elif first.startswith("|"):
        heads, _, *rows = [tuple(map(_unmarked, _cells(line))) for line in lines]
        yield from grid(heads, list(rows), width=WIDTH)
    else:
        yield from _sentences(lines)


def _cells(line: str) -> list[str]:
    """Return the cells of a row; a bar in one stands behind a backslash."""
    return [cell.strip().replace("\\|", "|") for cell in re.split(r"(?<!\\)\|", line.strip().strip("|"))]


def _sentences(lines: list[str]) -> Iterator[str]:
    """Yield paragraphs, and the entries of a list, filled anew."""
    texts: list[str] = []
    for line in lines:
        if line.startswith("- ") or not texts:
            texts.append(line)
        else:
            texts[-1] += f" {line.strip()}"
    for text in texts:
        indent = "  " if text.startswith("- ") else ""
        # A command that is broken in two can neither be read nor pasted.
        held = _CODE.sub(lambda found: found[0].replace(" ", HELD) if len(found[0]) <= _SHORT else found[0], text)
        first, *rest = wrap(_unmarked(held), WIDTH - len(indent))
        yield from (first, *(indent + line for line in rest))


def _unmarked(text: str) -> str:
    """Return a text without the marks of code and emphasis."""
    return _MARKS.sub(lambda found: found[1] or found[2] or found[3], text)
