"""Forms without widgets: faults field by field, and the very cell that is declared."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from notebook_do.model import Namespace, Worker
from notebook_do.notebook.widgets.drafts import BindingRow, Draft


def test_an_empty_form_lacks_what_must_be_there_and_has_no_fault() -> None:
    """Only what must be there is asked for; an empty field is not wrong."""
    space, worker = Draft.new("namespace"), Draft.new("worker", rows=[BindingRow()])
    assert (space.missing(), worker.missing(), worker.unfilled()) == (["id", "class_name"], ["id", "script"], [0])
    assert space.faults() == worker.faults() == {}
    assert worker.row_faults() == {}


@pytest.mark.parametrize(
    ("draft", "field", "said"),
    [
        (Draft.new("namespace", id="a b", class_name="C"), "id", "No spaces: use letters, digits, - or _"),
        (Draft.new("namespace", id="a.b", class_name="C"), "id", "for example a-b."),
        (Draft.new("namespace", id="a" * 65, class_name="C"), "id", "At most 64 characters"),
        (Draft.new("namespace", id="a", class_name="class"), "class_name", "for example ClassObject."),
        (Draft.new("namespace", id="a", class_name="my counter"), "class_name", "for example MyCounter."),
        (Draft.new("namespace", id="a", class_name="C", renamed_from="é"), "renamed_from", "for example counter."),
        (Draft.new("worker", id="a b", script="x"), "id", "for example a-b."),
        (Draft.new("worker", id="a", script="x", name="Upper"), "name", "for example upper."),
        (Draft.new("worker", id="a", script="x", compatibility_date="soon"), "compatibility_date", "2026-11-01."),
        (Draft.new("worker", id="a", script="x", compatibility_date="2026/1/5"), "compatibility_date", "2026-01-05."),
    ],
)
def test_a_fault_stands_at_its_field_and_nowhere_else(draft: Any, field: str, said: str) -> None:
    """A person sees which field to mend, what may stand there, and an example made of what was typed."""
    faults = draft.faults()
    assert said in faults.pop(field)
    assert faults == {}


@pytest.mark.parametrize(
    ("row", "part", "said"),
    [
        (BindingRow(name="A-B", target="x"), "name", "for example A_B."),
        (BindingRow(name="then", target="x"), "name", "for example THEN_BINDING."),
        (BindingRow(name="A"), "target", "Bound to what?"),
        (BindingRow(name="A", kind="json", target="{"), "target", "This is no JSON value"),
        (BindingRow(name="A", kind="json", target="fast"), "target", 'for example "fast".'),
        (BindingRow(name="A", kind="secret", target="not-a-variable"), "target", "Name where its value is"),
        (BindingRow(name="A", target="a b"), "target", "'a b' is no stable ID of a namespace."),
    ],
)
def test_a_fault_of_a_row_names_its_field(row: Any, part: str, said: str) -> None:
    """Of a row of bindings, too."""
    fault = Draft.new("worker", id="a", script="x", rows=[row]).row_faults()[0]
    assert fault.part == part
    assert said in fault.text
    assert "id" not in fault.text.replace("digit", "").split()  # the rest of the form is no business of the row


def test_two_rows_of_one_name_are_both_wrong() -> None:
    """Which of them is meant is not ours to decide."""
    rows = [BindingRow(name="A", target="x"), BindingRow(name="A", target="y")]
    faults = Draft.new("worker", id="a", script="x", rows=rows).row_faults()
    assert {at: fault.text for at, fault in faults.items()} == dict.fromkeys((0, 1), "Another row is called A too.")


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
    faults = [*draft.faults().values(), *(fault.text for fault in draft.row_faults().values())]
    assert all(faults)
    assert bool(faults or draft.missing() or draft.unfilled()) is not draft.complete
    if not draft.complete:
        return
    (item,) = draft.declaration()
    again = Draft.of(item)
    assert again.declaration() == (item,)
    if isinstance(item, Worker):
        assert set(item.bindings) == {row.name for row in draft.rows}
        assert (item.id, item.name or "", item.script) == tuple(draft.values[name] for name in ("id", "name", "script"))
    else:
        assert again == draft
