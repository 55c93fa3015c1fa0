"""Reads a `%durable` line into one use of a verb with its options, by the table of verbs.

Words are split by POSIX shell rules. A mistake raises CommandError with the nearest right word.
"""

from __future__ import annotations

import json
import re
import shlex
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

from notebook_do.declare.line import REFERENCE, Option, Wording, quoted, read_words, split_line, take_out
from notebook_do.errors import CommandError
from notebook_do.notebook.arguments import check
from notebook_do.notebook.verbs import did_you_mean, find, known_elsewhere
from notebook_do.notebook.verbs.help import usage
from notebook_do.notebook.verbs.verb import COMMON, DECLARING, Verb

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from notebook_do.model import Where


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One use of a verb. `words` are those after it; `body` is None for a line.

    `source` is the file, and what else stood there, when it was used on the command line.
    """

    ip: Any
    verb: str
    words: tuple[str, ...]
    body: str | None
    where: Where
    options: SimpleNamespace
    source: str = ""

    def again(self, *words: str) -> str:
        """Write the line that would use this verb again."""
        command = f"notebook-do {self.verb} {self.source}" if self.source else f"%durable {self.verb}"
        return f"{command} {' '.join(map(quoted, words))}".rstrip()


def split(line: str) -> list[str]:
    """Split a line into words by POSIX shell rules; a `;` at the end belongs to IPython."""
    try:
        return split_line(_data_quoted(line.strip().removesuffix(";")))
    except ValueError as error:
        raise CommandError(f"%durable: {str(error).lower()} in: {line.strip()}") from None


_DATA = re.compile(r"(?<=\s)--data(?:=|\s+)(?=[{\[])")


def _data_quoted(line: str) -> str:
    """Quote JSON behind `--data` that stands there without quotes: the shell rules would take away its own.

    It is sent as it is typed, and no other tool of the shell reads a line of a notebook.
    """
    at = 0
    while found := _DATA.search(line, at):
        at = found.end()
        try:
            split_line(line[: found.start()])  # else it stands in quotes itself
            _, end = json.JSONDecoder().raw_decode(line, at)
        except ValueError:
            continue
        if end == len(line) or line[end].isspace():
            quoted = shlex.quote(line[at:end])
            line, at = line[:at] + quoted + line[end:], at + len(quoted)
    return line


def uncommented(line: str) -> str:
    """Return a line without its trailing ` # ...`, as a POSIX shell reads it: a # in quotes or in a word is none.

    `shlex` has comments too, but takes the # of `a#b` for one.
    """
    quote, at_word = "", True
    at = 0
    while at < len(line):
        char = line[at]
        if char == "#" and at_word and not quote:
            return line[:at].rstrip()
        if char == "\\" and quote != "'":
            at += 1
        elif char == quote:
            quote = ""
        elif char in "'\"" and not quote:
            quote = char
        at_word = char.isspace() and not quote
        at += 1
    return line


def read_options(name: str, rest: list[str], body: str | None) -> SimpleNamespace:
    """Read the words after the verb; those of a declaration are left for declare/cell.py in `rest`."""
    verb = find(name) if name else None
    if verb and body is not None and verb.form == "line":
        raise CommandError(
            f"%%durable {name}: this verb takes no cell body; write %durable {name} on a line of its own."
        )
    if verb and not verb.declares:
        return _checked(parse(verb, rest))
    declares = name or body is not None
    found, left = common(DECLARING if declares else COMMON, rest)
    if not name and left and body is None:
        raise CommandError(f'%durable: "{left[0]}" is not a verb; see %durable -h.')
    if declares:
        _check_json(name, left)
    found.rest = left
    return _checked(found)


def _check_json(name: str, words: Sequence[str]) -> None:
    """Refuse `--json` on a line that declares, but for the binding of a Worker."""
    for at, word in enumerate(words):
        binds = name == "worker" and (at + 1 < len(words) and not words[at + 1].startswith("-"))
        if word == "--json" and not binds:
            raise CommandError(
                f"{name or '%%durable'}: --json alone means nothing where something is declared: `--json NAME=JSON` "
                "binds a JSON value to a Worker. `--as VAR` keeps what is declared in a variable."
            )


def filled(verb: str, words: list[str], values: Mapping[str, Any]) -> list[str]:
    """Replace `${py:NAME}` in the words of a `%durable` line by the text that the variable holds."""

    def look_up(found: re.Match[str]) -> str:
        name = found[1].strip()
        said = f"%durable {verb}: ${{py:{name}}}: "
        if name not in values:
            raise CommandError(f"{said}there is no value of that name; define {name} in Python first.")
        if not isinstance(value := values[name], str):
            # A digest of digits only becomes a number in papermill's -p, and one with an e in it infinity.
            kept = f"write str({name})" if verb == "session" else f"set it in quotes, with papermill by -r {name} TEXT"
            raise CommandError(f"{said}{name} must be a str, not {type(value).__name__}; {kept}.")
        return value

    return [REFERENCE.sub(look_up, word) for word in words]


def _checked(options: SimpleNamespace) -> SimpleNamespace:
    name = getattr(options, "as_", None)
    if name is not None and not name.isidentifier():
        raise CommandError(f'%durable: --as takes the name of a variable, not "{name}".')
    return options


def parse(verb: Verb, words: Sequence[str], *, beside: Iterable[str] = ()) -> SimpleNamespace:
    """Read the words after the verb. Options may stand anywhere; they can not be abbreviated.

    `beside` are options that were read before and that a mistyped one may have meant.
    """
    table = (*verb.options, *COMMON)
    # Before anything else: who asks for help need not have the line right. Behind -- stand arguments.
    if {"-h", "--help"} & set(words[: words.index("--")] if "--" in words else words):
        return SimpleNamespace(help=True)
    found = read_words(table, words, _wording(verb.name, verb, beside))
    values = {_attribute(o): _kept(o, found.all(o.name)) for o in table if o.name.startswith("-")}
    free = list(found.free)
    for option in (o for o in verb.options if not o.name.startswith("-")):
        values[option.name] = free if option.many else free.pop(0) if free else None
        free = [] if option.many else free
    if free:
        _check_divided(verb, values)
        raise CommandError(f'%durable {verb.name}: "{free[0]}" is one word too many; see %durable {verb.name} -h.')
    # After all is read: a missing argument is said last, when no word was too many or misspelt.
    for option in verb.options:
        _check(verb, option, values)
    return SimpleNamespace(**values)


def _check_divided(verb: Verb, values: Mapping[str, Any]) -> None:
    """Refuse JSON that its blanks have divided into words as what it is, and not for the word too many."""
    for option in verb.options:
        if option.value == "JSON" and isinstance(given := values.get(option.name), str):
            check(given, verb.name)


def common(options: Sequence[Option], words: Sequence[str]) -> tuple[SimpleNamespace, tuple[str, ...]]:
    """Read these options that every verb has, of a line that declares; the rest stays as it stands."""
    if {"-h", "--help"} & set(words):
        return SimpleNamespace(help=True), ()
    found, left = take_out(options, words, _wording("", None, ()))
    return SimpleNamespace(**{_attribute(o): _kept(o, found.all(o.name)) for o in COMMON}), left


def _attribute(option: Option) -> str:
    """Return under which name a value is found."""
    # `as` is a word of Python.
    special = {"--as": "as_", "-h": "help"}
    return special.get(option.name, option.name.lstrip("-").replace("-", "_"))


def _kept(option: Option, given: tuple[str, ...]) -> Any:
    """Return what the values of an option come to: a list, the last one, or whether a switch was given."""
    if not option.value:
        return bool(given)
    return list(given) if option.many else given[-1] if given else None


def _wording(name: str, verb: Verb | None, beside: Iterable[str]) -> Wording:
    """Return the words for the mistakes of a verb's line."""
    begun, see = f"%durable {name}".rstrip(), f"see %durable {name} -h".replace("  ", " ")

    def unknown(flag: str, known: Sequence[str]) -> str:
        if meant := next((o for o in (verb.options if verb else ()) if flag in o.meant), None):
            return f'{begun}: unknown option "{flag}", did you mean {meant.name} {meant.value}?'
        # What has this very name elsewhere is meant, and nothing that only looks like it.
        hint = _as_value(verb, flag) or known_elsewhere(flag)
        hint = hint or did_you_mean(flag, (*(names(verb) if verb else known), *beside)) or f"; {see}."
        return f'{begun}: unknown option "{flag}"{hint}'

    def no_choice(option: Option, value: str) -> str:
        hint = did_you_mean(value, option.choices) or f"; known are {', '.join(option.choices)}."
        return f'{begun}: {option.name} "{value}" is not known{hint}'

    def needs_value(option: Option) -> str:
        if option.name == "--as":
            return "%durable: --as needs the name of a variable."
        return f"{begun}: argument {option.name}: expected one argument; {see}."

    return Wording(
        unknown=unknown,
        no_value=lambda option: f"{begun}: {option.name} takes no value; {see}.",
        needs_value=needs_value,
        no_choice=no_choice,
    )


def _as_value(verb: Verb | None, flag: str) -> str:
    """Return what to write for a value that was written as an option: `--cloudflare` is `--target cloudflare`."""
    word = flag.lstrip("-")
    valued = [o for o in (verb.options if verb else ()) if word in o.choices]
    if len(valued) != 1:
        return ""
    return f', did you mean "{f"{valued[0].name} {word}" if valued[0].name.startswith("-") else word}"?'


def _check(verb: Verb, option: Option, values: Mapping[str, Any]) -> None:
    """Refuse an argument that is missing, or is none of its choices."""
    value = values[_attribute(option)]
    if option.required and value in (None, []):
        missing = option.name if option.name.startswith("-") else option.value or option.name
        raise CommandError(f"%durable {verb.name}: {missing} is missing; write {usage(verb).splitlines()[0]}")
    if not option.name.startswith("-") and option.choices and value is not None and value not in option.choices:
        said = did_you_mean(value, option.choices) or _either(verb, option, value, values)
        raise CommandError(f'%durable {verb.name}: "{value}" is not known{said}')


def _either(verb: Verb, option: Option, value: str, values: Mapping[str, Any]) -> str:
    """Return what to write in place of a word that is no choice: an id that stands alone lacks the word before it."""
    missing = [o for o in verb.options if o.required and values[_attribute(o)] in (None, [])]
    if [o.name for o in missing] != ["id"]:
        return f"; known are {', '.join(option.choices)}."
    return f"; say which it is: {' or '.join(f'%durable {verb.name} {word} {value}' for word in option.choices)}"


def names(verb: Verb) -> tuple[str, ...]:
    """Return all options of a verb as they are written."""
    return (*(o.name for o in (*verb.options, *verb.common) if o.name.startswith("-")), "--help")
