"""Blocks -> plain text: at most 100 columns, no ANSI, nothing that could reorder or hide what is read."""

from __future__ import annotations

from itertools import zip_longest
from typing import assert_never

from notebook_do.display import clean, one_line, width_of, wrap
from notebook_do.notebook.views import diagram
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

WIDTH = 100
# A word longer than this is an address or a path, and may be broken before an id is.
_LONGEST_WORD = 40


def cell_text(cell: Cell) -> str:
    """Return the text of a cell."""
    return one_line(cell.url if isinstance(cell, Link) else cell)


def render(document: Document) -> str:
    """Draw the blocks below each other."""
    text, after_large = "", False
    for block in document:
        if not (part := _block(block)):
            continue
        large = isinstance(block, Table | Items | Diagram | Folded)
        text += ("\n\n" if large or after_large else "\n") * bool(text) + part
        after_large = large
    return text


def _block(block: Block) -> str:
    match block:
        case Header():
            facts = "  ".join(f"{one_line(name)}: {one_line(value)}" for name, value in block.facts)
            return _wrapped(f"{one_line(block.title)}{'  ' if facts else ''}{facts}", hang="    ")
        case Line():
            return _wrapped(f"{_symbol(block.tone)}{one_line(block.text)}", hang="  " if block.tone else "")
        case Table():
            return _table(block)
        case Items():
            return "\n".join([*([_wrapped(one_line(block.title))] if block.title else []), *map(_item, block.items)])
        case Diagram():
            return _diagram(block)
        case Code():
            return _code(block)
        case Folded():
            return f"{_wrapped(one_line(block.summary))}\n{render(block.blocks)}"
        case _:
            assert_never(block)


def _symbol(tone: Tone | None) -> str:
    return f"{tone.value} " if tone else ""


def _item(item: Item) -> str:
    first = _wrapped(f"  {_symbol(item.tone) or '- '}{one_line(item.text)}", hang="    ")
    return "\n".join([first, *(_wrapped(f"      - {one_line(choice)}", hang="        ") for choice in item.choices)])


def _code(block: Code) -> str:
    lines = clean(block.text).split("\n")
    if block.paste:
        return "\n".join(lines)
    if len(lines) == 1 and len(block.label) + len(lines[0]) < WIDTH:
        return f"{one_line(block.label)} {lines[0]}".strip()
    body = [piece for line in lines for piece in wrap(line, WIDTH - 2, words=False)]
    return "\n".join([*([_wrapped(one_line(block.label))] if block.label else []), *(f"  {piece}" for piece in body)])


def _diagram(block: Diagram) -> str:
    lines = [_wrapped(one_line(block.caption))] if block.caption else []
    return "\n".join([*lines, *(f"  {line}" for line in diagram.lines(block))])


def _table(table: Table) -> str:
    caption = one_line(table.caption)
    symbols = any(table.tones)
    heads = tuple(map(one_line, table.columns))
    columns = (("", *heads) if symbols else heads) if table.rows else ()
    rows = [
        ((tone.value if tone else "", *map(cell_text, row)) if symbols else tuple(map(cell_text, row)))
        for row, tone in zip_longest(table.rows, table.tones)
    ]
    lines = [_wrapped(caption)] if caption else []
    lines += grid(columns, rows)
    if table.hidden:
        lines.append(_wrapped(f"... {table.hidden} more rows. {one_line(table.rest)}".rstrip()))
    return "\n".join(lines)


def grid(columns: tuple[str, ...], rows: list[tuple[str, ...]], *, width: int = WIDTH) -> list[str]:
    """Lay out rows under columns, within `width`; long cells go on below, in their own column."""
    if not rows:
        return []
    widths = _widths([columns, *rows], width)
    lines = _row(columns, widths) if any(columns) else []
    if lines:
        lines.append("  ".join("-" * w for w in widths))
    for row in rows:
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


def _wrapped(value: str, *, hang: str = "") -> str:
    return value if width_of(value) <= WIDTH else "\n".join(_hung(value, hang))


def _hung(value: str, hang: str) -> list[str]:
    lead = value[: len(value) - len(value.lstrip())]
    pieces = wrap(value.lstrip(), WIDTH - max(len(hang), len(lead)))
    return [lead + pieces[0], *(hang + piece for piece in pieces[1:])]
