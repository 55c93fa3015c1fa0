"""Plain text: narrow, calm, and nothing hidden in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notebook_do import display as letters
from notebook_do.display import one_line
from notebook_do.notebook.views import text
from notebook_do.notebook.views.blocks import Code, Diagram, Edge, Header, Item, Items, Line, Table, Tone

WORDS = st.text(max_size=300)


@given(st.lists(st.tuples(WORDS, WORDS, WORDS), max_size=6), WORDS)
def test_no_line_is_wider_than_100_columns(rows: list[tuple[str, str, str]], caption: str) -> None:
    """Whatever the cells hold, a view fits 100 columns."""
    document = (
        Header(caption, (("stage", caption),)),
        Table(caption, ("a", "b", "c"), tuple(rows), (Tone.ADD,) * len(rows)),
        Items(caption, (Item(caption, Tone.ALERT, (caption,)),)),
        Line(caption),
        Code("code", caption),
        Diagram(caption, tuple(Edge(*row) for row in rows)),
    )
    assert max(map(letters.width_of, text.render(document).split("\n"))) <= text.WIDTH


@given(WORDS)
def test_wrapping_loses_no_letter(words: str) -> None:
    """Breaking a line moves letters, it never drops one."""
    value = one_line(words)
    assert "".join("".join(letters.wrap(value, 20)).split()) == "".join(value.split())


def test_a_table_keeps_columns_apart_and_says_what_is_hidden() -> None:
    """Rows that are not drawn are counted."""
    drawn = text.render((Table("two", ("a", "b"), (("1", "long cell"), ("22", "x")), (), 812, "plan.df has all."),))
    assert drawn == ("two\n  a   b\n  --  ---------\n  1   long cell\n  22  x\n... 812 more rows. plan.df has all.")
