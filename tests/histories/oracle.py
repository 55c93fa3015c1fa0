"""What is true in a history: which objects there are, which stable ID each namespace is, and what was destroyed.

The oracle never reads a state file, a mark or a tag. It knows what the history's user declared and chose, lists the
account, calls the declared Workers, and reads the objects' own markers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notebook_do.local.objects.stored import object_id

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kernels import Cloud


class Verdict(Exception):  # noqa: N818 - what a history ends with
    """A fault that the oracle saw: exchanged, lost, dead end, misjudged, broken, traceback, secret; or `harness`."""

    def __init__(self, kind: str, what: str) -> None:
        super().__init__(f"{kind}: {what}")
        self.kind, self.what = kind, what


@dataclass(slots=True, kw_only=True)
class Space:
    """One namespace of the account."""

    id: str
    token: str
    names: list[str] = field(default_factory=list)
    """The stable IDs that it was born for or explicitly given, the last one last; none where another tool made it."""
    former: set[str] = field(default_factory=set)
    """Those of `names` that a deploy replaced: where no state file tells of it, another namespace may begin so."""
    written: bool = False
    may_go: bool = False
    """Somebody asked for its destruction."""


class Oracle:
    """All namespaces that ever were."""

    def __init__(self, cloud: Cloud, token: str) -> None:
        self.cloud, self.token = cloud, token
        self.spaces: dict[str, Space] = {}
        self.live: dict[str, tuple[str, str]] = {}
        self.born_as: list[dict[tuple[str, str], str]] = []
        """(script, class) -> stable ID of each deploy that was begun, the last one last."""
        self.told = ""
        """What the state files of the directory hold that deploys."""
        self.beside: set[tuple[str, str]] = set()
        """What another tool uploads while a deploy runs: a class that this one takes away it begins anew."""

    def home(self, stable_id: str) -> Space | None:
        """Give the live namespace of a stable ID."""
        return next((s for s in self.spaces.values() if stable_id in s.names and s.id in self.live), None)

    def at(self, script: str, class_name: str) -> Space | None:
        """Give the namespace that is live as a class."""
        return next((self.spaces[i] for i, slot in self.live.items() if slot == (script, class_name)), None)

    def beginning(self, declared: dict[tuple[str, str], str]) -> None:
        """Note what a deploy that begins now would create."""
        self.born_as.append(declared)

    def grant(self, stable_id: str, space: Space) -> None:
        """Note that the user explicitly said: this stable ID is that namespace."""
        for other in self.spaces.values():
            if other is not space:
                other.names = [n for n in other.names if n != stable_id]
        space.names = [*(n for n in space.names if n != stable_id), stable_id]

    def look(self, done: str = "") -> None:
        """List the account: note what is new, and whether something is lost.

        `done` is what another tool just did: the class that it names is its own, all others were made by our deploys,
        also by one that was killed and whose request was admitted only now.
        """
        self.live = self.cloud.namespaces()
        for id_, slot in self.live.items():
            if id_ not in self.spaces:
                stable_id = None if ".".join(slot) in done.split() else self._born_for(slot)
                before = self.home(stable_id) if stable_id else None
                if before is not None and slot in self.beside:
                    stable_id = before = None
                if before is not None and stable_id in before.former and before.id not in self.told:
                    before.names.remove(stable_id)
                    before = None
                names = [stable_id] if stable_id else []
                self.spaces[id_] = Space(id=id_, token=f"{self.token}-{len(self.spaces)}", names=names)
                if before is not None:
                    raise Verdict(
                        "exchanged", f"{stable_id} began anew as {id_} ({'.'.join(slot)}), its own is {before.id}"
                    )
        for space in self.spaces.values():
            if space.id not in self.live and not space.may_go:
                raise Verdict("lost", f"namespace {space.id} of {space.names} is gone, nobody destroyed it")

    def _born_for(self, slot: tuple[str, str]) -> str | None:
        return next((declared[slot] for declared in reversed(self.born_as) if slot in declared), None)

    def gone(self) -> None:
        """Forget what was destroyed and is gone; what was to be destroyed and is not stays."""
        for space in list(self.spaces.values()):
            if space.id not in self.live:
                del self.spaces[space.id]
            space.may_go = False

    def reach(self, stable_id: str, script: str, binding: str) -> Space:
        """Call a declared Worker and give the namespace that the binding reaches; its marker must be there."""
        answer = self.cloud.call(script, f"/{binding}/")
        found = re.fullmatch(r"([0-9a-f]{64}) (\S*)", answer.text)
        if answer.status_code != 200 or not found:
            raise Verdict("broken", f"{script} does not serve {stable_id}: {answer.status_code} {answer.text[:200]}")
        here = next((s for s in self.spaces.values() if object_id(s.id, "one") == found[1]), None)
        if here is None:
            raise Verdict("broken", f"{stable_id} on {script} reaches an object of no known namespace")
        if here.written and found[2] != here.token:
            raise Verdict("lost", f"the object of {here.id} held {here.token} and now {found[2] or 'nothing'}")
        if not here.written:
            answer = self.cloud.call(script, f"/{binding}/{here.token}")
            here.written = answer.text.endswith(here.token)
        return here

    def check(self, stable_id: str, script: str, binding: str, granted: Iterable[str]) -> None:
        """Let a stable ID reach its own objects and no others; `granted` are namespace ids the user chose for it."""
        here = self.reach(stable_id, script, binding)
        if stable_id in here.names:
            here.former = {*here.names} - {stable_id}
            return
        if here.id in granted:
            self.grant(stable_id, here)
            return
        own = self.home(stable_id)
        whose = f"of {here.names}" if here.names else "that another tool made"
        raise Verdict("exchanged", f"{stable_id} reaches {here.id} {whose}; its own is {own.id if own else 'none'}")

    def everything(self) -> None:
        """Read every marker by its namespace's id alone."""
        self.look()
        for space in self.spaces.values():
            if space.written and space.id in self.live and space.token not in self.cloud.stored(space.id):
                raise Verdict("lost", f"namespace {space.id} of {space.names} does not hold {space.token} any more")
