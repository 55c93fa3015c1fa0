"""What code is read as: its tokens, the words and marks that mean something, brackets and what stands in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from notebook_do.display.naming import NONE, one_of

Language = Literal["javascript", "python", "json", "config"]

STRINGS = r"""\"[^"\\\n]*(?:\\.[^"\\\n]*)*\"|'[^'\\\n]*(?:\\.[^'\\\n]*)*'"""
LONG = r"""\"{3}[^"\\]*(?:(?:\\.|\"(?!\"{2}))[^"\\]*)*\"{3}|'{3}[^'\\]*(?:(?:\\.|'(?!'{2}))[^'\\]*)*'{3}"""
PREFIX = "[fFrRbBuUtT]{1,2}"
NOTES = r"//[^\n]*|/\*(?:.*?\*/|.*)"
OPERATORS = r"=>|[=!]==?|[<>]=|:=|\?\?=?|\|\|=?|&&=?|[-+*%&|^]=|\?\.(?!\d)|\?:"


def _tokens(comment: str, literal: str, word: str = r"[\w$]+") -> re.Pattern[str]:
    # After an escape no literal begins: else one without an end would be looked for again and again.
    return re.compile(rf"\s*(?:({word})|({comment})|({literal})|({OPERATORS}|\\.|\S))", re.DOTALL)


TOKENS = {
    "javascript": _tokens(NOTES, STRINGS),
    "json": _tokens(NOTES, STRINGS),
    "python": _tokens(r"\#[^\n]*", rf"(?:{PREFIX})?(?:{LONG}|{STRINGS})", rf"(?!{PREFIX}[\"'])[\w$]+"),
    "config": _tokens(rf"\#[^\n]*|{NOTES}", rf"{LONG}|{STRINGS}"),
}
WORD, COMMENT, LITERAL = 1, 2, 3
PIECE = re.compile(r"[^`\\$]*(?:(?:\\.|\$(?!\{))[^`\\$]*)*(`|\$\{)", re.DOTALL)
# Bounded, and nothing is read twice: in a bundle of one line each slash could be the beginning of one without an end.
_CLASS = r"\[[^\]\\\n]{0,400}+(?:\\[^\n][^\]\\\n]{0,400}+){0,50}+\]"
REGULAR = re.compile(rf"/(?![*/>])(?:[^/\\\[\n]{{1,400}}+|\\[^\n]|{_CLASS}){{1,200}}+/[a-z]*")
NAME = re.compile(r"[\w.$-]{1,64}")

COMPARED = one_of("== === != !==")
NO_ASSIGNMENT = frozenset(("=>", "<=", ">=", *COMPARED))
OPERANDS = one_of("word literal ) ] }")
TYPES = one_of("string number object undefined function boolean bigint symbol")
ENDING = one_of("const let var return throw break continue export class function if for while do try")
KEYWORDS = ENDING | one_of(
    "else case typeof void delete new in of instanceof await yield and or not is elif with def except "
    "match lambda as satisfies switch catch finally import from default async"
)
JOINING = one_of("in of instanceof as satisfies is and or not if else")
CONDITIONS = one_of("if while for switch catch with function")
PYTHON_BLOCKS = one_of("if elif else for while with def class try except finally match case async")
BEFORE_OBJECT = one_of("= : ( , [ ?? || && ? ?: ??= ||= := return default yield + or and ${ in of")
OPENING, CLOSING = frozenset("([{"), {")": "(", "]": "[", "}": "{"}


@dataclass(slots=True)
class Found:
    """A literal or a comment: where it is, without its quotes, and what the name is that it is given to."""

    kind: Literal["literal", "comment", "template"]
    start: int
    end: int
    given: int = NONE


@dataclass(slots=True)
class Bracket:
    """What stands between two brackets: to what its values are given, at first and now."""

    kind: str
    base: int = NONE
    given: int = NONE
    further: int = NONE  # from the second argument on
    count: int = 0
    function: str = ""
    pairs: bool = False
    sole: int = NONE  # what the name in a literal is that stands alone
    entry: int = NONE  # what `name: "..."` of this table names
    words: int = NONE  # the strongest name in it
    before: int = NONE  # what the name before the bracket is
    conditions: int = 0
    angles: int = 0  # how many `<` of types are open
    label: bool = False
    template: int = 0
