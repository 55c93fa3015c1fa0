"""A namespace on its way to where it is declared: its states, the moves between them, and its class names meanwhile.

    Absent       create                         At
    At           rename                         At
    Leaving      transfer (`migrations` form)   At
    Leaving      announce (`exports` form)      Landing
    Landing      hand over                      At
    ToBeDeleted  delete                         Deleted

A move is one class migration of one upload. All but the last keep the namespace, its id and its objects.

While a swap or a chain is on its way, a namespace has a class name that the code does not have, or that the code gives
to another class. The upload then gets a main module that re-exports the code's and overrides exactly these names, so
that at every moment each namespace runs its own class.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, assert_never

from notebook_do.model import (
    CreateClass,
    DeleteClass,
    Module,
    ModuleKind,
    RenameClass,
    TransferClass,
    TransferredAway,
)
from notebook_do.plan.facts import Slot

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.model import ClassMigration, NamespaceId, StableId, Storage
    from notebook_do.plan.namespaces.schedule import ScheduledUpload


@dataclass(frozen=True, slots=True, kw_only=True)
class NamespaceMove:
    """The whole way of a namespace. `at` is None before it exists, `goal` is None when it is to be deleted."""

    stable_id: StableId
    namespace_id: NamespaceId
    """Empty before it exists."""
    storage: Storage
    at: Slot | None
    goal: Slot | None

    @property
    def leaves(self) -> str | None:
        """The script that it has to leave for another one."""
        if self.at is None or self.goal is None or self.at.script == self.goal.script:
            return None
        return self.at.script


# --- states


@dataclass(frozen=True, slots=True, kw_only=True)
class Absent:
    """It does not exist yet; an upload of its goal's script creates it."""

    goal: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class At:
    """It is on its goal's script, as the class that is its goal or as another one."""

    slot: Slot
    goal: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaving:
    """It is on another script than its goal, and no upload has said yet that it moves."""

    slot: Slot
    goal: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Landing:
    """It is on another script, whose next upload hands it over to `arrival`, as its goal's script has announced."""

    slot: Slot
    arrival: Slot
    goal: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class ToBeDeleted:
    """It is there until an upload of its script deletes it."""

    slot: Slot


@dataclass(frozen=True, slots=True, kw_only=True)
class Deleted:
    """It is no more."""


State = Absent | At | Leaving | Landing | ToBeDeleted | Deleted


def first_state(move: NamespaceMove) -> State:
    """Return the state of a namespace before any upload."""
    if move.goal is None:
        return Deleted() if move.at is None else ToBeDeleted(slot=move.at)
    if move.at is None:
        return Absent(goal=move.goal)
    if move.at.script == move.goal.script:
        return At(slot=move.at, goal=move.goal)
    return Leaving(slot=move.at, goal=move.goal)


def slot_of(state: State) -> Slot | None:
    """Return where a namespace lives, which is where it can be bound."""
    match state:
        case At() | Leaving() | Landing() | ToBeDeleted():
            return state.slot
        case Absent() | Deleted():
            return None
        case _:
            assert_never(state)


def scripts_to_upload(state: State) -> tuple[str, ...]:
    """Return the scripts that have an upload left before a namespace is at its goal. Deletions are not counted."""
    match state:
        case Absent():
            return (state.goal.script,)
        case At():
            return () if state.slot == state.goal else (state.goal.script,)
        case Leaving() | Landing():
            # The source too: uploaded before the namespace left it, its new code could lack the class (10064).
            return (state.slot.script, state.goal.script)
        case ToBeDeleted() | Deleted():
            return ()
        case _:
            assert_never(state)


def is_settled(state: State) -> bool:
    """Say whether nothing is left to do."""
    return not scripts_to_upload(state) and not isinstance(state, ToBeDeleted)


# --- moves


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What an upload does to one namespace: what it sends, and the state that comes of it."""

    migration: ClassMigration
    after: State


def create(move: NamespaceMove, state: Absent) -> Operation:
    """Begin a namespace at its goal."""
    created = CreateClass(stable_id=move.stable_id, class_name=state.goal.class_name, storage=move.storage)
    return Operation(migration=created, after=At(slot=state.goal, goal=state.goal))


def rename(move: NamespaceMove, state: At, class_name: str) -> Operation:
    """Give a namespace another class name on its script, be it only for a while."""
    renamed = RenameClass(
        stable_id=move.stable_id,
        namespace_id=move.namespace_id,
        from_class=state.slot.class_name,
        to_class=class_name,
        storage=move.storage,
    )
    return Operation(migration=renamed, after=At(slot=Slot(state.goal.script, class_name), goal=state.goal))


def transfer(move: NamespaceMove, state: Leaving) -> Operation:
    """Take a namespace over from its script, and rename it to its goal at once: the `migrations` form does both."""
    taken = _taken_over(move, state, state.goal.class_name)
    return Operation(migration=taken, after=At(slot=state.goal, goal=state.goal))


def announce(move: NamespaceMove, state: Leaving) -> Operation:
    """Say that a namespace is to come: in the `exports` form it keeps its class name on the way.

    `expecting-transfer` stands under the name that the class has on the source, and nothing in it names another.
    """
    arrival = arrival_of(state)
    taken = _taken_over(move, state, arrival.class_name)
    return Operation(migration=taken, after=Landing(slot=state.slot, arrival=arrival, goal=state.goal))


def arrival_of(state: Leaving) -> Slot:
    """Return the name on its goal's script under which an announced transfer arrives."""
    return Slot(state.goal.script, state.slot.class_name)


def hand_over(move: NamespaceMove, state: Landing) -> Operation:
    """Commit an announced transfer, by the upload of the source."""
    away = TransferredAway(
        stable_id=move.stable_id,
        namespace_id=move.namespace_id,
        class_name=state.slot.class_name,
        to_script=state.goal.script,
    )
    return Operation(migration=away, after=At(slot=state.arrival, goal=state.goal))


def delete(move: NamespaceMove, state: ToBeDeleted) -> Operation:
    """End a namespace, with all its objects."""
    deleted = DeleteClass(
        stable_id=move.stable_id,
        namespace_id=move.namespace_id,
        class_name=state.slot.class_name,
        storage=move.storage,
    )
    return Operation(migration=deleted, after=Deleted())


def _taken_over(move: NamespaceMove, state: Leaving, class_name: str) -> TransferClass:
    return TransferClass(
        stable_id=move.stable_id,
        namespace_id=move.namespace_id,
        from_script=state.slot.script,
        from_class=state.slot.class_name,
        to_class=class_name,
        storage=move.storage,
    )


# --- class names on the way

TEMPORARY = "NotebookDoTemporary"
"""How a class name begins that a namespace has only while a swap is on its way."""
_MAIN_MODULE = "notebook-do-exports.js"


def names_of(state: State) -> dict[Slot, str | None]:
    """Return every name that a namespace takes, with the class of the declared code that must run under it.

    None stands for a class that the code does not have any more. A transfer that is announced takes two names: until
    the source hands it over, both scripts must export the class (10064, `config_export_not_in_code`).
    """
    match state:
        case At() | Leaving():
            return {state.slot: state.goal.class_name}
        case Landing():
            return dict.fromkeys((state.slot, state.arrival), state.goal.class_name)
        case ToBeDeleted():
            return {state.slot: None}
        case Absent() | Deleted():
            return {}
        case _:
            assert_never(state)


def with_exports(
    main_module: str, modules: tuple[Module, ...], exports: Mapping[str, str | None]
) -> tuple[str, tuple[Module, ...]]:
    """Return main module and modules in which each name of `exports` is the code's class of that value.

    None stands for an empty class, for a namespace that is about to be destroyed and whose class is gone from the code:
    Cloudflare refuses an upload that does not export a class which has objects (10064). Names that the code exports
    itself under the same name need nothing.
    """
    renamed = {name: class_name for name, class_name in sorted(exports.items()) if name != class_name}
    if not renamed:
        return main_module, modules
    name = _MAIN_MODULE  # a module of the user's may have that name already
    while any(m.name == name for m in modules):
        name = f"_{name}"
    source = f'"./{main_module}"'
    aliases = [f"{class_name} as {alias}" for alias, class_name in renamed.items() if class_name]
    stubs = [alias for alias, class_name in renamed.items() if class_name is None]
    # `export *` yields to the explicit exports after it where both have a name, and leaves `default` out.
    # By way of the namespace object, since `export { default } from` does not link where the code has no default.
    lines = [f"import * as source from {source};", f"export * from {source};", "export default source.default;"]
    if aliases:
        lines.append(f"export {{ {', '.join(aliases)} }} from {source};")
    if stubs:
        lines.append('import { DurableObject } from "cloudflare:workers";')
        lines += [f"export class {stub} extends DurableObject {{}}" for stub in stubs]
    content = "\n".join(lines) + "\n"
    return name, (Module(name=name, content=content.encode()), *modules)


def can_alias(main_module: str, modules: tuple[Module, ...]) -> bool:
    """Say whether a module can be generated around the main one: only ES modules can be re-exported."""
    return any(m.name == main_module and m.kind is ModuleKind.ESM for m in modules)


def created_by(uploads: Iterable[ScheduledUpload]) -> dict[str, set[StableId]]:
    """Return what the uploads of each script create: Cloudflare makes their ids, so no mark can have them before."""
    created: dict[str, set[StableId]] = {}
    for one in uploads:
        new = (m.stable_id for m in one.class_migrations if isinstance(m, CreateClass))
        created.setdefault(one.script, set()).update(new)
    return created
