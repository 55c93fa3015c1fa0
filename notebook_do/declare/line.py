"""Reads the words of a `%durable` line: one parser for every verb, those that declare included.

Words are split by POSIX shlex rules. Which options there are is a table: a verb's own, or that of a declaration, made
of the rows of its fields and of the binding types. The words for a mistake come with the table.
"""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """An option of a line, or an argument when its name has no dashes. `value` empty: a switch.

    `many`: it may be given more than once. `knows` says what can complete its value. `alone` is its value where none
    follows. `meant` are options of other tools for which a person may look here.
    """

    name: str
    value: str = ""
    alone: str = ""
    help: str = ""
    choices: tuple[str, ...] = ()
    many: bool = False
    required: bool = False
    knows: str = ""
    meant: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Wording:
    """How the mistakes of a line are said; `line` is the cell's line that an error names."""

    unknown: Callable[[str, Sequence[str]], str]
    """Of an option that is not among those of the table."""
    no_value: Callable[[Option], str]
    needs_value: Callable[[Option], str]
    no_choice: Callable[[Option, str], str]
    twice: Callable[[Option], str] | None = None
    """None: what was given last counts."""
    line: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A line that was read: its arguments and, by option, the values given (an empty text for a switch)."""

    free: tuple[str, ...] = ()
    given: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, name: str) -> str | None:
        """Return the value that was given last, if any was."""
        values = self.given.get(name)
        return values[-1] if values else None

    def all(self, name: str) -> tuple[str, ...]:
        """Return the values of an option that may be given more than once."""
        return self.given.get(name, ())

    def has(self, name: str) -> bool:
        """Return whether an option was given."""
        return name in self.given


REFERENCE = re.compile(r"\$\{py:([^}]*)\}")
"""A value of the notebook by its Python name: in TOML, and on the lines of `session`, `deploy` and `destroy`."""
# A letter behind the dashes: -1 is a value.
_OPTION = re.compile(r"--?[A-Za-z]")


def split_line(line: str) -> list[str]:
    """Split a line by POSIX shlex rules; raises ValueError for an open quote."""
    # Not IPython's `arg_split`, which keeps the quotes in the words (measured).
    return shlex.split(line, posix=True)


def read_words(options: Iterable[Option], words: Iterable[str], wording: Wording) -> Words:
    """Read words; options may stand anywhere and are never abbreviated. Raises CommandError naming the one at fault."""
    table = {o.name: o for o in options if o.name.startswith("-")}
    free: list[str] = []
    given: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word == "--":  # what follows are arguments
            return Words(free=(*free, *rest), given={name: tuple(values) for name, values in given.items()})
        if not _OPTION.match(word):
            free.append(word)
            continue
        name, equals, inline = word.partition("=")
        option = table.get(name)
        if option is None:
            raise CommandError(wording.unknown(name, list(table)), line=wording.line)
        if wording.twice and name in given and not option.many:
            raise CommandError(wording.twice(option), line=wording.line)
        given.setdefault(name, []).append(_value(option, inline if equals else None, rest, table, wording))
    return Words(free=tuple(free), given={name: tuple(values) for name, values in given.items()})


def is_like_option(word: str) -> bool:
    """Say whether a word would be read as an option, or ends them."""
    return word == "--" or bool(_OPTION.match(word))


_IN_DOUBLE_QUOTES = re.compile('[^"$`\\\\!\n]*')
"""What a shell and `%durable` read in double quotes as it stands."""


def quoted(word: str) -> str:
    """Return a word as it is pasted into a line or a shell: in double quotes where single ones stand in it.

    `shlex.quote` has no such form: of a statement with texts in it nobody could read what it writes.
    """
    return f'"{word}"' if "'" in word and _IN_DOUBLE_QUOTES.fullmatch(word) else shlex.quote(word)


def as_argument(word: str) -> str:
    """Return an argument as it is written on a line, behind which no option follows."""
    return f"-- {quoted(word)}" if is_like_option(word) else quoted(word)


def as_option(name: str, value: str) -> list[str]:
    """Return the words that give an option this value."""
    return [f"{name}={value}"] if value.startswith("-") else [name, value]


def _value(option: Option, inline: str | None, rest: list[str], table: Mapping[str, Option], wording: Wording) -> str:
    if not option.value:
        if inline is not None:
            raise CommandError(wording.no_value(option), line=wording.line)
        return ""
    # A single dash may begin a value (a negative number), so only a known short option ends one.
    if inline is None and (not rest or rest[0].startswith("--") or rest[0] in table):
        if option.alone:
            return option.alone
        raise CommandError(wording.needs_value(option), line=wording.line)
    value = rest.pop(0) if inline is None else inline
    if option.choices and value not in option.choices:
        raise CommandError(wording.no_choice(option, value), line=wording.line)
    return value


def take_out(options: Iterable[Option], words: Sequence[str], wording: Wording) -> tuple[Words, tuple[str, ...]]:
    """Read only these options; returns them, and every other word as it stands."""
    table = {o.name: o for o in options}
    found, left = Words(), list[str]()
    at = 0
    while at < len(words):
        name = words[at].partition("=")[0]
        # A verb that declares has options of its own behind these, which only its parser knows.
        option = table.get(name)
        if option is None:
            left.append(words[at])
            at += 1
            continue
        end = at + 1 + (bool(option.value) and words[at] == name)
        one = read_words(options, words[at:end], wording)
        found = Words(given={**found.given, **one.given})
        at = end
    return found, tuple(left)
