"""The rows of bindings of a Worker's form: name, type and value of each, a line below, and a button that removes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import ipywidgets as w

from notebook_do.model import NamespaceBinding
from notebook_do.notebook.views import html
from notebook_do.notebook.views.blocks import Line, Tone
from notebook_do.notebook.widgets.drafts import KINDS, BindingRow
from notebook_do.notebook.widgets.hints import Hints

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from notebook_do.notebook.widgets.drafts import Draft
    from notebook_do.sessions.session import Session

LABEL = {"description_width": "11em"}
INDENT = "11.6em"
"""Where the fields begin, right of their labels: the lines below them begin there too."""
_PARTS = ("name", "kind", "target")


def line_widget() -> Any:
    """Return the widget of the line below a field."""
    return w.HTML(layout=w.Layout(margin=f"0 0 4px {INDENT}", max_width="60em"))


def say_below(line: Any, fault: str, hint: str) -> None:
    """Draw the one line below a field: what is wrong with it, else what it is for; without either there is no gap."""
    said = Line(fault, Tone.ALERT, role="alert") if fault else Line(hint, small=True)
    line.value = html.render((said,)) if said.text else ""
    line.layout.display = "" if said.text else "none"


class Rows:
    """The rows of one draft. `typed` is told which field is typed in, `changed` that a row came or went."""

    def __init__(
        self, session: Session, draft: Draft, *, typed: Callable[[str], None], changed: Callable[[], None]
    ) -> None:
        self.session, self.draft, self._typed, self._changed = session, draft, typed, changed
        self.hints = Hints(session, draft)
        self.box = w.VBox()
        self._made: dict[int, tuple[BindingRow, Any, Any, Any]] = {}
        """By row, that row with its widget, what is named after its place, and its line.

        A widget stays as long as its row: what is typed in it is not lost while other rows come and go.
        """
        self.add = w.Button(description="Add a binding", layout=w.Layout(width="auto"))
        self.add.on_click(lambda _: self.change([*self.draft.rows, BindingRow()]))
        self._build()

    def change(self, rows: list[BindingRow]) -> None:
        """Show these rows instead."""
        self.draft.rows = rows
        self._build()
        self._changed()

    @property
    def lines(self) -> list[Any]:
        """The lines below the rows."""
        return [self._made[id(row)][3] for row in self.draft.rows]

    def parts(self) -> Iterator[str]:
        """Yield the names of all fields of the rows."""
        yield from (_field_of(row, part) for row in self.draft.rows for part in _PARTS)

    def check(self, left: set[str]) -> list[int]:
        """Say below each row what is wrong with it, if that field was left; return those, counted from 0."""
        wrong = []
        faults = self.draft.row_faults()
        for at, (row, line) in enumerate(zip(self.draft.rows, self.lines, strict=True)):
            fault = faults.get(at)
            judged = fault is not None and _field_of(row, fault.part) in left
            wrong += [at] if judged else []
            say_below(line, fault.text if fault and judged else "", self.hints.row(row))
        return wrong

    def _build(self) -> None:
        self._made = {id(row): self._made.get(id(row)) or self._row(row) for row in self.draft.rows}
        for at, (_, _, (name, gone), _) in enumerate(self._made.values()):
            name.description, gone.tooltip = f"Binding {at + 1}", f"Remove binding {at + 1}"
        self.box.children = tuple(widget for _, widget, _, _ in self._made.values())

    def _row(self, row: BindingRow) -> tuple[BindingRow, Any, Any, Any]:
        narrow = {"description_width": "initial"}
        name = w.Text(value=row.name, style=LABEL, layout=w.Layout(width="23em"))
        kind = w.Dropdown(
            options=tuple(KINDS), value=row.kind, description="type", style=narrow, layout=w.Layout(width="13em")
        )
        # Anything may be typed: the cell of what is bound need not have run yet.
        target = w.Combobox(
            value=row.target,
            options=self._known(row.kind),
            ensure_option=False,
            description="value",
            style=narrow,
            layout=w.Layout(width="19em"),
        )
        for field, part in ((name, "name"), (kind, "kind"), (target, "target")):
            # The part as a default, which is bound now: all three would set the last one otherwise.
            field.observe(lambda change, p=part: self._part_typed(row, p, change["new"], target), names="value")
        gone = w.Button(description="Remove", layout=w.Layout(width="auto"))
        gone.on_click(lambda _: self.change([r for r in self.draft.rows if r is not row]))
        # On one line the last button would lie outside of what a notebook's column shows.
        fields = w.HBox([name, kind, target, gone], layout=w.Layout(flex_flow="row wrap"))
        line = line_widget()
        return row, w.VBox([fields, line]), (name, gone), line

    def _part_typed(self, row: BindingRow, part: str, value: str, target: Any) -> None:
        setattr(row, part, value)
        if part == "kind":
            target.options = self._known(value)
        self._typed(_field_of(row, part))

    def _known(self, kind: str) -> tuple[str, ...]:
        """Return what can be bound, as far as the session knows it."""
        catalog, own = self.session.catalog, self.draft.values["id"]
        match kind:
            case "namespace":
                others = (worker for worker in catalog.workers.values() if worker.id != own)
                shared = [
                    f"{worker.id}.{name}"
                    for worker in others
                    for name, value in worker.bindings.items()
                    if isinstance(value, NamespaceBinding)
                ]
                return (*sorted(catalog.namespaces), *shared)
            case "service":
                return tuple(sorted(id_ for id_ in catalog.workers if id_ != own))
            case "secret":
                return ("keyring", "prompt")
        return ()


def _field_of(row: BindingRow, part: str) -> str:
    # By the row itself and not by its place: a row above it may be removed.
    return f"row {id(row)} {part}"


def left_with(field: str, other: str) -> set[str]:
    """Return the fields that are left when somebody goes from one to another: with a row all that it has."""
    row, _, part = field.rpartition(" ")
    if not row or other.startswith(f"{row} "):
        return {field}
    return {f"{row} {one}" for one in _PARTS} if part in _PARTS else {field}
