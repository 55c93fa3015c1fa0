"""Forms without widgets: faults field by field, and the very cell that is declared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.model import Namespace, Worker
from notebook_do.notebook.widgets.drafts import BindingRow, Draft


def test_an_empty_namespace_form_says_what_is_missing() -> None:
    """Only what must be there is asked for."""
    assert Draft.new("namespace").faults() == {"id": "is missing.", "class_name": "is missing."}


@pytest.mark.parametrize(
    ("draft", "field", "said"),
    [
        (Draft.new("namespace", id="a b", class_name="C"), "id", "stable ID"),
        (Draft.new("namespace", id="a", class_name="class"), "class_name", "reserved"),
        (Draft.new("namespace", id="a", class_name="C", renamed_from="é"), "renamed_from", "renamed_from"),
        (Draft.new("worker", id="a b", script="x"), "id", "Worker id"),
        (Draft.new("worker", id="a", script="x", name="Upper"), "name", "lower-case"),
        (Draft.new("worker", id="a", script="x", compatibility_date="soon"), "compatibility_date", "must be a day"),
        (Draft.new("worker", id="a", script=" \n"), "script", "is missing"),
        (Draft.new("worker", id="a", script="x", rows=[BindingRow(name="A-B", target="x")]), "row 0", "identifier"),
        (Draft.new("worker", id="a", script="x", rows=[BindingRow(name="A")]), "row 0", "say what"),
        (
            Draft.new("worker", id="a", script="x", rows=[BindingRow(name="A", kind="json", target="{")]),
            "row 0",
            "not JSON",
        ),
        (Draft.new("worker", id="a", script="x", rows=[BindingRow(name="A", target="x")] * 2), "row 1", "two rows"),
    ],
)
def test_a_fault_stands_at_its_field_and_nowhere_else(draft: Any, field: str, said: str) -> None:
    """A person sees which field to mend."""
    faults = draft.faults()
    assert said in faults.pop(field)
    assert all("row" in other for other in faults)


def test_a_namespace_cell_declares_what_the_form_holds() -> None:
    """Show as cell and Save are the same."""
    ticked = {"sqlite": True, "protect": True}
    draft = Draft.new("namespace", id="counter", class_name="Counter", script_name="host", renamed_from="old", **ticked)
    (item,) = draft.declaration()
    assert item == Namespace(
        "counter", class_name="Counter", sqlite=False, script_name="host", renamed_from="old", protect=False
    )
    assert draft.cell() == (
        "%durable namespace counter --class Counter --kv --script host --renamed-from old --unprotect"
    )
    assert Draft.of(item) == draft


@given(
    source=st.text(min_size=1).filter(str.strip),
    text=st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), min_size=1),
)
def test_any_source_and_text_come_back_untouched(source: str, text: str) -> None:
    """Braces, dollars, quotes and line ends of a source or a value are nobody's syntax."""
    draft = Draft.new("worker", id="w", script=source, rows=[BindingRow(name="GREETING", kind="text", target=text)])
    (item,) = draft.declaration()
    assert isinstance(item, Worker)
    assert item.script == source
    assert item.bindings["GREETING"].text == text  # type: ignore[union-attr]
    assert Draft.of(item) == draft


LINE = st.text(alphabet=st.characters(blacklist_categories=["Cs", "Cc"]), max_size=12)
WORD = st.one_of(LINE, st.from_regex(r"[a-z][a-z0-9-]{0,8}", fullmatch=True), st.sampled_from(["A", "class", "x.Y"]))
ROW = st.builds(
    BindingRow, name=WORD, kind=st.sampled_from(["namespace", "text", "json", "secret", "service"]), target=WORD
)
SPACES = st.builds(
    Draft.new,
    st.just("namespace"),
    id=WORD,
    class_name=WORD,
    sqlite=st.booleans(),
    script_name=WORD,
    renamed_from=WORD,
    protect=st.booleans(),
)
WORKERS = st.builds(
    Draft.new,
    st.just("worker"),
    id=WORD,
    name=WORD,
    lang=st.sampled_from(["js", "ts", "py"]),
    compatibility_date=st.one_of(WORD, st.dates().map(str)),
    script=LINE,
    rows=st.lists(ROW, max_size=3),
)


@given(draft=st.one_of(SPACES, WORKERS))
def test_a_form_without_fault_is_its_cell_and_a_form_with_one_names_a_field(draft: Any) -> None:
    """Whatever stands in the fields: the cell declares just that, or a field says why it cannot."""
    faults = draft.faults()
    if faults:
        assert all(faults.values())
        assert {name.split(" ")[0] for name in faults} <= {*draft.values, "row"}
        return
    (item,) = draft.declaration()
    again = Draft.of(item)
    assert again.declaration() == (item,)
    if isinstance(item, Worker):
        assert set(item.bindings) == {row.name for row in draft.rows}
        assert (item.id, item.name or "", item.script) == tuple(draft.values[name] for name in ("id", "name", "script"))
    else:
        assert again == draft
