"""What is shown of code, of its frames and its diffs: only string literals and comments are looked at for secrets.

What is hidden keeps its lines, so that line numbers, carets and diffs stay right.
"""

from __future__ import annotations

import re

from notebook_do.display.hiding import BY_SHAPE, PEM, hidden, is_secret_name, without_secrets

_PEM = re.compile(PEM, re.DOTALL)
_STRINGS = r"""\"(?:\\.|[^"\\\n])*"|'(?:\\.|[^'\\\n])*'"""
_JAVASCRIPT = re.compile(
    rf"(?P<comment>/\*.*?\*/|//[^\n]*)|(?P<literal>{_STRINGS}|`(?:\\.|[^`\\])*`)"
    # A regular expression may hold quotes; it begins where no operand can end.
    r"|(?:(?<=[=(,:;!&|?{}\[\n])|(?<=return)\s)[ \t]*/(?![*/])(?:\\.|\[(?:\\.|[^\]\\\n])*\]|[^/\n\\\[])+/",
    re.DOTALL,
)
_LITERAL = re.compile(rf"(?P<literal>{_STRINGS}|`(?:\\.|[^`\\])*`)")
_PYTHON = re.compile(
    rf'(?P<comment>#[^\n]*)|(?P<literal>"""(?:\\.|[^\\])*?"""|\'\'\'(?:\\.|[^\\])*?\'\'\'|{_STRINGS})', re.DOTALL
)
# What stands before a literal that is assigned to a name, compared with it, its default or its property.
_NAME = r"""(?P<name>[\w$][\w$.-]*)["'`]?\s*\]?\s*"""
_IS = r"(?:(?::\s*[\w<>\[\]|. ]{1,40})?\s*[?|&+]{0,2}=(?![=>])|:)\s*"
_ASSIGNED = re.compile(rf"{_NAME}(?:{_IS}|(?:[=!]==?|\?\?|\|\|)\s*)[fFrRbBuU]{{0,2}}\Z")
# It need not be the first of the value: what that falls back to, either of two, a part of it, what stands in brackets.
_PART = re.compile(
    rf"""{_NAME}{_IS}(?:(?:[^;,{{}}()=\n"'`]|{_STRINGS})*(?:\?\?|\|\||[?:+]|\b(?:or|else))\s*)?"""
    r"[(\[]{0,2}\s*[fFrRbBuU]{0,2}\Z"
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
        # Code that was taken out has literals too.
        return without_secrets(_LITERAL.sub(lambda one: _literal(one, whole), whole))
    return _literal(found, text) if found["literal"] else whole


def _literal(found: re.Match[str], text: str) -> str:
    whole = found[0]
    quote = whole[:3] if whole[:3] in {'"""', "'''"} else whole[0]
    inner = whole[len(quote) : -len(quote)]
    before = text[max(0, found.start() - _BEFORE) : found.start()]
    # Most literals have no such name before them, and the patterns take their time.
    patterns = (_ASSIGNED, _PART, _ARGUMENT) if is_secret_name(before) else ()
    named = (one["name"] for pattern in patterns if (one := pattern.search(before)))
    why = next((why for name in (*named, "") if (why := hidden(name, inner))), "")
    return f"{quote}{why}{_lines(inner)}{quote}" if why else whole


def _lines(text: str) -> str:
    return "\n" * text.count("\n")
