"""What is shown of a value: one function decides what is hidden, by name and by shape, wherever values are shown.

Whether a value is a secret is told by its name (`API_KEY`, `dbPassword`) or its shape (a PEM block, a JWT, an address
with a password, a token of a known service). It is for plain values, JSON, code, headers and log lines alike; ids that
a binding names are no plain values, and a real secret is never here at all.
"""

from __future__ import annotations

import json
import re
from operator import is_
from typing import TYPE_CHECKING, Any

from notebook_do.display.formats import clipped_value, counted
from notebook_do.display.naming import STRONG, is_secret_name, is_session_header, strength, words_of
from notebook_do.display.rich import Rich, code, rich

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHANGED = "hidden, changed"
"""What is said of a hidden value that another one replaces."""
BY_NAME, BY_SHAPE = "hidden because of its name", "hidden because it looks like a secret"

# Each is looked for in what anybody may have stored: nothing is read again and again from where it could begin.
PEM = r"-----BEGIN [A-Z0-9 ]*-----(?:[^-]*+(?:-(?!----)[^-]*+)*+-----END [A-Z0-9 ]*-----|[^\n]*)"
_SHAPES = re.compile(
    rf"(?s:{PEM})"
    r"|(?:(?<![\w-])eyJ[\w-]{6,}+|\beyJ[\w-]{6,1000}+)\.[\w-]{4,}(?:\.[\w-]*)?"  # a JWT: base64 of {"
    # Behind a port no password stands, and one may have an @ in it.
    r"|(?:\b[A-Za-z][A-Za-z0-9+.-]{0,30})?://[^\s/:@\"'`?#]*:(?!\$\{|\d{1,5}[?#])[^\s/\"'`]+@"
    r"|\bhooks\.slack\.com/services/[\w/-]{6,}|\bdiscord(?:app)?\.com/api/webhooks/\d+/[\w-]{6,}"
    r"|\b(?:sk|rk|whsec)_(?=[A-Za-z_]*\d|[A-Za-z0-9_]{16})\w{6,}|\bsk-[\w-]{16,}"
    r"|\bgh[pousr]_\w{6,}|\bgithub_pat_\w{6,}|\bglpat-[\w-]{6,}|\bxox[a-z]-[\w-]{6,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{8,}|\bAIza[\w-]{20,}"
    r"|\b(?:npm|hf|shp(?:at|ca|pa|ss)|do[op]_v1)_[A-Za-z0-9]{20,}|\bSG\.[\w-]{16,}\.[\w-]{16,}"
)
# A word of letters and digits alone, long enough to be no name: most keys of services without a prefix.
_EDGES = r"\s\"'`=:,;()\[\]{}"
_OPAQUE = re.compile(rf"(?<![^{_EDGES}])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{{24,}}(?![^{_EDGES}.])")

# --- what a longer text gives to a name: an address with a query, settings, JSON, a header, a line of a shell.
# `--secret` is our own, behind which no value stands.

_NAME = r"[A-Za-z_][\w.-]{1,63}"
# What code has written as `\n` ends a word as the line that it stands for does.
_BEGINS = r"(?:(?<![\w.$\\-])|(?<=\\[nrt]))"
_BARE = r"[^\s\"'`\\,;&<>(){}\[\]|]"
_SENT = r"[^\s\"'`\\<${]{1,4000}+"
_MORE_COOKIES = r"(?<=;)[ \t]{1,9}(?!(?i:path|domain|expires|max-age|samesite)=)(?=[^\s;=]{1,200}=)"


def _within(quote: str, end: str = "") -> str:
    return rf"(?:(?!(?P={quote}))(?:\\.|[^\\\n])){{1,2000}}+(?=(?P={quote}){end})"


_GIVEN = re.compile(
    r"(?i:\b(?P<n9>(?:proxy-)?authorization|(?:set-)?cookie))[ \t]{0,9}:[ \t]{0,9}"
    rf"(?i:(?:bearer|basic|token)[ \t]{{1,9}})?(?P<v9>(?=\S*[\d=]){_SENT}(?:{_MORE_COOKIES}{_SENT}){{0,99}}+)"
    rf"|{_BEGINS}(?<!--secret )(?P<n1>{_NAME})=(?P<v1>{_BARE}{{3,2000}}+)"  # TOKEN=... and ?token=...
    rf"|(?P<q2>\\{{0,7}}[\"'])(?P<n2>{_NAME})(?P=q2)\s{{0,9}}:\s{{0,9}}(?P=q2)(?P<v2>{_within('q2', '|$')})"  # of JSON
    rf"|{_BEGINS}(?P<n3>{_NAME})[ \t]{{0,9}}[=:][ \t]{{0,9}}(?P<q3>\\{{0,7}}[\"'])(?P<v3>{_within('q3')})"
    rf"|(?:^|(?<=\\n)|(?<=[\"'`]))[ \t*#-]{{0,40}}(?P<n4>{_NAME}):[ \t]+(?P<v4>(?=\S*[^A-Za-z\s]){_BARE}{{3,2000}}+)"
    r"(?=[ \t]*(?:$|\\|[\"'`]))"  # a line of YAML, or a header
    rf"|(?<![\w-])--(?!secret[ =])(?P<n5>[a-z][a-z-]{{1,40}})(?:[ ]+|=)(?P<v5>(?=\S*\d){_BARE}{{4,2000}}+)"
    r"|\b(?i:bearer)[ ]+(?P<v6>(?=\S*\d)[\w.~+/=-]{6,}+)"
    r"|\b(?i:basic)[ ]+(?P<v7>(?=\S*\d|\S*[a-z][A-Z]\S*[a-z][A-Z])[\w+/=]{8,}+)"
    r"|://(?P<v8>(?=[^/@\s]*\d)[\w%~-]{16,200}+(?=:?@)|(?=[^/@\s]*\d)[\w%~-]{6,200}+(?=:@))",
    re.MULTILINE,
)
_NO_VALUE = re.compile(
    r"(?i)(?:string|number|object|boolean|any|unknown|null|undefined|none|true|false|str|int|bytes|optional|required"
    r"|\d{1,3}|(.)\1*|\.{2,}|%[sd(].*|[$<{%:*].*)\Z"
    r"|(?:env|process|this|self|os|ctx|request|config|args|import)\.|(?:your|my|the|some|an?|example)[-_ ]"
    r"|hidden(?:\Z| because)"  # what was hidden before
)
_WORDS_OF_CAPITALS = re.compile(r"[A-Z]+(?:_[A-Z]+)*\Z")
_ABOUT = frozenset(
    (
        *("TYPE", "NAME", "URL", "URI", "FILE", "PATH", "ENDPOINT", "LENGTH", "SIZE", "LIMIT", "COUNT"),
        *("TTL", "EXPIRES", "EXPIRY", "LIFETIME", "MAX", "MIN", "BUDGET"),
    )
)
_SIGNATURES = frozenset(("sig", "signature", "x-amz-signature", "x-goog-signature"))


def without_given(text: str) -> str:
    """Return a text with what it gives to names of secrets, or sends as a credential, replaced by the reason."""
    pieces: list[str] = []
    at = kept = 0
    while found := _GIVEN.search(text, at):
        part = str(found.lastgroup)
        instead = _instead_of(found, part)
        at = found.end(part) if instead else found.start(part)  # in what is shown there may be more
        if instead:
            pieces += [text[kept : found.start(part)], instead]
            kept = at
    return "".join([*pieces, text[kept:]]) if pieces else text


def _instead_of(found: re.Match[str], part: str) -> str:
    """Return what is shown in place of the part that is a value; empty where it is shown."""
    value, name = found[part], found[f"n{part[1]}"] if part[1] in "123459" else ""
    is_query = found.string[found.start() - 1 : found.start()] in {"?", "&"}
    is_number_of = value.isdigit() and name.lower().endswith("tokens")  # that a language model read
    if is_no_value(value) or is_number_of or (name and not _is_credential(name, is_query=is_query)):
        return ""
    return by_name(value) if name else BY_SHAPE


def is_no_value(value: str) -> bool:
    """Say whether what stands for a value is a type, a place to fill in, or words for what was hidden."""
    return bool(_NO_VALUE.match(value) or _WORDS_OF_CAPITALS.match(value))


def _is_credential(name: str, *, is_query: bool) -> bool:
    """Say whether a name in a text is one of a secret, and not of what is said about it (`token_type`)."""
    words = words_of(name)
    about = not words or words[-1] in _ABOUT or words[0] in _ABOUT
    return (is_query and name.lower() in _SIGNATURES) or (strength(name) == STRONG and not about)


def looks_secret(text: str) -> bool:
    """Say whether a text looks like a secret, or has one in it."""
    return looks_secret_itself(text) or without_given(text) != text


def looks_secret_itself(text: str) -> bool:
    """Say whether a text has the shape of a secret in it, whatever it is called there."""
    return bool(_SHAPES.search(text) or _OPAQUE.search(text))


def without_secrets(text: str) -> str:
    """Return a sentence or a comment with what looks like a secret in it replaced by the reason."""
    return _OPAQUE.sub(BY_SHAPE, without_known_secrets(text))


def without_known_secrets(text: str) -> str:
    """Do that for what has the shape of a known kind alone: an error names objects and scripts by their ids."""
    return without_given(_SHAPES.sub(BY_SHAPE, text))


def hidden(name: str, value: Any) -> str:
    """Return why a value is not shown, in the words that stand in its place; empty where it is shown."""
    text = _as_text(value)
    if value is None or text == "":
        return ""
    if is_secret_name(name):
        return by_name(value) if isinstance(value, str) else BY_NAME
    return BY_SHAPE if text is not None and looks_secret(text) else ""


def hidden_in_column(column: str, value: Any) -> str:
    """Do that for a value in a column of a user's frame: one called `key` alone tells rows apart, as a key of storage.

    Whose key it is a secret's name says: `api_key`.
    """
    return hidden("" if column.lower() == "key" else column, value)


def _as_text(value: Any) -> str | None:
    """Return the text that a value is or holds: also bytes may be a key in letters, and an error may quote one."""
    match value:
        case str():
            return value
        case bytes() | bytearray():
            return value.decode("latin-1")
    return str(value) if isinstance(value, Exception) else None


def by_name(value: str) -> str:
    """Return what is said in the place of a text that is hidden because of its name."""
    return f"{BY_NAME} ({counted(len(value), 'character')})"


def shown_value(name: str, value: Any) -> Rich:
    """Return what is shown of a plain value: a text as it is, any other as JSON on one line, what is hidden in words.

    The part that is a value has the look of code, the words in the place of a hidden one have not.
    """
    if why := hidden(name, value):
        return rich(why)
    return code(value if isinstance(value, str) else json_line(shown_json(name, value)))


def shown_json(name: str, value: Any) -> Any:
    """Return a JSON value, or one that an object has stored, with what is hidden replaced by words.

    Each key in it is a name. A part without anything to hide is the part itself.
    """
    return _shown_part(name, value, {})


def _shown_part(name: str, value: Any, met: dict[int, Any]) -> Any:
    """Return one part; `met` are those that were begun, as a stored value may hold itself."""
    if why := hidden(name, value):
        return why
    if id(value) in met:
        return met[id(value)]
    if isinstance(value, dict):
        table: dict[Any, Any] = {}
        met[id(value)] = table
        table |= {_shown_key(key): _shown_part(str(key), item, met) for key, item in value.items()}
        return _same(value, met, [*table, *table.values()], [*value, *value.values()])
    if isinstance(value, list | tuple | set | frozenset):
        items = sorted(value, key=repr) if isinstance(value, set | frozenset) else value
        made: list[Any] = []
        met[id(value)] = made
        made += [_shown_part("", item, met) for item in items]
        return _same(value, met, made, items)
    return value


def _same(value: Any, met: dict[int, Any], made: Sequence[Any], given: Sequence[Any]) -> Any:
    """Return what was made of a value; the value itself where no part of it is another."""
    if len(made) == len(given) and all(map(is_, made, given)):
        met[id(value)] = value
    return met[id(value)]


def _shown_key(key: Any) -> Any:
    return BY_SHAPE if looks_secret(str(key)) else key


def shown_name(name: str) -> str:
    """Return what is shown of a key of storage, which tells things apart: only a token of a known form is hidden."""
    return without_known_secrets(name)


def json_line(value: Any) -> str:
    """Write a JSON value on one line."""
    return json.dumps(value, ensure_ascii=False)


def shown_header(name: str, value: str) -> str:
    """Return what is shown of a header; those that carry a session or a credential are hidden by their name."""
    if is_session_header(name):
        return by_name(value)
    return hidden(name, value) or value


def shown_change(name: str, before: Any, after: Any) -> tuple[str, str]:
    """Return what is shown of a value before and after; of a hidden one only that it changed."""
    if hidden(name, before) and hidden(name, after):
        return str(shown_value(name, before)), CHANGED
    return str(shown_value(name, before)), str(shown_value(name, after))


# --- JSON, path by path

_IDENTIFIER = re.compile(r"[A-Za-z_$][\w$]*")
_PATHS = 3


def json_changes(name: str, before: Any, after: Any) -> Rich:
    """Return in words what differs between two JSON values, at most 3 paths of it."""
    was, now = dict(_leaves("", name, before)), dict(_leaves("", name, after))
    paths = list(dict.fromkeys((*was, *now)))
    if paths == [""]:
        return _difference(was[""], now[""])
    # As JSON: to Python true is 1.
    differ = [path for path in paths if json_line(was.get(path)) != json_line(now.get(path))]
    pieces: list[str] = [f"JSON, {len(differ)} of {len(paths)} values: "]
    for at, path in enumerate(differ[:_PATHS]):
        pieces += ["; " if at else "", _difference(was.get(path), now.get(path))]
    more = len(differ) - _PATHS
    return rich(*pieces, f" and {more} more" if more > 0 else "")


_Leaf = tuple[str, Any, str]
"""The name of a value, the value, and what is shown of its path: a key may be a secret too."""


def _leaves(path: str, name: str, value: Any, shown: str = "") -> Iterator[tuple[str, _Leaf]]:
    """Yield the path of each value that is no table or list, or is hidden as a whole."""
    if isinstance(value, dict) and value and not hidden(name, value):
        for key, item in value.items():
            step = f".{key}" if _IDENTIFIER.fullmatch(str(key)) else f"[{json.dumps(str(key))}]"
            yield from _leaves(path + step, str(key), item, shown + _shown_step(str(key), step))
    elif isinstance(value, list | tuple) and value and not hidden(name, value):
        for at, item in enumerate(value):
            yield from _leaves(f"{path}[{at}]", "", item, f"{shown}[{at}]")
    else:
        yield path, (name, value, shown)


def _shown_step(key: str, step: str) -> str:
    return f"[{json.dumps(BY_SHAPE)}]" if looks_secret(key) else step


def _difference(was: _Leaf | None, now: _Leaf | None) -> Rich:
    _, _, path = now or was or _NO_LEAF
    lead = rich(code(path), " ") if path else rich()
    if was is None:
        return rich(lead, "is added: ", _leaf(now))
    if now is None:
        return rich(lead, "is removed, was ", _leaf(was))
    if hidden(*was[:2]) and hidden(*now[:2]):
        return rich(lead, CHANGED)
    return rich(lead, _leaf(was), " → ", _leaf(now))


_NO_LEAF: _Leaf = ("", None, "")


def _leaf(leaf: _Leaf | None) -> Rich:
    name, value, _ = leaf or _NO_LEAF
    if why := hidden(name, value):
        return rich(why)
    return code(clipped_value(json_line(value)))
