"""Text, HTML and DataFrame tell the same, and a page without styles or scripts still tells it."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import html5lib
import nbformat
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from nbconvert import HTMLExporter

from notebook_do.display import TitledTable
from notebook_do.frames import COLUMNS, dtype_of, frame
from notebook_do.notebook.views.documents import bundle
from notebook_do.plan.plan import Action, Change

if TYPE_CHECKING:
    from collections.abc import Callable

    from notebook_do.plan.plan import Plan

TABLES = ("namespaces", "workers", "bindings", "migrations", "state")
SHORT = st.from_regex(r"[a-z][a-z0-9]{0,4}", fullmatch=True)
CELLS: dict[str, st.SearchStrategy[Any]] = {"Int64": st.integers(0, 9999), "bool": st.booleans(), "string": SHORT}


def rows_of(name: str) -> st.SearchStrategy[list[dict[str, Any]]]:
    """Give rows of one table, each cell filled."""
    columns = {c: st.just("create") if c == "action" else CELLS[dtype_of(c)] for c in COLUMNS[name]}
    return st.lists(st.fixed_dictionaries(columns), min_size=1, max_size=4)


def said(value: Any) -> str:
    """Give what a person reads for a value."""
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)


def words(html: str) -> str:
    """Give what is left of a view when every tag and every style is gone."""
    return " ".join(html5lib.parseFragment(html).itertext())


@pytest.mark.parametrize("name", TABLES)
@settings(max_examples=8)
@given(data=st.data())
def test_every_cell_of_a_table_is_in_all_three(name: str, data: st.DataObject) -> None:
    """A value of the frame is a word of the text and a word of the HTML. An action is a symbol there."""
    rows = data.draw(rows_of(name))
    shown = bundle(TitledTable(name=name, title="", rows=tuple(rows)))
    for row, kept in zip(rows, frame(name, rows).to_dict("records"), strict=True):
        for column, value in row.items():
            assert kept[column] == value
            for drawn in (shown["text/plain"], words(shown["text/html"])):
                assert re.search(rf"\b{re.escape(said(value))}\b", drawn) or (column == "action" and "+" in drawn)


@settings(max_examples=8, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_every_change_of_a_plan_is_in_all_three(make_plan: Callable[..., Plan], data: st.DataObject) -> None:
    """Who, what, before, after and why of each change can be read in each form."""
    texts = dict.fromkeys(("id", "worker", "name", "before", "after", "detail"), SHORT)
    made = st.builds(Change, action=st.sampled_from(list(Action)[1:]), kind=st.just("binding"), **texts)
    changes = data.draw(st.lists(made, min_size=1, max_size=4))
    plan = make_plan(changes=tuple(changes))
    shown = bundle(plan)
    for change, row in zip(changes, plan.df.to_dict("records"), strict=True):
        for column in ("worker", "name", "before", "after", "detail"):
            assert row[column] == getattr(change, column)
            assert row[column] in shown["text/plain"]
            assert row[column] in words(shown["text/html"])


@pytest.mark.parametrize("name", sorted(COLUMNS))
def test_an_empty_frame_has_its_columns_and_dtypes(name: str) -> None:
    """Code that selects a column works before there is a row."""
    empty = frame(name, ())
    assert tuple(empty.columns) == COLUMNS[name]
    assert [str(kind) for kind in empty.dtypes] == [dtype_of(column) for column in COLUMNS[name]]


@pytest.mark.parametrize("name", ["namespaces", "workers", "migrations", "state", "bindings"])
def test_ten_thousand_rows_show_200_and_count_the_rest(name: str) -> None:
    """A long table stays a page, and says how many more there are."""
    row = {c: "create" if c == "action" else 1 if dtype_of(c) == "Int64" else c for c in COLUMNS[name]}
    shown = bundle(TitledTable(name=name, title="", rows=(row,) * 10_000))
    for drawn in shown.values():
        assert "9,800 more rows" in drawn
        assert len(drawn) < 600_000


def test_a_converted_page_keeps_the_view(make_plan: Callable[..., Plan]) -> None:
    """Nbconvert puts the view into its page as it is, drawing included."""
    shown = bundle(make_plan())
    cell = nbformat.v4.new_code_cell("%durable plan")
    cell.outputs = [nbformat.v4.new_output("execute_result", data=shown, execution_count=1)]
    page, _ = HTMLExporter().from_notebook_node(nbformat.v4.new_notebook(cells=[cell]))
    drawn = html5lib.parse(page, namespaceHTMLElements=False).find(".//div[@class='tex2jax_ignore mathjax_ignore']")
    assert " ".join(drawn.itertext()) == words(shown["text/html"])
    assert drawn.find(".//{http://www.w3.org/2000/svg}svg").get("viewBox")
    rows = [[cell.get("style") for cell in row.iter("td")] for row in drawn.find(".//tbody").iter("tr")]
    assert all("background-color" in style for row in rows if len(row) > 1 for style in row[:2])
