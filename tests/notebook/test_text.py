"""Plain text: narrow, calm, and nothing hidden in it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from notebook_do import display as letters
from notebook_do.display import one_line
from notebook_do.display.rich import code, rich
from notebook_do.notebook.views import text
from notebook_do.notebook.views.blocks import (
    Code,
    Diagram,
    Diff,
    Edge,
    Folded,
    Group,
    Header,
    Item,
    Items,
    Line,
    Table,
    Tone,
)

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
    document = (*document, Folded(caption, (*document, Folded(caption, (*document, Diff((caption,), caption))))))
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


def test_the_symbols_have_no_rule_below_their_head() -> None:
    """A dash there would read as a deletion; a group goes over all columns, after an empty line."""
    rows = (Group("Worker a"), ("create", "x"), Group("Worker b"), ("delete", "y"))
    drawn = text.render((Table("", ("action", "what"), rows, (None, Tone.ADD, None, Tone.DROP)),))
    assert drawn == ("     action  what\n     ------  ----\n  Worker a\n  +  create  x\n\n  Worker b\n  -  delete  y")
    assert text.render((Table("", (), (("update", "20 → 5"),), (Tone.CHANGE,)),)) == "  ~  update  20 → 5"


def test_a_fold_shows_all_that_it_holds_further_in() -> None:
    """Paper cannot be opened; of a diff of more than 40 lines the summary has the counts."""
    short, long = (Diff(tuple(f"+{n}" for n in range(count)), "plan.diff has all") for count in (2, 41))
    drawn = text.render((Folded("Diff: +2", (short,)), Folded("Diff: +41", (Line("a"), long))))
    assert drawn == "Diff: +2\n    +0\n    +1\n\nDiff: +41\n  a\n\n    41 lines; plan.diff has all"


def test_a_band_and_a_look_are_words() -> None:
    """What HTML says by a border or a font, text says by words alone."""
    document = (Header("Plan", (("session", "shop"),), "production"), Line(rich("a ", code("b")), small=True))
    assert text.render(document) == "! LIVE PRODUCTION  Plan  session: shop\na b"
