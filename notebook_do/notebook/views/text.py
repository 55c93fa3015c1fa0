"""Blocks -> plain text: at most 100 columns, no ANSI, nothing that could reorder or hide what is read."""

from __future__ import annotations

import re
from itertools import zip_longest
from typing import assert_never

from notebook_do.display import HELD, clean, cut, one_line, width_of, wrap
from notebook_do.display.rich import Rich
from notebook_do.notebook.views.blocks import (
    DIFF_IN_TEXT,
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

WIDTH = 100
# A word longer than this is an address or a path, and may be broken before an id is.
_LONGEST_WORD = 40
_COMMAND = re.compile(r"(\w+ = )?%{1,2}durable |session\.|notebook-do ")


def cell_text(cell: Cell) -> str:
    """Return the text of a cell."""
    text = cell.url if isinstance(cell, Link) else cell.text if isinstance(cell, Said) else cell
    # A longer one would push the columns apart.
    return _held(text) if len(text) <= _LONGEST_WORD else one_line(text)


def _held(text: str) -> str:
    """Return a text on one line; a command in it is held together, so that it can be copied."""
    said = one_line(text)
    for part in text.parts if isinstance(text, Rich) else ():
        if part.look == "code" and _COMMAND.match(part.text):
            command = one_line(part.text)
            said = said.replace(command, command.replace(" ", HELD))
    return said


def render(document: Document, width: int = WIDTH) -> str:
    """Draw the blocks below each other, within `width` columns."""
    text, after_large = "", False
    for block in document:
        if not (part := _block(block, width)):
            continue
        large = isinstance(block, AskedLine | Table | Items | Diagram | Diff | Folded) or (
            isinstance(block, Code) and block.apart
        )
        text += ("\n\n" if large or after_large else "\n") * bool(text) + part
        after_large = large
    return text


def _block(block: Block, width: int) -> str:  # noqa: C901 - one case a kind of block
    match block:
        case Header():
            facts = "  ".join(f"{one_line(name)}: {one_line(value)}" for name, value in block.facts)
            return _wrapped("  ".join(filter(None, (block.band, _held(block.title), facts))), width, hang="    ")
        case AskedLine():
            return _wrapped("  ".join(map(one_line, (block.text, block.word, *block.facts))), width, hang="    ")
        case Line():
            text = f"{_symbol(block.tone)}{_held(block.text)}"
            return _wrapped(text, width, hang="  " if block.tone else "")
        case Table():
            return _table(block, width)
        case Items():
            title = [_wrapped(_held(block.title), width)] if block.title else []
            return "\n".join([*title, *(_item(item, width) for item in block.items)])
        case Diagram():
            return _diagram(block, width)
        case Code():
            return _code(block, width)
        case Diff():
            return _diff(block, width)
        case Picture():
            return block.words
        case Folded():
            return _folded(block, width)
        case _:
            assert_never(block)


def _folded(block: Folded, width: int) -> str:
    """Draw what is behind the summary too: paper cannot be opened."""
    inside = render(block.blocks, width - 2)
    lines = (f"  {line}".rstrip() for line in inside.split("\n"))
    return "\n".join([_wrapped(_held(block.summary), width), *(lines if inside else ())])


def _symbol(tone: Tone | None) -> str:
    return f"{tone.value} " if tone else ""


def _item(item: Item, width: int) -> str:
    first = _wrapped(f"  {_symbol(item.tone) or '- '}{_held(item.text)}", width, hang="    ")
    choices = (_wrapped(f"      - {_held(choice)}", width, hang="        ") for choice in item.choices)
    return "\n".join([first, *choices])


def _code(block: Code, width: int) -> str:
    lines = clean(block.text).split("\n")
    if block.paste:
        return "\n".join([*([_wrapped(_held(block.label), width)] if block.label else []), *lines])
    if len(lines) == 1 and len(block.label) + len(lines[0]) < width:
        return f"{one_line(block.label)} {lines[0]}".strip()
    body = [piece for line in lines for piece in wrap(line, width - 2, words=False)]
    label = [_wrapped(_held(block.label), width)] if block.label else []
    return "\n".join([*label, *(f"  {piece}" for piece in body)])


def _diff(block: Diff, width: int) -> str:
    """Draw a short diff; the counts of a longer one stand in the summary above it."""
    if len(block.lines) > DIFF_IN_TEXT:
        return _wrapped(f"  {len(block.lines):,} lines; {block.rest}".rstrip("; "), width, hang="  ")
    pieces = (piece for line in block.lines for piece in wrap(clean(line), width - 2))
    return "\n".join(f"  {piece}".rstrip() for piece in pieces)


def _diagram(block: Diagram, width: int) -> str:
    from notebook_do.notebook.views import diagram  # few texts have one

    lines = [_wrapped(one_line(block.caption), width)] if block.caption else []
    return "\n".join([*lines, *(f"  {cut(line, width - 2)}" for line in diagram.lines(block))])


def _table(table: Table, width: int) -> str:
    symbols = any(table.tones)
    heads = tuple(map(one_line, table.columns))
    columns = (("", *heads) if symbols and heads else heads) if table.rows else ()
    rows = [_texts(row, tone, symbols=symbols) for row, tone in zip_longest(table.rows, table.tones)]
    lines = [_wrapped(_held(table.caption), width)] if table.caption else []
    lines += grid(columns, rows, width=width, symbols=symbols)
    if table.hidden:
        lines.append(_wrapped(f"... {table.hidden:,} more rows. {_held(table.rest)}".rstrip(), width))
    return "\n".join(lines)


def _texts(row: Row, tone: Tone | None, *, symbols: bool) -> tuple[str, ...] | str:
    if isinstance(row, Group):
        return one_line(row.text)
    cells = tuple(map(cell_text, row))
    return (tone.value if tone else "", *cells) if symbols else cells


def grid(
    columns: tuple[str, ...], rows: list[tuple[str, ...] | str], *, width: int = WIDTH, symbols: bool = False
) -> list[str]:
    """Lay out rows under columns, within `width`; long cells go on below, in their own column.

    A row that is one text goes over all columns. The first column of `symbols` has no rule: it would read as a `-`.
    """
    cells = [row for row in rows if not isinstance(row, str)]
    if not cells:
        return []
    widths = _widths([columns, *cells] if columns else cells, width)
    lines = _row(columns, widths) if any(columns) else []
    if lines:
        lines.append("  ".join(" " * w if symbols and at == 0 else "-" * w for at, w in enumerate(widths)))
    for at, row in enumerate(rows):
        if isinstance(row, str):
            lines += [*([""] if at else []), *wrap(row, width - 2)]
        else:
            lines += _row(row, widths)
    return [f"  {line}".rstrip() for line in lines]


def _widths(rows: list[tuple[str, ...]], width: int) -> list[int]:
    """Return the width of each column: its natural one, less of the widest where all together are too wide."""
    columns = list(zip(*rows, strict=True))
    widths = [max(1, *map(width_of, column)) for column in columns]
    words = [max((width_of(word) for cell in column for word in cell.split()), default=1) for column in columns]
    room = width - 2 - 2 * (len(widths) - 1)
    # Columns of sentences give way first, down to their longest word, so that an id stays whole; then any column.
    for least in ([min(w, _LONGEST_WORD) for w in words], [1] * len(words)):
        while sum(widths) > room:
            loose = [at for at in range(len(widths)) if widths[at] > least[at]]
            if not loose:
                break
            widest = max(loose, key=widths.__getitem__)
            second = max((widths[at] for at in loose if widths[at] < widths[widest]), default=1)
            widths[widest] = max(second, widths[widest] - (sum(widths) - room), least[widest])
    return widths


def _row(cells: tuple[str, ...], widths: list[int]) -> list[str]:
    pieces = [wrap(cell, width) for cell, width in zip(cells, widths, strict=True)]
    return [
        "  ".join(_padded(piece, width) for piece, width in zip(line, widths, strict=True))
        for line in zip_longest(*pieces, fillvalue="")
    ]


def _padded(value: str, width: int) -> str:
    return value + " " * (width - width_of(value))


def _wrapped(value: str, width: int, *, hang: str = "") -> str:
    return value.replace(HELD, " ") if width_of(value) <= width else "\n".join(_hung(value, width, hang))


def _hung(value: str, width: int, hang: str) -> list[str]:
    lead = value[: len(value) - len(value.lstrip())]
    pieces = wrap(value.lstrip(), width - max(len(hang), len(lead)))
    return [lead + pieces[0], *(hang + piece for piece in pieces[1:])]
