"""Orders what must happen to namespaces into uploads, each of them legal by Cloudflare's rules on its own.

A namespace goes from where it is to its goal by renames, transfers and creation. The rules kept by every upload:
a name is taken only when it was free before the upload; no name is both source and destination in one upload; a
script is not uploaded while it hosts a namespace that is leaving it (its new source no longer has the class), except
by the very upload that hands it over; a swap goes over a temporary name. Deletions come last, each in its own upload.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from notebook_do.model import (
    CreateClass,
    DeleteClass,
    NamespaceId,
    RenameClass,
    StableId,
    TransferClass,
    TransferredAway,
)
from notebook_do.plan.facts import Slot
from notebook_do.plan.namespaces.order import order_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ClassMigration, Lifecycle, Storage


TEMPORARY = "NotebookDoTemporary"
"""How a name begins that a namespace bears only while a swap is on its way."""


@dataclass(slots=True, kw_only=True)
class NamespaceMove:
    """A namespace on its way. `at` is None before it exists; `goal` is None when it is to be deleted."""

    stable_id: StableId
    namespace_id: NamespaceId
    storage: Storage
    at: Slot | None
    goal: Slot | None
    landing: Slot | None = None
    """Where an announced transfer (`exports` form) will arrive, until the source's upload hands it over."""

    @property
    def leaves(self) -> str | None:
        """The script that it is still to leave."""
        if self.at is None or self.goal is None or self.at.script == self.goal.script:
            return None
        return self.at.script


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What is asked of one declared script: how it speaks, what it binds, and whether it changes anyway."""

    script: str
    form: Lifecycle
    changed: bool
    converts: bool = False
    binds: frozenset[StableId] = frozenset()
    bound_classes: frozenset[str] = frozenset()
    """The class names in its bindings, whichever script hosts them."""
    serves: frozenset[str] = frozenset()
    """Declared scripts that it binds as services, or sends its tail to."""
    follows: frozenset[str] = frozenset()
    """Declared scripts that take over a queue which it stops to consume."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """One upload of one script."""

    script: str
    class_migrations: tuple[ClassMigration, ...]
    hosted: tuple[tuple[str, Storage, StableId], ...]
    """(class, storage, stable ID) of every namespace that the script hosts after the upload."""
    exports: Mapping[str, str | None]
    """The class names that the upload must export, and the source's class for each; None: an empty class."""
    places: Mapping[StableId, Slot]
    """Where each namespace that the script binds can be bound now; the others are left out for now."""
    barred: frozenset[str]
    """Class names that no binding may have yet: Cloudflare refuses to delete a class while the script binds that name,
    be it another script's class (code 10061, github.com/alchemy-run/alchemy/issues/800)."""
    services: frozenset[str]
    """The declared scripts that exist now."""
    moved: tuple[StableId, ...]
    """Namespaces that are on another script than this one through this upload."""
    final: bool
    """True when nothing of the script is left for a later upload."""


@dataclass(slots=True)
class Schedule:
    """Computes the stages; `stages` are complete after `run`."""

    moves: list[NamespaceMove]
    requests: dict[str, UploadRequest]
    existing: set[str]
    """Scripts that exist now."""
    stages: list[Stage] = field(default_factory=list)
    _by_id: dict[StableId, NamespaceMove] = field(default_factory=dict)
    _on: dict[str, dict[StableId, NamespaceMove]] = field(default_factory=dict)
    """The units that concern a script: on it, coming to it, landing on it."""
    _dirty: set[str] = field(default_factory=set)
    _converted: set[str] = field(default_factory=set)
    _forced: set[str] = field(default_factory=set)
    _occupied: dict[Slot, NamespaceMove] = field(default_factory=dict)

    def run(self) -> list[Stage]:
        """Give the stages in order. Raises CrossedTransfer."""
        for move in sorted(self.moves, key=lambda u: u.stable_id):
            self._by_id[move.stable_id] = move
            for slot in {move.at, move.goal} - {None}:
                self._on.setdefault(slot.script, {})[move.stable_id] = move  # type: ignore[union-attr]
            if move.at:
                self._occupied[move.at] = move
        self._dirty = {request.script for request in self.requests.values() if request.changed}
        everything = self._order()
        order = [s for s in everything if self._dirty_or_moving(s)]
        while any(self._dirty_or_moving(s) for s in order):
            before = len(self.stages)
            for script in order:
                self._advance(script)
            if len(self.stages) == before:
                self._force(order)
        for script in everything:
            self._delete(script)
        return self.stages

    # --- order

    def _order(self) -> list[str]:
        """Sort scripts: the destination of a transfer before its source, then hosts before those who bind them."""
        hard: dict[str, set[str]] = {s: set() for s in self.requests}
        soft: dict[str, set[str]] = {s: set() for s in self.requests}
        for move in self.moves:
            source = move.leaves
            if source in hard and move.goal:
                hard[source].add(move.goal.script)
        for request in self.requests.values():
            bound = [self._by_id[b] for b in request.binds if b in self._by_id]
            hosts = {slot.script for u in bound for slot in (u.at, u.goal) if slot}
            soft[request.script] = ((hosts | request.serves | request.follows) & self.requests.keys()) - {
                request.script
            }
        return order_of(hard, soft)

    # --- one script

    def _dirty_or_moving(self, script: str) -> bool:
        if script in self._dirty:
            return True
        moves = self._on.get(script, {}).values()
        return any(
            u.goal is not None and u.at != u.goal and script in {u.goal.script, u.at and u.at.script} for u in moves
        )

    def _advance(self, script: str) -> None:
        request = self.requests[script]
        if request.converts and script not in self._converted and self._busy(script):
            self._upload(script, [])
        self._converted.add(script)
        while operations := self._legal(request):
            self._upload(script, operations)
        if script in self._dirty and self._final(script):
            self._upload(script, [])

    def _busy(self, script: str) -> bool:
        return any(u.at != u.goal for u in self._on.get(script, {}).values())

    def _legal(self, request: UploadRequest) -> list[tuple[NamespaceMove, ClassMigration]]:
        """Find what the next upload of the script can do: everything whose name is free before it."""
        script, moves = request.script, self._on.get(request.script, {}).values()
        leaving = [u for u in moves if u.leaves == script]
        if leaving and (request.form == "migrations" or not all(u.landing for u in leaving)):
            return []  # the destinations take them over first
        if any(u.landing and u.landing.script == script for u in moves):
            return []  # an upload without the announcement would take it back
        coming = [u for u in moves if u.goal and u.goal.script == script and u.at != u.goal]
        announced = [u for u in coming if u.leaves and request.form == "exports"]
        operations: list[tuple[NamespaceMove, ClassMigration]] = [(u, _away(u)) for u in leaving]
        operations += [
            (u, _migration(u, u.goal)) for u in coming if u.goal and u not in announced and u.goal not in self._occupied
        ]
        if not operations and (swapped := self._swapped(script)):
            operations.append((swapped, _migration(swapped, self._temporary(script))))
        if not operations:
            arrivals = [(u, Slot(script, u.at.class_name)) for u in announced if u.at]
            if not any(slot in self._occupied for _, slot in arrivals):
                operations = [(u, _migration(u, slot)) for u, slot in arrivals]
        return operations

    def _swapped(self, script: str) -> NamespaceMove | None:
        """Find a namespace in a circle of renames on the script."""
        for move in self._on.get(script, {}).values():
            seen: set[StableId] = set()
            step: NamespaceMove | None = move
            while step and step.at and step.goal and step.at.script == script and step.stable_id not in seen:
                seen.add(step.stable_id)
                step = self._occupied.get(step.goal) if step.at != step.goal else None
                if step is move:
                    return move
        return None

    def _temporary(self, script: str) -> Slot:
        taken = {
            slot.class_name for u in self.moves for slot in (u.at, u.goal, u.landing) if slot and slot.script == script
        }
        number = 1
        while f"{TEMPORARY}{number}" in taken:
            number += 1
        return Slot(script, f"{TEMPORARY}{number}")

    def _final(self, script: str) -> bool:
        """Say whether an upload now would be the last of the script."""
        request = self.requests[script]
        if any(
            u.goal and u.at != u.goal and script in {u.goal.script, u.leaves} for u in self._on.get(script, {}).values()
        ):
            return False
        bound = (self._by_id.get(b) for b in request.binds)
        return all(u is None or u.at == u.goal for u in bound) and request.serves <= self.existing | {script}

    def _force(self, order: Iterable[str]) -> None:
        """Break a circle of bindings: upload a script without those that cannot be bound yet."""
        for script in order:
            if script in self._dirty and script not in self._forced:
                self._forced.add(script)
                self._upload(script, [])
                return
        raise AssertionError("no upload can be next")

    # --- uploads

    def _upload(self, script: str, operations: list[tuple[NamespaceMove, ClassMigration]]) -> None:
        for move, migration in operations:
            self._apply(move, migration)
        self.existing.add(script)
        moved = frozenset(m.stable_id for _, m in operations if isinstance(m, TransferredAway))
        settled = self._final(script) and not moved & self.requests[script].binds
        self._emit(script, tuple(m for _, m in operations), moved, settled=settled)
        if settled:
            self._dirty.discard(script)
        else:
            self._dirty.add(script)

    def _apply(self, move: NamespaceMove, migration: ClassMigration) -> None:
        """Move the unit as the migration says."""
        match migration:
            case CreateClass(class_name=class_name) | RenameClass(to_class=class_name) if move.goal:
                self._place(move, Slot(move.goal.script, class_name))
            case TransferClass(to_class=class_name) if move.goal:
                arrival = Slot(move.goal.script, class_name)
                if self.requests[arrival.script].form == "migrations":
                    self._place(move, arrival)
                else:
                    move.landing = arrival
                    self._occupied[arrival] = move
            case TransferredAway() if move.landing:
                self._dirty.add(move.landing.script)
                self._place(move, move.landing)
                move.landing = None
            case DeleteClass():
                self._place(move, None)

    def _place(self, move: NamespaceMove, slot: Slot | None) -> None:
        if move.at:
            self._occupied.pop(move.at, None)
        move.at = slot
        if slot:
            self._occupied[slot] = move

    def _emit(
        self, script: str, migrations: tuple[ClassMigration, ...], moved: frozenset[StableId], *, settled: bool
    ) -> None:
        moves = self._on.get(script, {}).values()
        here = [u for u in moves if u.at and u.at.script == script]
        landing = [u for u in moves if u.landing and u.landing.script == script]
        barred = {u.at.class_name for u in here if u.at and not u.goal}
        barred |= {m.class_name for m in migrations if isinstance(m, DeleteClass)}
        exports = {u.at.class_name: u.goal.class_name if u.goal else None for u in here if u.at}
        exports |= {u.landing.class_name: u.goal.class_name for u in landing if u.landing and u.goal}
        bound = [self._by_id[b] for b in self.requests[script].binds if b in self._by_id]
        self.stages.append(
            Stage(
                script=script,
                class_migrations=migrations,
                hosted=tuple(sorted((u.at.class_name, u.storage, u.stable_id) for u in here if u.at)),
                exports=exports,
                barred=frozenset(barred),
                places={u.stable_id: u.at for u in bound if u.at and u.stable_id not in moved and u not in landing},
                services=frozenset(self.existing),
                moved=tuple(sorted(moved)),
                final=settled and not barred & self.requests[script].bound_classes and all(u.goal for u in here),
            )
        )

    def _delete(self, script: str) -> None:
        doomed = [u for u in self._on.get(script, {}).values() if u.goal is None and u.at and u.at.script == script]
        if doomed:
            self._upload(script, [(u, _deletion(u)) for u in doomed])
            if not self.stages[-1].final:
                self._upload(script, [])


def _migration(move: NamespaceMove, arrival: Slot) -> ClassMigration:
    if move.at is None:
        return CreateClass(stable_id=move.stable_id, class_name=arrival.class_name, storage=move.storage)
    if move.at.script == arrival.script:
        return RenameClass(
            stable_id=move.stable_id,
            namespace_id=move.namespace_id,
            from_class=move.at.class_name,
            to_class=arrival.class_name,
            storage=move.storage,
        )
    return TransferClass(
        stable_id=move.stable_id,
        namespace_id=move.namespace_id,
        from_script=move.at.script,
        from_class=move.at.class_name,
        to_class=arrival.class_name,
        storage=move.storage,
    )


def _away(move: NamespaceMove) -> TransferredAway:
    if move.at is None or move.goal is None:
        raise AssertionError(f"{move.stable_id} has nowhere to leave")
    return TransferredAway(
        stable_id=move.stable_id,
        namespace_id=move.namespace_id,
        class_name=move.at.class_name,
        to_script=move.goal.script,
    )


def _deletion(move: NamespaceMove) -> DeleteClass:
    if move.at is None:
        raise AssertionError(f"{move.stable_id} is not there to be deleted")
    return DeleteClass(
        stable_id=move.stable_id, namespace_id=move.namespace_id, class_name=move.at.class_name, storage=move.storage
    )
