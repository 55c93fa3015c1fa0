"""Any value that can show itself -> text/plain and text/html, saying the same, and JSON for `--json`."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from datetime import datetime
from enum import Enum
from typing import TYPE_CHECKING, Any

from notebook_do.display import Shown, TitledTable, in_json
from notebook_do.display.rich import code, rich
from notebook_do.model import Json, Namespace, Worker
from notebook_do.notebook.views import text
from notebook_do.notebook.views.bindings import bindings_diagram, bindings_table
from notebook_do.notebook.views.blocks import (
    ROWS,
    Cell,
    Document,
    Drawn,
    Header,
    Item,
    Items,
    Line,
    Link,
    Tone,
    capped,
)
from notebook_do.notebook.views.in_shell import in_shell
from notebook_do.notebook.views.plan import (
    code_document,
    number,
    plan_document,
)
from notebook_do.plan.code import CodeDiff
from notebook_do.plan.plan import Plan

if TYPE_CHECKING:
    from notebook_do.model import Declaration


@dataclass(frozen=True, slots=True)
class View(Shown):
    """Blocks that show themselves; `data` is the same for a program (`--json`), where that is more than their text."""

    document: Document
    data: Any = None


@dataclass(frozen=True, slots=True)
class Declared(Shown):
    """What one cell declared, by id."""

    items: tuple[Declaration, ...]

    def __getitem__(self, id_: str) -> Declaration:
        return {str(item.id): item for item in self.items}[id_]


def bundle(value: Shown) -> dict[str, str]:
    """Return `value` as text (at most 100 columns) and as HTML."""
    from notebook_do.notebook.views import html  # a terminal does without it

    document = document_of(value)
    return {"text/plain": in_shell(text.render(document)), "text/html": html.render(document)}


def as_text(value: Shown) -> str:
    """Return `value` as text alone."""
    return in_shell(text.render(document_of(value)))


def document_of(value: Shown) -> Document:
    """Return `value` as blocks."""
    match value:
        case Drawn():
            return value.document
        case Plan():
            return plan_document(value)
        case CodeDiff():
            return code_document(value)
        case Namespace() | Worker():
            return _declared((value,))
        case Declared():
            return _declared(value.items)
        case TitledTable():
            return table_document(value)
    # Each is shown without what only others have loaded: a declaration or a plan, and what a deploy came to.
    from notebook_do.deploy.result import DeployResult

    if isinstance(value, DeployResult):
        from notebook_do.notebook.views.record import result_document

        return result_document(value)
    return _of_what_runs(value)


def _of_what_runs(value: Shown) -> Document:
    """Return what is told of what runs as blocks."""
    from notebook_do.live.calling import Called
    from notebook_do.live.mapping import MappedRows
    from notebook_do.live.status import Status

    match value:
        case Called():
            from notebook_do.notebook.views.called import called_document

            return called_document(value)
        case Status():
            from notebook_do.notebook.views.status import status_document

            return status_document(value)
        case MappedRows():
            from notebook_do.notebook.views.mapped import mapped_document

            return mapped_document(value)
    return _of_objects(value)


def _of_objects(value: Shown) -> Document:
    """Return what is told of live objects as blocks."""
    from notebook_do.live.applying import AppliedChange
    from notebook_do.live.pages import ObjectPage
    from notebook_do.live.snapshots import Snapshot
    from notebook_do.model.changes import ObjectChange
    from notebook_do.notebook.views import changes, objects, stored

    match value:
        case ObjectPage():
            return objects.page_document(value)
        case ObjectChange():
            return changes.change_document(value)
        case AppliedChange():
            return changes.applied_document(value)
        case Snapshot():
            return stored.snapshot_document(value)
    raise TypeError(f"{type(value).__name__} has no view")


def _declared(items: tuple[Declaration, ...]) -> Document:
    """Show declarations as the session that they stand in knows them."""
    from notebook_do.notebook.views.declarations import declared_document
    from notebook_do.notebook.views.in_session import declared_view

    return declared_document(declared_view(items))


_NONE = {
    "namespaces": (
        "No namespace is declared in this session or live in its account. Declare one",
        "%durable namespace counter --class Counter",
    ),
    "workers": (
        "No Worker is declared in this session or live in its account. Declare one in a cell that begins",
        "%%durable worker api",
    ),
    "bindings": (
        "No binding is declared in this session. Declare a Worker with one in a cell that begins",
        "%%durable worker api --bind COUNTER=counter",
    ),
    "migrations": (
        "The plan of this session has no class migration. What else a deploy would do",
        "%durable plan",
    ),
    "state": ("The state file of this session records nothing yet; the first deploy writes it", "%durable deploy"),
    "backups": ("The state file of this session has no backup yet; deploys keep them", "%durable deploy"),
}
"""By table: what there is none of and where, and the command that makes one."""


def table_document(table: TitledTable) -> Document:
    """Show rows with the columns of their DataFrame, empty columns left out."""
    from notebook_do.frames import COLUMNS

    if not table.rows:
        said, command = _NONE[table.name]
        return (Line(rich(f"{said}: ", code(command)), Tone.SAME),)
    if table.name == "bindings":
        found = [{k: str(v) for k, v in r.items()} for r in table.rows]
        return (Header(table.title), *bindings_diagram(found), *bindings_table(found))
    columns = [c for c in COLUMNS[table.name] if any(row.get(c) not in (None, "") for row in table.rows)]
    rows = tuple(tuple(_cell(c, row) for c in columns) for row in table.rows[:ROWS])
    caption = f"{number(len(table.rows), 'row')}."
    heads = tuple(c.replace("_", " ") for c in columns)
    return (Header(table.title), capped(caption, heads, rows, total=len(table.rows), rest="Its DataFrame has all."))


def _cell(column: str, row: Mapping[str, Any]) -> Cell:
    value = row.get(column)
    if value is None or value == "":
        return "not known" if column == "objects" and row.get("namespace_id") else ""
    if column == "objects" and row.get("objects_more"):
        return f"more than {value:,}"
    # Twelve digits tell two uploads apart; the DataFrame has all.
    if column == "etag" and len(str(value)) > 12:
        return f"{str(value)[:12]}…"
    if column == "modified_on":
        return str(value)[:19].replace("T", " ")
    if isinstance(value, bool):
        return "yes" if value else "no"
    return Link(str(value)) if column == "url" else str(value)


def hints(title: str, facts: tuple[tuple[str, str], ...], lines: tuple[str, ...]) -> View:
    """Return a view of lines that can be typed next."""
    return View((Header(title, facts), Items("", tuple(Item(line) for line in lines))), data={"next": lines})


# --- JSON


def written(value: Any) -> str:
    """Write any value of a verb as JSON that no terminal obeys."""
    return in_json(json.dumps(plain(value), indent=2, ensure_ascii=False))


def plain(value: Any) -> Any:  # noqa: C901, PLR0912 - one case a kind of value
    """Reduce `value` to JSON values; sources and bodies of modules are left out."""
    match value:
        case Plan():
            return {"digest": value.digest, **json.loads(value.to_json())}
        case TitledTable():
            from notebook_do.frames import COLUMNS

            # Every row has every column, as its DataFrame has: what is not known is null.
            return [{name: plain(row.get(name)) for name in COLUMNS[value.name]} for row in value.rows]
        case View():
            return str(value) if value.data is None else plain(value.data)
        case Json():
            return value.value
        case Enum():
            return value.value
        case datetime():
            return value.isoformat()
        case str() | int() | float() | bool() | None:
            return value
        case Mapping():
            return {str(key): plain(item) for key, item in value.items()}
        case list() | tuple():
            return [plain(item) for item in value]
        case set() | frozenset():
            # A set has no order of its own, and the same value must be the same JSON.
            return sorted(plain(item) for item in value)
    if hasattr(value, "to_json") and hasattr(value, "columns"):  # a DataFrame, without loading pandas to know it
        from notebook_do.frames import records
        from notebook_do.live.values import encode

        # Moments are ours, and written as everywhere; what objects have stored is told apart by tags.
        moments = {str(name) for name, kind in value.dtypes.items() if kind.kind == "M"}
        rows = [
            {column: plain(item) if column in moments else encode(item) for column, item in row.items()}
            for row in records(value)
        ]
        return {"rows": rows, **plain(value.attrs)} if value.attrs.get("more") else rows
    # A response, without loading httpx to know it.
    if hasattr(value, "status_code"):
        return {"status": value.status_code, "headers": dict(value.headers), "body": value.text}
    if is_dataclass(value):
        value = _as_shown(value)
        # What has no repr is no part of what is shown: sources, bytes of modules, places in a notebook.
        return {f.name: plain(getattr(value, f.name)) for f in fields(value) if f.repr}
    return str(value)


def _as_shown(value: Any) -> Any:
    """Return what objects have stored, or would have, with words in place of what a view hides of it."""
    # By name: most of what is written needs neither their modules nor their views.
    kind = type(value).__name__
    if kind == "ObjectPage":
        from notebook_do.notebook.views.objects import page_as_shown

        return page_as_shown(value)
    if kind in {"ObjectChange", "AppliedChange"}:
        from notebook_do.notebook.views import hidden_cells

        return hidden_cells.change_as_shown(value) if kind == "ObjectChange" else hidden_cells.applied_as_shown(value)
    return value
