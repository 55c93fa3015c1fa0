"""Holds declarations by stable ID and Worker id, and resolves them to one `Desired`, whatever the order of the cells.

Declaring the same (kind, id) again replaces the earlier declaration. Nothing here reads what is live.
"""

from __future__ import annotations

from dataclasses import fields
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal, assert_never

from notebook_do.declare.anew import declared_again
from notebook_do.declare.hosts import Hosts, default_script_name
from notebook_do.declare.making import check, wrong_here
from notebook_do.display.formats import counted
from notebook_do.display.rich import code, rich
from notebook_do.errors import DeclarationError
from notebook_do.model import (
    Assets,
    Desired,
    DesiredNamespace,
    DesiredWorker,
    Json,
    Namespace,
    Resource,
    Storage,
    Trigger,
    ValueBinding,
    Worker,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from notebook_do.model import Declaration, ScriptBinding, Source


class Catalog:
    """The declarations of one session: any order and any repetition of cells give the same `Desired`."""

    def __init__(self) -> None:
        self._namespaces: dict[str, Namespace] = {}
        self._workers: dict[str, Worker] = {}
        self._replaced: dict[tuple[type, str], tuple[Declaration, Declaration | None]] = {}
        """By kind and id, a declaration and the one whose place it took."""

    @property
    def namespaces(self) -> Mapping[str, Namespace]:
        """The declared namespaces by stable ID."""
        return MappingProxyType(self._namespaces)

    @property
    def workers(self) -> Mapping[str, Worker]:
        """The declared Workers by id."""
        return MappingProxyType(self._workers)

    def declared(self) -> dict[tuple[str, str], Declaration]:
        """Return a copy of all declarations, by kind (`namespace` or `Worker`) and id."""
        found: dict[tuple[str, str], Declaration] = {("namespace", id_): one for id_, one in self._namespaces.items()}
        return found | {("Worker", id_): one for id_, one in self._workers.items()}

    def declare(self, *items: Declaration) -> tuple[Declaration, ...]:
        """Register declarations, all or none; raises DeclarationError for one that can never be right."""
        # All are checked before the first is kept: a cell that fails declares nothing.
        seen: dict[tuple[type, str], Declaration] = {}
        for item in items:
            check(item)
            earlier = seen.setdefault((type(item), item.id), item)
            if earlier != item:
                kind = "namespace" if isinstance(item, Namespace) else "Worker"
                said = f"{kind} {item.id} is declared twice in one go, and differently; keep one of the two."
                raise wrong_here(item.where, said)
        for item in items:
            match item:
                case Namespace():
                    self._replace(item, self._namespaces.get(item.id))
                    self._namespaces[item.id] = item
                case Worker():
                    self._replace(item, self._workers.get(item.id))
                    self._workers[item.id] = item
                case _:
                    assert_never(item)
        return items

    def _replace(self, item: Declaration, earlier: Declaration | None) -> None:
        if item is not earlier:
            self._replaced[type(item), item.id] = item, earlier

    def replaced(self, item: Declaration) -> Declaration | None:
        """Return the declaration whose place `item` took; None where there was none, or `item` was replaced itself."""
        now, earlier = self._replaced.get((type(item), item.id), (None, None))
        return earlier if now is item else None

    def forget(self, kind: Literal["namespace", "worker"], id_: str) -> bool:
        """Forget a declaration; what is live stays. False when there was none."""
        known: dict[str, Namespace] | dict[str, Worker] = self._namespaces if kind == "namespace" else self._workers
        self._replaced.pop((Namespace if kind == "namespace" else Worker, id_), None)
        return known.pop(id_, None) is not None

    def script_name(self, worker: str, stage: str) -> str:
        """Return the script name of a declared Worker."""
        return default_script_name(self._workers[worker], stage)

    def entrypoints(self, stage: str) -> dict[str, str]:
        """Return the source files by script name, of the Workers that are declared with one."""
        found = {self.script_name(w.id, stage): w.entrypoint for w in self._workers.values()}
        return {name: file for name, file in found.items() if file is not None}

    def places(self, stage: str) -> dict[str, tuple[str, str]]:
        """Return script and class of the declared namespaces by stable ID; none while the names cannot be resolved."""
        try:
            hosts = Hosts(self._namespaces, self._workers, stage)
        # For an import, which must not fail over a cell that is not finished yet.
        except DeclarationError:
            return {}
        return {id_: (hosts.host_of(item).script_name, item.class_name) for id_, item in self._namespaces.items()}

    def warnings(self) -> tuple[str, ...]:
        """Return what looks like a changed stable ID: two declared namespaces of one class and one host."""
        by_class: dict[tuple[str, str | None], list[str]] = {}
        for item in self._namespaces.values():
            by_class.setdefault((item.class_name, item.script_name), []).append(item.id)
        return tuple(
            f"class {class_name} is declared under the stable IDs {', '.join(sorted(ids))}: when the ID was changed, "
            f"declare renamed_from= on the new one and `%durable rm namespace` the old one."
            for (class_name, _), ids in sorted(by_class.items(), key=lambda entry: entry[0][0])
            if len(ids) > 1
        )

    def left_over(self) -> tuple[str, ...]:
        """Return what an earlier run of a cell declared and its last run did not: the cell says something else now."""
        declared: list[tuple[str, Declaration]] = [("namespace", item) for item in self._namespaces.values()]
        declared += [("worker", item) for item in self._workers.values()]
        last: dict[str, int] = {}
        for _, item in declared:
            if item.where and item.where.cell:
                last[item.where.cell] = max(item.where.run, last.get(item.where.cell, 0))
        return tuple(
            f"{kind} {item.id} is still declared, though its cell declares something else now: "
            f"`%durable rm {kind} {item.id}` forgets it, a cell of its own keeps it."
            for kind, item in declared
            if item.where and item.where.cell and item.where.run < last[item.where.cell]
        )

    def desired(
        self, session: str, stage: str, *, read: Callable[[Worker], Source], destroy: Iterable[str] = ()
    ) -> Desired:
        """Return what everything resolves to: script names, hosts, bindings, and the sources that `read` gives.

        `destroy` holds the stable IDs and Worker ids that the user asked to delete. Raises DeclarationError naming
        the cell's line, and what `read` raises.
        """
        asked = tuple(sorted(set(destroy)))
        # Names first: what cannot be resolved is said before any source is read or bundled.
        hosts = Hosts(self._namespaces, self._workers, stage, frozenset(asked))
        return Desired(
            session=session,
            stage=stage,
            namespaces=tuple(_desired_namespace(self._namespaces[id_], hosts) for id_ in sorted(self._namespaces)),
            workers=tuple(_desired_worker(self._workers[id_], hosts, read) for id_ in sorted(self._workers)),
            destroy=asked,
        )


def _desired_namespace(item: Namespace, hosts: Hosts) -> DesiredNamespace:
    host = hosts.host_of(item)
    storage = {None: None, True: Storage.SQLITE, False: Storage.KV}[item.sqlite]
    return DesiredNamespace(
        stable_id=item.id,
        class_name=item.class_name,
        script_name=host.script_name,
        host=host.worker,
        storage=storage,
        environment=item.environment,
        namespace_id=item.namespace_id,
        renamed_from=item.renamed_from,
        transferred_from=hosts.script_named(item.transferred_from) if item.transferred_from else None,
        protect=item.protect,
        inspect=item.inspect,
        again=partial(declared_again, item),
        where=item.where,
    )


# A field that is the same in both is copied by name, so that a new one needs no line here.
_RESOLVED = frozenset({"id", "modules", "bindings", "triggers", "assets", "options"})
_SAME = [f.name for f in fields(Worker) if f.name in DesiredWorker.__dataclass_fields__ and f.name not in _RESOLVED]
"""What is desired of a Worker as it is declared."""


def _settings(item: Worker, hosts: Hosts) -> Json:
    """Return the settings with the Workers that they name called by their script names."""
    settings = item.options.value
    if "tail_consumers" not in settings:
        return item.options
    consumers = [{**one, "service": hosts.script_named(one["service"])} for one in settings["tail_consumers"]]
    return Json({**settings, "tail_consumers": consumers})


def _workflows(bindings: Iterable[ScriptBinding], script_name: str) -> tuple[Trigger, ...]:
    """Return the workflows that a script hosts by its bindings: those that name a class, of no other script.

    An upload that binds one does not make it: `GET workflows/{name}` answers 10200 after it, as somebody measured.
    """
    values = (b.value for b in bindings if isinstance(b, ValueBinding))
    given = [v.fields.value for v in values if isinstance(v, Resource) and v.type == "workflow"]
    own = [f for f in given if f.get("class_name") and f.get("script_name") in {None, script_name}]
    return tuple(
        Trigger(kind="workflow", key=str(f["workflow_name"]), settings=Json({"class_name": f["class_name"]}))
        for f in own
    )


def _with_assets(item: Worker, bindings: tuple[ScriptBinding, ...]) -> tuple[ScriptBinding, ...]:
    """Add the binding that the assets are declared with."""
    name = item.assets.value.get("binding") if item.assets else None
    if not name or name in item.bindings:
        return bindings
    return tuple(sorted((*bindings, ValueBinding(name=name, value=Assets())), key=lambda b: b.name))


_LANGUAGES = {"js": "JavaScript", "ts": "TypeScript", "py": "Python", "jsx": "JSX", "tsx": "TSX"}


def source_words(item: Worker) -> str:
    """Return in a few words what the source of a Worker is: its lines, its file, or its modules."""
    if item.script is not None:
        lines = len(item.script.splitlines())
        return f"{counted(lines, 'line')} of {_LANGUAGES.get(item.lang, item.lang)}"
    if item.entrypoint is not None:
        return rich("file ", code(item.entrypoint))
    return counted(len(item.modules), "module")


def _desired_worker(item: Worker, hosts: Hosts, read: Callable[[Worker], Source]) -> DesiredWorker:
    source, script_name, bindings = read(item), hosts.script_of[item.id], hosts.bindings_of(item)
    triggers = {(t.kind, t.key): t for t in (*item.triggers, *_workflows(bindings, script_name))}
    return DesiredWorker(
        id=item.id,
        script_name=script_name,
        main_module=source.main_module,
        modules=source.modules,
        bindings=_with_assets(item, bindings),
        triggers=tuple(triggers[place] for place in sorted(triggers)),
        content_digest=source.digest,
        assets=source.assets,
        options=_settings(item, hosts),
        exports=source.exports,
        notes=source.notes,
        source=source_words(item),
        bundled=source.bundled,
        sources=source.sources,
        again=partial(declared_again, item),
        **{name: getattr(item, name) for name in _SAME},
    )
