"""What is shown of a line that a Worker logged: what looks like a secret, or has such a name within JSON, is hidden.

A line is prose with JSON in it, which may be cut off, or stand escaped within another one: so no parser reads it, and
the time that this takes grows with the length of the line alone.
"""

from __future__ import annotations

import re

from notebook_do.display.formats import count
from notebook_do.display.hiding import (
    BY_NAME,
    BY_SHAPE,
    by_name,
    without_known_secrets,
)
from notebook_do.display.naming import is_secret_name, is_session_header

LONGEST = 2000
"""How many letters of one message are drawn; the frame has all."""
# So much more is looked at: a secret that the cut would part has no shape any more.
_FURTHER = 20_000
_NAMED = re.compile(
    r'(?<!\\)(?P<mark>\\{0,15}")(?P<name>(?:[^"\\\n]|\\{1,16}u[0-9a-fA-F]{4}){1,100})(?P=mark)\s{0,20}:\s{0,20}'
)
_QUOTE = re.compile(r'(\\*)"')
_BRACKETS = re.compile(r'(\\*)"|[\[\]{}]')
_PLAIN = re.compile(r"[^\s,\]}\"]+")
_CODED = re.compile(r"\\+u([0-9a-fA-F]{4})")
_BEGIN, _END = "-----BEGIN ", "-----END "


def shown_line(text: str, longest: int = LONGEST) -> str:
    """Return what is shown of a line: so many letters of it at most, and how many more there are."""
    looked = text[: longest + _FURTHER]
    shown = without_known_secrets(_without_open_key(_without_named(looked)))
    if len(looked) < len(text):
        shown = shown[: -_FURTHER // 2]  # what stands before the end of what was looked at may be a part of a secret
    if len(looked) == len(text) and len(shown) <= longest:
        return shown
    return f"{shown[:longest]}… {count(max(len(text) - longest, len(shown) - longest, 1))} more characters"


def _without_open_key(text: str) -> str:
    """Hide a key in PEM whose end is not there: by its shape only the first line of it is known."""
    begin = text.rfind(_BEGIN)
    return text if begin < 0 or _END in text[begin:] else text[:begin] + BY_SHAPE


def _without_named(text: str) -> str:
    """Hide each value in JSON whose name is one of a secret, however often that JSON is quoted."""
    pieces: list[str] = []
    at = 0
    while found := _NAMED.search(text, at):
        pieces.append(text[at : found.end()])
        at = found.end()
        name = _CODED.sub(lambda one: chr(int(one[1], 16)), found["name"])
        if is_secret_name(name) or is_session_header(name):
            instead, at = _instead(text, at, found["mark"])
            pieces.append(instead)
    return "".join([*pieces, text[at:]])


def _instead(text: str, at: int, mark: str) -> tuple[str, int]:
    """Return what is shown in place of the value that begins at `at`, and where that ends; `mark` is a quote there."""
    if text.startswith(mark, at):
        start = at + len(mark)
        end = next((one for one in _QUOTE.finditer(text, start) if _ends(one, mark)), None)
        value = text[start : end.end() - len(mark) if end else len(text)]
        return f"{mark}{by_name(value) if value else ''}{mark}", end.end() if end else len(text)
    if text[at : at + 1] in {"{", "["}:
        return f"{mark}{BY_NAME}{mark}", _end_of_part(text, at, mark)
    plain = _PLAIN.match(text, at)
    if plain is None or plain[0] == "null":
        return "", at
    return f"{mark}{BY_NAME}{mark}", plain.end()


def _ends(quote: re.Match[str], mark: str) -> bool:
    """Say whether a quote ends a text: each level of quoting doubles what stands before one, and adds one."""
    return len(quote[1]) % (2 * len(mark)) == len(mark) - 1


def _end_of_part(text: str, at: int, mark: str) -> int:
    """Return where the table or list that begins at `at` ends; its brackets in texts count for nothing."""
    depth, within = 0, False
    for one in _BRACKETS.finditer(text, at):
        if one[1] is not None:
            within = within != _ends(one, mark)
        elif not within:
            depth += 1 if one[0] in "[{" else -1
            if depth == 0:
                return one.end()
    return len(text)
