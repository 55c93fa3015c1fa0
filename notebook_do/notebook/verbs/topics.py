"""`%durable help`: the list of verbs and topics, the help of one verb, or the page of one topic."""

from __future__ import annotations

import textwrap
from typing import TYPE_CHECKING

from notebook_do.errors import CommandError
from notebook_do.notebook import topics
from notebook_do.notebook.topics import ALL
from notebook_do.notebook.verbs import BY_NAME, did_you_mean
from notebook_do.notebook.verbs.help import overview, usage

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.model import Field

_WIDTH = 96


def page_of(topic: str) -> str:
    """Return the page of a topic or verb as Markdown; of no topic the list of all. Raises CommandError."""
    if not topic:
        return _printed(overview())
    if topic not in BY_NAME and topic not in ALL:
        hint = did_you_mean(topic, [*ALL, *BY_NAME]) or f"; topics: {', '.join(ALL)}; or the name of a verb."
        raise CommandError(f'%durable help: there is no topic "{topic}"{hint}')
    # `objects` is the name of a verb and of a topic.
    found = [_printed(usage(BY_NAME[topic]))] if topic in BY_NAME else []
    if topic in ALL:
        found.append(_OF_TABLES[topic]() if topic in _OF_TABLES else topics.page(topic))
    return "\n\n".join(found)


def _printed(text: str) -> str:
    """Return a text whose lines stay as they are, as a block of Markdown."""
    return f"```text\n{text}\n```"


def _table(rows: Iterable[tuple[str, str]]) -> str:
    """Lay out names with what is said of each; a long one has its words below."""
    kept = list(rows)
    width = min(26, max((len(name) for name, _ in kept), default=0))
    lines = []
    for name, words in kept:
        first = f"    {name.ljust(width)}  " if len(name) <= width else f"    {name}\n    {' ' * width}  "
        lines.append(first + _filled(words, indent=width + 6).lstrip())
    return "\n".join(lines)


def _paragraph(text: str) -> str:
    return _filled(" ".join(text.split()))


def _filled(text: str, *, indent: int = 0) -> str:
    blanks = " " * indent
    # A command or an option that is broken at its dash cannot be read, nor pasted.
    return textwrap.fill(text, _WIDTH, initial_indent=blanks, subsequent_indent=blanks, break_on_hyphens=False)


# --- pages that are made of tables

_PYTHON = {
    "durable_object_namespace": "the declared namespace",
    "plain_text": "a str",
    "secret_text": "nd.Secret.from_env(...)",
    "service": "the declared Worker, or nd.Service(...)",
}
"""How Python says what is bound, where that is more than a constructor."""


def _bindings() -> str:
    from notebook_do.model import BINDING_TYPES

    rows = []
    for row in BINDING_TYPES.values():
        if not row.constructor and not row.flag:
            continue
        ways = [f"{row.flag.name} {row.flag.value}"] if row.flag else []
        ways += [f'{{{row.toml} = "..."}}'] if row.toml else []
        python = _PYTHON.get(row.type) or (row.constructor and f"nd.{row.constructor}(...)")
        ways += [python] if python else []
        local = f"; not on the local target ({row.not_local})" if row.not_local else ""
        rows.append((row.word, f"{' · '.join(ways)}{local}"))
    said = _paragraph(
        """What a Worker finds in `env`: on the line, as a value of [workers.ID.bindings] in TOML, in Python. A
        namespace is bound by its stable ID, that of another Worker as WORKER.BINDING (TOML {worker = "W", binding =
        "B"}, Python worker.bindings.B). A TOML string is text, also where it is the stable ID of a namespace."""
    )
    return f"# Bindings\n\n{said}\n\n{_table(rows)}"


def _toml() -> str:
    from notebook_do.declare.tables import toml_keys
    from notebook_do.model import NAMESPACE_FIELDS, WORKER_FIELDS

    pages = []
    for head, kind in (("[namespaces.ID]", "namespace"), ("[workers.ID]", "worker")):
        fields = NAMESPACE_FIELDS if kind == "namespace" else WORKER_FIELDS
        rows = []
        rows += [(key, _key_words(fields[key])) for key in toml_keys("namespace" if kind == "namespace" else "worker")]
        pages.append(f"## {head}\n\n{_table(rows)}")
    said = _paragraph(
        """The body of a cell that begins with a bare %%durable, and a .toml file of the command line. ${py:NAME} in a
        value is the Python value of that name; never inside of a script."""
    )
    return "# TOML\n\n{}\n\n{}".format(said, "\n\n".join(pages))


def _key_words(field: Field) -> str:
    """Return what a key is for; of a switch whose option turns it off, what `false` does."""
    if field.takes == "bindings":
        return "a table of values by name; %durable help bindings"
    if field.setting:
        form = {"table": "a table", "list": "a list", "switch": "true or false"}.get(field.takes, "a text")
        return f"a setting, {form} in Cloudflare's own words"
    if field.flag is None:
        return "the source of the main module"
    return f"false: {field.flag.help}" if field.sets is False else field.flag.help


_OF_TABLES = {"bindings": _bindings, "toml": _toml}
"""The pages that are a table and little more."""
