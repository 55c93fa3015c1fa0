"""The options of `%durable namespace` and `%%durable worker`: one table for the parser, the help and completion.

Words come from POSIX shlex rules; an option that is not in the table is an error with the nearest one.
"""

from __future__ import annotations

import shlex
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Literal

from notebook_do.errors import CommandError

Kind = Literal["namespace", "worker"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Option:
    """One option. `value` names its value in the help, empty for a switch; `many` may be given more than once.

    `choices` are its only values; `completes` says what the names behind it are: namespaces, workers or files.
    """

    flag: str
    value: str = ""
    help: str
    many: bool = False
    choices: tuple[str, ...] = ()
    completes: str = ""


OPTIONS: dict[Kind, tuple[Option, ...]] = {
    "namespace": (
        Option(flag="--class", value="NAME", help="the exported class that runs its objects"),
        Option(flag="--kv", help="legacy key-value storage instead of SQLite"),
        Option(flag="--script", value="WORKER", help="the Worker that hosts it, by name or id", completes="workers"),
        Option(flag="--environment", value="ENV", help="the environment of a host that is not declared here"),
        Option(flag="--renamed-from", value="ID", help="the stable ID that this one replaces", completes="namespaces"),
        Option(flag="--transferred-from", value="WORKER", help="the Worker it moves away from", completes="workers"),
        Option(flag="--namespace-id", value="ID", help="adopt this live namespace"),
        Option(flag="--unprotect", help="allow a later destroy"),
    ),
    "worker": (
        Option(flag="--name", value="NAME", help="the script name on Cloudflare"),
        Option(
            flag="--bind",
            value="BINDING=ID",
            help="a namespace by stable ID, or WORKER.BINDING of another Worker",
            many=True,
            completes="namespaces",
        ),
        Option(flag="--var", value="NAME=TEXT", help="a string in env", many=True),
        Option(flag="--json", value="NAME=JSON", help="a JSON value in env", many=True),
        Option(
            flag="--secret",
            value="NAME[=SOURCE]",
            help="a secret, from a VARIABLE (default NAME), keyring[:KEY] or prompt[:KEY]",
            many=True,
        ),
        Option(flag="--service", value="BINDING=WORKER", help="another Worker", many=True, completes="workers"),
        Option(flag="--lang", value="LANG", help="the language of the body", choices=("js", "ts", "py")),
        Option(flag="--entrypoint", value="FILE", help="a file instead of a body", completes="files"),
        Option(flag="--no-bundle", help="upload that file and what it imports as they are"),
        Option(flag="--compat-date", value="DATE", help="compatibility date, YYYY-MM-DD"),
        Option(flag="--compat-flag", value="FLAG", help="compatibility flag", many=True),
        Option(flag="--no-url", help="no workers.dev address"),
        Option(flag="--previews", value="on|off", help="preview URLs", choices=("on", "off")),
        Option(flag="--cron", value="CRON", help="a cron trigger", many=True),
        Option(flag="--route", value="PATTERN", help="a route, such as example.com/*", many=True),
        Option(flag="--domain", value="HOST", help="a custom domain", many=True),
        Option(flag="--consumes", value="QUEUE[=JSON]", help="a queue, with the consumer's settings", many=True),
        Option(flag="--assets", value="DIR[=JSON]", help="static assets, with how they are served", completes="files"),
        Option(flag="--setting", value="NAME=JSON", help="observability, placement, limits and the like", many=True),
        Option(flag="--adopt", help="take over a live Worker of this name"),
        Option(
            flag="--lifecycle",
            value="FORM",
            help="how class migrations are sent",
            choices=("auto", "exports", "migrations"),
        ),
    ),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Words:
    """A parsed line: the id and, by flag, the values given (an empty string for a switch)."""

    id: str
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def one(self, flag: str) -> str | None:
        """Give the value of an option that is given at most once."""
        values = self.given.get(flag)
        return values[0] if values else None

    def all(self, flag: str) -> tuple[str, ...]:
        """Give the values of an option that may be given more than once."""
        return self.given.get(flag, ())

    def has(self, flag: str) -> bool:
        """Say whether a switch was given."""
        return flag in self.given


def usage(kind: Kind) -> str:
    """Describe the line of `kind` and its options."""
    head = "%durable namespace ID" if kind == "namespace" else "%%durable worker ID"
    options = OPTIONS[kind]
    left = [f"{o.flag} {o.value}".rstrip() for o in options]
    width = max(map(len, left))
    rows = [f"  {text:<{width}}  {_describe(o)}" for text, o in zip(left, options, strict=True)]
    return "\n".join([f"{head} [options]", *rows])


def _describe(option: Option) -> str:
    choices = f" ({', '.join(option.choices)})" if option.choices else ""
    return f"{option.help}{choices}{', repeatable' if option.many else ''}"


def split_line(line: str) -> list[str]:
    """Split a line by POSIX shlex rules; raises CommandError for an open quote."""
    try:
        return shlex.split(line, posix=True)
    except ValueError as error:
        raise CommandError(
            f"cannot read the line: {str(error).lower()}; close the quote or escape it.", line=1
        ) from None


def nearest(word: str, known: tuple[str, ...] | list[str]) -> str:
    """Say `did you mean X?` when something known is near, else name what is known."""
    close = get_close_matches(word, known, n=1, cutoff=0.6)
    return f"did you mean {close[0]}?" if close else f"known are {', '.join(known)}."


def parse_words(kind: Kind, words: list[str]) -> Words:
    """Read the words behind `namespace` or `worker`; raises CommandError naming the option at fault."""
    table = {o.flag: o for o in OPTIONS[kind]}
    ids: list[str] = []
    given: dict[str, list[str]] = {}
    rest = list(words)
    while rest:
        word = rest.pop(0)
        if word in {"-h", "--help"}:
            raise CommandError(usage(kind))
        if not word.startswith("-"):
            ids.append(word)
            continue
        flag, equals, inline = word.partition("=")
        option = table.get(flag)
        if option is None:
            raise CommandError(f"{kind}: unknown option {flag}; {nearest(flag, list(table))}", line=1)
        if flag in given and not option.many:
            raise CommandError(f"{kind}: {flag} is given twice; give it once.", line=1)
        given.setdefault(flag, []).append(_value(kind, option, inline if equals else None, rest))
    if len(ids) != 1:
        extra = "a word" if "--secret" in given else ", ".join(ids[1:])  # the word may be the value of a secret
        what = "no id is given" if not ids else f"{extra} is one word too many"
        raise CommandError(f"{kind}: {what}; write {usage(kind).splitlines()[0]}", line=1)
    return Words(id=ids[0], given={flag: tuple(values) for flag, values in given.items()})


def _value(kind: Kind, option: Option, inline: str | None, rest: list[str]) -> str:
    if not option.value:
        if inline is not None:
            raise CommandError(f"{kind}: {option.flag} takes no value.", line=1)
        return ""
    if inline is None and (not rest or rest[0].startswith("--")):
        raise CommandError(f"{kind}: {option.flag} needs a value: {option.flag} {option.value}", line=1)
    value = rest.pop(0) if inline is None else inline
    if option.choices and value not in option.choices:
        raise CommandError(f"{kind}: {option.flag} {value}: {nearest(value, option.choices)}", line=1)
    return value


def pair(kind: Kind, flag: str, text: str) -> tuple[str, str]:
    """Split `NAME=VALUE`; raises CommandError when there is no `=` or no name."""
    name, equals, value = text.partition("=")
    if not equals or not name:
        form = next(o.value for o in OPTIONS[kind] if o.flag == flag)
        raise CommandError(f"{kind}: {flag} {text}: write {flag} {form}", line=1)
    return name, value
