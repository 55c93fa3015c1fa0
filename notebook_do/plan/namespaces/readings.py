"""Reads from what is live which namespace a stable ID is, where the state file does not know its id.

A mark with an id is believed by the id alone, whatever class or script the namespace has now. What names a class only
(a mark without ids, Alchemy's tags, a record without an id) is believed where nobody changed the script since we wrote
down its classes, or where it can be read in one way only. Everything else is in doubt, and never guessed.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.marks import ID_DIGITS, Entry, Mark, alchemy_classes, read_mark

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import (
        DesiredNamespace,
        ObservedNamespace,
        ObservedScript,
        Recorded,
        RecordedNamespace,
        RecordedWorker,
        StableId,
    )
    from notebook_do.plan.facts import Facts, Findings


@dataclass(frozen=True, slots=True, kw_only=True)
class ClassReading:
    """What a mark, a tag or a record says of a stable ID: its class on a script, and how its namespace id begins."""

    slot: Slot
    begins: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What the statements about a stable ID come to: where they say that it is, and which live namespace that is.

    `live` is None where the namespace is gone, and where it is in doubt.
    """

    slot: Slot
    live: ObservedNamespace | None = None
    doubtful: bool = False
    candidates: tuple[ObservedNamespace, ...] = ()
    """What it may be, where that is in doubt, by namespace id."""


class Readings:
    """All that marks, Alchemy's tags and records say, against what is live. `session` is its name and stage."""

    def __init__(
        self,
        scripts: Mapping[str, ObservedScript],
        namespaces: Iterable[ObservedNamespace],
        recorded: Recorded,
        session: tuple[str, str],
    ) -> None:
        self._scripts, self._namespaces, self._recorded = scripts, tuple(namespaces), recorded
        self._session = session

    @cached_property
    def marks(self) -> dict[str, Mark]:
        """The marks by script, of whatever session and stage."""
        found = {name: read_mark(self._scripts[name].tags) for name in sorted(self._scripts)}
        return {name: mark for name, mark in found.items() if mark}

    @cached_property
    def _named(self) -> dict[str, list[tuple[str, Entry]]]:
        """By stable ID the scripts whose marks name it, with what each says, in the order of the scripts."""
        found: dict[str, list[tuple[str, Entry]]] = {}
        for name, mark in self.marks.items():
            for stable_id, entry in mark.entries.items():
                found.setdefault(stable_id, []).append((name, entry))
        return found

    @cached_property
    def _live(self) -> dict[str, ObservedNamespace]:
        return {n.namespace_id: n for n in self._namespaces}

    @cached_property
    def _slots(self) -> dict[Slot, ObservedNamespace]:
        return {Slot(n.script_name, n.class_name): n for n in self._namespaces}

    @cached_property
    def _hosted(self) -> dict[str, list[ObservedNamespace]]:
        hosted: dict[str, list[ObservedNamespace]] = {}
        for namespace in sorted(self._namespaces, key=lambda n: n.namespace_id):
            hosted.setdefault(namespace.script_name, []).append(namespace)
        return hosted

    @cached_property
    def _begins(self) -> dict[str, list[ObservedNamespace]]:
        found: dict[str, list[ObservedNamespace]] = {}
        for namespace in self._namespaces:
            found.setdefault(namespace.namespace_id[:ID_DIGITS], []).append(namespace)
        return found

    @cached_property
    def _workers(self) -> dict[str, RecordedWorker]:
        return {w.script_name: w for w in self._recorded.workers}

    @cached_property
    def _with_id(self) -> set[str]:
        """The stable IDs whose records have a namespace id."""
        return {r.stable_id for r in self._recorded.namespaces if r.namespace_id}

    @cached_property
    def _without_id(self) -> dict[str, set[str]]:
        """By script the stable IDs whose records have none."""
        found: dict[str, set[str]] = {}
        for record in self._recorded.namespaces:
            if not record.namespace_id:
                found.setdefault(record.script_name, set()).add(record.stable_id)
        return found

    @cached_property
    def claims(self) -> dict[str, frozenset[str]]:
        """By namespace id the stable IDs that claim it by its id: in records, and in marks of any session.

        Whoever claims a namespace so, nobody else gets it by its class name.
        """
        found: dict[str, set[str]] = {}
        for record in self._recorded.namespaces:
            found.setdefault(record.namespace_id, set()).add(record.stable_id)
        for mark in self.marks.values():
            for stable_id, entry in mark.entries.items():
                for namespace in self._begins.get(entry.begins or "", []):
                    found.setdefault(namespace.namespace_id, set()).add(stable_id)
        return {id_: frozenset(stable_ids) for id_, stable_ids in found.items()}

    def is_ours(self, script: str) -> bool:
        """Say whether a script bears the mark of this session and stage."""
        return script in self.marks and self.marks[script].is_of(*self._session)

    # --- one stable ID

    def marked(self, stable_id: str, host: str, *, adopts: bool = False) -> Reading | None:
        """Read what our marks say; with `adopts` also the mark of another session on `host`, or else Alchemy's tags.

        All our scripts are asked, that of the `host` first: a namespace may have been moved outside, or by a deploy
        whose state file is lost. None when nothing names the stable ID.
        """
        named = sorted(self._named.get(stable_id, ()), key=lambda pair: pair[0] != host)
        found = [_statement(n, entry) for n, entry in named if self.is_ours(n) or (adopts and n == host)]
        if not found and adopts and host in self._scripts:
            classes = alchemy_classes(self._scripts[host])
            found = [ClassReading(slot=Slot(host, classes[stable_id]))] if stable_id in classes else []
        return self._read(stable_id, found) if found else None

    def tagged(self, script: str) -> dict[str, Reading]:
        """Read what the tags of one script say of every stable ID that they name, whoever set them."""
        if mark := self.marks.get(script):
            return {i: self._read(i, [_statement(script, entry)]) for i, entry in mark.entries.items()}
        classes = alchemy_classes(self._scripts[script]) if script in self._scripts else {}
        return {i: self._read(i, [ClassReading(slot=Slot(script, name))]) for i, name in classes.items()}

    def recorded(self, record: RecordedNamespace) -> Reading:
        """Read a record: by its id; one without an id by a mark that has it, or else by its class.

        A record has no id where the namespace that a deploy created was not listed afterwards.
        """
        slot = Slot(record.script_name, record.class_name)
        if record.namespace_id:
            return Reading(slot=slot, live=self._live.get(record.namespace_id))
        named = self._named.get(record.stable_id, ())
        marked = [_statement(name, entry) for name, entry in named if self.is_ours(name) and entry.begins]
        return self._read(record.stable_id, marked or [ClassReading(slot=slot)])

    def _read(self, stable_id: str, statements: list[ClassReading]) -> Reading:
        """Decide between statements about one stable ID: an id that is live outweighs any class name."""
        named = [one for one in statements if one.begins]
        if not named:
            return self._by_class(stable_id, statements)
        found = {n.namespace_id: n for one in named for n in self._begins.get(one.begins or "", [])}
        if len(found) > 1:  # two marks name two namespaces, or two ids begin alike
            return self._in_doubt(stable_id, named[0].slot, found.values())
        if found:
            (live,) = found.values()
            which = next(one for one in named if live.namespace_id.startswith(one.begins or "-"))
            return Reading(slot=which.slot, live=live)
        if len(named) < len(statements):  # the ids are gone, but a statement without one may speak of what is live
            return self._in_doubt(stable_id, statements[0].slot)
        return Reading(slot=named[0].slot)

    def _by_class(self, stable_id: str, statements: list[ClassReading]) -> Reading:
        """Decide between statements that name a class only: believed where nothing else can be meant."""
        there = [one for one in statements if one.slot in self._slots] or statements
        slot = there[0].slot
        free = self._free(slot.script, stable_id)
        if len(there) > 1:
            return self._in_doubt(stable_id, slot)
        # A class name is an identity as long as nobody renamed a class since it was written down. Where somebody may
        # have, it is one only if nothing else on the script could be meant: a swap outside leaves both names in place.
        if self._untouched(slot.script):
            return Reading(slot=slot, live=self._slots.get(slot))
        if not free:  # every namespace there is another one by its id: this one is gone
            return Reading(slot=slot)
        if len(free) == 1 and free[0].class_name == slot.class_name and not self._rivals(slot.script, stable_id):
            return Reading(slot=slot, live=free[0])
        return self._in_doubt(stable_id, slot)

    def _in_doubt(self, stable_id: str, slot: Slot, found: Iterable[ObservedNamespace] | None = None) -> Reading:
        candidates = self._free(slot.script, stable_id) if found is None else found
        return Reading(slot=slot, doubtful=True, candidates=tuple(sorted(candidates, key=lambda n: n.namespace_id)))

    def _free(self, script: str, stable_id: str) -> list[ObservedNamespace]:
        """Return what a script hosts and no other stable ID claims by its id."""
        claims, own = self.claims, {stable_id}
        return [n for n in self._hosted.get(script, []) if not claims.get(n.namespace_id, own) - own]

    def _rivals(self, script: str, stable_id: str) -> set[str]:
        """Return the other stable IDs that are said to be on a script, by a class name only."""
        mark = self.marks.get(script)
        names = {i for i, entry in mark.entries.items() if not entry.begins} if mark else set()
        if not mark and script in self._scripts:
            names = set(alchemy_classes(self._scripts[script]))
        names |= self._without_id.get(script, set())
        # Who has a namespace id of its own is known not to be this one, whatever class it had.
        return names - self._with_id - {stable_id}

    def _untouched(self, script: str) -> bool:
        """Say whether a script is live as we left it, so that the classes that we wrote down are those of today.

        By etag and time of change, both: either one missing, in an old state file say, decides nothing.
        """
        live, record = self._scripts.get(script), self._workers.get(script)
        if live is None or record is None or None in {record.etag, record.modified_on}:
            return False
        # The etag is that of the code, and a rename can come without new code (a PATCH of the settings takes
        # `migrations`): so the time of change has to agree as well.
        return (live.etag, live.modified_on) == (record.etag, record.modified_on)

    def nameless(self, script: str) -> bool:
        """Say whether a mark on a script names a stable ID by its class alone, and the state file does not know it."""
        mark = self.marks.get(script)
        return mark is not None and any(not e.begins and i not in self._with_id for i, e in mark.entries.items())


def readings_of(facts: Facts) -> Readings:
    """Return what can be read from what is live."""
    session = facts.desired.session, facts.desired.stage
    return Readings(facts.scripts, facts.observed.namespaces, facts.recorded, session)


def reading_of(stable_id: StableId, facts: Facts, readings: Readings) -> Reading | None:
    """Read where a stable ID is: as recorded, as declared by id, or by our mark; None when nothing names it.

    A record without a namespace id comes after an id in the cell: the user says what the record does not know.
    """
    record, desired = facts.records.get(stable_id), facts.namespaces.get(stable_id)
    if record is not None and (record.namespace_id or desired is None or desired.namespace_id is None):
        return readings.recorded(record)
    if desired is None:
        return None
    if desired.namespace_id is not None:
        slot = Slot(desired.script_name, desired.class_name)
        return Reading(slot=slot, live=facts.live.get(desired.namespace_id))
    return readings.marked(stable_id, desired.script_name)


def refuse_doubt(stable_id: str, reading: Reading, findings: Findings, desired: DesiredNamespace | None) -> None:
    """Refuse to guess which live namespace a stable ID is; the choices are what it may be."""
    findings.asked_about |= {n.namespace_id for n in reading.candidates}
    findings.refuse(
        "identity-unknown",
        stable_id,
        where=desired.where if desired else None,
        slot=reading.slot,
        candidates=reading.candidates,
        desired=desired,
    )


def _statement(script: str, entry: Entry) -> ClassReading:
    return ClassReading(slot=Slot(script, entry.class_name), begins=entry.begins)
