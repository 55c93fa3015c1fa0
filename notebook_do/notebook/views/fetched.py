"""What a Worker answered to one request: the exception first, the body, what it logged meanwhile."""

from __future__ import annotations

import json
import struct
from dataclasses import replace
from typing import TYPE_CHECKING

from notebook_do.display import clean, in_json
from notebook_do.display.formats import count, counted, duration, size
from notebook_do.display.hiding import shown_header
from notebook_do.display.logged import shown_line
from notebook_do.display.rich import code, rich, strong
from notebook_do.notebook.views.blocks import ROWS, AskedLine, Code, Folded, Item, Items, Line, Picture, Table, Tone
from notebook_do.notebook.views.logged import log_table, stack_text
from notebook_do.notebook.views.markup import PICTURES

if TYPE_CHECKING:
    from collections.abc import Sequence

    import httpx

    from notebook_do.live.logs import RequestLogs
    from notebook_do.notebook.views.blocks import Block, Document
    from notebook_do.sessions.logs import LocatedRecord

_LETTERS = 100_000
"""How many letters of a body are drawn."""
_HEXDUMP = 32
_MOST_PICTURE = 2 << 20
"""A picture of more bytes would be most of the notebook's file."""
_TEXTS = ("json", "javascript", "xml", "urlencoded", "yaml", "csv", "graphql")


def fetched_document(
    answer: httpx.Response, url: str, logs: RequestLogs | None, records: Sequence[LocatedRecord], note: str = ""
) -> Document:
    """Show an answer; `note` says why nothing is known of what the request logged."""
    kind = content_type(answer)
    thrown = shown_exception(records)
    body = body_blocks(answer, kind)
    blocks: list[Block] = [_title(answer, url, kind), *(exception_blocks(thrown) if thrown else [])]
    if not thrown:
        blocks += [*_redirect(answer), *body]
    blocks += log_blocks(logs, records, note)
    if thrown and answer.content:
        what = ", ".join(filter(None, (size(len(answer.content)), kind)))
        blocks.append(Folded(f"Body ({what})", tuple(body)))
    return (*blocks, *_headers(answer))


def content_type(answer: httpx.Response) -> str:
    """Return the type of an answer, without its parameters."""
    return str(answer.headers.get("content-type", "")).partition(";")[0].strip().lower()


def _title(answer: httpx.Response, url: str, kind: str) -> AskedLine:
    tone = {1: Tone.CHANGE, 2: Tone.ADD, 5: Tone.ALERT}.get(answer.status_code // 100, Tone.CHANGE)
    length = size(len(answer.content)) if answer.content else "no body"
    found = _picture(answer.content, kind)
    facts = (
        duration(answer.elapsed.total_seconds()),
        *((kind,) if kind and answer.content else ()),
        length,
        *((found.pixels,) if found else ()),
    )
    status = f"{answer.status_code} {answer.reason_phrase}".strip()
    return AskedLine(f"{answer.request.method} {url}", status, tone, facts)


# --- what was thrown, and what was logged


def shown_exception(records: Sequence[LocatedRecord]) -> LocatedRecord | None:
    """Return the exception to show first: the one nearest to where it was thrown."""
    thrown = [one for one in records if one.record.exception]
    placed = [one for one in thrown if one.stack and one.stack.place]
    stacked = [one for one in thrown if one.record.stack]
    # The objects' come first: who called one throws the same again, with its own line.
    for found in (placed, stacked, thrown):
        if found:
            return next((one for one in found if one.record.object_id), found[0])
    return None


def without_echoes(records: Sequence[LocatedRecord]) -> list[LocatedRecord]:
    """Leave out exceptions that only passed on what an object threw."""
    of_objects = {one.record.message for one in records if one.record.exception and one.record.object_id}
    return [
        one
        for one in records
        if not (one.record.exception and one.record.object_id is None and one.record.message in of_objects)
    ]


def exception_blocks(one: LocatedRecord) -> list[Block]:
    """Show an exception with its place, the lines around it, and its stack folded."""
    record, stack = one.record, one.stack
    what = shown_line((stack.what if stack else "") or record.entrypoint)
    where = rich(" in ", code(what)) if what else rich("")
    named = f" ({shown_line(record.object)})" if record.object and record.object != record.object_id else ""
    place = f", {stack.place}" if stack and stack.place else ""
    blocks: list[Block] = [
        Items("", (Item(rich(strong(shown_line(record.message)), where, named, place), Tone.ALERT),))
    ]
    if stack and stack.excerpt:
        blocks.append(Code("", stack.excerpt))
    if stack and stack.lines:
        summary = f"Stack ({counted(len(stack.lines), 'frame')})"
        blocks.append(Folded(summary, (Code("", stack_text(one, headed=False)),)))
    return blocks


def log_blocks(
    logs: RequestLogs | None, records: Sequence[LocatedRecord], note: str = "", *, what: str = "request"
) -> list[Block]:
    """Show what a request, or a call, logged, or say that it logged nothing."""
    if logs is None or not logs.known:
        return [Line(note, small=True)] if note else []
    shown = without_echoes(records)
    so_far = "" if logs.complete else " so far"
    if not shown:
        return [Line(f"This {what} logged nothing{so_far}.", small=True)]
    began = logs.began or shown[0].record.time
    drawn = shown[:ROWS]
    caption = f"{counted(len(shown), 'log line')} of this {what}{so_far}"
    if len(drawn) < len(shown):
        caption = f"The first {count(len(drawn))} of {caption}"
    blocks: list[Block] = [log_table(drawn, caption, began=began)]
    if logs.shared:
        names = ", ".join(logs.shared)
        text = f"Other calls ran in {names} at the same time: the runtime tells lines of all of them as those of one."
        blocks.insert(0, Line(text, Tone.CHANGE))
    return blocks


def no_answer_document(seconds: float, worker: str, logs: RequestLogs, records: Sequence[LocatedRecord]) -> Document:
    """Show below the error that no answer came in time what was logged until then."""
    longer = max(round(seconds * 4), round(seconds) + 1)
    return (
        Line("The Worker may still be working."),
        *log_blocks(replace(logs, complete=False), records),
        Line(
            rich(
                "Longer: ",
                code(f"--timeout {longer}"),
                ". What it logs meanwhile: ",
                code(f"%durable logs {worker} --follow"),
            ),
            small=True,
        ),
    )


# --- body and headers


def body_blocks(answer: httpx.Response, kind: str) -> list[Block]:
    """Show a body: JSON indented, text and HTML as source, a picture, or the first bytes."""
    content = answer.content
    if not content:
        return []
    if (picture := _picture(content, kind)) and len(content) <= _MOST_PICTURE:
        return [picture]
    if kind.startswith("text/") or any(word in kind for word in _TEXTS) or (not kind and _is_text(content)):
        return _text_blocks(_indented(answer) if "json" in kind else answer.text)
    shown = content[:_HEXDUMP]
    label = rich(f"The first {len(shown)} of {counted(len(content), 'byte')}; ", code(".content"), " has all:")
    if len(shown) == len(content):
        label = rich(counted(len(content), "byte"), ":")
    return [Code(label, "\n".join(_dumped(shown)))]


def _picture(content: bytes, kind: str) -> Picture | None:
    found = _pixels(content) if kind in PICTURES else None
    return Picture(kind, content, *found) if found else None


def _is_text(content: bytes) -> bool:
    try:
        content.decode()
    except UnicodeDecodeError:
        return False
    return b"\x00" not in content


def _indented(answer: httpx.Response) -> str:
    try:
        return in_json(json.dumps(answer.json(), indent=2, ensure_ascii=False))
    except (ValueError, RecursionError):
        return answer.text


def _text_blocks(text: str) -> list[Block]:
    text = text.rstrip("\n")
    cut = text[:_LETTERS]
    lines = cut.split("\n")
    blocks: list[Block] = [Code("", "\n".join(lines[:ROWS]))]
    if len(lines) > ROWS:
        blocks.append(Folded(f"{count(len(lines) - ROWS)} more lines", (Code("", "\n".join(lines[ROWS:])),)))
    if len(text) > len(cut):
        more = rich(f"… {count(len(text) - len(cut))} more characters; ", code(".text"), " has all.")
        blocks.append(Line(more, small=True))
    return blocks


def _dumped(content: bytes) -> list[str]:
    rows = []
    for at in range(0, len(content), 16):
        row = content[at : at + 16]
        left, right = (" ".join(f"{one:02x}" for one in half) for half in (row[:8], row[8:]))
        letters = "".join(chr(one) if 32 <= one < 127 else "." for one in row)
        rows.append(f"{at:08x}  {left:<23}  {right:<23}  |{letters}|")
    return rows


def _redirect(answer: httpx.Response) -> list[Block]:
    place = answer.headers.get("location")
    return [Table("", ("", ""), (("location", clean(place)),))] if place else []


def _headers(answer: httpx.Response) -> list[Block]:
    rows = tuple(
        (name, shown_header(name, value))
        for name, value in answer.headers.multi_items()
        if name not in {"location", "date", "server", "content-length"}
    )
    return [Folded(counted(len(rows), "response header"), (Table("", ("", ""), rows),))] if rows else []


def _pixels(content: bytes) -> tuple[int, int] | None:
    """Return width and height of a picture; None where its head is not one."""
    if content.startswith(b"\x89PNG\r\n\x1a\n") and len(content) >= 24:
        width, height = struct.unpack(">II", content[16:24])
        return width, height
    if content[:6] in {b"GIF87a", b"GIF89a"} and len(content) >= 10:
        width, height = struct.unpack("<HH", content[6:10])
        return width, height
    if content.startswith(b"\xff\xd8"):
        return _jpeg(content)
    if content[:4] == b"RIFF" and content[8:16] == b"WEBPVP8X" and len(content) >= 30:
        return 1 + int.from_bytes(content[24:27], "little"), 1 + int.from_bytes(content[27:30], "little")
    return None


def _jpeg(content: bytes) -> tuple[int, int] | None:
    at = 2
    while at + 9 <= len(content) and content[at] == 0xFF:
        kind, length = content[at + 1], int.from_bytes(content[at + 2 : at + 4], "big")
        if 0xC0 <= kind <= 0xCF and kind not in {0xC4, 0xC8, 0xCC}:
            height, width = struct.unpack(">HH", content[at + 5 : at + 9])
            return width, height
        at += 2 + length
    return None
