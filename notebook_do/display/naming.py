"""What a name in code says of the value that it is given to, and a function of its arguments."""

from __future__ import annotations

import re
from functools import lru_cache

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


def one_of(words: str) -> frozenset[str]:
    """Return the words of a text."""
    return frozenset(words.split())


NONE, KEY, STRONG = 0, 1, 2
"""What a name is: of no secret; of a key that may only tell things apart (`cacheKey`); of a secret."""

_KINDS_OF_KEYS = one_of(
    "API SECRET PRIVATE ACCESS AUTH SIGNING ENCRYPTION MASTER SERVICE LICENSE ACCOUNT ADMIN SSH SSL DEPLOY"
)
_KEYS = one_of("KEY KEYS")
_VERBS = one_of(
    "GET IS HAS VERIFY CHECK MAKE CREATE PARSE SIGN LOAD READ FETCH USE VALIDATE DELETE REMOVE GENERATE "
    "DERIVE IMPORT FIND REQUIRE LOOKUP PROMPT INPUT ASK SELECT QUERY DEFINE HANDLE ON HASH REFRESH ROTATE "
    "REVOKE"
)
_SETTERS = one_of("SET WITH PUT ADD PROVIDE STORE UPDATE")
_LOOKUPS = one_of("get getenv getItem pop setdefault getOrDefault")
_CARRIERS = one_of(
    "encode decode from parse freeze of concat raw unsafe fromBase64 fromHex fromhex b64decode b64encode from_base64"
)
_PAIRED = one_of("push unshift append add extend insert fromEntries Map Headers URLSearchParams FormData dict")
_COMPARING = one_of(
    "includes has is eq ne equal equals toBe replace replaceAll split startsWith endsWith on off "
    "addEventListener describe it test assertEqual strictEqual"
)


def is_secret_name(name: str) -> bool:
    """Say whether a name is one of a secret: split at `_`, `-`, `.` and capitals, plurals included."""
    return any(map(_is_secret_word, words_of(name)))


def words_of(name: str) -> list[str]:
    """Split a name into its words, in capitals."""
    return [word.upper() for word in _NAME_WORD.findall(name)]


def _is_secret_word(word: str) -> bool:
    singular = word.removesuffix("S")
    return singular in _WORDS or word in _WORDS or singular.endswith(_ENDS)


def is_session_header(name: str) -> bool:
    """Say whether a header carries a session or a credential."""
    return name.lower() in _HEADERS


@lru_cache(maxsize=8192)
def strength(name: str) -> int:
    """Say what a name is; that of a function that begins with a verb (`getToken`) names no value, and weighs less."""
    if is_session_header(name):
        return STRONG
    if not is_secret_name(name):
        return NONE
    words = words_of(name)
    if words[0] in _VERBS and len(words) > 1:
        return KEY
    # Each word of a secret but KEY says so by itself; of keys only some kinds are secrets for sure.
    return STRONG if any(_is_strong(words, at) for at in range(len(words))) else KEY


def _is_strong(words: list[str], at: int) -> bool:
    if words[at] in _KEYS:
        return at > 0 and words[at - 1] in _KINDS_OF_KEYS
    return is_secret_name(words[at])


def of_arguments(owner: str, function: str, given: int) -> tuple[int, int]:
    """Say what the first and what the further arguments of a call are, where its result is given to a name.

    `owner` is the word before the dot of a method; it is empty where nothing is before it.
    """
    words = words_of(function)
    if words and strength(function) == STRONG and (words[0] in _SETTERS or is_secret_name(words[-1])):
        return STRONG, STRONG
    if given != STRONG:
        return NONE, NONE
    if function in _LOOKUPS:
        return NONE, STRONG
    carries = function in _CARRIERS or owner[:1].isupper() if owner else not words or words[0] not in _VERBS
    return (STRONG, STRONG) if carries else (NONE, NONE)


def takes_a_pair(function: str) -> bool:
    """Say whether the second argument of a call can be the value of what the first one names."""
    return function not in _COMPARING


def takes_pairs(function: str) -> bool:
    """Say whether a function takes lists of a name and its value."""
    return function in _PAIRED
