"""What `-h` and `%durable?` show: made of the tables of verbs, as wide as a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from notebook_do.notebook.topics import ALL
from notebook_do.notebook.verbs import GROUPS
from notebook_do.notebook.verbs.verb import JSON_OR_TEXT

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from notebook_do.declare.line import Option
    from notebook_do.notebook.verbs.verb import Verb


_NAMES = 9
"""The width of names in the list of all verbs."""
_QUOTED = """  JSON with quotes stands in single quotes: '["a"]'. "41" without them is the number 41, '"41"' is text."""


def usage(verb: Verb) -> str:
    """Write the help of one verb, as wide as a terminal."""
    prefix = "%%durable" if verb.form == "cell" else "%durable"
    # Five options still fit on the line; more would hide what must be given.
    flags = [option for option in verb.options if option.name.startswith("-")]
    shown = [option for option in verb.options if option not in flags or len(flags) <= 5]
    words = " ".join([*(_usage_word(option) for option in shown), *(["[options]"] if len(flags) > 5 else [])])
    lines = [f"{prefix} {verb.name} {words}".rstrip(), f"  {verb.summary[0].upper()}{verb.summary[1:]}."]
    lines += [f"  {verb.about}"] if verb.about else []
    lines += [_QUOTED] if any(option.help.endswith(JSON_OR_TEXT) for option in verb.options) else []
    rows = [(_option_words(option), option) for option in (*verb.options, *verb.common)]
    width = max(len(left) for left, _ in rows)
    for left, option in rows:
        more = f" ({', '.join(option.choices)})" if option.choices and not option.value else ""
        lines.append(f"    {left.ljust(width)}  {option.help}{more}")
    return "\n".join([*lines, *([f"  Example: {verb.example}"] if verb.example else [])])


def _usage_word(option: Option) -> str:
    word = option.value or "|".join(option.choices) or option.name
    if option.name.startswith("-"):
        word = f"{option.name} {_value(option)}".rstrip()
    word = word if option.required else f"[{word}]"
    return f"{word}..." if option.many else word


def _value(option: Option) -> str:
    return "|".join(option.choices) if option.choices else option.value


def _option_words(option: Option) -> str:
    if option.name == "-h":
        return "-h, --help"
    return f"{option.name} {_value(option)}".strip() if option.name.startswith("-") else option.value or option.name


def overview() -> str:
    """Write what `%durable help` and `%durable?` show: all verbs and topics in groups, on one screen."""
    groups = {group: {verb.name: verb.brief or verb.summary for verb in verbs} for group, verbs in GROUPS.items()}
    listed = "\n".join(line for group, rows in groups.items() for line in _listed(group, rows))
    topics = "\n".join(_listed("Topics", ALL))
    return (
        "Declare Cloudflare Durable Objects, read the plan, press Deploy.\n\n"
        "    %durable                 where am I, and what next\n"
        "    %durable VERB ...        a line acts or shows; %durable VERB -h is its help\n"
        "    %%durable worker ID ...  a cell declares: the body is the Worker's source\n"
        "    %%durable                a cell of TOML declares several: [namespaces.ID], [workers.ID]\n\n"
        f"{listed}\n\n"
        f"{topics}\n\n"
        "%durable help TOPIC is the page of a topic. Every verb takes --as VAR and --quiet, and --json where\n"
        "it declares nothing. Nothing is sent but by the Deploy button or --approve DIGEST."
    )


def _listed(group: str, rows: Mapping[str, str]) -> Iterator[str]:
    """Yield names with a few words each, two beside each other, read downwards; the group stands left of the first."""
    names, half = list(rows), -(-len(rows) // 2)
    width = max(_NAMES, *map(len, names))
    cells = [f"{name.ljust(width)}  {rows[name]}" for name in names]
    for at in range(half):
        beside = cells[half + at] if half + at < len(cells) else ""
        yield f"{(group if at == 0 else '').ljust(11)}{cells[at].ljust(width + 34)}{beside}".rstrip()
