"""Turns script tags into who made a script and which stable ID each of its classes has, and back.

Our mark is `ndo:do:<session>:<stage>:<id>=<Class>;<id>=<Class>`, every part percent-encoded, in as many tags as it
needs. It lets a lost state file be rebuilt from what is live. Cloudflare takes 10 tags a script of 1,024 bytes,
without `,` and `&` (measured by others, github.com/alchemy-run/alchemy/pull/824). Alchemy's are read only.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from notebook_do.model import ClassBinding

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ObservedScript

MAX_TAGS = 9
"""One of the ten is left to the deployer, which names its operation in it."""
MAX_TAG_BYTES = 1024
_OURS = "ndo:"
_PREFIX = f"{_OURS}do:"


@dataclass(frozen=True, slots=True, kw_only=True)
class Mark:
    """What the tags of one script say: the session and stage that made it, and class names by stable ID."""

    session: str
    stage: str
    classes: Mapping[str, str] = field(default_factory=dict)


def read_mark(tags: Iterable[str]) -> Mark | None:
    """Read our mark; None when there is none. Parts of a damaged tag are left out, never guessed."""
    owner: tuple[str, str] | None = None
    classes: dict[str, str] = {}
    for tag in sorted(tags):
        if not tag.startswith(_PREFIX) or tag.count(":") != 4:
            continue
        session, stage, body = tag.removeprefix(_PREFIX).split(":")
        found = (unquote(session), unquote(stage))
        owner = owner or found
        if found == owner:
            classes |= _pairs(body)
    return Mark(session=owner[0], stage=owner[1], classes=classes) if owner else None


def _pairs(body: str) -> dict[str, str]:
    pairs = (part.partition("=") for part in body.split(";") if part)
    return {unquote(id_): unquote(class_name) for id_, equals, class_name in pairs if id_ and equals and class_name}


def alchemy_classes(script: ObservedScript) -> dict[str, str]:
    """Read Alchemy's tags: class names by its ids; `alchemy:do:` names a binding, `alchemy:dos:` the classes."""
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


def write_mark(session: str, stage: str, classes: Mapping[str, str]) -> tuple[str, ...]:
    """Write the mark into as few tags as hold it."""
    head = f"{_PREFIX}{quote(session, safe='')}:{quote(stage, safe='')}:"
    tags, body = [], ""
    for id_, class_name in sorted(classes.items()):
        part = f"{quote(id_, safe='')}={quote(class_name, safe='')}"
        if body and len(head) + len(body) + 1 + len(part) > MAX_TAG_BYTES:
            tags.append(head + body)
            body = ""
        body = f"{body};{part}" if body else part
    return (*tags, head + body)


def marked_tags(live: Iterable[str], mark: tuple[str, ...]) -> tuple[str, ...]:
    """Give the tags to upload: the live ones of others, and of our mark what fits beside them."""
    foreign = sorted({tag for tag in live if not tag.startswith(_OURS)})
    return (*foreign, *mark[: max(0, MAX_TAGS - len(foreign))])
