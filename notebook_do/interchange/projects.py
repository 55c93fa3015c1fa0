"""Turns the Workers of a wrangler project into declarations: stable IDs, hosts, and what only the live Worker knows.

Pure. A namespace that is live has the stable ID that an import of live Workers gives it, and its id; another one is
called by its class, and where two Workers have one of that name, by Worker and class.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from notebook_do.declare.making import check, worker_of
from notebook_do.errors import CommandError, DeclarationError
from notebook_do.interchange.cells import class_words
from notebook_do.interchange.class_history import ProjectClass
from notebook_do.model import (
    Json,
    Namespace,
    NamespaceBinding,
    PlainText,
    Resource,
    StableId,
    Storage,
    ValueBinding,
    binding_word,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from notebook_do.interchange.wrangler_bound import ClassReference
    from notebook_do.interchange.wrangler_reading import ProjectWorker
    from notebook_do.model import Declaration, ObservedScript, Worker

Slot = tuple[str, str]
"""A script and a class."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """What is known besides the project.

    `live` are the namespaces that are live, as they are declared, by slot; `stable_ids` those that are declared or
    recorded and not live, by slot; `worker_ids` the ids of Workers by script; `taken` all stable IDs.
    """

    live: Mapping[Slot, Namespace] = field(default_factory=dict)
    scripts: Mapping[str, ObservedScript] = field(default_factory=dict)
    stable_ids: Mapping[Slot, str] = field(default_factory=dict)
    worker_ids: Mapping[str, str] = field(default_factory=dict)
    taken: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class ProjectDeclarations:
    """What a project declares: namespaces first, each Worker by its script, and what a person should know."""

    namespaces: tuple[Namespace, ...]
    workers: Mapping[str, Worker]
    notes: tuple[str, ...]

    @property
    def all(self) -> tuple[Declaration, ...]:
        """Namespaces and Workers, in the order in which they are declared."""
        return (*self.namespaces, *self.workers.values())


def declare_project(workers: Sequence[ProjectWorker], known: Known) -> ProjectDeclarations:
    """Return the declarations of Workers; raises CommandError naming the configuration that cannot be right."""
    _check_names(workers)
    came = (one for worker in workers for one in worker.classes.present() if one.from_script and one.from_class)
    moved = frozenset((one.from_script or "", one.from_class or "") for one in came)
    naming = _Naming(known=known, taken=set(known.taken), moved=moved)
    for worker in sorted(workers, key=lambda w: w.id):
        naming.host(worker)
    found = {w.script: _worker(w, naming) for w in sorted(workers, key=lambda w: w.id)}
    namespaces = tuple(sorted(naming.named.values(), key=lambda n: n.id))
    notes = [note for worker in workers for note in worker.notes]
    return ProjectDeclarations(namespaces=namespaces, workers=found, notes=(*notes, *naming.notes))


def _check_names(workers: Sequence[ProjectWorker]) -> None:
    places: dict[str, str] = {}
    for worker in workers:
        other = places.setdefault(worker.script, worker.place)
        if other != worker.place:
            raise CommandError(
                f"{other} and {worker.place} are both of Worker {worker.script}; rename one, or import one of the two."
            )


@dataclass(slots=True, kw_only=True)
class _Naming:
    """The namespaces of a project by slot, as they are named one after the other; `moved` went to another Worker."""

    known: Known
    taken: set[str]
    moved: frozenset[Slot] = frozenset()
    named: dict[Slot, Namespace] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def host(self, worker: ProjectWorker) -> None:
        """Name the classes that a Worker hosts: those of its history, and those that it only binds."""
        for one in worker.classes.classes:
            slot = (worker.script, one.name)
            if one.gone is not None:
                self._note_gone(worker, one)
            elif slot not in self.moved or slot in self.known.live:
                self.named[slot] = self._hosted(worker, one)
        for reference in worker.bound.classes.values():
            slot = (worker.script, reference.class_name)
            if reference.script in (None, worker.script) and slot not in self.named:
                # Without a history wrangler runs it here only; Cloudflare asks for one at its first deploy.
                unwritten = ProjectClass(storage=Storage.SQLITE, names=[("", reference.class_name)])
                self.named[slot] = self._hosted(worker, unwritten)

    def bound(self, worker: ProjectWorker, reference: ClassReference) -> NamespaceBinding:
        """Return the binding of a class, which is named where no Worker of the project hosts it."""
        slot = (reference.script or worker.script, reference.class_name)
        if slot not in self.named:
            self.named[slot] = self._named(slot, [reference.class_name], worker.id, environment=reference.environment)
        return NamespaceBinding(stable_id=self.named[slot].id)

    def _hosted(self, worker: ProjectWorker, one: ProjectClass) -> Namespace:
        candidates = self._live_names(worker, one)
        if one.from_script and not any((worker.script, name) in self.known.live for name in candidates):
            self._check_moved(worker, one)
        sqlite = False if one.storage is Storage.KV else None
        return self._named((worker.script, one.name), candidates, worker.id, sqlite=sqlite)

    def _live_names(self, worker: ProjectWorker, one: ProjectClass) -> list[str]:
        """Return under which names a class can be live: that of the live migration tag, where it is the project's.

        Else its last name, and before that those which no other class of the project ever had.
        """
        script = self.known.scripts.get(worker.script)
        tag = script.migration_tag if script else None
        if tag is not None and tag in worker.classes.tags:
            return [worker.classes.live_name(one, tag)]
        others = {name for other in worker.classes.classes if other is not one for _, name in other.names}
        earlier = [name for _, name in reversed(one.names[:-1]) if name not in others]
        return [one.name, *earlier]

    def _named(
        self,
        slot: Slot,
        candidates: Sequence[str],
        worker: str,
        *,
        sqlite: bool | None = None,
        environment: str | None = None,
    ) -> Namespace:
        script, class_name = slot
        for name in candidates:
            if live := self.known.live.get((script, name)):
                return replace(live, class_name=class_name)
        known = next((i for n in candidates if (i := self.known.stable_ids.get((script, n)))), None)
        stable_id = known or self._free(class_name, worker)
        self.taken.add(stable_id)
        return Namespace(
            StableId(stable_id), class_name=class_name, script_name=script, sqlite=sqlite, environment=environment
        )

    def _free(self, class_name: str, worker: str) -> str:
        words = class_words(class_name)[:64].rstrip("-")
        longer = f"{worker}-{words}"[:60].rstrip("-")
        numbered = (f"{longer}-{number}" for number in range(2, 2 + len(self.taken) + 1))
        return next(name for name in (words, longer, *numbered) if name not in self.taken)

    def _check_moved(self, worker: ProjectWorker, one: ProjectClass) -> None:
        """Refuse a class that is still to be moved here: who moves it must know both Workers."""
        if (one.from_script, one.from_class) in self.known.live:
            raise CommandError(
                f"{worker.place}: class {one.name} is still to be moved here from Worker {one.from_script}, where it "
                "is live; move it by wrangler deploy first, then import again."
            )

    def _note_gone(self, worker: ProjectWorker, one: ProjectClass) -> None:
        live = self.known.live.get((worker.script, one.name))
        if live is not None:
            self.notes.append(
                f"Worker {worker.id}: the project deletes class {one.name}, which is live as namespace {live.id}: it "
                f"is not declared, and stays until you delete it by %durable destroy {live.id}."
            )


def _worker(worker: ProjectWorker, naming: _Naming) -> Worker:
    """Return the declaration of a Worker, its bindings resolved."""
    script = naming.known.scripts.get(worker.script)
    bindings: dict[str, Any] = _with_live(worker, script, naming.notes)
    bindings |= {name: naming.bound(worker, one) for name, one in worker.bound.classes.items()}
    given = dict(worker.given)
    if script is not None:  # what is live decides how class migrations are sent
        given.pop("lifecycle", None)
    id_ = naming.known.worker_ids.get(worker.script, worker.id)
    try:
        made = worker_of(id_, given | {"bindings": bindings}, None, settings=worker.settings)
        check(made)
    except DeclarationError as error:
        raise CommandError(f"{worker.place}: {error.message}") from None
    return made


def _with_live(worker: ProjectWorker, script: ObservedScript | None, notes: list[str]) -> dict[str, Any]:
    """Return the bindings that are no classes, with what only the live Worker has of them."""
    bindings: dict[str, Any] = dict(worker.bound.values)
    live = {b.name: b.value for b in (script.bindings or () if script else ()) if isinstance(b, ValueBinding)}
    for name, kind in worker.bound.unnamed.items():
        there = live.get(name)
        if isinstance(there, Resource) and there.type == kind:
            bindings[name] = there
            continue
        called = next(iter(bindings[name].fields.value.values()))
        notes.append(
            f"Worker {worker.id}: binding {name} names no {binding_word(kind)}; it is declared as {called}, the name "
            "that wrangler would give it. On Cloudflare make it first, and write its id into the cell."
        )
    if worker.keep_vars:
        kept = {n: v for n, v in live.items() if isinstance(v, PlainText | Json) and n not in bindings}
        bindings |= {n: v for n, v in kept.items() if n not in worker.bound.classes}
    return bindings
