"""What a form says below a field that has nothing wrong with it, as far as its session knows without a request."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from notebook_do.declare.hosts import default_script_name
from notebook_do.declare.making import FIELDS
from notebook_do.declare.options import namespace_reference, secret_reference
from notebook_do.display.formats import counted
from notebook_do.display.rich import code, rich, strong
from notebook_do.errors import DurableError, SourceError, StateError
from notebook_do.model import Bindings, NamespaceBinding, Worker
from notebook_do.model.building import NeededClass, not_exported
from notebook_do.notebook.views.declarations import exports_rich
from notebook_do.notebook.views.declared_bindings import Around, value_words
from notebook_do.sources.checking import check_source, exports_of
from notebook_do.toolchain import NEWEST_COMPATIBILITY_DATE

if TYPE_CHECKING:
    from collections.abc import Iterator

    from notebook_do.model import Declaration, Namespace
    from notebook_do.model.building import NotExported
    from notebook_do.notebook.widgets.drafts import BindingRow, Draft
    from notebook_do.sessions.session import Session

_IDS = {
    "namespace": "Your permanent name for it, such as counter. It never changes, the class may.",
    "worker": "Its name in this session, such as api. On Cloudflare it becomes {script}.",
}
_ROW = "Name: as your code reads it, env.NAME. Bound to: a stable ID, or worker.BINDING of another Worker."


class Hints:
    """What is said below the fields of one draft in one session."""

    def __init__(self, session: Session, draft: Draft) -> None:
        self.session, self.draft = session, draft

    def field(self, name: str) -> str:
        """Return the line below a field; empty for none."""
        value = self.draft.values[name]
        kind = self.draft.kind
        if name == "id":
            return (
                (self._namespace(value) if kind == "namespace" else self._worker(value)) if value else self._help(name)
            )
        if (kind, name) == ("namespace", "class_name") and value:
            return self._exporter(value) or self._help(name)
        if (kind, name) == ("worker", "script") and value.strip():
            return self._source()
        return self._help(name)

    def _help(self, name: str) -> str:
        hint = _IDS[self.draft.kind] if name == "id" else FIELDS[self.draft.kind][name].hint
        script = default_script_name(_worker("api"), self.session.stage)
        return hint.replace("{script}", script).replace("{date}", NEWEST_COMPATIBILITY_DATE)

    def _namespace(self, id_: str) -> str:
        if (item := self.session.catalog.namespaces.get(id_)) is not None:
            return _replaces(item)
        with suppress(StateError):  # the verb that uses the state file tells of it
            known = {str(n.stable_id): n for n in self.session.recorded().namespaces}
            if id_ in known:
                return rich("Deployed as class ", code(known[id_].class_name), "; its objects stay.")
        return "New: no namespace of this name is declared or deployed."

    def _worker(self, id_: str) -> str:
        item = self.session.catalog.workers.get(id_)
        script = self.draft.values["name"] or default_script_name(_worker(id_), self.session.stage)
        return f"{f'{_replaces(item)} ' if item else ''}On Cloudflare: {script}."

    def _exporter(self, class_name: str) -> str:
        """Return the declared Workers whose source exports a class."""
        found = [w for w in self.session.catalog.workers.values() if class_name in (exports_of(w) or ())]
        names = ", ".join(f"{w.id} ({w.where.name})" if w.where and w.where.name else w.id for w in found)
        return f"Exported by Worker {names}." if found else ""

    def _source(self) -> str:
        source = self.source()
        lines = counted(len((source.script or "").strip().splitlines()), "line")
        exports = exports_of(source)
        if exports is None:
            return f"{lines}."
        said = exports_rich(exports) if exports != ("default",) else "a default handler"
        return rich(f"{lines}; exports ", said, ".")

    # --- the source, which esbuild looks at

    def source(self) -> Worker:
        """Return a Worker of the source alone."""
        return _worker("form", script=self.draft.values["script"], lang=self.draft.values["lang"])

    def source_fault(self) -> str:
        """Return what is wrong with the source: its syntax, or a class that a namespace of the rows needs.

        Nothing is claimed where it cannot be checked without a download.
        """
        source = self.source()
        try:
            check_source(source)
        except SourceError as error:
            said = error.message.removeprefix("Worker form: ").replace(" of its source", "")
            return f"{said[:1].upper()}{said[1:]}."
        lacking = not_exported(self._needed(), exports_of(source))
        return _lacking(lacking[0]) if lacking else ""

    def _needed(self) -> Iterator[NeededClass]:
        catalog, id_ = self.session.catalog, self.draft.values["id"]
        former: dict[str, tuple[str, ...]] = {}
        with suppress(StateError):
            former = {str(n.stable_id): (n.class_name,) for n in self.session.recorded().namespaces}
        for row in self.draft.rows:
            item = catalog.namespaces.get(row.target) if row.kind == "namespace" else None
            if item is not None and self._hosts(item, id_):
                yield NeededClass(
                    kind="namespace", subject=item.id, class_name=item.class_name, former=former.get(item.id, ())
                )

    def _hosts(self, item: Namespace, id_: str) -> bool:
        """Say whether this Worker hosts a namespace that it binds, as far as the declarations tell."""
        if item.script_name is not None:
            return item.script_name in {id_, self.draft.values["name"]}
        return not any(w.id != id_ and _binds(w, item.id) for w in self.session.catalog.workers.values())

    # --- the rows

    def row(self, row: BindingRow) -> str:
        """Return the line below a row of bindings; empty for none."""
        if not row.name and not row.target:
            return _ROW
        if row.kind == "namespace" and row.target:
            return self._bound(row)
        if row.kind == "text" and row.is_hidden:
            return rich(
                "Everybody who can open the dashboard can read a text. For a secret choose the type ", code("secret")
            )
        if row.kind == "text" and row.target in self.session.catalog.namespaces:
            return rich(strong(row.target), " is a namespace too: choose the type ", code("namespace"), " to bind it.")
        if row.kind == "secret" and row.name:
            with suppress(DurableError):
                secret = secret_reference("form", row.name, row.target)
                return value_words(_worker("form"), row.name, secret, self._around())
        if row.kind == "service" and row.target:
            known = row.target in self.session.catalog.workers
            return rich("Worker ", strong(row.target)) if known else "A live Worker, or one that is not declared yet."
        return ""

    def _bound(self, row: BindingRow) -> str:
        reference = namespace_reference(row.target)
        worker = _worker(self.draft.values["id"] or "form")
        if not isinstance(reference, NamespaceBinding):
            return value_words(worker, row.name, reference, self._around())
        item = self.session.catalog.namespaces.get(row.target)
        if item is None:
            return "Not declared yet: run its cell, or declare it in a form."
        here = self._hosts(item, self.draft.values["id"])
        others = [w.id for w in self.session.catalog.workers.values() if _binds(w, item.id) and w.id != worker.id]
        host = "hosted here" if here else f"hosted by {item.script_name or ' or '.join(others)}"
        return rich("class ", code(item.class_name), f", {host}")

    def _around(self) -> Around:
        catalog = self.session.catalog
        return Around(namespaces=catalog.namespaces, workers=catalog.workers, is_set=self.session.secret_is_set)


def _binds(worker: Worker, stable_id: str) -> bool:
    values = worker.bindings.values()
    return any(isinstance(v, NamespaceBinding) and not v.through and v.stable_id == stable_id for v in values)


def _worker(id_: str, **more: str) -> Worker:
    return Worker(id_, bindings=Bindings(id_, {}), **more)  # type: ignore[arg-type]  # texts of the form


def _replaces(item: Declaration) -> str:
    where = item.where.name if item.where else ""
    return f"Replaces the declaration of {where}." if where else "Replaces an earlier declaration."


def _lacking(lacking: NotExported) -> str:
    if lacking.kind == "nothing":
        return rich("It exports nothing: write ", code("export default { fetch }"), ", or export a class.")
    of = f" of namespace {lacking.subject}"
    if lacking.was:
        begun = rich("Class ", code(lacking.was), of, " is declared as ", code(lacking.class_name))
        return rich(begun, ", and not renamed here.")
    exported = rich("the source exports ", exports_rich(lacking.exports), ".")
    meant = f" Did you mean {lacking.class_name}?" if lacking.near else ""
    return rich("Class ", code(lacking.class_name), of, " is not exported here; ", exported, meant)
