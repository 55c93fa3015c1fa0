"""The form of a declaration: core widgets around a draft, one for each field that its table has a label for.

Each field is checked while it is typed; Save declares and shows the cell. Saving declares only: it sends nothing, like
the cell that it stands for.
"""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from notebook_do.declare.making import FIELDS, Kind
from notebook_do.errors import CommandError, DurableError
from notebook_do.notebook import deploying
from notebook_do.notebook.shells import shell_of
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Block, Code, Folded, Header, Line, Tone
from notebook_do.notebook.widgets.drafts import KINDS, BindingRow, Draft, is_body, shown
from notebook_do.sessions.opening import current

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from notebook_do.display import Shown
    from notebook_do.model import Declaration, Field
    from notebook_do.notebook.parsing import Call
    from notebook_do.sessions.session import Session

_LABEL = {"description_width": "11em"}


class Form:
    """The fields of one declaration with a line under each, and Save. `draft` is what stands in them."""

    def __init__(self, session: Session, draft: Draft) -> None:
        self.session, self.draft = session, draft
        self.faults: dict[str, Any] = {}
        self.inputs: dict[str, Any] = {}
        self.save = w.Button(description=f"Declare in session {session.name}", layout=w.Layout(width="auto"))
        self.show_cell = w.Button(description="Show as cell", layout=w.Layout(width="auto"))
        self.outcome = w.HTML()
        self.save.on_click(lambda _: self._guarded(self._save))
        self.show_cell.on_click(lambda _: self._guarded(self._show))
        title, label, example = _BEGINS[draft.kind]
        facts = (("session", session.name), ("stage", session.stage))
        self.widget = w.VBox(
            [
                w.HTML(html.render((Header(title, facts),))),
                self._bound("id", _line(draft.values["id"], label, example)),
                *self._fields(),
                w.HBox([self.save, self.show_cell]),
                self.outcome,
            ]
        )
        self.check()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def _fields(self) -> list[Any]:
        """Return a widget a field: lines, choices, boxes to tick, then the bindings in rows, and the body last."""
        rows = dict(sorted(shown(self.draft.kind), key=lambda entry: _place(entry[1])))
        made = {name: self._bound(name, self._input(name, row)) for name, row in rows.items()}
        bodies = [made[name] for name, row in rows.items() if is_body(row)]
        return [*(one for one in made.values() if one not in bodies), *self._bindings(), *bodies]

    def _input(self, name: str, row: Field) -> Any:
        """Return the widget in which a field is typed, chosen or ticked."""
        value = self.draft.values[name]
        if row.takes == "switch":
            return w.Checkbox(value=value, description=row.label, indent=True, style=_LABEL, layout=_wide())
        if row.choices:
            return w.Dropdown(options=row.choices, value=value, description=row.label, style=_LABEL)
        if is_body(row):
            return w.Textarea(value=value, description=row.label, style=_LABEL, layout=_wide(), rows=14)
        completes = row.flag.completes if row.flag else ""
        return _line(value, row.label, row.example.format(stage=self.session.stage), self._known(completes))

    def _known(self, completes: str) -> list[str]:
        """Return the declared names that may stand in a field, to be offered while it is typed."""
        catalog = self.session.catalog
        known: Mapping[str, Iterable[str]] = {"reachable": catalog.workers, "namespace": catalog.namespaces}
        return sorted(known.get(completes, ()))

    def _bound(self, name: str, field: Any) -> Any:
        def typed(change: Any) -> None:
            self.draft.values[name] = change["new"]
            self.check()

        field.observe(typed, names="value")
        self.inputs[name] = field
        self.faults[name] = w.HTML()
        return w.VBox([field, self.faults[name]])

    def check(self) -> None:
        """Show under each field what is wrong with it, and let only a whole declaration be saved."""
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

    # --- bindings

    def _bindings(self) -> list[Any]:
        """Return the rows of the bindings, and the button that adds one; nothing where there can be none."""
        if not any(row.takes == "bindings" for row in FIELDS[self.draft.kind].values()):
            return []
        self.rows = w.VBox()
        self.add = w.Button(description="Add a binding", layout=w.Layout(width="auto"))
        self.add.on_click(lambda _: self._change_rows([*self.draft.rows, BindingRow()]))
        self._change_rows(self.draft.rows)
        return [self.rows, w.HBox([self.add])]

    def _change_rows(self, rows: list[BindingRow]) -> None:
        self.draft.rows = rows
        self.faults = {name: line for name, line in self.faults.items() if not name.startswith("row ")}
        self.rows.children = tuple(self._row(at, row) for at, row in enumerate(rows))
        # Called while the form is still being built, too.
        if hasattr(self, "widget"):
            self.check()

    def _row(self, at: int, row: BindingRow) -> Any:
        known = sorted(self.session.catalog.namespaces)
        name = w.Text(value=row.name, description=f"Binding {at + 1}", style=_LABEL, layout=w.Layout(width="22em"))
        kind = w.Dropdown(options=tuple(KINDS), value=row.kind, description="is a", layout=w.Layout(width="17em"))
        # Anything may be typed: the cell of what is bound need not have run yet.
        target = w.Combobox(
            value=row.target, options=known, ensure_option=False, description="bound to", layout=w.Layout(width="22em")
        )
        gone = w.Button(description=f"Remove binding {at + 1}", layout=w.Layout(width="auto"))
        for field, attribute in ((name, "name"), (kind, "kind"), (target, "target")):
            # The attribute as a default, which is bound now: all three would set the last one otherwise.
            field.observe(lambda change, a=attribute: self._row_typed(row, a, change["new"]), names="value")
        gone.on_click(lambda _: self._change_rows([r for r in self.draft.rows if r is not row]))
        self.faults[f"row {at}"] = w.HTML()
        # On one line the last button would lie outside of what a notebook's column shows.
        fields = w.HBox([name, kind, target, gone], layout=w.Layout(flex_flow="row wrap"))
        return w.VBox([fields, self.faults[f"row {at}"]])

    def _row_typed(self, row: BindingRow, attribute: str, value: str) -> None:
        setattr(row, attribute, value)
        self.check()


_BEGINS: Mapping[Kind, tuple[str, str, str]] = {
    "namespace": ("Durable Object namespace", "Stable ID", "its permanent name, such as counter"),
    "worker": ("Worker", "Worker", "its id in this session, such as my-worker"),
}
"""By kind, the title of its form, and label and example of the id."""


def _wide() -> Any:
    return w.Layout(width="42em")


def _line(value: str, label: str, example: str, known: Iterable[str] = ()) -> Any:
    """Return a field of one line, in which anything may be typed and what is known is offered."""
    return w.Combobox(
        value=value,
        description=label,
        placeholder=example,
        options=tuple(known),
        ensure_option=False,
        style=_LABEL,
        layout=_wide(),
    )


def _place(row: Field) -> int:
    """Return where a field stands among the others: lines, choices, boxes to tick."""
    return 2 if row.takes == "switch" else 1 if row.choices else 0


def show(call: Call) -> Shown | Form | None:
    """Show the form that was asked for, or how to do without one."""
    session, what, id_ = current(), call.options.what, call.options.id
    if what == "deploy":
        # `form` has no --approve, which `offer` asks for: a form shows a button and sends nothing.
        call.options.approve = None
        return deploying.offer(call, session, session.plan(), "%durable deploy")
    if shell_of(call.ip) != "notebook":
        return views.View((Line(f"There are no widgets here. Declare with a line: %durable {what} -h", Tone.CHANGE),))
    known: Any = session.catalog.namespaces if what == "namespace" else session.catalog.workers
    if id_ and id_ not in known:
        raise CommandError(f"%durable form: no {what} {id_} is declared; leave the id out for a new one.")
    return Form(session, _begun(what, known[id_]) if id_ else Draft.new(what))


def _begun(kind: Kind, item: Declaration) -> Draft:
    """Return the form of what is declared; raises CommandError where saving it again would lose something."""
    draft = Draft.of(item)
    without_body = any(is_body(row) and row.of(item) is None for _, row in shown(kind))
    if without_body or draft.declaration() != (item,):
        noun = "Worker" if kind == "worker" else kind
        raise CommandError(f"%durable form: {noun} {item.id} has options that a form cannot hold; edit its cell.")
    return draft
