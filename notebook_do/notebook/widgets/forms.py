"""The forms: core widgets around a draft. Each field is checked while it is typed; Save declares and shows the cell.

Saving declares only: it sends nothing, like the cell that it stands for.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from notebook_do.errors import CommandError, DurableError
from notebook_do.notebook import deploying
from notebook_do.notebook.shells import shell_of
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Block, Code, Folded, Header, Line, Tone
from notebook_do.notebook.widgets.drafts import KINDS, BindingRow, NamespaceDraft, WorkerDraft
from notebook_do.sessions.session import current

if TYPE_CHECKING:
    from collections.abc import Iterable

    from notebook_do.display import Shown
    from notebook_do.model import Namespace, Worker
    from notebook_do.notebook.commands import Call
    from notebook_do.sessions.session import Session

_LABEL = {"description_width": "11em"}


class Form:
    """Fields with a line under each, and Save. `draft` is what stands in them."""

    title = ""

    def __init__(self, session: Session, draft: NamespaceDraft | WorkerDraft) -> None:
        self.session, self.draft = session, draft
        self.faults: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self.save = w.Button(description=f"Declare in session {session.name}", layout=w.Layout(width="auto"))
        self.show_cell = w.Button(description="Show as cell", layout=w.Layout(width="auto"))
        self.outcome = w.HTML()
        self.save.on_click(lambda _: self._guarded(self._save))
        self.show_cell.on_click(lambda _: self._guarded(self._show))
        facts = (("session", session.name), ("stage", session.stage))
        self.widget = w.VBox(
            [
                w.HTML(html.render((Header(self.title, facts),))),
                *self.fields(),
                w.HBox([self.save, self.show_cell]),
                self.outcome,
            ]
        )
        self.check()

    def fields(self) -> Iterable[Any]:
        """Give the widgets of the fields."""
        raise NotImplementedError

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def text(self, name: str, label: str, options: Iterable[str] = (), **more: Any) -> Any:
        """Make a labelled field for the draft's `name`, with suggestions, and the line for its fault."""
        kind = w.Textarea if more.pop("lines", None) else w.Combobox
        given = {} if kind is w.Textarea else {"options": tuple(options), "ensure_option": False}
        field = kind(
            value=getattr(self.draft, name),
            description=label,
            style=_LABEL,
            layout=w.Layout(width="42em"),
            **given,
            **more,
        )
        return self._bound(name, field)

    def tick(self, name: str, label: str) -> Any:
        """Make a checkbox for the draft's `name`."""
        wide = w.Layout(width="42em")
        field = w.Checkbox(value=getattr(self.draft, name), description=label, indent=True, style=_LABEL, layout=wide)
        return self._bound(name, field)

    def _bound(self, name: str, field: Any) -> Any:
        def typed(change: Any) -> None:
            setattr(self.draft, name, change["new"])
            self.check()

        field.observe(typed, names="value")
        self.inputs[name] = field
        self.faults[name] = w.HTML()
        return w.VBox([field, self.faults[name]])

    def check(self) -> None:
        """Say under each field what is wrong with it, and let only a whole declaration be saved."""
        found = self.draft.faults()
        for name, line in self.faults.items():
            line.value = html.render((Line(found[name], Tone.ALERT, role="alert"),)) if found.get(name) else ""
        self.save.disabled = self.show_cell.disabled = bool(found)

    def _guarded(self, act: Any) -> None:
        """Show whatever happens: an exception in a callback is invisible in a notebook."""
        try:
            blocks: tuple[Block, ...] = act()
        except DurableError as error:
            blocks = (Line(f"{type(error).__name__}: {error}", Tone.ALERT, role="alert"),)
        except Exception as error:  # noqa: BLE001 - a bug must be seen in the form
            line = Line(f"Unexpected {type(error).__name__}: {error}", Tone.ALERT, role="alert")
            blocks = (line, Folded("Details", (Code("", traceback.format_exc()),)))
        self.outcome.value = html.render(blocks)

    def _show(self) -> tuple[Block, ...]:
        return (Code("The same as a cell:", self.draft.cell()),)

    def _save(self) -> tuple[Block, ...]:
        declared = self.session.declare(*self.draft.declaration())
        return (*views.document_of(views.Declared(declared)), *self._show())


class NamespaceForm(Form):
    """A Durable Object namespace."""

    title = "Durable Object namespace"
    draft: NamespaceDraft

    def fields(self) -> Iterable[Any]:
        """Give the fields of a namespace."""
        workers, namespaces = sorted(self.session.catalog.workers), sorted(self.session.catalog.namespaces)
        return (
            self.text("id", "Stable ID", placeholder="its permanent name, such as counter"),
            self.text("class_name", "Class", placeholder="the exported class, such as Counter"),
            self.text("script", "Hosting Worker", workers, placeholder="only where several Workers bind it"),
            self.text("renamed_from", "Renamed from", namespaces, placeholder="the stable ID that this one replaces"),
            self.tick("legacy_kv", "Legacy KV storage instead of SQLite"),
            self.tick("unprotected", "Allow it to be destroyed later"),
        )


class WorkerForm(Form):
    """A Worker with its bindings as rows and its source."""

    title = "Worker"
    draft: WorkerDraft

    def fields(self) -> Iterable[Any]:
        """Give the fields of a Worker."""
        self.rows = w.VBox()
        self.add = w.Button(description="Add a binding", layout=w.Layout(width="auto"))
        self.add.on_click(lambda _: self._change_rows([*self.draft.rows, BindingRow()]))
        lang = w.Dropdown(options=("js", "ts", "py"), value=self.draft.lang, description="Language", style=_LABEL)
        fields = (
            self.text("id", "Worker", placeholder="its id in this session, such as my-worker"),
            self.text("name", "Script name", placeholder=f"default: the id with -{self.session.stage}"),
            self.text("compat_date", "Compatibility date", placeholder="YYYY-MM-DD; default: the newest"),
            self._bound("lang", lang),
            self.rows,
            w.HBox([self.add]),
            self.text("source", "Source", lines=True, rows=14),
        )
        self._change_rows(self.draft.rows)
        return fields

    def _change_rows(self, rows: list[BindingRow]) -> None:
        self.draft.rows = rows
        self.faults = {name: line for name, line in self.faults.items() if not name.startswith("row ")}
        self.rows.children = tuple(self._row(at, row) for at, row in enumerate(rows))
        if hasattr(self, "widget"):
            self.check()

    def _row(self, at: int, row: BindingRow) -> Any:
        known = sorted(self.session.catalog.namespaces)
        name = w.Text(value=row.name, description=f"Binding {at + 1}", style=_LABEL, layout=w.Layout(width="22em"))
        kind = w.Dropdown(options=tuple(KINDS), value=row.kind, description="is a", layout=w.Layout(width="17em"))
        target = w.Combobox(
            value=row.target, options=known, ensure_option=False, description="bound to", layout=w.Layout(width="22em")
        )
        gone = w.Button(description=f"Remove binding {at + 1}", layout=w.Layout(width="auto"))
        for field, attribute in ((name, "name"), (kind, "kind"), (target, "target")):
            field.observe(lambda change, a=attribute: self._row_typed(row, a, change["new"]), names="value")
        gone.on_click(lambda _: self._change_rows([r for r in self.draft.rows if r is not row]))
        self.faults[f"row {at}"] = w.HTML()
        # On one line the last button would lie outside of what a notebook's column shows.
        fields = w.HBox([name, kind, target, gone], layout=w.Layout(flex_flow="row wrap"))
        return w.VBox([fields, self.faults[f"row {at}"]])

    def _row_typed(self, row: BindingRow, attribute: str, value: str) -> None:
        setattr(row, attribute, value)
        self.check()


def show(call: Call) -> Shown | Form | None:
    """Show the form that was asked for, or how to do without one."""
    session, what, id_ = current(), call.options.what, call.options.id
    if what == "deploy":
        call.options.approve = None
        return deploying.offer(call, session, session.plan(), "%durable deploy")
    if shell_of(call.ip) != "notebook":
        return views.View((Line(f"There are no widgets here. Declare with a line: %durable {what} -h", Tone.CHANGE),))
    known: Any = session.catalog.namespaces if what == "namespace" else session.catalog.workers
    if id_ and id_ not in known:
        raise CommandError(f"%durable form: no {what} {id_} is declared; leave the id out for a new one.")
    return _namespace_form(session, known.get(id_)) if what == "namespace" else _worker_form(session, known.get(id_))


def _namespace_form(session: Session, item: Namespace | None) -> Form:
    if item and NamespaceDraft.of(item).declaration() != (item,):
        raise CommandError(f"%durable form: namespace {item.id} has options that a form cannot hold; edit its cell.")
    return NamespaceForm(session, NamespaceDraft.of(item) if item else NamespaceDraft())


def _worker_form(session: Session, item: Worker | None) -> Form:
    if item and (item.script is None or WorkerDraft.of(item).declaration() != (item,)):
        raise CommandError(f"%durable form: Worker {item.id} has options that a form cannot hold; edit its cell.")
    return WorkerForm(session, WorkerDraft.of(item) if item else WorkerDraft())
