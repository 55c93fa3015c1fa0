"""Turns script tags into who made a script and which namespace each of its stable IDs is, and back.

Our mark is `ndo:do:<session>:<stage>:<id>=<Class>@<12 hex>;...`, every part percent-encoded, in as many tags as it
needs; the 12 hex digits are how the namespace id begins. An upload that creates a namespace cannot have its id yet: the
digits are missing until a change of the tags puts them in. Marks of the first edition have no `@`. A mark lets a lost
state file be rebuilt from what is live, whatever was renamed or moved meanwhile. Cloudflare takes 10 tags a script of
1,024 bytes, without `,` and `&` (measured by others, github.com/alchemy-run/alchemy/pull/824). Alchemy's are read only.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from notebook_do.model import ClassBinding
from notebook_do.model.words import OP_TAG

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ObservedScript

MAX_TAGS = 9
"""One of the ten is left to the deployer, which names its operation in it."""
MAX_TAG_BYTES = 1024
ID_DIGITS = 12
"""How many of the 32 digits of a namespace id a mark has. Two live ids that begin alike are in doubt, never guessed."""
_OURS = "ndo:"
_PREFIX = f"{_OURS}do:"
_PLAIN = re.compile(r"[A-Za-z0-9_.~-]*")
"""What percent-encoding leaves as it is; looked for first, since nearly every id and class name is of these."""
_BEGINNING = re.compile(rf"[0-9a-f]{{{ID_DIGITS}}}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """What a mark says of one stable ID: its class, and how its namespace id begins.

    `begins` is empty where the id was to follow, or cannot be read, and None in the first edition: such an entry names
    a class only.
    """

    class_name: str
    begins: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What the tags of one script say: the session and stage that made it, and an entry for each stable ID."""

    session: str
    stage: str
    entries: Mapping[str, Entry] = field(default_factory=dict)

    def is_of(self, session: str, stage: str) -> bool:
        """Say whether this session and stage made it."""
        return (self.session, self.stage) == (session, stage)


def read_mark(tags: Iterable[str]) -> Mark | None:
    """Return our mark; None when there is none. Where it is damaged or contradicts itself, the id is unknown.

    Tags of a second session or stage are left out: one script has one owner, the first in their order.
    """
    owner: tuple[str, str] | None = None
    entries: dict[str, Entry] = {}
    disputed: set[str] = set()
    for tag in sorted(tags):
        # Every part is percent-encoded, so that a colon only separates: another count is a tag of some other layout.
        if not tag.startswith(_PREFIX) or tag.count(":") != 4:
            continue
        session, stage, body = tag.removeprefix(_PREFIX).split(":")
        found = (unquote(session), unquote(stage))
        owner = owner or found
        for id_, entry in _pairs(body) if found == owner else ():
            if entries.setdefault(id_, entry) != entry:
                disputed.add(id_)
    # A disputed entry is kept as one that names a class only. Left out, its stable ID would be one that no mark names,
    # and could be adopted by its class name.
    for id_ in disputed:
        entries[id_] = replace(entries[id_], begins="")
    return Mark(session=owner[0], stage=owner[1], entries=entries) if owner else None


def mark_of(session: str, stage: str) -> str:
    """Return how every mark of a session and stage begins, which each script that they made has among its tags."""
    return f"{_PREFIX}{_quoted(session)}:{_quoted(stage)}:"


def _quoted(text: str) -> str:
    return text if _PLAIN.fullmatch(text) else quote(text, safe="")


def _pairs(body: str) -> list[tuple[str, Entry]]:
    pairs = []
    for part in body.split(";"):
        id_, _, value = part.partition("=")
        class_name, at, begins = value.partition("@")
        if id_ and class_name:  # a damaged id says that there was one: what is left names a class only
            known = begins if _BEGINNING.fullmatch(begins) else ""
            pairs.append((unquote(id_), Entry(class_name=unquote(class_name), begins=known if at else None)))
    return pairs


def op_of(script: ObservedScript) -> str | None:
    """Return the operation of ours that uploaded what is live; None where no tag names one."""
    return next((t.removeprefix(OP_TAG) for t in script.tags if t.startswith(OP_TAG)), None)


def alchemy_classes(script: ObservedScript) -> dict[str, str]:
    """Return class names by Alchemy's ids: its older tags name a binding (`alchemy:do:`), later ones the classes.

    A binding says a class only where it is to a class of the script itself: the tags are written for others too.
    """
    own = {
        b.name: b.class_name
        for b in script.bindings or ()
        if isinstance(b, ClassBinding) and b.script_name in {None, script.name}
    }
    classes: dict[str, str] = {}
    for tag in sorted(script.tags):
        match tag.split(":"):
            case ["alchemy", "do", id_, binding] if binding in own:
                classes[id_] = own[binding]
            case ["alchemy", "dos", body]:
                for part in filter(None, body.split(";")):
                    id_, equals, class_name = part.partition("=")
                    classes[unquote(id_)] = unquote(class_name if equals else id_)
    return classes


def entry_of(class_name: str, namespace_id: str) -> Entry:
    """Return an entry as it is written today; with an empty `namespace_id` it waits for the id."""
    return Entry(class_name=class_name, begins=namespace_id[:ID_DIGITS])


def write_mark(session: str, stage: str, entries: Mapping[str, Entry]) -> tuple[str, ...]:
    """Return the mark in as few tags as hold it, with room for the ids that are to follow.

    So putting them in never takes one more tag, which Cloudflare could refuse as the eleventh.
    """
    head = mark_of(session, stage)
    # Percent-encoded text is ASCII: its characters are the bytes that Cloudflare counts.
    tags, body, room = [], "", MAX_TAG_BYTES - len(head)
    for id_, entry in sorted(entries.items()):
        at = "" if entry.begins is None else f"@{entry.begins}"
        part = f"{_quoted(id_)}={_quoted(entry.class_name)}{at}"
        needed = len(part) + (ID_DIGITS if at == "@" else 0)
        if body and 1 + needed > room:
            tags.append(head + body)
            body, room = "", MAX_TAG_BYTES - len(head)
        room -= needed + bool(body)
        body = f"{body};{part}" if body else part
    return (*tags, head + body)


def marked_tags(live: Iterable[str], mark: tuple[str, ...]) -> tuple[str, ...]:
    """Return the tags to upload: the live ones of others, and of our mark what fits beside them.

    What does not fit is known to the state file alone, and the plan warns of that.
    """
    foreign = sorted({tag for tag in live if not tag.startswith(_OURS)})
    return (*foreign, *mark[: max(0, MAX_TAGS - len(foreign))])


def completed_tags(live: Iterable[str], ids: Mapping[str, str]) -> tuple[str, ...]:
    """Return the live tags with `ids` (namespace id by stable ID) in the entries of our mark that wait for one."""
    tags = tuple(live)
    mark = read_mark(tags)
    if mark is None:
        return tags
    filled = {
        id_: entry_of(entry.class_name, ids.get(id_, "")) if entry.begins == "" else entry
        for id_, entry in mark.entries.items()
    }
    others = [tag for tag in tags if not tag.startswith(_PREFIX)]
    return (*others, *write_mark(mark.session, mark.stage, filled))


def bears_mark(live: Iterable[str], tags: Iterable[str]) -> bool:
    """Say whether the live tags hold all that `tags` say as a mark of ours."""
    return {tag for tag in tags if tag.startswith(_PREFIX)} <= set(live)
