"""What is shown of code, of its frames and its diffs: only string literals and comments are looked at for secrets.

What is hidden keeps its lines, so that line numbers, carets and diffs stay right.
"""

from __future__ import annotations

import re

from notebook_do.display.hiding import BY_SHAPE, hidden, looks_secret, without_secrets

_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]*-----(?:.{0,20000}?-----END [A-Z0-9 ]*-----|[^\n]*)", re.DOTALL)
_STRINGS = r"""\"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_JAVASCRIPT = re.compile(
    rf"(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<literal>{_STRINGS}|`(?:\\.|[^`\\])*`)"
    # A regular expression may hold quotes; it begins where no operand can end.
    r"|(?:(?<=[=(,:;!&|?{}\[\n])|(?<=return)\s)[ \t]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\n\\\[])+/",
    re.DOTALL,
)
_PYTHON = re.compile(
    rf'(?P<comment>#[^\n]*)|(?P<literal>"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|{_STRINGS})', re.DOTALL
)
# What stands before a literal that is assigned to a name, compared with it, its default or its property.
_ASSIGNED = re.compile(
    r"""(?P<name>[\w$][\w$.-]*)["'`]?\s*\]?\s*(?::\s*[\w<>\[\]|. ]{1,40})?\s*"""
    r"""(?:[?|&+]{0,2}=|[=!]==?|:|\?\?|\|\|)\s*[fFrRbBuU]{0,2}\Z"""
)
_ARGUMENT = re.compile(r"""\(\s*["'`](?P<name>[\w.-]+)["'`]\s*,\s*\Z""")
_BEFORE = 120


def shown_code(text: str, *, python: bool = False) -> str:
    """Return code with each secret in its literals and comments replaced by the reason for it."""
    text = _PEM.sub(lambda found: BY_SHAPE + _lines(found[0]), text)
    pattern = _PYTHON if python else _JAVASCRIPT
    return pattern.sub(lambda found: _shown(found, text), text)


def _shown(found: re.Match[str], text: str) -> str:
    whole = found[0]
    if found["comment"]:
        return without_secrets(whole)
    if not found["literal"]:
        return whole
    quote = whole[:3] if whole[:3] in {'"""', "'''"} else whole[0]
    inner = whole[len(quote) : -len(quote)]
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    named = _ASSIGNED.search(before) or _ARGUMENT.search(before)
    why = hidden(named["name"], inner) if named else BY_SHAPE if looks_secret(inner) else ""
    return f"{quote}{why}{_lines(inner)}{quote}" if why else whole


def _lines(text: str) -> str:
    return "\n" * text.count("\n")
