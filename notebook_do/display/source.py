"""What is shown of code, of its frames and its diffs: only string literals and comments are looked at for secrets.

What is hidden keeps its lines, so that line numbers, carets and diffs stay right.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from operator import itemgetter
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from notebook_do.display.hiding import (
    BY_SHAPE,
    PEM,
    by_name,
    hidden,
    is_no_value,
    looks_secret_itself,
    without_given,
    without_secrets,
)
from notebook_do.display.literals import CodeReader
from notebook_do.display.naming import STRONG, strength

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from notebook_do.display.tokens import Found, Language

_PEM = re.compile(PEM, re.DOTALL)
_BARE = r"\s\"'`;,(){}\[\]<>"
_KEY_OF_LINE = r"(?:export[ \t]+)?(?P<name>[A-Za-z_][\w.-]{0,63})[ \t]*[=:][ \t]*"
# As a file of settings has them, in a comment or in such a file: `password: ...` as a line.
_LINE = re.compile(rf"^[ \t*#-]*{_KEY_OF_LINE}(?P<value>[^{_BARE}]+)[ \t]*;?$", re.MULTILINE)
_SETTING = re.compile(rf"^[ \t-]*{_KEY_OF_LINE}(?P<value>[^\s\"'{{\[][^\n]*)$", re.MULTILINE)
_SECTION = re.compile(r"^[ \t]*\[{1,2}([^\]\[\n]{1,200})\]{1,2}[ \t]*(?:#.*)?$", re.MULTILINE)
_LANGUAGES: dict[str, Language] = {".json": "json", ".jsonc": "json", ".py": "python"}
_CONFIG = frozenset((".toml", ".env", ".yaml", ".yml", ".ini", ".cfg", ".conf", ".properties", ".vars"))


def shown_code(text: str, *, language: Language = "javascript") -> str:
    """Return code with each secret in its literals and comments replaced by the reason for it."""
    return _shown(_PEM.sub(lambda found: BY_SHAPE + _lines(found[0]), text), language)


def language_of(file: str, *, python: bool = False) -> Language:
    """Return the language of a module, by the name of its file."""
    if python:
        return "python"
    path = PurePosixPath(file)
    if path.suffix.lower() in _CONFIG or path.name.startswith((".env", ".dev.vars")):
        return "config"
    return _LANGUAGES.get(path.suffix.lower(), "javascript")


def _shown(text: str, language: Language, *, outermost: bool = True) -> str:
    pieces, at = [], 0
    sections = list(_secret_sections(text)) if language == "config" else []
    for start, end, instead in _replaced(text, language, sections, outermost=outermost):
        pieces += [text[at:start], instead]
        at = end
    shown = "".join([*pieces, text[at:]])
    return _of_settings(shown) if language == "config" else shown


def _replaced(
    text: str, language: Language, sections: list[tuple[int, int]], *, outermost: bool
) -> Iterator[tuple[int, int, str]]:
    """Yield what is shown in place of what, in order: of a template that looks like a secret the whole."""
    found = _looked_at(CodeReader(text, language).read())
    made = [(one, _instead(one, text, language, sections, outermost=outermost)) for one in found]
    reached = 0
    # The longer one first, of those that begin at one place.
    for one, instead in sorted(
        ((f, i) for f, i in made if i is not None), key=lambda pair: (pair[0].start, -pair[0].end)
    ):
        if one.start >= reached:
            yield one.start, one.end, instead
            reached = one.end


def _looked_at(found: Sequence[Found]) -> list[Found]:
    """Leave the templates within templates out: what is in them is in their pieces, and in the outermost one whole."""
    reached = 0
    inner: set[int] = set()
    for one in sorted((f for f in found if f.kind == "template"), key=lambda f: f.start):
        if one.start < reached:
            inner.add(id(one))
        reached = max(reached, one.end)
    return [one for one in found if id(one) not in inner]


def _is_within(at: int, sections: list[tuple[int, int]]) -> bool:
    before = bisect_right(sections, at, key=itemgetter(0)) - 1
    return before >= 0 and at < sections[before][1]


def _instead(
    one: Found, text: str, language: Language, sections: list[tuple[int, int]], *, outermost: bool
) -> str | None:
    inner = text[one.start : one.end]
    if one.kind == "comment":
        shown = _comment(inner, language, outermost=outermost)
        return None if shown == inner else shown
    if one.given or _is_within(one.start, sections):
        return by_name(inner) + _lines(inner) if inner else None
    if looks_secret_itself(inner):
        return BY_SHAPE + _lines(inner)
    # Of a text that gives something to a name, as an address does, that part: it may be a page long.
    shown = without_given(inner)
    return None if shown == inner else shown


def _comment(text: str, language: Language, *, outermost: bool) -> str:
    """Return a comment; code that was taken out has literals too, and settings stand in them."""
    mark = len(text) - len(text.lstrip("/*#"))
    inner = text[mark:]
    if outermost:
        inner = _shown(inner, "javascript" if language == "json" else language, outermost=False)
    if "=" in inner or ":" in inner:
        inner = _LINE.sub(_valued, inner)
    return text[:mark] + without_secrets(inner)


def _valued(found: re.Match[str]) -> str:
    """Hide the value of a line whose name is one of a secret."""
    name, value = found["name"], found["value"]
    if strength(name) != STRONG or is_no_value(value):
        return found[0]
    before = found[0][: found.start("value") - found.start()]
    return before + by_name(value) + found[0][found.end("value") - found.start() :]


def _of_settings(text: str) -> str:
    return _SETTING.sub(_setting, text)


def _setting(found: re.Match[str]) -> str:
    whole = found[0]
    if why := hidden(found["name"], found["value"].strip()):
        return whole[: found.start("value") - found.start()] + why
    return whole


def _secret_sections(text: str) -> Iterator[tuple[int, int]]:
    """Yield where the tables are whose name is one of a secret: they are hidden as a whole, as in JSON."""
    heads = list(_SECTION.finditer(text))
    for head, end in zip(heads, [*(one.start() for one in heads), len(text)][1:], strict=True):
        if strength(head[1].replace(".", "-")):
            yield head.end(), end


def _lines(text: str) -> str:
    return "\n" * text.count("\n")
