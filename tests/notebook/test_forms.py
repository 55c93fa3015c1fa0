"""The forms with real widgets and a real session."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from notebook_do.notebook.widgets.drafts import Draft
from notebook_do.notebook.widgets.forms import Form
from notebook_do.sessions.opening import open_session

if TYPE_CHECKING:
    from pathlib import Path

    from notebook_do.sessions.session import Session


@pytest.fixture
def session(cloud: Path) -> Session:
    """Give an open session that has reached nothing yet."""
    return open_session("forms", state=cloud / "state.json")


def test_a_namespace_is_declared_by_typing_and_pressing(session: Session) -> None:
    """Save declares, says so, and offers the cell; nothing is sent."""
    form = Form(session, Draft.new("namespace"))
    assert form.save.disabled
    form.inputs["id"].value = "counter"
    form.inputs["class_name"].value = "1Counter"
    assert "identifier" in form.faults["class_name"].value
    form.inputs["class_name"].value = "Counter"
    assert form.faults["class_name"].value == ""
    assert not form.save.disabled
    form.save.click()
    assert session.catalog.namespaces["counter"].class_name == "Counter"
    assert "%durable namespace counter --class Counter" in form.outcome.value


def test_a_worker_is_declared_with_binding_rows(session: Session) -> None:
    """Rows can be added, filled, found wrong and removed."""
    form = Form(session, Draft.new("worker"))
    form.inputs["id"].value = "w"
    form.inputs["script"].value = "export default {}"
    form.add.click()
    form.add.click()
    assert form.save.disabled
    name, kind, target, gone = form.rows.children[0].children[0].children
    name.value, target.value = "COUNTER", "counter"
    assert [kind.value, gone.description] == ["namespace", "Remove binding 1"]
    assert form.rows.children[0].children[0].layout.flex_flow == "row wrap"  # else it lies outside of what is seen
    form.rows.children[1].children[0].children[3].click()
    assert len(form.rows.children) == 1
    assert not form.save.disabled
    form.show_cell.click()
    assert "%%durable worker w --bind COUNTER=counter" in form.outcome.value
    form.save.click()
    assert session.catalog.workers["w"].bindings["COUNTER"].stable_id == "counter"  # type: ignore[union-attr]


def test_the_fields_stand_in_the_order_in_which_they_are_filled_in(session: Session) -> None:
    """Lines first, then what is chosen, then boxes; a Worker's source is last, below its bindings."""
    assert list(Form(session, Draft.new("namespace")).inputs) == [
        *("id", "class_name", "script_name", "renamed_from", "sqlite", "protect"),
    ]
    form = Form(session, Draft.new("worker"))
    assert list(form.inputs) == ["id", "name", "script", "compatibility_date", "lang"]
    shown = [part.children[0] for part in form.widget.children[1:-2] if part is not form.rows]
    assert [field.description for field in shown] == [
        *("Worker", "Script name", "Compatibility date", "Language", "Add a binding", "Source"),
    ]
    assert form.inputs["name"].placeholder == "default: the id with -dev"


def test_every_input_has_a_label(session: Session) -> None:
    """A screen reader can name each field."""
    form = Form(session, Draft.new("worker"))
    form.add.click()
    fields = [*form.inputs.values(), *form.rows.children[0].children[0].children]
    assert all(field.description for field in fields)
