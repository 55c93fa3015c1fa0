"""Import writes cells after which the next plan is empty; export writes what wrangler would have to be told."""

from __future__ import annotations

import json
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from plan_world import Book, body

from notebook_do import model
from notebook_do.declare.catalog import Catalog
from notebook_do.errors import CommandError
from notebook_do.interchange.cells import Imported, import_cells
from notebook_do.interchange.wrangler import wrangler_files
from notebook_do.live.adopt import adopted
from notebook_do.model import Json, Module, ModuleKind, Recorded
from notebook_do.model.steps import Upload
from notebook_do.sessions import declaring, opening
from notebook_do.sources.bundle import reader

if TYPE_CHECKING:
    from pathlib import Path


def deployed(form: str) -> tuple[Book, dict[str, tuple[Module, ...]]]:
    """Deploy a host with two classes and a client; give the book and what is uploaded of each script."""
    book = Book()
    book.cell("namespace first --class ChatRoom")
    book.cell("namespace second --class Old --kv" if form == "migrations" else "namespace second --class Old")
    book.cell(
        f"worker host --bind A=first --bind B=second --var GREETING='it is \"so\"' --json 'LIMITS={{\"a\":[1]}}' "
        f"--lifecycle {form} --no-url --compat-flag nodejs_compat",
        body(ChatRoom="first", Old="second"),
    )
    book.cell("worker client --bind FAR=host.A --service HOST=host --no-url", body())
    plan = book.deploy()
    return book, {s.script_name: s.modules for s in plan.steps if isinstance(s, Upload)}


def run_cells(imported: Imported, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Catalog:
    """Run the cells as a notebook would: lines and cells by the magic, the others as Python."""
    from notebook_do.declare.cell import parse_cell

    catalog = Catalog()
    for name, content in imported.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    monkeypatch.chdir(folder)
    fake = SimpleNamespace(catalog=catalog, declare=catalog.declare, close=lambda: None)
    monkeypatch.setattr(opening, "_current", fake)
    for cell in imported.cells:
        first, _, rest = cell.partition("\n")
        if first.startswith("%%durable"):
            catalog.declare(*parse_cell(first.removeprefix("%%durable "), rest))
        elif first.startswith("%durable"):
            catalog.declare(*parse_cell(first.removeprefix("%durable "), None))
        else:
            exec(cell, {"nd": declaring, "model": model})
    return catalog


@pytest.mark.parametrize("form", ["exports", "migrations"])
@pytest.mark.parametrize("several", [False, True])
def test_after_an_import_the_plan_is_empty(
    form: str,
    several: bool,  # noqa: FBT001
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Cells written from what is live, and records made for them, leave nothing to deploy; a rename then works."""
    book, sources = deployed(form)
    observed = book.world.observed()
    if several:
        extra = Module(name="data/words.txt", content=b"\x00words", kind=ModuleKind.TEXT)
        sources["host"] = (*sources["host"], extra)
    imported = import_cells(observed, ["host", "client"], sources)
    assert set(imported.files) == ({"host/index.js", "host/data/words.txt"} if several else set())
    catalog = run_cells(imported, tmp_path, monkeypatch)
    assert set(catalog.namespaces) == {"chat-room", "old"}
    desired = catalog.desired("s", "production", read=reader())
    fresh = Recorded(lineage="e" * 32)
    book.world.recorded = adopted(fresh, desired, observed)
    plan = book.world.plan(desired)
    assert [r.message for r in plan.refusals] == []
    assert plan.empty
    assert not plan.drift
    assert {n.namespace_id for n in book.world.recorded.namespaces} == {n.namespace_id for n in observed.namespaces}


def test_known_stable_ids_are_kept() -> None:
    """A namespace whose stable ID is known by its mark keeps it."""
    book, sources = deployed("exports")
    known = {n.namespace_id: i for i, n in ((r.stable_id, r) for r in book.world.recorded.namespaces)}
    cells = import_cells(book.world.observed(), ["host"], sources, stable_ids=known).cells
    assert [c.split()[2] for c in cells] == ["first", "second", "host"]


def test_what_cannot_be_imported() -> None:
    """A script that is not live, or could not be read, is one line."""
    book, sources = deployed("exports")
    with pytest.raises(
        CommandError, match="import nobody: no Worker of that name is in the account; known are client, host"
    ):
        import_cells(book.world.observed(), ["nobody"], sources)
    with pytest.raises(CommandError, match="import host: its settings or its source could not be read"):
        import_cells(book.world.observed(), ["host"], {})


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_export_for_wrangler(form: str) -> None:
    """wrangler.jsonc tells the live form: the map of classes, or one step under the very tag that is live."""
    book, sources = deployed(form)
    desired = book.catalog.desired("s", "production", read=reader())
    files = wrangler_files(desired, book.world.recorded, book.world.observed())
    assert set(files) == {f"{w}/{f}" for w in ("host", "client") for f in ("wrangler.jsonc", "index.js")}
    assert files["host/index.js"] == sources["host"][0].content
    host, client = (json.loads(files[f"{w}/wrangler.jsonc"]) for w in ("host", "client"))
    assert host["durable_objects"]["bindings"] == [
        {"name": "A", "class_name": "ChatRoom"},
        {"name": "B", "class_name": "Old"},
    ]
    assert host["vars"] == {"GREETING": 'it is "so"', "LIMITS": {"a": [1]}}
    assert client["durable_objects"]["bindings"] == [{"name": "FAR", "class_name": "ChatRoom", "script_name": "host"}]
    assert client["services"] == [{"binding": "HOST", "service": "host"}]
    assert "migrations" not in client
    if form == "exports":
        assert host["exports"] == {c: {"type": "durable-object", "storage": "sqlite"} for c in ("ChatRoom", "Old")}
    else:
        tag = book.world.account.scripts["host"].tag
        assert host["migrations"] == [{"tag": tag, "new_sqlite_classes": ["ChatRoom"], "new_classes": ["Old"]}]


def exported(*, form: str = "exports", entries: dict[str, Any] | None = None, expects: tuple[str, ...] = ()) -> Any:
    """Export the host with entries in its live `exports` that no declaration has."""
    book, _ = deployed(form)
    observed = book.world.observed()
    scripts = tuple(
        replace(s, entries=Json(entries or {}), expects=expects) if s.name == "host" else s for s in observed.scripts
    )
    files = wrangler_files(
        book.catalog.desired("s", "production", read=reader()), book.world.recorded, replace(observed, scripts=scripts)
    )
    return json.loads(files["host/wrangler.jsonc"])


@pytest.mark.parametrize("form", ["exports", "migrations"])
def test_entries_of_other_kinds_are_exported(form: str) -> None:
    """`exports` is replaced as a whole: what is no class stands in it too, in either form of the classes' life."""
    entries = {
        "Admin": {"type": "worker", "cache": {"enabled": True}},
        "Orders": {"type": "workflow", "name": "orders", "limits": {"steps": 5}},
    }
    config = exported(form=form, entries=entries)
    assert {name: config["exports"][name] for name in entries} == entries
    assert set(config["exports"]) - set(entries) == ({"ChatRoom", "Old"} if form == "exports" else set())
    assert ("migrations" in config) is (form == "migrations")


def test_what_a_class_has_besides_its_storage_is_exported() -> None:
    """The container of a class is part of its entry."""
    config = exported(entries={"ChatRoom": {"container": "box"}})
    assert config["exports"]["ChatRoom"] == {"type": "durable-object", "storage": "sqlite", "container": "box"}


@pytest.mark.parametrize(
    ("entries", "expects", "why"),
    [
        ({"Box": {"type": "container"}}, (), "cannot send type container of entry Box in its exports"),
        ({"Admin": {"type": "worker", "speed": 1}}, (), "cannot send field speed of entry Admin"),
        ({"ChatRoom": {"colour": "red"}}, (), "cannot send field colour of entry ChatRoom"),
        ({}, ("ChatRoom",), "class ChatRoom waits to be taken over"),
    ],
)
def test_an_entry_that_wrangler_would_drop_is_refused(
    entries: dict[str, Any], expects: tuple[str, ...], why: str
) -> None:
    """Wrangler leaves out what it does not know: the export refuses, by Worker and entry."""
    with pytest.raises(CommandError, match=rf"export: Worker host: .*{why}"):
        exported(entries=entries, expects=expects)
