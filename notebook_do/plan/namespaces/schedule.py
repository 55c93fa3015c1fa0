"""Orders what must happen to namespaces into uploads, each of them legal by Cloudflare's rules on its own.

What every upload keeps to:

- A name is taken only if it was free before the upload, and none is left and taken by the same one. Cloudflare refuses
  a class that is "the target of more than one migration" (10074), and whether it takes A to B and B to C in one upload
  is written nowhere. So a chain of renames is one upload a link, and a swap goes over a temporary name.
- A script is not uploaded while a namespace is to leave it, since its new code need not have that class any more
  (10064), except by the upload that hands the namespace over.
- Deletions come last, each script's in an upload of its own: nothing brings back what they end.

An upload that fails or is interrupted leaves a state that the next plan starts from.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from notebook_do.model import DeleteClass, TransferredAway
from notebook_do.plan.namespaces.moves import (
    TEMPORARY,
    Absent,
    At,
    Deleted,
    Landing,
    Leaving,
    ToBeDeleted,
    announce,
    arrival_of,
    create,
    delete,
    first_state,
    hand_over,
    is_settled,
    names_of,
    rename,
    scripts_to_upload,
    slot_of,
    transfer,
)
from notebook_do.plan.namespaces.order import order_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from notebook_do.model import ClassMigration, Lifecycle, StableId, Storage
    from notebook_do.plan.facts import Slot
    from notebook_do.plan.namespaces.moves import NamespaceMove, Operation, State


@dataclass(frozen=True, slots=True, kw_only=True)
class UploadRequest:
    """What is asked of one declared script: its lifecycle form, what it binds, and whether it changes anyway."""

    script: str
    form: Lifecycle
    changed: bool
    converts: bool = False
    binds: frozenset[StableId] = frozenset()
    bound_classes: frozenset[str] = frozenset()
    """The class names in its bindings, whichever script hosts them."""
    serves: frozenset[str] = frozenset()
    """Declared scripts that it binds as services, or sends its tail to. An upload leaves out those that do not exist
    yet (10143, 10203)."""
    follows: frozenset[str] = frozenset()
    """Declared scripts that take over a queue which it stops to consume: uploaded before it, they take it at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScheduledUpload:
    """One upload of one script: what it changes, and what the script hosts, exports and can bind with it."""

    script: str
    class_migrations: tuple[ClassMigration, ...]
    hosted: tuple[tuple[str, Storage, StableId], ...]
    """(class, storage, stable ID) of every namespace that the script hosts after the upload, sorted."""
    exports: Mapping[str, str | None]
    """The class names that the upload must export, and the code's class for each; None: an empty class."""
    places: Mapping[StableId, Slot]
    """Where each namespace that the script binds can be bound now; the others are left out for now."""
    barred: frozenset[str]
    """Class names that no binding may have yet: Cloudflare refuses to delete a class while the script binds that name,
    be it another script's class (code 10061, github.com/alchemy-run/alchemy/issues/800)."""
    services: frozenset[str]
    """Of the declared scripts that it binds as services, or sends its tail to, those that exist by then; itself too."""
    final: bool
    """True when nothing of the script is left for a later upload."""


def schedule_uploads(
    moves: Iterable[NamespaceMove], requests: Mapping[str, UploadRequest], existing: Iterable[str]
) -> list[ScheduledUpload]:
    """Return the uploads in their order: the same moves and requests give the same ones, whatever order they are in.

    `requests` are by script, one for each script that can be uploaded; `existing` are the scripts that are live now.
    Raise CrossedTransfer where scripts hand namespaces to each other in a circle.
    """
    schedule = _Schedule(moves, requests, existing)
    schedule.run()
    return schedule.uploads


class _Schedule:
    """The uploads so far, and the state in which they leave every namespace and script."""

    def __init__(
        self, moves: Iterable[NamespaceMove], requests: Mapping[str, UploadRequest], existing: Iterable[str]
    ) -> None:
        self.uploads: list[ScheduledUpload] = []
        self._requests, self._existing = requests, set(existing)
        # Sorted, since a digest is what a person approves: cells that ran in another order must not make another plan.
        self._moves = {move.stable_id: move for move in sorted(moves, key=lambda m: m.stable_id)}
        self._states: dict[StableId, State] = {i: first_state(move) for i, move in self._moves.items()}
        self._taken: dict[Slot, StableId] = {s: i for i, state in self._states.items() for s in names_of(state)}
        self._due = {script for script, request in requests.items() if request.changed}
        """The scripts that need one more upload, whatever becomes of their namespaces."""
        self._converted: set[str] = set()
        self._forced: set[str] = set()
        self._touching: dict[str, list[StableId]] = {}
        """By script the namespaces that start or end there, by stable ID: no move leads over a third script."""
        self._moving: dict[str, set[StableId]] = {}
        """By script those of them that take an upload of it yet; deletions are not counted."""
        for id_, move in self._moves.items():
            for script in {slot.script for slot in (move.at, move.goal) if slot}:
                self._touching.setdefault(script, []).append(id_)
            for script in scripts_to_upload(self._states[id_]):
                self._moving.setdefault(script, set()).add(id_)

    def run(self) -> None:
        """Upload script after script, as far as each can go, until all are done; then delete."""
        everything = self._order()
        order = [script for script in everything if self._has_work(script)]
        # More than one round only where what a script waits for comes after it: a source that hands over, a circle.
        while any(self._has_work(script) for script in order):
            before = len(self.uploads)
            for script in order:
                self._advance(script)
            if len(self.uploads) == before:
                self._force(order)
        for script in everything:
            self._delete(script)

    def _order(self) -> list[str]:
        """Sort the scripts: the destination of a transfer before its source, hosts before those who bind them.

        Only the first is a must: a binding can be left out for now, and comes with one more upload of its script.
        """
        hard: dict[str, set[str]] = {script: set() for script in self._requests}
        soft: dict[str, set[str]] = {}
        for state in self._states.values():
            if isinstance(state, Leaving) and state.slot.script in hard:
                hard[state.slot.script].add(state.goal.script)
        for script, request in self._requests.items():
            bound = [self._moves[i] for i in request.binds if i in self._moves]
            hosts = {slot.script for move in bound for slot in (move.at, move.goal) if slot}
            wished = (hosts | request.serves | request.follows) & self._requests.keys()
            soft[script] = wished - {script}
        return order_of(hard, soft)

    # --- what is left

    def _on(self, script: str) -> list[tuple[NamespaceMove, State]]:
        """Return the namespaces that start or end on a script, by stable ID, and their states now."""
        return [(self._moves[id_], self._states[id_]) for id_ in self._touching.get(script, ())]

    def _has_moves(self, script: str) -> bool:
        return bool(self._moving.get(script))

    def _has_work(self, script: str) -> bool:
        return script in self._due or self._has_moves(script)

    def _is_last(self, script: str) -> bool:
        """Say whether an upload of the script now has everything that it is declared to have."""
        request = self._requests[script]
        bound = (self._states[id_] for id_ in request.binds if id_ in self._states)
        return (
            not self._has_moves(script)
            and all(is_settled(state) for state in bound)  # or a later upload would have to name another class
            and request.serves - {script} <= self._existing
        )

    # --- what comes next

    def _advance(self, script: str) -> None:
        """Add the uploads of a script that are legal now."""
        request = self._requests[script]
        if request.converts and script not in self._converted and not all(is_settled(s) for _, s in self._on(script)):
            # A script goes over to `exports` by declaring every live class as it is; what moves, moves after that.
            self._upload(script)
        self._converted.add(script)
        while operations := self._next(request):
            self._upload(script, operations)
        if script in self._due and self._is_last(script):
            self._upload(script)

    def _next(self, request: UploadRequest) -> list[Operation]:
        """Return what the next upload of a script does to namespaces: all that is possible by one, or nothing."""
        if not self._has_moves(request.script) or self._must_wait(request.script):
            return []
        # A swap only where nothing is free, since it costs a rename more; announcements last, since then it must wait.
        return self._possible(request) or self._swap(request.script) or self._announcements(request)

    def _must_wait(self, script: str) -> bool:
        """Say whether another script's upload has to come first."""
        for _, state in self._on(script):
            match state:
                case Leaving() if state.slot.script == script:
                    return True  # its new code need not have the class (10064): the destination comes first
                case Landing() if state.arrival.script == script:
                    return True  # an upload that does not announce it again takes the announcement back
        return False

    def _possible(self, request: UploadRequest) -> list[Operation]:
        """Return the handovers of a script, then the moves to each goal on it that is free."""
        pairs = self._on(request.script)
        handovers = [hand_over(move, state) for move, state in pairs if isinstance(state, Landing)]
        return handovers + [found for move, state in pairs if (found := self._to_goal(move, state, request))]

    def _to_goal(self, move: NamespaceMove, state: State, request: UploadRequest) -> Operation | None:
        """Return the move that ends at the goal; None where the goal is not free, or not reached by one upload."""
        match state:
            case Landing() | ToBeDeleted() | Deleted():
                return None
            # Taken is what was so before this upload, also a name that this very upload frees (10074); and what is at
            # its goal holds that name itself.
            case Absent() | At() | Leaving() if state.goal in self._taken or state.goal.script != request.script:
                return None
            case Absent():
                return create(move, state)
            case At():
                return rename(move, state, state.goal.class_name)
            case Leaving():
                # In the `exports` form it is announced first, by the last upload before the script must wait.
                return transfer(move, state) if request.form == "migrations" else None
            case _:
                assert_never(state)

    def _swap(self, script: str) -> list[Operation]:
        """Rename one namespace of a circle of renames to a temporary name, so that the others can follow."""
        for move, state in self._on(script):
            if isinstance(state, At) and state.slot.script == script and self._is_in_circle(move.stable_id):
                return [rename(move, state, self._temporary(script))]
        return []

    def _is_in_circle(self, start: StableId) -> bool:
        """Say whether the names that stand in each other's way lead back to the one of `start`."""
        seen: set[StableId] = set()
        id_: StableId | None = start
        while id_ is not None and id_ not in seen:
            seen.add(id_)
            state = self._states[id_]
            id_ = self._taken.get(state.goal) if isinstance(state, At) and state.slot != state.goal else None
        return id_ == start

    def _temporary(self, script: str) -> str:
        """Return a class name that no namespace of the script has now or is to have."""
        slots = [slot for move, state in self._on(script) for slot in (*names_of(state), move.goal)]
        names = {slot.class_name for slot in slots if slot and slot.script == script}
        number = 1
        while f"{TEMPORARY}{number}" in names:
            number += 1
        return f"{TEMPORARY}{number}"

    def _announcements(self, request: UploadRequest) -> list[Operation]:
        """Announce all transfers to a script, as the last that it does before their sources hand them over.

        From then on it must wait, so the names on it have to be free before; and all at once, since an upload with
        only one of the announcements would take the others back.
        """
        coming = [(move, state) for move, state in self._on(request.script) if isinstance(state, Leaving)]
        if request.form == "migrations" or any(arrival_of(state) in self._taken for _, state in coming):
            return []
        return [announce(move, state) for move, state in coming]

    def _force(self, order: Iterable[str]) -> None:
        """Break a circle of bindings: upload a script without those that cannot be bound yet."""
        for script in order:
            if script in self._due and script not in self._forced:
                self._forced.add(script)  # once a script: what it waits for exists after that, or nothing will bring it
                self._upload(script)
                return
        raise AssertionError("no upload can be next")

    def _delete(self, script: str) -> None:
        """Delete what a script loses, and then bind what could not be bound beside it.

        The upload before it binds none of these classes any more, since Cloudflare may look at the bindings of what is
        deployed too, and not only at those of the upload.
        """
        operations = [delete(move, state) for move, state in self._on(script) if isinstance(state, ToBeDeleted)]
        if operations:
            self._upload(script, operations)
            if not self.uploads[-1].final:
                self._upload(script)

    # --- uploads

    def _upload(self, script: str, operations: Sequence[Operation] = ()) -> None:
        """Add an upload, and go on from the state that it leaves."""
        for operation in operations:
            self._apply(operation)
        self._existing.add(script)
        migrations = tuple(operation.migration for operation in operations)
        away = {m.stable_id for m in migrations if isinstance(m, TransferredAway)}
        # What this very upload hands over is bound by a later one: on the other script it exists only after it.
        is_last = self._is_last(script) and not away & self._requests[script].binds
        self.uploads.append(self._described(script, migrations, away, is_last=is_last))
        if is_last:
            self._due.discard(script)
        else:
            # An upload replaces all bindings. So one that leaves some out for now makes one more upload necessary, also
            # of a script that nothing else changes.
            self._due.add(script)

    def _apply(self, operation: Operation) -> None:
        id_ = operation.migration.stable_id
        for slot in names_of(self._states[id_]):
            self._taken.pop(slot, None)
        for script in scripts_to_upload(self._states[id_]):
            self._moving[script].discard(id_)
        for script in scripts_to_upload(operation.after):
            self._moving.setdefault(script, set()).add(id_)
        self._states[id_] = operation.after
        self._taken |= dict.fromkeys(names_of(operation.after), id_)
        if isinstance(operation.migration, TransferredAway):  # so that the other script binds what it has got
            self._due.add(operation.migration.to_script)

    def _described(
        self, script: str, migrations: tuple[ClassMigration, ...], away: set[StableId], *, is_last: bool
    ) -> ScheduledUpload:
        """Describe an upload of a script by the states after it."""
        request, pairs = self._requests[script], self._on(script)
        here = [(move, state, slot) for move, state in pairs if (slot := slot_of(state)) and slot.script == script]
        left = {slot.class_name for _, state, slot in here if isinstance(state, ToBeDeleted)}
        barred = left | {m.class_name for m in migrations if isinstance(m, DeleteClass)}
        names = [item for _, state in pairs for item in names_of(state).items()]
        # A class that is announced cannot be bound before it has arrived, nor one that this upload hands over.
        unbound = away | {m.stable_id for m, s in pairs if isinstance(s, Landing) and s.arrival.script == script}
        bound = [id_ for id_ in request.binds - unbound if id_ in self._states]
        return ScheduledUpload(
            script=script,
            class_migrations=migrations,
            hosted=tuple(sorted((slot.class_name, move.storage, move.stable_id) for move, _, slot in here)),
            exports={slot.class_name: code_class for slot, code_class in names if slot.script == script},
            places={id_: slot for id_ in bound if (slot := slot_of(self._states[id_]))},
            barred=frozenset(barred),
            services=(request.serves | {script}) & self._existing,
            final=is_last and not left and not barred & request.bound_classes,
        )
