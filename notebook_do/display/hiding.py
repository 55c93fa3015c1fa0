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
from notebook_do.display.rich import Rich, code, rich

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CHANGED = "hidden, changed"
"""What is said of a hidden value that another one replaces."""
BY_NAME, BY_SHAPE = "hidden because of its name", "hidden because it looks like a secret"

_WORDS = frozenset(
    ("TOKEN", "SECRET", "PASSWORD", "PASSWD", "KEY", "CREDENTIAL", "PRIVATE", "DSN", "APIKEY", "PASSPHRASE")
)
# No other English word ends like these; of KEY (monkey, turkey) only whole words count.
_ENDS = (
    *("TOKEN", "SECRET", "PASSWORD", "PASSWD", "CREDENTIAL"),
    *("APIKEY", "SECRETKEY", "PRIVATEKEY", "ACCESSKEY", "AUTHKEY", "SIGNINGKEY", "ENCRYPTIONKEY"),
)
_HEADERS = frozenset(("set-cookie", "cookie", "authorization", "proxy-authorization"))
_NAME_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|[A-Z]")
# Each is looked for in what anybody may have stored: nothing is read again and again from where it could begin.
PEM = r"-----BEGIN [A-Z0-9 ]*-----(?:[^-]*+(?:-(?!----)[^-]*+)*+-----END [A-Z0-9 ]*-----|[^\n]*)"
_SHAPES = re.compile(
    rf"(?s:{PEM})"
    r"|(?:(?<![\w-])eyJ[\w-]{6,}+|\beyJ[\w-]{6,1000}+)\.[\w-]{4,}(?:\.[\w-]*)?"  # a JWT: base64 of {"
    r"|(?:\b[A-Za-z][A-Za-z0-9+.-]{0,30})?://[^\s/:@\"'`?#]*:(?!\$\{)[^\s/@\"'`]+@"
    r"|\b(?:sk|rk|whsec)_(?=[A-Za-z_]*\d|[A-Za-z0-9_]{16})\w{6,}|\bsk-[\w-]{16,}"
    r"|\bgh[pousr]_\w{6,}|\bgithub_pat_\w{6,}|\bglpat-[\w-]{6,}|\bxox[a-z]-[\w-]{6,}"
    r"|\b(?:AKIA|ASIA)[A-Z0-9]{8,}|\bAIza[\w-]{20,}"
)
# A word of letters and digits alone, long enough to be no name: most keys of services without a prefix.
_EDGES = r"\s\"'`=:,;()\[\]{}"
_OPAQUE = re.compile(rf"(?<![^{_EDGES}])(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{{24,}}(?![^{_EDGES}.])")


def is_secret_name(name: str) -> bool:
    """Say whether a name is one of a secret: split at `_`, `-`, `.` and capitals, plurals included."""
    return any(map(_is_secret_word, words_of(name)))


def words_of(name: str) -> list[str]:
    """Split a name into its words, in capitals."""
    return [word.upper() for word in _NAME_WORD.findall(name)]


def _is_secret_word(word: str) -> bool:
    singular = word.removesuffix("S")
    return singular in _WORDS or word in _WORDS or singular.endswith(_ENDS)


def looks_secret(text: str) -> bool:
    """Say whether a text looks like a secret, or has one in it."""
    return bool(_SHAPES.search(text) or _OPAQUE.search(text))


def without_secrets(text: str) -> str:
    """Return a sentence or a comment with what looks like a secret in it replaced by the reason."""
    return _OPAQUE.sub(BY_SHAPE, without_known_secrets(text))


def without_known_secrets(text: str) -> str:
    """Do that for what has the shape of a known kind alone: an error names objects and scripts by their ids."""
    return _SHAPES.sub(BY_SHAPE, text)


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
    return _SHAPES.sub(BY_SHAPE, name)


def json_line(value: Any) -> str:
    """Write a JSON value on one line."""
    return json.dumps(value, ensure_ascii=False)


def is_session_header(name: str) -> bool:
    """Say whether a header carries a session or a credential."""
    return name.lower() in _HEADERS


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
