"""The form of a declaration: core widgets around a draft, one for each field that its table has a label for.

A field is judged when it was left, which is when another one is typed in, or when the button is pressed: what somebody
is still typing is no mistake. Declaring sends nothing, like the cell that the form stands for; then that cell takes the
place of the form, as an output that stays in the saved notebook.
"""

from __future__ import annotations

import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import ipywidgets as w

from notebook_do.declare.making import FIELDS, Kind
from notebook_do.display.formats import listed
from notebook_do.display.rich import code, rich, strong
from notebook_do.errors import CommandError, DurableError
from notebook_do.notebook.shells import display
from notebook_do.notebook.views import documents as views
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Block, Code, Document, Folded, Header, Item, Items, Line, Tone
from notebook_do.notebook.views.in_session import declared_view
from notebook_do.notebook.widgets.drafts import Draft, is_body, shown
from notebook_do.notebook.widgets.hints import Hints
from notebook_do.notebook.widgets.panel import switch
from notebook_do.notebook.widgets.rows import INDENT, LABEL, Rows, left_with, line_widget, say_below
from notebook_do.sessions.opening import current
from notebook_do.sources.checking import check_source

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from notebook_do.model import Declaration, Field
    from notebook_do.notebook.parsing import Call
    from notebook_do.sessions.session import Session

_TITLES: dict[Kind, tuple[str, str, str]] = {
    "namespace": ("Declare a namespace", "Stable ID", "More: hosting Worker, rename, storage, destroy"),
    "worker": ("Declare a Worker", "Worker", "More: script name, language, compatibility date"),
}
"""By kind, the title of its form, the label of the id, and what is folded."""
_LANGUAGES = {"js": "JavaScript", "ts": "TypeScript", "py": "Python"}


class Form:
    """The fields of one declaration with a line below each, and the button. `draft` is what stands in them."""

    def __init__(self, session: Session, draft: Draft) -> None:
        self.session, self.draft = session, draft
        self.hints = Hints(session, draft)
        self.inputs: dict[str, Any] = {}
        self.lines: dict[str, Any] = {}
        self.typed_in = ""
        """The field that was typed in last: it is not left yet."""
        self.left: set[str] = {name for name, value in draft.values.items() if value and name != "lang"}
        self.handle: Any = None
        """What replaces the output of the form by what it declared."""
        self.save = w.Button(description=f"Declare in session {session.name}", layout=w.Layout(width="auto"))
        self.save.on_click(lambda _: self._guarded(self._press))
        self.left_over, self.cell, self.outcome = w.HTML(), w.HTML(), w.HTML()
        self.more = w.Accordion(selected_index=None, layout=w.Layout(max_width="62em"))
        self.rows = Rows(session, draft, typed=self._typed, changed=self.check) if draft.kind == "worker" else None
        self.widget = w.VBox(list(self._parts()))
        self.check()

    def _repr_mimebundle_(self, **options: Any) -> Any:
        return self.widget._repr_mimebundle_(**options)

    def _parts(self) -> Iterator[Any]:
        """Yield what the form consists of, from top to bottom."""
        title, label, _ = _TITLES[self.draft.kind]
        facts = (("session", self.session.name), ("stage", self.session.stage))
        yield w.HTML(html.render((Header(title, facts),)))
        yield self._bound("id", _text(self.draft.values["id"], label, self._known("id")))
        fields = dict(shown(self.draft.kind))
        bodies = [name for name, row in fields.items() if is_body(row)]
        yield from (self._field(n, row) for n, row in fields.items() if not row.rare and n not in bodies)
        if self.rows is not None:
            yield self.rows.box
        yield from (self._field(name, fields[name]) for name in bodies)
        if self.rows is not None:
            yield w.HBox([self.rows.add])
        # Lines come before boxes to tick, whatever their order in the table.
        rare = sorted((entry for entry in fields.items() if entry[1].rare), key=lambda e: e[1].takes == "switch")
        self.more.children = (w.VBox([self._field(name, row) for name, row in rare]),)
        self.more.titles = (_TITLES[self.draft.kind][2],)
        yield from (self.more, self.cell, w.HBox([self.save]), self.left_over, self.outcome)

    # --- the fields

    def _field(self, name: str, row: Field) -> Any:
        return self._bound(name, self._input(name, row))

    def _input(self, name: str, row: Field) -> Any:
        """Return the widget in which a field is typed, chosen or ticked."""
        value = self.draft.values[name]
        if row.takes == "switch":
            return w.Checkbox(value=value, description=row.label, indent=False, style=LABEL, layout=_ticked())
        if row.choices:
            offered = [choice for choice in row.choices if choice != "py" or value == "py"]
            options = [(_LANGUAGES.get(choice, choice), choice) for choice in offered]
            return w.Dropdown(options=options, value=value, description=row.label, style=LABEL)
        if is_body(row):
            return _growing(value, row.label)
        return _text(value, row.label, self._known(row.flag.completes if row.flag else ""))

    def _known(self, completes: str) -> list[str]:
        """Return the names that may stand in a field, to be offered while it is typed."""
        catalog = self.session.catalog
        if completes == "id":
            completes = "namespace" if self.draft.kind == "namespace" else "reachable"
        known = {"reachable": catalog.workers, "namespace": catalog.namespaces}
        return sorted(known.get(completes, ()))

    def _bound(self, name: str, field: Any) -> Any:
        def typed(change: Any) -> None:
            self.draft.values[name] = change["new"]
            self._typed(name)

        field.observe(typed, names="value")
        self.inputs[name] = field
        self.lines[name] = line_widget()
        return w.VBox([field, self.lines[name]])

    def _typed(self, name: str) -> None:
        """Note which field is typed in: the one before is left."""
        if self.typed_in and self.typed_in != name:
            self.left |= left_with(self.typed_in, name)
        self.typed_in = name
        self.check()

    # --- what is said

    def check(self) -> None:
        """Say below each field what is wrong with it or what it is for, and below the button what is left to do."""
        faults = {name: fault for name, fault in self._faults().items() if name in self.left}
        for name, line in self.lines.items():
            say_below(line, faults.get(name, ""), self.hints.field(name))
        wrong = self.rows.check(self.left) if self.rows is not None else []
        missing, unfilled = self.draft.missing(), [at for at in self.draft.unfilled() if at not in wrong]
        said = _to_do(
            fix=[*(self._label(name) for name in faults), *(f"binding {at + 1}" for at in wrong)],
            fill=[self._label(name) for name in missing],
            rows=[f"binding {at + 1}" for at in unfilled],
        )
        switch(self.save, "primary", on=not said)
        self.left_over.value = html.render((Line(f"{said or 'Ready.'} Declaring sends nothing.", small=True),))
        self.cell.value = "" if said else html.render(self._same())
        rare = {name for name, row in shown(self.draft.kind) if row.rare}
        if faults.keys() & rare:  # what is to be fixed is not hidden
            self.more.selected_index = 0

    def _faults(self) -> dict[str, str]:
        """Return what is wrong with each field; the source is looked at once it was left."""
        found = self.draft.faults()
        looked_at = self.draft.kind == "worker" and "script" in self.left and self.draft.values["script"].strip()
        fault = self.hints.source_fault() if looked_at else ""
        return {**found, "script": fault} if fault else found

    def _label(self, name: str) -> str:
        return _TITLES[self.draft.kind][1] if name == "id" else FIELDS[self.draft.kind][name].label

    def _same(self) -> Document:
        """Return the cell that says the same, folded where it is long."""
        text = self.draft.cell(visible=True)
        kept = " The value that is hidden here is in the form." if any(r.is_hidden for r in self.draft.rows) else ""
        if "\n" not in text:
            return (Code("The same as a cell:", text),)
        lines = text.rstrip("\n").count("\n") + 1
        return (Folded(f"The same as a cell ({lines} lines)", (Code(kept.strip(), text, paste=True),)),)

    # --- what is done

    def _guarded(self, act: Callable[[], Document]) -> None:
        """Show whatever happens: an exception in a callback is invisible in a notebook."""
        try:
            blocks = act()
        except DurableError as error:
            blocks = (Line(f"{type(error).__name__}: {error}", Tone.ALERT, role="alert"),)
        except Exception as error:  # noqa: BLE001 - a bug must be seen in the form
            line = Line(f"Unexpected {type(error).__name__}: {error}", Tone.ALERT, role="alert")
            blocks = (line, Folded("Details", (Code("", traceback.format_exc()),)))
        self.outcome.value = html.render(blocks) if blocks else ""

    def _press(self) -> Document:
        """Judge every field, and declare where nothing is wrong; the form is closed then."""
        self.left |= {*self.draft.values, *(self.rows.parts() if self.rows is not None else ())}
        self.check()
        if self.save.disabled:
            return ()
        items = self.draft.declaration()
        for item in items:
            check_source(item)
        declared = self.session.declare(*items)
        done = _done(declared[0], self.session, self.draft)
        if self.handle is None:
            return done
        self.handle.update(views.View(done))
        self.widget.close()
        return ()


def _to_do(*, fix: list[str], fill: list[str], rows: list[str]) -> str:
    """Return what is left before the button can be pressed; empty where nothing is."""
    said = [f"{verb} {listed(names)}" for verb, names in (("fix", fix), ("fill in", fill)) if names]
    said += [f"fill in or remove {listed(rows)}"] if rows else []
    text = "; ".join(said)
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _done(item: Declaration, session: Session, draft: Draft) -> Document:
    """Return what stays of a form: that it declared, what is wrong with it all the same, and the cell to keep."""
    shown_item = declared_view((item,))
    noun = "namespace" if draft.kind == "namespace" else "Worker"
    at = f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC"
    begun = rich(
        f"Declared {noun} ", strong(item.id), f" in session {session.name} (from a form, {at}). Nothing was sent."
    )
    mistakes = tuple(Item(one.text, Tone.ALERT, one.choices) for one in shown_item.mistakes)
    blocks: list[Block] = [Line(rich(begun, " Next: ", code("%durable plan")), Tone.DONE)]
    blocks += [Items("", mistakes)] if mistakes else []
    blocks += [Line(note, Tone.CHANGE) for note in shown_item.notes]
    return (*blocks, Code("Keep it as a cell:", draft.cell(visible=True), paste=True))


def _wide() -> Any:
    return w.Layout(width="42em")


_ROWS, _MOST_ROWS, _COLUMNS = 6, 24, 50
"""How high a field of several lines is, empty and at most, and how many letters of a line it has side by side."""


def _growing(value: str, label: str) -> Any:
    """Return a field of several lines, as high as what stands in it and one line more, within bounds."""
    field = w.Textarea(value=value, description=label, style=LABEL, layout=_wide(), rows=_rows(value))
    field.observe(lambda change: field.set_trait("rows", _rows(change["new"])), names="value")
    return field


def _rows(text: str) -> int:
    lines = sum(max(1, -(-len(line) // _COLUMNS)) for line in text.split("\n"))
    return min(max(lines + 1, _ROWS), _MOST_ROWS)


def _ticked() -> Any:
    return w.Layout(width="42em", margin=f"0 0 0 {INDENT}")


def _text(value: str, label: str, known: Iterable[str] = ()) -> Any:
    """Return a field of one line, in which anything may be typed and what is known is offered."""
    return w.Combobox(
        value=value, description=label, options=tuple(known), ensure_option=False, style=LABEL, layout=_wide()
    )


def show(call: Call) -> None:
    """Show the form that was asked for."""
    session, what, id_ = current(), call.options.what, call.options.id
    known: Any = session.catalog.namespaces if what == "namespace" else session.catalog.workers
    if id_ and id_ not in known:
        raise CommandError(f"%durable form: no {what} {id_} is declared; leave the id out for a new one.")
    form = Form(session, _begun(what, known[id_]) if id_ else Draft.new(what))
    form.handle = display(form, replaceable=True)


def _begun(kind: Kind, item: Declaration) -> Draft:
    """Return the form of what is declared; raises CommandError where saving it again would lose something."""
    draft = Draft.of(item)
    without_body = any(is_body(row) and row.of(item) is None for _, row in shown(kind))
    if without_body or draft.declaration() != (item,):
        noun = "Worker" if kind == "worker" else kind
        raise CommandError(f"%durable form: {noun} {item.id} has options that a form cannot hold; edit its cell.")
    return draft
