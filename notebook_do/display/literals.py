"""Finds the literals and comments of code, and which literals are given to a name of a secret.

No grammar: brackets, what gives a value to a name (`=`, `:`, `["name", ...]`), and where that ends. The code may be a
part of a file, of another language than is said, or none at all; nothing raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.display.naming import KEY, NONE, STRONG, of_arguments, strength, takes_a_pair, takes_pairs
from notebook_do.display.tokens import (
    BEFORE_OBJECT,
    CLOSING,
    COMMENT,
    COMPARED,
    CONDITIONS,
    ENDING,
    JOINING,
    KEYWORDS,
    LITERAL,
    NAME,
    NO_ASSIGNMENT,
    OPENING,
    OPERANDS,
    PIECE,
    PYTHON_BLOCKS,
    REGULAR,
    TOKENS,
    TYPES,
    WORD,
    Bracket,
    Found,
    Language,
)

if TYPE_CHECKING:
    from collections.abc import Sequence


class CodeReader:
    """Reads code once, token by token."""

    def __init__(self, text: str, language: Language) -> None:
        self.found: list[Found] = []
        self._text, self._pattern = text, TOKENS[language]
        self._python, self._json = language == "python", language == "json"
        self._config = language == "config"
        self._scripted = not (self._python or self._config)
        self._frame, self._outer = Bracket("top"), list[Bracket]()
        self._at, self._ended = 0, 0
        self._last, self._word, self._owner, self._name = "", "", "", NONE
        self._compared, self._fallback, self._left = -1, NONE, -1
        self._block, self._targets = False, NONE

    def read(self) -> Sequence[Found]:
        """Return all literals and comments, in the order of their ends."""
        match, text = self._pattern.match, self._text
        while token := match(text, self._at):
            kind = token.lastindex or 0
            self._at = token.end()
            if kind == COMMENT:
                self.found.append(Found("comment", token.start(kind), self._at))
                continue
            start = token.start(kind)
            if start > self._ended:
                self._line(start, kind)
            if kind == WORD:
                self._of_word(token[kind])
            elif kind == LITERAL:
                self._of_literal(start, self._at)
            else:
                self._of_other(token[kind], start)
            self._ended = self._at
        return self.found

    # --- where a statement ends

    def _line(self, start: int, kind: int) -> None:
        """End the statement where a new line begins another one."""
        frame = self._frame
        if self._python or self._config:
            if frame.kind == "top" and "\n" in self._text[self._ended : start]:
                self._end()
                self._last = ""
        elif frame.given and kind in {WORD, LITERAL} and self._last in OPERANDS and frame.kind in {"top", "{"}:
            follows = self._text[start : self._at]
            if "\n" in self._text[self._ended : start] and follows not in JOINING:
                self._end()

    def _end(self) -> None:
        frame = self._frame
        frame.given = frame.base
        frame.conditions, frame.label, frame.angles, frame.count = 0, False, 0, 0
        self._name, self._block, self._targets = NONE, False, NONE

    # --- words and literals

    def _of_word(self, word: str) -> None:
        if word in KEYWORDS and self._last not in {".", "?."}:
            self._of_keyword(word)
            return
        # No operator between: the next attribute, the next condition of SQL, words of prose.
        if self._last == "literal" or (self._last == "word" and self._frame.given == KEY):
            self._frame.given = self._frame.base
        self._owner = self._word if self._last in {".", "?."} else ""
        self._word = word
        self._name = name = strength(word)
        if name:
            self._frame.words = max(self._frame.words, name)
        if self._left >= 0:
            self.found[self._left].given = STRONG if name == STRONG else NONE
        self._last, self._compared, self._fallback = "word", -1, NONE

    def _of_keyword(self, word: str) -> None:
        frame = self._frame
        if self._python:
            if word in PYTHON_BLOCKS and self._last == "" and frame.kind == "top":
                self._block = True
            if word == "lambda":
                frame.label = True
            if word == "or" and self._name == STRONG:
                frame.given = STRONG
            self._fallback = self._name if word == "or" else NONE
        elif word in ENDING and frame.kind in {"top", "{"} and self._last != "<":
            self._end()
        elif word in {"case", "default"}:
            self._end()
            frame.label = word == "case"
        if word in {"of", "in"} and self._name == STRONG:
            frame.given = STRONG
        self._last, self._name, self._left, self._compared = word, NONE, -1, -1
        self._word = self._owner = ""

    def _of_literal(self, start: int, end: int) -> None:
        if self._glued(start):  # the apostrophe of a word of prose
            self._at = start + 1
            return
        text = self._text
        while text[start] not in "\"'":
            start += 1
        is_long = (self._python or self._config) and end - start >= 6 and text.startswith(('"""', "'''"), start)
        quote = 3 if is_long else 1
        self._add(start + quote, end - quote)

    def _glued(self, start: int) -> bool:
        before = self._text[start - 1 : start]
        return self._text[start] == "'" and before.isalpha() and start == self._ended and self._last == "word"

    def _add(self, start: int, end: int) -> None:
        given = self._given(start, end)
        self.found.append(Found("literal", start, end, given))
        frame = self._frame
        written = NAME.fullmatch(self._text, start, end)
        self._word = written[0] if written else ""
        self._name = strength(self._word)
        if self._last in OPENING or self._last == ",":
            frame.sole = self._name
        if frame.entry == -1:
            frame.entry = self._name
        self._last, self._compared, self._fallback, self._left = "literal", -1, NONE, -1

    def _given(self, start: int, end: int) -> int:
        """Say what a literal is given to that begins here; one that is compared is given to nothing."""
        if self._compared >= 0:
            is_word = end - start > 2 and self._text[start:end] not in TYPES
            return STRONG if self._compared == STRONG and is_word else NONE
        return self._fallback or self._frame.given

    # --- all else

    def _of_other(self, mark: str, start: int) -> None:
        if mark == "/" and self._scripted and self._regular(start):
            return
        if mark == "`" and self._scripted and self._template(start, self._at):
            return
        if mark in OPENING:
            self._open(mark)
        elif mark in CLOSING:
            self._close(mark)
        else:
            self._operate(mark)
            self._last = mark

    def _regular(self, start: int) -> bool:
        """Pass over a regular expression, which may hold quotes: it begins where no operand has ended."""
        if (self._last in OPERANDS and self._last != "}") or self._last == "<":
            return False
        found = REGULAR.match(self._text, start)
        if found is None:
            return False
        self._at, self._last = found.end(), "word"
        self._name, self._word = NONE, ""
        return True

    def _operate(self, mark: str) -> None:
        if mark in COMPARED:
            self._compare()
        elif mark in {"??", "||"}:
            self._fall_back()
        elif mark in {".", "?.", "!"}:
            self._compared = -1
        else:
            self._separate(mark)
            self._name, self._left, self._compared, self._fallback = NONE, -1, -1, NONE

    def _separate(self, mark: str) -> None:
        frame = self._frame
        if mark[-1] == "=" and mark not in NO_ASSIGNMENT:
            self._assign()
        elif mark in {":", "?:"}:
            self._colon()
        elif mark == ",":
            self._comma()
        elif mark == ";" or (mark == ">" and self._last == "/"):  # `<Login token="..." />`
            self._end()
        elif mark == "=>":
            frame.given = frame.given if frame.given == STRONG else NONE
        elif mark == "?":
            frame.conditions += 1
        elif mark in "<>":
            is_type = mark == "<" and self._last == "word" and self._word[:1].isupper()
            frame.angles = frame.angles + 1 if is_type else max(0, frame.angles - (mark == ">"))

    def _fall_back(self) -> None:
        if self._name == STRONG:
            self._frame.given = STRONG
        self._fallback = self._name if self._last != "literal" else NONE
        self._name, self._left, self._compared = NONE, -1, -1

    def _compare(self) -> None:
        self._left = len(self.found) - 1 if self._last == "literal" else -1
        if self._left >= 0:
            self.found[self._left].given = NONE
        self._compared = self._name if self._last != "literal" else NONE
        self._fallback = NONE

    def _assign(self) -> None:
        frame = self._frame
        if self._last == "literal":
            self.found[-1].given = NONE
        frame.given = max(frame.given, self._name)
        if self._python and frame.kind == "top" and frame.count:
            frame.given = max(frame.given, self._targets)
            self._targets = -frame.given

    def _colon(self) -> None:
        frame = self._frame
        if frame.label:
            frame.label = False
        elif frame.conditions:
            frame.conditions -= 1
        elif self._block and frame.kind == "top":
            self._end()
        elif frame.kind != "index":
            if self._last == "literal":
                self.found[-1].given = NONE
            frame.given = max(frame.base, self._name, frame.entry if self._word in {"value", "val"} else NONE)
            frame.entry = -1 if self._word in {"name", "key", "header", "variable"} else frame.entry

    def _comma(self) -> None:
        frame = self._frame
        if frame.angles:
            return
        paired = frame.pairs and self._last == "literal" and frame.count == 0
        if self._python and frame.kind == "top":
            if self._targets < 0:  # `user, password = "...", "..."`
                return
            self._targets = max(self._targets, self._name)
        frame.count += 1
        frame.base = max(frame.base, frame.further)
        frame.given = max(frame.base, frame.sole if paired else NONE)
        frame.conditions, frame.sole = 0, NONE

    # --- brackets

    def _open(self, bracket: str) -> None:
        parent = self._frame
        is_operand = self._last in OPERANDS
        frame = Bracket(bracket, before=self._name if self._last == "word" else NONE)
        if bracket == "(":
            self._open_call(frame, parent, is_operand=is_operand)
        elif bracket == "[":
            frame.kind = "index" if is_operand else "["
            frame.base = NONE if is_operand else parent.given
            frame.pairs = parent.kind == "[" or takes_pairs(parent.function)
        elif self._python or self._json or self._last in BEFORE_OBJECT:
            frame.base = parent.given if parent.given == STRONG or self._json else NONE
        frame.given = frame.base
        self._enter(frame)
        self._last = bracket

    def _open_call(self, frame: Bracket, parent: Bracket, *, is_operand: bool) -> None:
        if self._last == "word" or is_operand:
            frame.function = self._word if self._last == "word" else ""
            frame.base, frame.further = of_arguments(self._owner, frame.function, parent.given)
            frame.pairs = takes_a_pair(frame.function)
        elif self._last not in CONDITIONS:
            frame.base = parent.given
            frame.pairs = self._python

    def _enter(self, frame: Bracket) -> None:
        self._outer.append(self._frame)
        self._frame = frame
        self._name, self._left, self._compared, self._fallback = NONE, -1, -1, NONE

    def _close(self, bracket: str) -> None:
        frame = self._frame
        if frame.kind == "${" and bracket == "}":
            self._frame = self._outer.pop()
            self._template(frame.template, self._at)
            return
        self._name, self._left, self._compared, self._fallback = NONE, -1, -1, NONE
        opened = "[" if frame.kind == "index" else frame.kind
        if opened == CLOSING[bracket]:
            self._frame = self._outer.pop()
            if bracket == "]":
                alone = frame.sole if frame.count == 0 else NONE  # `env["TOKEN"]`, `{ ["password"]: ... }`
                inner = max(alone, frame.words if frame.kind == "[" or frame.words == STRONG else NONE)
                self._name = max(inner, frame.before)
        self._last = bracket

    # --- templates

    def _template(self, start: int, at: int) -> bool:
        """Read the text of a template from `at` to its end, or to the code in it; false where it never ends."""
        piece = PIECE.match(self._text, at)
        if piece is None:
            self._last = "`"
            return False
        end, self._at = piece.start(1), piece.end()
        self._add(at, end)
        if piece[1] == "`":
            self.found.append(Found("template", start + 1, end))
            return True
        given = self.found[-1].given
        self._enter(Bracket("${", base=given, given=given, template=start))
        self._last = "${"
        return True
