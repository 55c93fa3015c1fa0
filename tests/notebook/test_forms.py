"""The forms with real widgets and a real session: the contract of views.md, section 11, and its examples 8a to 8g."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from sharing import COUNTER

import notebook_do as nd
from notebook_do.model import Where
from notebook_do.notebook.widgets.drafts import BindingRow, Draft
from notebook_do.notebook.widgets.forms import Form
from notebook_do.sessions.opening import open_session
from notebook_do.sources import esbuild

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.sessions.session import Session

PLANTED = "s3cr3tNeverShown0123456789abcdef"


@pytest.fixture
def session(cloud: Path) -> Session:
    """Give an open session that has reached nothing yet."""
    return open_session("forms", state=cloud / "state.json")


def said(line: Any) -> str:
    """Give the words of a line of the form."""
    return " ".join(re.sub(r"<[^>]+>", "", line.value).replace("&quot;", '"').replace("&#x27;", "'").split())


def red(form: Form) -> dict[str, str]:
    """Give the lines that are drawn as a mistake."""
    lines = {**form.lines, **{f"row {n}": one for n, one in enumerate(form.rows.lines if form.rows else ())}}
    return {name: said(line) for name, line in lines.items() if 'role="alert"' in line.value}


def parts(form: Form, at: int) -> Any:
    """Give name, type, value and button of a row."""
    assert form.rows is not None
    return form.rows.box.children[at].children[0].children


def test_a_pristine_form_is_not_red_and_says_what_is_to_be_filled_in(session: Session) -> None:
    """8a and 8d: help below each field, the rare ones folded, the button off by what is missing."""
    space, worker = Form(session, Draft.new("namespace")), Form(session, Draft.new("worker"))
    assert red(space) == red(worker) == {}
    assert [said(form.left_over) for form in (space, worker)] == [
        "Fill in Stable ID and Class. Declaring sends nothing.",
        "Fill in Worker and Source. Declaring sends nothing.",
    ]
    assert space.save.disabled
    assert worker.save.disabled
    assert space.save.description == "Declare in session forms"
    assert {name: said(line) for name, line in space.lines.items()} == {
        "id": "Your permanent name for it, such as counter. It never changes, the class may.",
        "class_name": "The class that your Worker exports, such as Counter.",
        "script_name": "Only if several Workers bind it: the one whose source holds the class.",
        "renamed_from": "Only to rename a stable ID: its name until now.",
        "sqlite": "Legacy. Leave it off for SQLite; it cannot be changed later.",
        "protect": "Off: %durable destroy is refused.",
    }
    assert said(worker.lines["id"]) == "Its name in this session, such as api. On Cloudflare it becomes api-dev."
    assert said(worker.lines["script"]) == "JavaScript with export default { fetch } and your classes."
    assert said(worker.lines["name"]) == "Default: the Worker and the stage, such as api-dev."
    for form, title in (
        (space, "More: hosting Worker, rename, storage, destroy"),
        (worker, "More: script name, language, compatibility date"),
    ):
        assert form.more.titles == (title,)
        assert form.more.selected_index is None
    assert dict(worker.inputs["lang"].options) == {"JavaScript": "js", "TypeScript": "ts"}


def test_the_fields_stand_in_the_order_in_which_they_are_filled_in(session: Session) -> None:
    """The rare ones behind the others; a Worker's source is below its bindings."""
    assert list(Form(session, Draft.new("namespace")).inputs) == [
        *("id", "class_name", "script_name", "renamed_from", "sqlite", "protect"),
    ]
    form = Form(session, Draft.new("worker"))
    assert list(form.inputs) == ["id", "script", "name", "lang", "compatibility_date"]


def test_every_input_has_a_label(session: Session) -> None:
    """A screen reader can name each field and each button."""
    form = Form(session, Draft.new("worker"))
    assert form.rows is not None
    form.rows.add.click()
    fields = [*form.inputs.values(), *parts(form, 0)]
    assert all(field.description for field in fields)
    assert parts(form, 0)[3].tooltip == "Remove binding 1"
    assert form.rows.box.children[0].children[0].layout.flex_flow == "row wrap"  # else it lies outside of what is seen


def test_a_source_grows_with_what_is_typed(session: Session) -> None:
    """Six rows while nothing is in it, one more than its lines, and never more than fits on a screen."""
    source = Form(session, Draft.new("worker")).inputs["script"]
    assert source.rows == 6
    for lines, rows in ((3, 6), (9, 10), (500, 24), (1, 6)):
        source.value = "\n".join(["export default {};"] * lines)
        assert source.rows == rows
    source.value = "x" * 500
    assert source.rows == 11, "a long line is broken"


def test_a_field_is_judged_when_it_is_left(session: Session) -> None:
    """8b: while somebody types nothing is wrong yet; then one line names the rule and an example of what was typed."""
    form = Form(session, Draft.new("namespace"))
    form.inputs["id"].value = "my counter"
    assert red(form) == {}
    form.inputs["class_name"].value = "Counter"
    assert red(form) == {"id": "! No spaces: use letters, digits, - or _, for example my-counter."}
    assert said(form.left_over) == "Fix Stable ID. Declaring sends nothing."
    assert form.save.disabled
    assert form.cell.value == ""
    form.inputs["id"].value = "my-counter"
    assert red(form) == {}
    assert said(form.lines["id"]) == "New: no namespace of this name is declared or deployed."
    assert not form.save.disabled


def test_a_press_judges_every_field_and_declares_nothing_that_is_wrong(session: Session) -> None:
    """The last field that was typed in is not left by a press; it is judged all the same."""
    form = Form(session, Draft.new("namespace"))
    form.inputs["id"].value = "counter"
    form.inputs["class_name"].value = "1 Counter"
    assert not form.save.disabled
    form.save.click()
    assert red(form) == {"class_name": "! Use letters, digits and _, not beginning with a digit: for example Counter."}
    assert said(form.left_over) == "Fix Class. Declaring sends nothing."
    assert not session.catalog.namespaces


def test_a_mistake_in_a_folded_field_opens_it(session: Session) -> None:
    """What is to be fixed is not hidden."""
    form = Form(session, Draft.new("worker", id="api", script="export default {}"))
    form.inputs["compatibility_date"].value = "2026-11-1"
    form.inputs["name"].value = "UPPER_name.x"
    assert red(form) == {"compatibility_date": "! Write a day as 2026-11-01."}
    assert form.more.selected_index == 0
    form.save.click()
    assert red(form)["name"] == "! Use lower-case letters, digits and -, at most 63: for example upper-name-x."
    assert said(form.left_over) == "Fix Script name and Compatibility date. Declaring sends nothing."


def test_a_complete_form_shows_its_cell_and_becomes_it(session: Session) -> None:
    """8c and 8g: the same as a cell, then what was declared, with the cell to keep; the form is gone."""
    nd.Worker("api", script=COUNTER, where=Where(cell="In[5]", run=5))
    form = Form(session, Draft.new("namespace"))
    updated: list[Any] = []
    form.handle = type("Handle", (), {"update": staticmethod(updated.append)})
    form.inputs["id"].value = "my-counter"
    form.inputs["class_name"].value = "Counter"
    assert said(form.lines["class_name"]) == "Exported by Worker api (cell [5])."
    assert said(form.cell) == "The same as a cell: %durable namespace my-counter --class Counter"
    assert said(form.left_over) == "Ready. Declaring sends nothing."
    form.save.click()
    assert session.catalog.namespaces["my-counter"].class_name == "Counter"
    (view,) = updated
    first, *rest = str(view).splitlines()
    assert re.sub(r"20[-: \d]+UTC", "NOW", first) == (
        "✓ Declared namespace my-counter in session forms (from a form, NOW). Nothing was"
    )
    assert "Keep it as a cell:" in rest  # a command to copy has a line of its own
    assert str(view).endswith("%durable namespace my-counter --class Counter")
    assert form.widget.comm is None  # closed


def test_what_a_form_declared_is_named_by_it(session: Session) -> None:
    """The next declaration replaces that of a form, and a form says whose declaration it replaces."""
    form = Form(session, Draft.new("namespace", id="counter", class_name="Counter"))
    form.save.click()
    where = session.catalog.namespaces["counter"].where
    assert where is not None
    assert where.name == "a form"
    again = Form(session, Draft.of(session.catalog.namespaces["counter"]))
    assert said(again.lines["id"]) == "Replaces the declaration of a form."


def test_rows_that_are_not_typed_in_keep_the_button_off_and_are_no_mistake(session: Session) -> None:
    """8e: by name below the button; a row can be removed, and lists what can be bound."""
    nd.DurableObjectNamespace("counter", class_name="Counter", where=Where(cell="In[3]", run=3))
    nd.Worker("desk", script="export default {}", bindings={"ROOMS": nd.NamespaceBinding(stable_id="rooms"), "T": "t"})  # type: ignore[arg-type]
    form = Form(session, Draft.new("worker", id="api", script=COUNTER))
    assert form.rows is not None
    form.rows.add.click()
    form.rows.add.click()
    assert red(form) == {}
    name, kind, target, gone = parts(form, 0)
    assert target.options == ("counter", "desk.ROOMS")
    name.value, target.value = "COUNTER", "counter"
    assert said(form.rows.lines[0]) == "class Counter, hosted here"
    assert said(form.rows.lines[1]).startswith("Name: as your code reads it, env.NAME.")
    assert said(form.left_over) == "Fill in or remove binding 2. Declaring sends nothing."
    assert form.save.disabled
    kind.value = "service"
    assert target.options == ("desk",)
    kind.value = "namespace"
    parts(form, 1)[3].click()
    assert len(form.rows.box.children) == 1
    assert gone.description == "Remove"
    assert not form.save.disabled
    assert "%%durable worker api --bind COUNTER=counter" in form.cell.value
    form.save.click()
    assert session.catalog.workers["api"].bindings["COUNTER"].stable_id == "counter"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("kind", "name", "target", "fault"),
    [
        (
            "namespace",
            "my counter",
            "counter",
            "Use letters, digits and _, not beginning with a digit: for example MY_COUNTER.",
        ),
        ("namespace", "", "counter", ""),
        ("namespace", "COUNTER", "", "Bound to what? A stable ID, such as counter."),
        ("json", "LIMITS", "{max: 20}", "This is no JSON value: write a text in quotes"),
        (
            "secret",
            "KEY",
            PLANTED,
            "Name where its value is, not the value: a VARIABLE in capitals, keyring, or prompt.",
        ),
        ("namespace", "OTHER", "counter", "Another row is called OTHER too."),
    ],
)
def test_a_row_is_judged_by_the_field_that_was_left(
    session: Session, kind: str, name: str, target: str, fault: str
) -> None:
    """One line, about this row alone; a value that may be a secret is not repeated."""
    form = Form(session, Draft.new("worker", id="api", rows=[BindingRow(), BindingRow(name="OTHER", target="o")]))
    fields = parts(form, 0)
    fields[1].value = kind
    fields[2].value, fields[0].value = target, name
    form.inputs["script"].value = "export default {}"
    found = red(form).get("row 0", "")
    assert found.startswith(f"! {fault}" if fault else "")
    assert bool(found) == bool(fault)
    assert PLANTED not in "".join(line.value for line in (form.cell, form.left_over, form.outcome, *form.rows.lines))  # type: ignore[union-attr]


def test_the_source_is_checked_by_esbuild_before_it_is_declared(session: Session) -> None:
    """8e and issue 16.2: its syntax, and the classes of the namespaces that it binds; the same words as in a cell."""
    nd.DurableObjectNamespace("counter", class_name="Counter", where=Where(cell="In[3]", run=3))
    form = Form(session, Draft.new("worker", id="api", rows=[BindingRow(name="COUNTER", target="counter")]))
    form.inputs["script"].value = COUNTER.replace("class Counter", "class Countr")
    assert red(form) == {}  # it is still typed in
    form.inputs["id"].value = "api2"
    assert red(form) == {
        "script": "! Class Counter of namespace counter is not exported here; the source exports Countr and a default "
        "handler. Did you mean Counter?"
    }
    assert said(form.left_over) == "Fix Source. Declaring sends nothing."
    form.inputs["script"].value = COUNTER.replace("const value", "const value v")
    assert red(form)["script"] == '! Syntax error in line 5: expected ";" but found "v".'
    form.inputs["script"].value = "const x = 1;"
    assert red(form)["script"].startswith("! Class Counter of namespace counter is not exported here")
    form.inputs["script"].value = COUNTER
    assert red(form) == {}
    assert said(form.lines["script"]) == "13 lines; exports Counter and a default handler."
    assert not form.save.disabled


def test_a_press_checks_a_source_that_was_not_left(session: Session) -> None:
    """Nothing is declared that esbuild finds wrong."""
    form = Form(session, Draft.new("worker", id="api"))
    form.inputs["script"].value = "const value v = 1;"
    form.save.click()
    assert red(form)["script"] == '! Syntax error in line 1: expected ";" but found "v".'
    assert not session.catalog.workers


def test_no_claim_is_made_where_the_source_cannot_be_checked(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    """Issue 16.2: without the binary on the disk a form looks at nothing, and fetches nothing."""
    monkeypatch.setattr(esbuild, "has_esbuild", lambda: False)
    monkeypatch.setattr(esbuild, "parse", lambda *_, **__: pytest.fail("it was looked at"))
    form = Form(session, Draft.new("worker", id="api"))
    form.inputs["script"].value = "const value v = 1;"
    form.inputs["name"].value = "x"
    assert red(form) == {}
    assert said(form.lines["script"]) == "1 line."
    form.save.click()
    assert "api" in session.catalog.workers


def test_a_plain_value_that_is_a_secret_is_hidden_in_what_the_form_says(session: Session) -> None:
    """By its name: not in the cell that is the same, nor in what stays; what is declared is what was typed."""
    rows = [BindingRow(name="API_KEY", kind="text", target=PLANTED)]
    form = Form(session, Draft.new("worker", id="api", script="export default {}", rows=rows))
    assert form.rows is not None
    assert "For a secret choose the type secret" in said(form.rows.lines[0])
    assert "hidden because of its name (32 characters)" in form.cell.value
    form.save.click()
    assert PLANTED not in form.cell.value + form.outcome.value
    assert session.catalog.workers["api"].bindings["API_KEY"].text == PLANTED  # type: ignore[union-attr]


def test_a_long_cell_is_folded_with_its_lines(session: Session) -> None:
    """8f: the Worker that is replaced, its script, and the cell of as many lines as it has."""
    nd.Worker("api", script="export default {}", where=Where(cell="In[5]", run=5))
    form = Form(session, Draft.new("worker", id="api", script=COUNTER.lstrip()))
    assert said(form.lines["id"]) == "Replaces the declaration of cell [5]. On Cloudflare: api-dev."
    assert "<details" in form.cell.value
    assert said(form.cell).startswith("The same as a cell (14 lines)%%durable worker api import { DurableObject }")
